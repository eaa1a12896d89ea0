//! What lies between a socket and actix: it sees every byte come and go, so it knows what actix does not tell.
//!
//! That is: when the first byte of a request was read (a budget starts there), how long a client takes with a head, with the rest of a
//! body or with reading its answer (actix times the first head only), and whether a request is under way (a stop closes a connection
//! that has none at once). [`Facts`] are shared with the handler through the connection's data. Nothing is armed on a request's way:
//! each worker looks over its connections a few times a second and ends what is overdue ([`Connections::look_over`]), so that idle and
//! slow ones cost a few comparisons. A deadline is counted from the first byte: trickling does not move it (S5).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::admission::Class;

/// A client that reads its answer may take a second longer for every so many bytes.
const BYTES_A_SECOND: u64 = 64 * 1024;

const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What a client may take its time for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub head: Duration,
    pub body: Duration,
    pub write: Duration,
    pub keep_alive: Duration,
}

/// What a client took too long for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slow {
    Head,
    Body,
    Write,
}

/// The open connections of one worker.
pub struct Connections {
    patience: Patience,
    open: RefCell<Vec<Rc<Facts>>>,
    /// Connections that are not read until then, about in the order of their ends.
    paused: RefCell<VecDeque<(Instant, Rc<Facts>)>>,
    /// Set when what has no request under way is to be closed.
    closing: Cell<bool>,
    /// Those of all workers.
    all: Arc<AtomicUsize>,
}

/// A socket with its facts.
pub struct Connection<T = TcpStream> {
    stream: T,
    facts: Rc<Facts>,
    connections: Rc<Connections>,
}

/// What is known of a connection.
#[derive(Debug)]
pub struct Facts {
    place: Cell<usize>,
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
    /// Since when a body is waited for that nobody wants.
    body_since: Cell<Option<Instant>>,
    /// The current request's body was read to its end.
    body_read: Cell<bool>,
    /// The last request's body was not, and there is no telling where it ends.
    unfinished: Cell<bool>,
    /// Since when there is something that the client does not read, and how much it has read since.
    write_since: Cell<Option<Instant>>,
    written: Cell<u64>,
    paused: Cell<bool>,
    end: Cell<End>,
    waker: RefCell<Option<Waker>>,
}

/// What the next read gives once there is nothing to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// A wait.
    No,
    /// The end of the stream: answers still go out.
    Idle,
    /// An error: actix lets go of everything.
    Overdue(Slow),
}

impl Slow {
    pub const ALL: [Self; 3] = [Self::Head, Self::Body, Self::Write];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Body => "body",
            Self::Write => "write",
        }
    }
}

impl Connections {
    /// None is open. `all` counts those of all workers.
    pub fn new(patience: Patience, all: Arc<AtomicUsize>) -> Rc<Self> {
        let (open, paused, closing) = (RefCell::default(), RefCell::default(), Cell::new(false));
        Rc::new(Self { patience, open, paused, closing, all })
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// From now on a connection without a request is closed.
    pub fn close_idle(&self) {
        if !self.closing.replace(true) {
            self.resume(None);
            self.open.borrow().iter().for_each(|facts| facts.wake());
        }
    }

    /// Does not read this connection until then.
    pub fn pause(&self, facts: &Rc<Facts>, until: Instant) {
        if !self.closing.get() && !facts.paused.replace(true) {
            self.paused.borrow_mut().push_back((until, facts.clone()));
        }
    }

    /// Reads on where a pause is over, or all of them.
    pub fn resume(&self, now: Option<Instant>) {
        let mut paused = self.paused.borrow_mut();
        while paused.front().is_some_and(|(until, _)| now.is_none_or(|now| *until <= now)) {
            if let Some((_, facts)) = paused.pop_front() {
                facts.paused.set(false);
                facts.wake();
            }
        }
    }

    /// Whether some are paused.
    pub fn has_paused(&self) -> bool {
        !self.paused.borrow().is_empty()
    }

    /// Ends the connections that are overdue. `slow` is told of each whose client is to blame.
    pub fn look_over(&self, now: Instant, slow: impl Fn(Slow)) {
        for facts in self.open.borrow().iter().filter(|facts| facts.end.get() == End::No) {
            let end = facts.due(now, &self.patience);
            if end != End::No {
                facts.end.set(end);
                facts.wake();
            }
            if let End::Overdue(kind) = end {
                slow(kind);
            }
        }
    }
}

impl<T> Connection<T> {
    /// A connection that was just opened.
    pub fn new(stream: T, connections: &Rc<Connections>, now: Instant) -> Self {
        let facts = Rc::new(Facts::new(now));
        let mut open = connections.open.borrow_mut();
        facts.place.set(open.len());
        open.push(facts.clone());
        connections.all.fetch_add(1, Ordering::Relaxed);
        Self { stream, facts, connections: connections.clone() }
    }

