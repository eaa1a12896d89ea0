//! What is served, and how it is changed while requests come.
//!
//! A [`Slot`] holds the bundle in service and, whole, the one before it. Each thread that scores has a [`Seat`] with a session of its
//! own, and looks before each request whether the slot has moved on: one atomic load. If it has, the thread takes a session that was
//! prepared and warmed for it, and keeps to that bundle for the whole request. So no request waits or fails for a swap, no answer is
//! made of two bundles, and one that begins after the swap is of the new one (M1).
//!
//! A session that is left goes back to its bundle, so going back prepares nothing. A bundle is freed when neither slot nor seat has it:
//! a thread that gets no requests keeps one that is older, so there are at most as many more as there are threads (S5).

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cauce_model::bundle::Bundle;
use cauce_model::onnx::{ModelError, OnnxModel};
use parking_lot::Mutex;

/// Golden rows that warm a session: by then all that is made once has been made.
const WARMING_ROWS: usize = 100;

/// A bundle, and sessions of its model that are ready to run.
pub struct Serving {
    bundle: Arc<Bundle>,
    /// Sessions that nobody has; as many as there are seats, less those that are taken.
    ready: Mutex<Vec<OnnxModel>>,
}

/// The place of what is served.
pub struct Slot {
    /// Counts changes, so that a thread sees by one load whether there was any.
    generation: AtomicU64,
    held: Mutex<Held>,
}

struct Held {
    generation: u64,
    current: Arc<Serving>,
    previous: Option<Arc<Serving>>,
}

/// One thread's hold on what is served.
pub struct Seat {
    slot: Arc<Slot>,
    generation: u64,
    serving: Arc<Serving>,
}

/// A change of what is served.
#[derive(Debug)]
pub struct Swapped {
    pub old: Arc<Bundle>,
    pub new: Arc<Bundle>,
}

/// What a new bundle was to replace is no longer served.
#[derive(Debug, PartialEq, Eq)]
pub struct Overtaken;

impl Serving {
    /// Makes sessions and runs each once over golden rows.
    pub fn prepare(bundle: Arc<Bundle>, sessions: usize) -> Result<Self, ModelError> {
        let ready = (0..sessions).map(|_| warm(&bundle)).collect::<Result<_, _>>()?;
        Ok(Self { bundle, ready: Mutex::new(ready) })
    }

    /// One that is ready, or else, as after the death of a thread, a new one.
    fn take(&self) -> Result<OnnxModel, ModelError> {
        let ready = self.ready.lock().pop();
        ready.map_or_else(|| OnnxModel::new(&self.bundle), Ok)
    }
}

fn warm(bundle: &Bundle) -> Result<OnnxModel, ModelError> {
    let mut model = OnnxModel::new(bundle)?;
    let golden = bundle.reference().golden.iter().take(WARMING_ROWS);
    let rows: Vec<f32> = golden.flat_map(|golden| golden.vector.iter().copied()).collect();
    for row in rows.chunks_exact(bundle.width()) {
        model.probabilities(row)?;
    }
    model.probabilities(&rows)?;
    Ok(model)
}

impl Slot {
    /// A slot that serves this.
    pub fn new(serving: Serving) -> Self {
        let held = Held { generation: 0, current: Arc::new(serving), previous: None };
        Self { generation: AtomicU64::new(0), held: Mutex::new(held) }
    }

    /// The bundle in service.
    pub fn bundle(&self) -> Arc<Bundle> {
        self.held.lock().current.bundle.clone()
    }

    /// The bundle that [`Slot::roll_back`] would go back to.
    pub fn previous(&self) -> Option<Arc<Bundle>> {
        self.held.lock().previous.as_ref().map(|previous| previous.bundle.clone())
    }

    /// How often what is served has changed.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Serves another bundle, unless there was a change since the generation that it was made for.
    pub fn swap(&self, serving: Serving, since: u64) -> Result<Swapped, Overtaken> {
        let mut held = self.held.lock();
        if held.generation != since {
            return Err(Overtaken);
        }
        let left = mem::replace(&mut held.current, Arc::new(serving));
        let swapped = Swapped { old: left.bundle.clone(), new: held.current.bundle.clone() };
        // Freed behind the lock: seats wait for that.
        let _forgotten = held.previous.replace(left);
        self.step(&mut held);
        drop(held);
        Ok(swapped)
    }

    /// Serves the bundle before this one again. It is the only way there: asked twice, as after a lost answer, it does not come back.
    pub fn roll_back(&self) -> Option<Swapped> {
        let mut held = self.held.lock();
        let previous = held.previous.take()?;
        let left = mem::replace(&mut held.current, previous);
        self.step(&mut held);
        let swapped = Swapped { old: left.bundle.clone(), new: held.current.bundle.clone() };
        drop(held);
        Some(swapped)
    }

    fn step(&self, held: &mut Held) {
        held.generation += 1;
        self.generation.store(held.generation, Ordering::Release);
    }

