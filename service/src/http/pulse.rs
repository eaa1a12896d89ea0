//! The pulse of a worker: how late its event loop runs, looked at by the loop itself.
//!
//! A task wakes every few milliseconds; how late it is run is how long what is ready waits for its turn. In a long queue that task stands
//! too, so each request that is begun meanwhile looks as well: it knows by then that the pulse is overdue. A worker to which nothing
//! comes has a slow pulse, and the first request quickens it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::rt::time::timeout;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use super::edge::Edge;
use crate::admission::{Look, PERIOD};

/// The pulse of a worker that has nothing to do, and how often connections are looked over.
pub const CALM_PERIOD: Duration = Duration::from_millis(100);
const LOOK_OVER: Duration = Duration::from_millis(250);

/// The pulse of one worker.
pub struct Pulse {
    /// When it should beat next.
    due: Cell<Instant>,
    /// When it was looked at last, how late it was then, and how long the thread had been on a core.
    looked: Cell<Instant>,
    late: Cell<Duration>,
    worked: Cell<Duration>,
    /// What was begun since it should have beaten.
    begun: Cell<u32>,
    /// Whether anything was begun since it last did.
    asked: Cell<bool>,
    calm: Cell<bool>,
    quicken: Notify,
}

impl Pulse {
    /// A slow one, of this thread.
    pub fn new() -> Self {
        let now = Cell::new(Instant::now());
        Self {
            due: now.clone(),
            looked: now,
            late: Cell::default(),
            worked: Cell::new(thread_time()),
            begun: Cell::new(0),
            asked: Cell::new(false),
            calm: Cell::new(true),
            quicken: Notify::new(),
        }
    }

    /// A request is begun; what there is to see if the pulse is overdue.
    pub fn begin(&self, now: Instant) -> Option<Look> {
        self.asked.set(true);
        if self.calm.replace(false) {
            self.due.set(now);
            // What is seen next is of the time since this request.
            self.look(now);
            self.quicken.notify_one();
        }
        if now <= self.due.get() {
            return None;
        }
        self.begun.set(self.begun.get() + 1);
        // Less late than it was known to be says nothing yet: this round is not over.
        let is_news = now.saturating_duration_since(self.due.get()) >= self.late.get().max(PERIOD);
        (is_news && now.saturating_duration_since(self.looked.get()) >= PERIOD).then(|| self.look(now))
    }

    fn look(&self, now: Instant) -> Look {
        let worked = thread_time();
        self.late.set(now.saturating_duration_since(self.due.get()));
        Look {
            late: self.late.get(),
            since_last: now.saturating_duration_since(self.looked.replace(now)),
            worked: worked.saturating_sub(self.worked.replace(worked)),
            begun: self.begun.get(),
        }
    }

    /// Waits for the next beat.
    async fn beat(&self) -> Look {
        let wait = if self.calm.get() { CALM_PERIOD } else { PERIOD };
        self.due.set(Instant::now() + wait);
        // Quickened or not, it beats.
        let _ = timeout(wait, self.quicken.notified()).await;
        let look = self.look(Instant::now());
        self.begun.set(0);
        look
    }
}

/// Looks at a worker's load and over its connections, for as long as the worker lives.
pub async fn tend(edge: Rc<Edge>) {
    let mut looked_over = Instant::now();
    loop {
        let look = edge.pulse.beat().await;
        let now = Instant::now();
        let is_busy = edge.tick(look, now);
        edge.pulse.calm.set(!edge.pulse.asked.replace(false) && !is_busy);
        if now - looked_over >= LOOK_OVER {
            edge.connections.look_over(now, |kind| edge.metrics.slow(kind));
            looked_over = now;
        }
    }
}

/// Time for which this thread has been on a core.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