    /// What is known of it, for its handlers.
    pub fn facts(&self) -> &Rc<Facts> {
        &self.facts
    }
}

impl<T> Drop for Connection<T> {
    fn drop(&mut self) {
        let mut open = self.connections.open.borrow_mut();
        let place = self.facts.place.get();
        open.swap_remove(place);
        if let Some(moved) = open.get(place) {
            moved.place.set(place);
        }
        *self.facts.waker.borrow_mut() = None;
        self.connections.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Facts {
    fn new(now: Instant) -> Self {
        Self {
            place: Cell::new(0),
            first_read: Cell::new(None),
            last_read: Cell::new(now),
            started: Cell::new(now),
            idle_since: Cell::new(now),
            under_way: Cell::new(false),
            used: Cell::new(false),
            permit: Cell::new(None),
            body_since: Cell::new(None),
            body_read: Cell::new(false),
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

    /// The class under which the current request holds a permit; it changes hands in this cell.
    pub fn permit(&self) -> &Cell<Option<Class>> {
        &self.permit
    }

    /// What has become of the connection by now.
    fn due(&self, now: Instant, patience: &Patience) -> End {
        let longer = |since: Instant, most: Duration| now.saturating_duration_since(since) > most;
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

    fn received(&self, now: Instant) {
        if self.first_read.get().is_none() {
            self.first_read.set(Some(now));
        }
        self.last_read.set(now);
    }

    fn is_idle(&self) -> bool {
        !self.under_way.get() && self.first_read.get().is_none()
    }

    /// Remembers whom to wake: always the same task, so that this is a comparison nearly always.
    fn keep(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if waker.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }

    fn wake(&self) {
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

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Says why the connection ends, if the client may still hear it.
    fn break_off(&mut self, context: &mut Context<'_>, why: Slow) -> io::Error {
        if why != Slow::Write && !self.facts.unfinished.get() {
            // Into an empty buffer it goes at once, or not at all.
            let _ = Pin::new(&mut self.stream).poll_write(context, TIMED_OUT);
        }
        io::Error::new(io::ErrorKind::TimedOut, why.as_str())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let End::Overdue(why) = self.facts.end.get() {
            return Poll::Ready(Err(self.break_off(context, why)));
        }
        if self.facts.paused.get() {
            self.facts.keep(context);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let facts = &self.facts;
        match read {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => facts.received(Instant::now()),
            Poll::Pending => {
                facts.keep(context);
                // Asked last: a request that came just now is still answered.
                if facts.is_idle() && (self.connections.closing.get() || facts.end.get() == End::Idle) {
                    return Poll::Ready(Ok(()));
                }
            }
            Poll::Ready(_) => {}
        }
        read
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let End::Overdue(why) = self.facts.end.get() {
            return Poll::Ready(Err(self.break_off(context, why)));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        let facts = &self.facts;
        match &written {
            Poll::Pending => {
                facts.keep(context);
                if facts.write_since.get().is_none() {
                    facts.write_since.set(Some(Instant::now()));
                    facts.written.set(0);
                }
            }
            Poll::Ready(Ok(count)) if facts.write_since.get().is_some() => {
                facts.written.set(facts.written.get() + *count as u64);
            }
            Poll::Ready(_) => {}
        }
        written
    }

    /// Actix asks for this once all that there is has been taken.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.facts.write_since.set(None);
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