    fn now(&self) -> (u64, Arc<Serving>) {
        let held = self.held.lock();
        (held.generation, held.current.clone())
    }
}

impl Seat {
    /// A seat at what is served now, with its bundle and a session.
    pub fn take(slot: &Arc<Slot>) -> Result<(Self, Arc<Bundle>, OnnxModel), ModelError> {
        let (generation, serving) = slot.now();
        let (bundle, model) = (serving.bundle.clone(), serving.take()?);
        Ok((Self { slot: slot.clone(), generation, serving }, bundle, model))
    }

    /// The bundle that is served now, if it is another than before; the session becomes one of it.
    pub fn follow(&mut self, model: &mut OnnxModel) -> Option<Arc<Bundle>> {
        if self.slot.generation() == self.generation {
            return None;
        }
        let (generation, serving) = self.slot.now();
        if Arc::ptr_eq(&serving, &self.serving) {
            self.generation = generation;
            return None;
        }
        match serving.take() {
            Ok(taken) => {
                let left = mem::replace(&mut self.serving, serving);
                left.ready.lock().push(mem::replace(model, taken));
                self.generation = generation;
                Some(self.serving.bundle.clone())
            }
            // Only without a prepared session. What was good until now still is, and names itself in its answers.
            Err(error) => {
                tracing::error!(%error, "no session of the new bundle: this thread stays with the old one until the next request");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::tests::bundle;

    fn serving(sessions: usize) -> Serving {
        Serving::prepare(bundle("ahorro-valle"), sessions).unwrap()
    }

    fn ready(serving: &Serving) -> usize {
        serving.ready.lock().len()
    }

    #[test]
    fn a_seat_follows_a_swap_once_and_gives_its_session_back() {
        let slot = Arc::new(Slot::new(serving(2)));
        let (mut seat, old, mut model) = Seat::take(&slot).unwrap();
        assert!(seat.follow(&mut model).is_none());
        let left = seat.serving.clone();
        assert_eq!(ready(&left), 1);

        slot.swap(serving(2), slot.generation()).unwrap();
        let new = seat.follow(&mut model).unwrap();
        assert!(!Arc::ptr_eq(&old, &new) && Arc::ptr_eq(&new, &slot.bundle()));
        assert_eq!((ready(&left), ready(&seat.serving)), (2, 1));
        assert!(seat.follow(&mut model).is_none());
    }

    #[test]
    fn going_back_serves_the_bundle_before_and_cannot_be_done_twice() {
        let slot = Arc::new(Slot::new(serving(1)));
        let (mut seat, first, mut model) = Seat::take(&slot).unwrap();
        assert!(slot.roll_back().is_none());
        slot.swap(serving(1), slot.generation()).unwrap();
        seat.follow(&mut model).unwrap();
        let back = slot.roll_back().unwrap();
        assert!(Arc::ptr_eq(&back.new, &first) && slot.previous().is_none());
        assert!(Arc::ptr_eq(&seat.follow(&mut model).unwrap(), &first));
        // The session that it had before: nothing was made.
        assert_eq!(ready(&seat.serving), 0);
        assert!(slot.roll_back().is_none());
    }

    #[test]
    fn a_thread_that_slept_through_a_swap_and_its_undoing_stays_where_it_is() {
        let slot = Arc::new(Slot::new(serving(1)));
        let (mut seat, _, mut model) = Seat::take(&slot).unwrap();
        slot.swap(serving(1), slot.generation()).unwrap();
        slot.roll_back().unwrap();
        assert!(seat.follow(&mut model).is_none());
        assert_eq!(seat.generation, slot.generation());
    }

    #[test]
    fn a_bundle_made_for_what_is_no_longer_served_is_not_put_in() {
        let slot = Slot::new(serving(0));
        let since = slot.generation();
        slot.swap(serving(0), since).unwrap();
        let served = slot.bundle();
        assert_eq!(slot.swap(serving(0), since).unwrap_err(), Overtaken);
        assert!(Arc::ptr_eq(&served, &slot.bundle()));
    }

    #[test]
    fn a_bundle_is_freed_once_neither_slot_nor_seat_has_it() {
        let slot = Arc::new(Slot::new(serving(1)));
        let (mut seat, _, mut model) = Seat::take(&slot).unwrap();
        let first = Arc::downgrade(&seat.serving);
        slot.swap(serving(1), slot.generation()).unwrap();
        slot.swap(serving(1), slot.generation()).unwrap();
        assert!(first.upgrade().is_some(), "the seat sits there");
        seat.follow(&mut model).unwrap();
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn a_seat_finds_a_session_even_where_none_was_prepared() {
        let slot = Arc::new(Slot::new(serving(0)));
        let (mut seat, _, mut model) = Seat::take(&slot).unwrap();
        slot.swap(serving(0), slot.generation()).unwrap();
        assert!(seat.follow(&mut model).is_some());
    }
}
