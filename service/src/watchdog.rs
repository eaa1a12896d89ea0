//! Stops runs of the model that take too long, from a thread of its own: inline work cannot look at the time itself (S1).
//!
//! Each worker has a slot. It writes down until when its run may take, and takes that back when the run is over; a lock around the
//! slot, free but for nanoseconds, makes sure that a run is never stopped by what was meant for the one before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cauce_model::onnx::Stopper;
use parking_lot::Mutex;

/// How often it looks: a run ends at most so much later than it should, and the operator that is under way then.
const TICK: Duration = Duration::from_millis(1);

/// Watches one run at a time for each worker.
pub struct Watchdog {
    slots: Box<[Mutex<Option<Watched>>]>,
    stopped: AtomicU64,
    is_over: AtomicBool,
}

/// A run under way.
struct Watched {
    until: Instant,
    stopper: Stopper,
}

impl Watchdog {
    /// One slot for each worker; nothing is watched before [`Watchdog::start`].
    pub fn new(workers: usize) -> Self {
        let slots = (0..workers).map(|_| Mutex::new(None)).collect();
        Self { slots, stopped: AtomicU64::new(0), is_over: AtomicBool::new(false) }
    }

    /// Starts the thread. `sometimes` is done now and then, about eight times a second.
    pub fn start(self: &Arc<Self>, sometimes: impl Fn() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
        let watchdog = self.clone();
        thread::Builder::new().name("cauce-watchdog".into()).spawn(move || {
            for tick in 0u32.. {
                if watchdog.is_over.load(Ordering::Relaxed) {
                    return;
                }
                if tick.is_multiple_of(100) {
                    sometimes();
                }
                thread::sleep(TICK);
                watchdog.look(Instant::now());
            }
        })
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Does a run that may take until an instant; whether it was stopped.
    pub fn watch<R>(&self, slot: usize, stopper: &Stopper, until: Instant, run: impl FnOnce() -> R) -> (R, bool) {
        let slot = &self.slots[slot % self.slots.len()];
        *slot.lock() = Some(Watched { until, stopper: stopper.clone() });
        let result = run();
        (result, slot.lock().take().is_none())
    }

    /// How many runs were stopped.
    pub fn stopped(&self) -> u64 {
        self.stopped.load(Ordering::Relaxed)
    }

    fn look(&self, now: Instant) {
        for slot in &self.slots {
            // Whoever holds the lock begins or ends a run: the next look is soon enough.
            let Some(mut watched) = slot.try_lock() else { continue };
            if let Some(run) = watched.take_if(|run| run.until <= now) {
                run.stopper.stop();
                self.stopped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
