//! Opening: the state is checked against the specification and read into memory, on all cores, as far as memory goes.
//!
//! One thread reads pages, since a page follows from the one before; decoding costs several times as much and is shared by all
//! cores. Whoever does not fit stays in the state and comes when asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use cauce_features::plan::FeaturePlan;
use cauce_features::timeline::{DecodeError, Timeline};
use hashbrown::DefaultHashBuilder;
use parking_lot::Mutex;

use super::{Bounds, Checkpoint, Entry, SHARDS, StateError, StateStore, Store};

/// People and their encoded histories.
type People = Vec<(Box<str>, Vec<u8>)>;

/// Enough that handing a page over costs nothing beside decoding it.
pub(super) const PAGE_BYTES: usize = 256 << 10;

impl Store {
    /// The histories that `state` keeps.
    pub fn open(state: Arc<dyn StateStore>, bounds: Bounds, plan: &FeaturePlan) -> Result<Self, StateError> {
        let store = Self {
            bounds,
            state,
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            people: AtomicUsize::new(0),
            resident: AtomicUsize::new(0),
            memory_bytes: AtomicUsize::new(0),
            coarsened: AtomicU64::new(0),
            upkeep: Mutex::default(),
        };
        if store.checkpointed()?.is_some_and(|known| known.specification != plan.specification().hash) {
            return Err(StateError::OtherSpecification);
        }
        store.load(plan)?;
        Ok(store)
    }

    /// Up to where the state goes: the log is applied from there on. `None` if there never was a checkpoint, and all of it is.
    pub fn checkpointed(&self) -> Result<Option<Checkpoint>, StateError> {
        self.state.checkpoint()
    }

    fn load(&self, plan: &FeaturePlan) -> Result<(), StateError> {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let (sender, pages) = sync_channel(2 * workers);
        let (pages, failures) = (Mutex::new(pages), Mutex::new(Failures::default()));
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| self.take_pages(plan, &pages, &failures));
            }
            // Moved in, so that the pages end with it.
            let sender = sender;
            self.each_page(|people| {
                sender.send(people).expect("workers stay until the pages end");
                Ok(())
            })
        })?;
        let Failures { count, first } = failures.into_inner();
        first.map_or(Ok(()), |error| Err(damaged(error, count)))
    }

    /// Everybody in the state, whether in memory too or not.
    pub(super) fn each_page(&self, mut take: impl FnMut(People) -> Result<(), StateError>) -> Result<(), StateError> {
        let mut after = None;
        loop {
            let page = self.state.page(after.as_ref(), PAGE_BYTES)?;
            take(page.people)?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn take_pages(&self, plan: &FeaturePlan, pages: &Mutex<Receiver<People>>, failures: &Mutex<Failures>) {
        loop {
            let Ok(people) = pages.lock().recv() else { return };
            for (person, bytes) in people {
                if let Err(error) = self.take_in(plan, &person, &bytes) {
                    failures.lock().add(error);
                }
            }
        }
    }

    /// Takes a person of the state into memory, if there is room.
    fn take_in(&self, plan: &FeaturePlan, person: &str, bytes: &[u8]) -> Result<(), DecodeError> {
        let fits = self.memory_bytes() < self.bounds.memory_bytes;
        let timeline = if fits { Some(decode(plan, bytes)?) } else { None };
        let mut shard = self.shard(person).lock();
        self.people.fetch_add(1, Ordering::Relaxed);
        match timeline {
            Some(timeline) => self.admit(&mut shard, plan, person, Entry { timeline, flags: Entry::STORED }),
            None => shard.cold += 1,
        }
        Ok(())
    }
}

#[derive(Default)]
struct Failures {
    count: usize,
    first: Option<DecodeError>,
}

impl Failures {
    fn add(&mut self, error: DecodeError) {
        self.count += 1;
        self.first.get_or_insert(error);
    }
}

/// A timeline that the state kept. One of whom nothing is left is not kept.
pub(super) fn decode(plan: &FeaturePlan, bytes: &[u8]) -> Result<Timeline, DecodeError> {
    let timeline = Timeline::decode(plan, bytes)?;
    if timeline.is_empty() { Err(DecodeError::Corrupt("nothing is in it")) } else { Ok(timeline) }
}

/// What it means that the histories of so many people cannot be decoded; says how many, never whose.
pub(super) fn damaged(error: DecodeError, people: usize) -> StateError {
    match error {
        DecodeError::Specification => StateError::OtherSpecification,
        error => StateError::Damaged { what: format!("{people} people's histories cannot be read ({error})") },
    }
}
