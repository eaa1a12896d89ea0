//! What lies between a socket and actix: it sees every byte come and go, so it knows what actix does not tell.
//!
//! That is: when the first byte of a request was read (a budget starts there), how long a client takes with a head, with the rest of a
//! body or with reading its answer (actix times the first head only), and whether a request is under way (a stop closes a connection
//! that has none at once). [`Facts`] are shared with the handler through the connection's data. Nothing is armed on a request's way:
//! each worker looks over its connections a few times a second and ends what is overdue ([`Connections::look_over`]), so that idle and
//! slow ones cost a few comparisons. A deadline is counted from the first byte: trickling does not move it (S5). A connection that was
//! upgraded to a live stream has no heads and no bodies any more, and is idle by nature: of it only what is not read is timed.

mod facts;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use facts::End;
pub use facts::Facts;

const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// How long a client may take to hear that its live stream is over.
pub const FAREWELL: Duration = Duration::from_secs(1);

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
    /// Set when live streams were told to say goodbye.
    parting: Cell<bool>,
    /// Those of all workers.
    all: Arc<AtomicUsize>,
}

/// A socket with its facts.
pub struct Connection<T = TcpStream> {
    stream: T,
    facts: Rc<Facts>,
    connections: Rc<Connections>,
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
        let (open, paused) = (RefCell::default(), RefCell::default());
        let (closing, parting) = (Cell::new(false), Cell::new(false));
        Rc::new(Self { patience, open, paused, closing, parting, all })
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

    /// Has live streams see that the service stops.
    pub fn part(&self) {
        if !self.parting.replace(true) {
            self.open.borrow().iter().filter(|facts| facts.is_live()).for_each(|facts| facts.wake());
        }
    }

    /// Does not read this connection until then.
    pub fn pause(&self, facts: &Rc<Facts>, until: Instant) {
        let is_over = until <= Instant::now() || self.closing.get();
        if !is_over && !facts.paused.replace(true) {
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
        let parting = Patience { write: self.patience.write.min(FAREWELL), ..self.patience };
        for facts in self.open.borrow().iter().filter(|facts| facts.end.get() == End::No) {
            let is_parting = self.parting.get() && facts.is_live();
            let end = facts.due(now, if is_parting { &parting } else { &self.patience });
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

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Says why the connection ends, if the client may still hear it.
    fn break_off(&mut self, context: &mut Context<'_>, why: Slow) -> io::Error {
        if why != Slow::Write && !self.facts.unfinished.get() && !self.facts.is_live() {
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
                let is_due = self.connections.closing.get() || facts.end.get() == End::Idle || facts.is_over();
                if facts.is_idle() && is_due {
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
        if self.facts.write_since.take().is_some() && self.facts.is_live() {
            // What it was not asked for while nothing could be sent.
            context.waker().wake_by_ref();
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
