//! What goes on beside requests: checkpoints, room in memory, old events and old files. One thread, a little at a time.
//!
//! Nothing here is on a request's path: a step that fails is said, left for the next round, and the log keeps
//! what it needs until a checkpoint covers it (S2).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cauce_model::bundle::Bundle;
use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::config;
use crate::log::{EventLog, Maintained, Position, Promise};
use crate::metrics::Metrics;
use crate::store::{CheckpointError, Store};

/// The longest wait between two steps, so that a stop is never waited for.
const STEP_MOST: Duration = Duration::from_millis(200);

/// How long after a step that failed the next one waits.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// What is asked of whoever keeps log and state in shape.
pub trait Upkeep: Send + Sync {
    /// Writes what has changed, with the position it stands for.
    fn checkpoint(&self) -> Result<Saved, CheckpointError>;

    /// Where the newest checkpoint stands.
    fn covered(&self) -> Position;

    /// Has what was erased leave the files soon.
    fn nudge(&self);

    /// Ends after one last checkpoint.
    fn stop(&self);
}

/// Keeps the embedded log and its state in shape.
pub struct Keeper {
    store: Arc<Store>,
    log: Arc<dyn EventLog>,
    bundle: Arc<Bundle>,
    clock: Clock,
    settings: config::Store,
    checkpointing: Mutex<()>,
    stop: Mutex<bool>,
    woken: Condvar,
    /// Everything before this position is in the newest checkpoint.
    covered: AtomicU64,
}

/// A checkpoint that was written.
#[derive(Debug, Clone, Copy)]
pub struct Saved {
    pub position: Position,
    pub people: usize,
}

impl Keeper {
    /// Keeps this log and state; `covered` is where the checkpoint stands that they were opened with.
    pub fn new(
        store: Arc<Store>,
        log: Arc<dyn EventLog>,
        bundle: Arc<Bundle>,
        clock: Clock,
        settings: config::Store,
        covered: Position,
    ) -> Self {
        Self {
            store,
            log,
            bundle,
            clock,
            settings,
            checkpointing: Mutex::default(),
            stop: Mutex::default(),
            woken: Condvar::new(),
            covered: AtomicU64::new(covered.0),
        }
    }

    /// Starts the thread.
    pub fn start(self: &Arc<Self>, metrics: Arc<Metrics>) -> std::io::Result<JoinHandle<()>> {
        let keeper = self.clone();
        thread::Builder::new().name("cauce-keeper".into()).spawn(move || keeper.run(&metrics))
    }

    /// What was recorded without waiting for the disk is in memory before it is in the log: the checkpoint waits for the log, so that
    /// state never knows what the log does not.
    fn checkpoint_now(&self) -> Result<Saved, CheckpointError> {
        // One at a time, so that a later checkpoint never names an earlier position.
        let _one = self.checkpointing.lock();
        let position = self.log.reading().range().end;
        let durable = || self.log.submit(Vec::new(), Promise::Durable)?.wait().map(|_| ());
        let written = self.store.checkpoint(self.bundle.plan(), position, self.clock.now(), durable);
        if let Err(CheckpointError::State(_)) = &written
            && let Err(error) = self.store.reopen()
        {
            tracing::warn!(%error, "the state still cannot be used");
        }
        let people = written?.people;
        self.covered.store(position.0, Ordering::Relaxed);
        Ok(Saved { position, people })
    }

    fn run(&self, metrics: &Metrics) {
        let shards = self.store.shards();
        let mut warming = true;
        let pause = (self.settings.sweep.get() / shards as u32).min(STEP_MOST);
        let (mut last, mut not_before) = (Instant::now(), Instant::now());
        for shard in (0..shards).cycle() {
            let stop = self.wait(if warming { Duration::ZERO } else { pause });
            let records = self.log.reading().range().end.0 - self.covered().0;
            let due = last.elapsed() >= self.settings.checkpoint_every.get()
                || records >= self.settings.checkpoint_records
                || !self.log.pending().is_empty();
            if stop || (due && Instant::now() >= not_before) {
                last = Instant::now();
                if !self.round(records > 0) {
                    not_before = Instant::now() + AFTER_FAILURE;
                }
            }
            if stop {
                return;
            }
            warming = warming && self.warm();
            if !warming {
                self.small_steps(shard);
                metrics.add_up();
            }
        }
    }

    /// Sleeps for so long, or until it is woken; whether to stop.
    fn wait(&self, pause: Duration) -> bool {
        let mut stop = self.stop.lock();
        if !*stop {
            self.woken.wait_for(&mut stop, pause);
        }
        *stop
    }

    /// A checkpoint, and what it allows: files that it covers may go. Of those who were erased before it, first the state is purged and then
    /// the log, whose records say that there is something to purge should this be interrupted. Whether all went well.
    fn round(&self, has_records: bool) -> bool {
        let erasures = self.log.pending();
        if (has_records || !erasures.is_empty())
            && let Err(error) = self.checkpoint_now()
        {
            tracing::error!(%error, "no checkpoint could be written; the log keeps what it would have covered");
            return false;
        }
        if !erasures.is_empty()
            && let Err(error) = self.store.purge()
        {
            tracing::error!(%error, "the state's files still hold what was erased");
            return false;
        }
        // Only while nothing comes in: it costs a core for seconds.
        if !has_records && let Err(error) = self.store.purge_if_grown() {
            tracing::error!(%error, "the state's files could not be put in order");
            return false;
        }
        match self.log.maintain(&erasures, self.covered(), self.clock.now()) {
            Ok(done) if done != Maintained::default() => tracing::info!(?done, "the log's files were put in order"),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "the log's files could not be put in order");
                return false;
            }
        }
        true
    }

    /// Some more people into memory after a start; whether there are more.
    fn warm(&self) -> bool {
        self.store.warm(self.bundle.plan()).unwrap_or_else(|error| {
            tracing::error!(%error, "not everybody could be brought into memory");
            false
        })
    }

    /// One shard's old events, those of a few people on disk, and room in memory.
    fn small_steps(&self, shard: usize) {
        let (plan, now) = (self.bundle.plan(), self.clock.now());
        self.store.sweep(plan, shard, now);
        if let Err(error) = self.store.sweep_cold(plan, now) {
            tracing::error!(%error, "old histories on disk could not be let go");
        }
        self.store.shrink(plan);
    }
}

impl Upkeep for Keeper {
    fn checkpoint(&self) -> Result<Saved, CheckpointError> {
        self.checkpoint_now()
    }

    fn covered(&self) -> Position {
        Position(self.covered.load(Ordering::Relaxed))
    }

    fn nudge(&self) {
        self.woken.notify_one();
    }

    fn stop(&self) {
        *self.stop.lock() = true;
        self.woken.notify_one();
    }
}
