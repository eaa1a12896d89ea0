//! What goes on beside the work on slices: checkpoints, room in memory, old events. One thread, a little at a time.
//!
//! State at rest never runs ahead of what is committed (S4): histories are encoded as they are in memory, and what was encoded waits until
//! every round of work that had begun by then is committed. So whatever a crash leaves, reading the topics from the checkpoint's offsets
//! to the committed ones makes exactly the state that the last answered application was scored on, and the next one is scored as if nothing
//! had happened.
//!
//! Old events go by the slice's own clock, not by this machine's: an application that is scored hours late still finds its window whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cauce_features::time::Timestamp;
use cauce_model::bundle::Bundle;
use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::config;
use crate::keeper::{Saved, Upkeep};
use crate::log::{LogError, Position};
use crate::metrics::Metrics;
use crate::store::{CheckpointError, Positions, Store};

/// The longest wait between two steps, so that a stop is never waited for.
const STEP_MOST: Duration = Duration::from_millis(200);

/// How long a checkpoint waits for what is under way to be committed; longer than an attempt to commit takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// How soon after one checkpoint the next may come for want of memory.
const PRESSED_EVERY: Duration = Duration::from_secs(1);

/// A slice's store, and how far the work on it is committed.
pub struct Tended {
    pub partition: i32,
    pub store: Arc<Store>,
    stream_time_ms: AtomicI64,
    gate: Mutex<Gate>,
    moved: Condvar,
}

/// Rounds of work: what is in memory may be of any that has begun, what may be at rest only of those that are committed.
#[derive(Default)]
struct Gate {
    begun: u64,
    committed: u64,
    /// The offsets that are committed: all before them is in memory.
    reached: Positions,
    /// The slice is somebody else's: nothing more is committed here.
    is_over: bool,
}

impl Tended {
    /// A slice whose memory holds what stands before these offsets.
    pub fn new(partition: i32, store: Arc<Store>, reached: Positions) -> Self {
        let gate = Mutex::new(Gate { reached, ..Gate::default() });
        Self { partition, store, stream_time_ms: AtomicI64::new(0), gate, moved: Condvar::new() }
    }

    /// A round of work begins.
    pub fn begin(&self) {
        self.gate.lock().begun += 1;
    }

    /// All that has begun is committed, up to these offsets.
    pub fn commit(&self, reached: Positions) {
        let mut gate = self.gate.lock();
        gate.committed = gate.begun;
        gate.reached = reached;
        self.moved.notify_all();
    }

    /// Nothing more will be committed.
    pub fn end(&self) {
        self.gate.lock().is_over = true;
        self.moved.notify_all();
    }

    /// The work goes on where it was left, if memory holds what is committed and nothing else.
    pub fn resume(&self) -> Option<Positions> {
        let mut gate = self.gate.lock();
        gate.is_over = false;
        (gate.begun == gate.committed).then_some(gate.reached)
    }

    /// The committed offsets, if memory holds what stands before them and nothing else.
    pub fn settled(&self) -> Option<Positions> {
        let gate = self.gate.lock();
        (gate.begun == gate.committed).then_some(gate.reached)
    }

    /// Lets old events be swept as of this instant.
    pub fn pass_to(&self, stream_time: Timestamp) {
        self.stream_time_ms.store(stream_time.millis(), Ordering::Relaxed);
    }

    /// Writes what has changed, once it is committed.
    pub fn checkpoint(&self, bundle: &Bundle, at: Timestamp) -> Result<Saved, CheckpointError> {
        let reached = self.gate.lock().reached;
        let written = self.store.checkpoint(bundle.plan(), reached, at, || self.wait());
        if let Err(CheckpointError::State(_)) = &written
            && let Err(error) = self.store.reopen()
        {
            tracing::warn!(%error, "the state still cannot be used");
        }
        Ok(Saved { position: reached.log, people: written?.people })
    }

    /// Returns once all that is in memory now is committed.
    fn wait(&self) -> Result<(), LogError> {
        let mut gate = self.gate.lock();
        let (begun, deadline) = (gate.begun, Instant::now() + PATIENCE);
        while gate.committed < begun {
            if gate.is_over || self.moved.wait_until(&mut gate, deadline).timed_out() {
                return Err(LogError::Unavailable("what the slice has made of its records is not committed".into()));
            }
        }
        Ok(())
    }
}

/// Tends all slices that are here.
pub struct Tending {
    bundle: Arc<Bundle>,
    clock: Clock,
    settings: config::Store,
    slices: Mutex<BTreeMap<i32, Arc<Tended>>>,
    retiring: Mutex<Vec<JoinHandle<()>>>,
    is_nudged: AtomicBool,
    is_stopped: Mutex<bool>,
    woken: Condvar,
}

impl Tending {
    /// Nothing is here yet.
    pub fn new(bundle: Arc<Bundle>, clock: Clock, settings: config::Store) -> Self {
        Self {
            bundle,
            clock,
            settings,
            slices: Mutex::default(),
            retiring: Mutex::default(),
            is_nudged: AtomicBool::new(false),
            is_stopped: Mutex::default(),
            woken: Condvar::new(),
        }
    }

    /// Starts the thread.
    pub fn start(self: &Arc<Self>, metrics: Arc<Metrics>) -> std::io::Result<JoinHandle<()>> {
        let tending = self.clone();
        thread::Builder::new().name("cauce-tending".into()).spawn(move || tending.run(&metrics))
    }

