//! A connection that never blocks: it is made, written to and read from as far as that goes at once.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use super::answer::Reader;
use super::poll::{Interest, Poll};
use super::record::Due;
use crate::traffic::Sent;

/// How long the first connections may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Connection {
    stream: TcpStream,
    pub(super) state: State,
    /// Whether it has carried an answer.
    pub(super) is_proven: bool,
    pub(super) reader: Reader,
    /// What the socket did not take of the request so far.
    unwritten: Vec<u8>,
    token: u64,
}

pub(super) enum State {
    /// To be opened again.
    Closed,
    Connecting(Instant),
    Free,
    Busy(Pending),
}

/// A request without its answer.
pub(super) struct Pending {
    pub(super) sent: Sent,
    pub(super) due: Due,
    pub(super) sent_at: Instant,
}

impl Connection {
    /// The first one at its place: waits until it is connected.
    pub(super) fn open(target: SocketAddr, poll: &Poll, place: usize) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&target, CONNECT_TIMEOUT)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let token = place as u64;
        poll.add(&stream, token, Interest::Read)?;
        let (reader, unwritten) = (Reader::default(), Vec::new());
        Ok(Self { stream, state: State::Free, is_proven: false, reader, unwritten, token })
    }

    /// Whether a token is of this connection, and not of one that was at its place before.
    pub(super) fn is_of(&self, token: u64) -> bool {
        self.token == token
    }

    /// The place that a token belongs to.
    pub(super) fn place(token: u64) -> usize {
        (token & u64::from(u32::MAX)) as usize
    }

    /// Begins to connect anew.
    pub(super) fn reopen(&mut self, target: SocketAddr, poll: &Poll, now: Instant) -> io::Result<()> {
        let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket: OwnedFd = socket_with(family, SocketType::STREAM, flags, None)?;
        match connect(&socket, &target) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.stream = TcpStream::from(socket);
        self.stream.set_nodelay(true)?;
        // Another turn of the same place.
        self.token = self.token.wrapping_add(1 << 32);
        poll.add(&self.stream, self.token, Interest::Write)?;
        self.is_proven = false;
        self.state = State::Connecting(now);
        Ok(())
    }

    /// Ends it, and what is on the way on it.
    pub(super) fn close(&mut self, poll: &Poll) {
        // The peer is told at once; the descriptor is closed when the place is opened again.
        poll.remove(&self.stream);
        let _ = self.stream.shutdown(Shutdown::Both);
        self.token = self.token.wrapping_add(1 << 32);
        self.reader.clear();
        self.unwritten.clear();
        self.state = State::Closed;
    }

    /// What became of connecting, once it is ready.
    pub(super) fn connected(&mut self, poll: &Poll) -> io::Result<()> {
        sockopt::socket_error(&self.stream)??;
        poll.change(&self.stream, self.token, Interest::Read)?;
        self.state = State::Free;
        Ok(())
    }

    /// Writes a request as far as that goes now; the rest when there is room.
    pub(super) fn write(&mut self, request: &[u8], poll: &Poll) -> io::Result<()> {
        let count = written(self.stream.write(request))?;
        if count < request.len() {
            self.unwritten.extend_from_slice(&request[count..]);
            poll.change(&self.stream, self.token, Interest::Write)?;
        }
        Ok(())
    }

    pub(super) fn write_on(&mut self, poll: &Poll) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let count = written(self.stream.write(&self.unwritten))?;
        self.unwritten.drain(..count);
        if self.unwritten.is_empty() { poll.change(&self.stream, self.token, Interest::Read) } else { Ok(()) }
    }

    /// Whether a request is on its way that the socket has not taken whole.
    pub(super) fn is_writing(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// What there is to read now: `None` for nothing, zero bytes for the end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(into) {
            Ok(count) => Ok(Some(count)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn written(count: io::Result<usize>) -> io::Result<usize> {
    match count {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        count => count,
    }
}
