//! What is known of a connection: cells that its socket, its handlers and its worker read and write by turns, all on one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::{Patience, Slow};
use crate::admission::Class;
use crate::http::span::Exchanged;

/// A client that reads its answer may take a second longer for every so many bytes.
pub(super) const BYTES_A_SECOND: u64 = 64 * 1024;

/// What is known of a connection.
#[derive(Debug)]
pub struct Facts {
    pub(super) place: Cell<usize>,
    /// When the first bytes since the last request or answer were read, and when the last.
    first_read: Cell<Option<Instant>>,
    last_read: Cell<Instant>,
    /// When the current request's first bytes were read.
    started: Cell<Instant>,
    /// Since when no request is under way.
    idle_since: Cell<Instant>,
    under_way: Cell<bool>,
    /// A request was taken already.
    used: Cell<bool>,
    /// The class under which the current request holds a permit.
    permit: Cell<Option<Class>>,
    /// The current request, as logs and traces know it.
    exchanged: RefCell<Option<Exchanged>>,
    /// Since when a body is waited for that nobody wants.
    body_since: Cell<Option<Instant>>,
    /// The current request's body was read to its end.
    body_read: Cell<bool>,
    /// What the connection is used for after an upgrade.
    live: Cell<Live>,
    /// The last request's body was not, and there is no telling where it ends.
    pub(super) unfinished: Cell<bool>,
    /// Since when there is something that the client does not read, and how much it has read since.
    pub(super) write_since: Cell<Option<Instant>>,
    pub(super) written: Cell<u64>,
    pub(super) paused: Cell<bool>,
    pub(super) end: Cell<End>,
    pub(super) waker: RefCell<Option<Waker>>,
}

/// A connection that is no longer asked one request after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Live {
    No,
    /// Its stream looks after itself: it is idle by nature, and asks its client for signs of life.
    Streams,
    /// Everything was said.
    Over,
}

/// What the next read gives once there is nothing to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A wait.
    No,
    /// The end of the stream: answers still go out.
    Idle,
    /// An error: actix lets go of everything.
    Overdue(Slow),
}

impl Facts {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            place: Cell::new(0),
            first_read: Cell::new(None),
            last_read: Cell::new(now),
            started: Cell::new(now),
            idle_since: Cell::new(now),
            under_way: Cell::new(false),
            used: Cell::new(false),
            permit: Cell::new(None),
            exchanged: RefCell::new(None),
            body_since: Cell::new(None),
            body_read: Cell::new(false),
            live: Cell::new(Live::No),
            unfinished: Cell::new(false),
            write_since: Cell::new(None),
            written: Cell::new(0),
            paused: Cell::new(false),
            end: Cell::new(End::No),
            waker: RefCell::new(None),
        }
    }

    /// Those in the data of a connection. Without a connection, as in a test of a handler, nothing is known.
    pub fn of(data: Option<&Rc<Self>>) -> Rc<Self> {
        data.cloned().unwrap_or_else(|| Rc::new(Self::new(Instant::now())))
    }

    /// A request's head is complete. When its first bytes were read; of one that came right behind another it is when the last were.
    pub fn taken(&self) -> Instant {
        let first = self.first_read.take().filter(|_| !self.unfinished.get());
        let started = first.unwrap_or(self.last_read.get());
        self.started.set(started);
        self.under_way.set(true);
        self.used.set(true);
        self.body_read.set(false);
        self.unfinished.set(false);
        if self.end.get() == End::Idle {
            self.end.set(End::No);
        }
        started
    }

    /// When the first bytes of the current request were read.
    pub fn started(&self) -> Instant {
        self.started.get()
    }

    /// The current request has its answer. `chunked` says that its body has no announced end.
    pub fn answered(&self, now: Instant, chunked: bool) {
        self.under_way.set(false);
        self.body_since.set(None);
        // What has come meanwhile was of its body, or will be taken for the next request from its last bytes on.
        self.first_read.set(None);
        self.idle_since.set(now);
        self.unfinished.set(chunked && !self.body_read.get());
    }

    /// The body of the current request was read to its end.
    pub fn body_was_read(&self) {
        self.body_read.set(true);
    }

    /// A body is waited for only to be thrown away.
    pub fn discards_body(&self, now: Instant) {
        self.body_since.set(Some(now));
    }

    /// The connection carries a live stream from now on: only what its client does not read is waited for in vain.
    pub fn goes_live(&self) {
        self.live.set(Live::Streams);
    }

    /// The live stream is over: the connection is closed at once.
    pub fn hang_up(&self) {
        self.live.set(Live::Over);
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.get() != Live::No
    }

    pub(super) fn is_over(&self) -> bool {
        self.live.get() == Live::Over
    }

    /// The class under which the current request holds a permit; it changes hands in this cell.
    pub fn permit(&self) -> &Cell<Option<Class>> {
        &self.permit
    }

    /// What logs and traces know of the current request; there from its head to its answer.
    pub fn exchanged(&self) -> &RefCell<Option<Exchanged>> {
        &self.exchanged
    }

    /// What has become of the connection by now.
    pub(super) fn due(&self, now: Instant, patience: &Patience) -> End {
        let longer = |since: Instant, most: Duration| now.saturating_duration_since(since) > most;
        match (self.live.get(), self.write_since.get()) {
            (Live::No, _) | (Live::Streams, Some(_)) => {}
            (Live::Streams, None) => return End::No,
            (Live::Over, None) => return End::Idle,
            // It had its time to read the last words.
            (Live::Over, Some(_)) => return End::Overdue(Slow::Write),
        }
        if let Some(since) = self.write_since.get() {
            let more = Duration::from_secs_f64(self.written.get() as f64 / BYTES_A_SECOND as f64);
            return End::Overdue(Slow::Write).when(longer(since, patience.write + more));
        }
        if self.under_way.get() {
            let since = self.body_since.get();
            return End::Overdue(Slow::Body).when(since.is_some_and(|since| longer(since, patience.body)));
        }
        if let Some(since) = self.first_read.get() {
            return End::Overdue(Slow::Head).when(longer(since, patience.head));
        }
        let idle_since = self.idle_since.get();
        match (self.unfinished.get(), self.used.get()) {
            (true, _) => End::Overdue(Slow::Body).when(longer(idle_since, patience.head)),
            (false, true) => End::Idle.when(longer(idle_since, patience.keep_alive)),
            (false, false) => End::Overdue(Slow::Head).when(longer(idle_since, patience.head)),
        }
    }

    pub(super) fn received(&self, now: Instant) {
        if self.first_read.get().is_none() && !self.is_live() {
            self.first_read.set(Some(now));
        }
        self.last_read.set(now);
    }

    pub(super) fn is_idle(&self) -> bool {
        match self.live.get() {
            Live::No => !self.under_way.get() && self.first_read.get().is_none(),
            Live::Streams => false,
            Live::Over => true,
        }
    }

    /// Remembers whom to wake: always the same task, so that this is a comparison nearly always.
    pub(super) fn keep(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl End {
    fn when(self, is_due: bool) -> Self {
        if is_due { self } else { Self::No }
    }
}