    /// Tends a slice from now on.
    pub fn add(&self, slice: Arc<Tended>) {
        self.slices.lock().insert(slice.partition, slice);
    }

    /// Lets go of a slice that is somebody else's now, after a last checkpoint if all of it is committed.
    pub fn retire(&self, partition: i32) {
        let Some(slice) = self.slices.lock().remove(&partition) else { return };
        let (bundle, at) = (self.bundle.clone(), self.clock.now());
        let last = move || {
            if slice.settled().is_some()
                && let Err(error) = slice.checkpoint(&bundle, at)
            {
                tracing::warn!(%error, partition, "no last checkpoint of a slice that has moved");
            }
        };
        let mut retiring = self.retiring.lock();
        retiring.retain(|thread| !thread.is_finished());
        match thread::Builder::new().name("cauce-retire".into()).spawn(last) {
            Ok(thread) => retiring.push(thread),
            Err(error) => tracing::warn!(%error, partition, "no last checkpoint of a slice that has moved"),
        }
    }

    /// Lets go of a slice without a word.
    pub fn forget(&self, partition: i32) {
        self.slices.lock().remove(&partition);
    }

    fn all(&self) -> Vec<Arc<Tended>> {
        self.slices.lock().values().cloned().collect()
    }

    fn run(&self, metrics: &Metrics) {
        let mut last = Instant::now();
        let mut turn = 0;
        while !self.wait() {
            let slices = self.all();
            let is_pressed = slices.iter().any(|slice| slice.store.is_far_over_budget());
            let is_due = last.elapsed() >= self.settings.checkpoint_every.get()
                || self.is_nudged.swap(false, Ordering::Relaxed)
                || (is_pressed && last.elapsed() >= PRESSED_EVERY);
            if is_due {
                last = Instant::now();
                slices.iter().for_each(|slice| self.save(slice));
            }
            for slice in &slices {
                self.small_steps(slice, turn);
            }
            turn += 1;
            metrics.add_up();
        }
        self.all().iter().filter(|slice| slice.settled().is_some()).for_each(|slice| self.save(slice));
        for thread in std::mem::take(&mut *self.retiring.lock()) {
            let _ = thread.join();
        }
    }

    /// Sleeps for a step; whether to stop.
    fn wait(&self) -> bool {
        let mut is_stopped = self.is_stopped.lock();
        if !*is_stopped {
            let pause = self.settings.sweep.get() / 4096;
            self.woken.wait_for(&mut is_stopped, pause.min(STEP_MOST));
        }
        *is_stopped
    }

    fn save(&self, slice: &Tended) {
        match slice.checkpoint(&self.bundle, self.clock.now()) {
            Ok(saved) => tracing::debug!(partition = slice.partition, ?saved, "checkpoint"),
            Err(error) => {
                tracing::warn!(%error, partition = slice.partition, "the topics will be read again from an earlier place")
            }
        }
    }

    /// Some more people into memory after a start, one shard's old events, and room in memory.
    fn small_steps(&self, slice: &Tended, turn: usize) {
        let (plan, store) = (self.bundle.plan(), &slice.store);
        match store.warm(plan) {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "not everybody could be brought into memory"),
        }
        let now = Timestamp::from_millis(slice.stream_time_ms.load(Ordering::Relaxed));
        store.sweep(plan, turn % store.shards(), now);
        if let Err(error) = store.sweep_cold(plan, now) {
            tracing::error!(%error, "old histories on disk could not be let go");
        }
        store.shrink(plan);
    }
}

impl Upkeep for Tending {
    fn checkpoint(&self) -> Result<Saved, CheckpointError> {
        let mut all = Saved { position: Position(0), people: 0 };
        for slice in self.all() {
            let saved = slice.checkpoint(&self.bundle, self.clock.now())?;
            all.position.0 += saved.position.0;
            all.people += saved.people;
        }
        Ok(all)
    }

    fn covered(&self) -> Position {
        Position(self.all().iter().map(|slice| slice.gate.lock().reached.log.0).sum())
    }

    fn nudge(&self) {
        self.is_nudged.store(true, Ordering::Relaxed);
        self.woken.notify_one();
    }

    fn stop(&self) {
        *self.is_stopped.lock() = true;
        self.woken.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::tests::bundle;

    #[test]
    fn what_is_in_memory_is_written_only_once_it_is_committed() {
        let bundle = bundle("ahorro-valle");
        let slice = Arc::new(Tended::new(0, Arc::new(Store::for_tests(10, bundle.plan())), Positions::default()));
        slice.begin();
        assert_eq!(slice.settled(), None);
        let waiting = slice.clone();
        let waited = thread::spawn(move || waiting.wait().is_ok());
        thread::sleep(Duration::from_millis(20));
        assert!(!waited.is_finished());
        let reached = Positions { log: Position(7), applications: Position(3) };
        slice.commit(reached);
        assert!(waited.join().unwrap() && slice.settled() == Some(reached));
    }

    #[test]
    fn what_is_not_committed_before_a_slice_moves_is_never_written() {
        let bundle = bundle("ahorro-valle");
        let slice = Tended::new(0, Arc::new(Store::for_tests(10, bundle.plan())), Positions::default());
        slice.begin();
        slice.end();
        assert!(slice.wait().is_err() && slice.settled().is_none());
    }
}
