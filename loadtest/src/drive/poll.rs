//! Waits for answers, or until a time, whichever comes first.
//!
//! `epoll_wait` counts whole milliseconds, and what is due comes by microseconds: a timer of the kernel (`timerfd`) is one more thing that
//! the epoll waits for. It fires within some 60 µs and burns nothing meanwhile, which the service beside it may need. It is set once for
//! each time, however many answers come before.

use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::event::{Timespec, epoll::EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use rustix::time::{timerfd_create, timerfd_settime};

/// What is ready at once; the rest is at the next look.
const EVENTS: usize = 256;
const TIMER: u64 = u64::MAX;

pub(super) struct Poll {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// What the timer will fire at.
    set_to: Option<Instant>,
    /// The tokens of what is ready.
    ready: Vec<u64>,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Interest {
    Read,
    /// To be connected, or to write on, and to read.
    Write,
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        // By edges: that it has fired need not be read, and setting it anew makes it ready to fire again.
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { epoll, timer, set_to: None, ready: Vec::with_capacity(EVENTS) })
    }

    pub(super) fn add(&self, of: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, of, epoll::EventData::new_u64(token), interest.flags())?)
    }

    pub(super) fn change(&self, of: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, of, epoll::EventData::new_u64(token), interest.flags())?)
    }

    pub(super) fn remove(&self, of: impl AsFd) {
        // It is there, and what could not be removed would only be heard once more.
        let _ = epoll::delete(&self.epoll, of);
    }

    /// Waits until something is ready, at most until then.
    pub(super) fn wait(&mut self, now: Instant, until: Instant) -> io::Result<()> {
        let wait = until.saturating_duration_since(now);
        if !wait.is_zero() && self.set_to != Some(until) {
            self.set(wait)?;
            self.set_to = Some(until);
        }
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = [const { MaybeUninit::uninit() }; EVENTS];
        self.ready.clear();
        match epoll::wait(&self.epoll, &mut events, wait.is_zero().then_some(&at_once)) {
            Ok((events, _)) => self.ready.extend(events.iter().map(|event| event.data.u64())),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let before = self.ready.len();
        self.ready.retain(|token| *token != TIMER);
        if self.ready.len() < before {
            self.set_to = None;
        }
        Ok(())
    }

    /// The token of what is ready, from place 0 on.
    pub(super) fn ready(&self, place: usize) -> Option<u64> {
        self.ready.get(place).copied()
    }

    fn set(&self, wait: Duration) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let seconds = wait.as_secs().try_into().unwrap_or(i64::MAX);
        let after = Timespec { tv_sec: seconds, tv_nsec: wait.subsec_nanos().into() };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: zero, it_value: after })?;
        Ok(())
    }
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN,
            Self::Write => EventFlags::IN | EventFlags::OUT,
        }
    }
}
