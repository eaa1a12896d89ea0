//! Stops runs of the model that take too long, from a thread of its own: inline work cannot look at the time itself (S1).
//!
//! Each thread that scores has a slot. It writes down until when its run may take, and takes that back when the run is over; a lock around the
//! slot, free but for nanoseconds, makes sure that a run is never stopped by what was meant for the one before.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cauce_model::onnx::Stopper;
use parking_lot::Mutex;

/// How often it looks: a run ends at most so much later than it should, and the operator that is under way then.
const TICK: Duration = Duration::from_millis(1);

/// Watches one run at a time for each thread.
pub struct Watchdog {
    slots: Mutex<Vec<Weak<Slot>>>,
    stopped: AtomicU64,
    is_over: AtomicBool,
}

/// The place of one thread.
#[derive(Default)]
pub struct Slot(Mutex<Option<Watched>>);

/// A run under way.
struct Watched {
    until: Instant,
    stopper: Stopper,
}

impl Watchdog {
    /// Nobody is watched yet, and nothing before [`Watchdog::start`].
    pub fn new() -> Self {
        Self { slots: Mutex::default(), stopped: AtomicU64::new(0), is_over: AtomicBool::new(false) }
    }

    /// A place for a thread, for as long as it keeps it.
    pub fn slot(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot::default());
        let mut slots = self.slots.lock();
        slots.retain(|known| known.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
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

    /// How many runs were stopped.
    pub fn stopped(&self) -> u64 {
        self.stopped.load(Ordering::Relaxed)
    }

    fn look(&self, now: Instant) {
        for slot in self.slots.lock().iter().filter_map(Weak::upgrade) {
            // Whoever holds the lock begins or ends a run: the next look is soon enough.
            let Some(mut watched) = slot.0.try_lock() else { continue };
            if let Some(run) = watched.take_if(|run| run.until <= now) {
                run.stopper.stop();
                self.stopped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Slot {
    /// Does a run that may take until an instant; whether it was stopped.
    pub fn watch<R>(&self, stopper: &Stopper, until: Instant, run: impl FnOnce() -> R) -> (R, bool) {
        *self.0.lock() = Some(Watched { until, stopper: stopper.clone() });
        let result = run();
        (result, self.0.lock().take().is_none())
    }
}
