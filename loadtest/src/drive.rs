//! Sends what is due when it is due, over a bounded pool of kept connections, and measures.
//!
//! One epoll a thread, connections that do not block. A connection has one request at a time; what is due while none is free waits for
//! one, and that wait is in its latency, which counts from when it was due.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use crate::outcome::{Latency, Outcome};
use crate::schedule::Schedule;
use crate::traffic::{Sent, Traffic};

/// What is offered, to whom.
pub struct Drive<'a> {
    pub target: SocketAddr,
    pub traffic: &'a dyn Traffic,
    pub schedule: &'a Schedule,
    pub connections: usize,
    /// Each has its share of the connections and of what is due.
    pub threads: usize,
    /// Requests that may wait for a free connection; one that is due beyond is not sent, and counted.
    pub waiting: usize,
    /// How long answers are waited for when all is sent, and how long a request may wait for a connection.
    pub patience: Duration,
    /// Told about five times a second, from a thread that sends nothing.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// Once set, no more is offered, and what was is told.
    pub stop: Option<&'a AtomicBool>,
}

/// How far a run is, warm-up included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress {
    pub elapsed: Duration,
    /// How long load is offered.
    pub total: Duration,
    /// The phase of the schedule, and whether it is left out of the figures.
    pub phase: usize,
    pub is_warm_up: bool,
    /// So far.
    pub due: u64,
    pub good: u64,
    pub refused: u64,
    /// Failed, unreadable, dropped, unsent, unanswered or skipped.
    pub failed: u64,
    /// Of good answers that came in the last second, from when their requests were due.
    pub latency_p99: Duration,
}

impl<'a> Drive<'a> {
    /// With settings that suit a target on this machine.
    pub fn to(target: SocketAddr, traffic: &'a dyn Traffic, schedule: &'a Schedule) -> Self {
        Self {
            target,
            traffic,
            schedule,
            connections: 64,
            threads: 1,
            waiting: 100_000,
            patience: Duration::from_secs(10),
            progress: None,
            stop: None,
        }
    }
}

impl Drive<'_> {
    /// Offers the load until its time is over and everything is answered, or patience is at its end.
    pub fn run(&self) -> io::Result<Outcome> {
        let mut run = Run::new(self)?;
        let begin = Instant::now();
        for arrival in self.schedule.arrivals() {
            let due = begin + arrival.due;
            let is_warm_up = self.schedule.phases[arrival.phase].is_warm_up;
            loop {
                let now = Instant::now();
                if now >= due {
                    break;
                }
                run.receive(due - now)?;
            }
            run.receive(Duration::ZERO)?;
            run.take(Due { number: arrival.number, due, is_warm_up });
        }
        let end = begin + self.schedule.duration() + self.patience;
        while run.is_busy() && Instant::now() < end {
            run.receive(Duration::from_millis(1))?;
        }
        Ok(run.end())
    }
}

struct Due {
    number: u64,
    due: Instant,
    is_warm_up: bool,
}

struct Run<'a> {
    drive: &'a Drive<'a>,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    lines: Vec<Line>,
    /// Connections without a request, the one that has rested longest first.
    free: VecDeque<usize>,
    /// Requests without a connection, in order.
    waiting: VecDeque<Due>,
    request: Vec<u8>,
    outcome: Outcome,
}

struct Line {
    stream: TcpStream,
    pending: Option<Pending>,
    buffer: Vec<u8>,
}

struct Pending {
    sent: Sent,
    due: Instant,
    sent_at: Instant,
    is_warm_up: bool,
}

struct Answer<'a> {
    status: u16,
    closes: bool,
    retry_after: bool,
    body: &'a [u8],
}

impl<'a> Run<'a> {
    fn new(drive: &'a Drive<'a>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let lines =
            (0..drive.connections).map(|place| Line::open(drive.target, &epoll, place)).collect::<Result<_, _>>()?;
        let measured = drive.schedule.phases.iter().filter(|phase| !phase.is_warm_up).map(|phase| phase.duration).sum();
        Ok(Self {
            drive,
            epoll,
            events: Vec::with_capacity(256),
            lines,
            free: (0..drive.connections).collect(),
            waiting: VecDeque::new(),
            request: Vec::new(),
            outcome: Outcome {
                kinds: drive.traffic.kinds(),
                due: 0,
                sent: 0,
                unsent: 0,
                dropped: 0,
                unanswered: 0,
                unreadable: 0,
                skipped: 0,
                good_meanwhile: 0,
                closed: 0,
                answered: Default::default(),
                lag: Latency::default(),
                duration: measured,
                seconds: Vec::new(),
                generator_cpu: Duration::ZERO,
            },
        })
    }

    fn is_busy(&self) -> bool {
        self.free.len() < self.lines.len() || !self.waiting.is_empty()
    }

    fn take(&mut self, due: Due) {
        if !due.is_warm_up {
            self.outcome.due += 1;
            self.outcome.lag.record(due.due.elapsed());
        }
        match self.free.pop_front() {
            Some(place) => self.send(place, due),
            None if self.waiting.len() < self.drive.waiting => self.waiting.push_back(due),
            None => self.outcome.unsent += u64::from(!due.is_warm_up),
        }
    }

    fn send(&mut self, place: usize, due: Due) {
        self.request.clear();
        let sent = self.drive.traffic.write(due.number, &mut self.request);
        let line = &mut self.lines[place];
        line.pending = Some(Pending { sent, due: due.due, sent_at: Instant::now(), is_warm_up: due.is_warm_up });
        self.outcome.sent += u64::from(!due.is_warm_up);
        if !matches!(line.stream.write(&self.request), Ok(count) if count == self.request.len()) {
            self.lost(place);
        }
    }

    /// Takes the answers that have come, or waits for some.
    fn receive(&mut self, wait: Duration) -> io::Result<()> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait.min(Duration::from_millis(5)).subsec_nanos().into() };
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<_> = self.events.iter().map(|event| event.data.u64() as usize).collect();
        ready.into_iter().for_each(|place| self.read(place));
        Ok(())
    }

    fn read(&mut self, place: usize) {
        let line = &mut self.lines[place];
        let mut piece = [0; 16 * 1024];
        match line.stream.read(&mut piece) {
            Ok(0) => return self.lost(place),
            Ok(count) => line.buffer.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => return self.lost(place),
        }
        let Some(answer) = whole(&line.buffer) else { return };
        let closes = answer.closes;
        // A word that nobody asked for: 408 to a connection without a request.
        let Some(Pending { sent, due, sent_at, is_warm_up }) = line.pending.take() else { return };
        if !is_warm_up {
            let verdict = self.drive.traffic.judge(sent, answer.status, answer.body);
            self.outcome.good_meanwhile += u64::from(verdict == crate::traffic::Verdict::Good);
            let answers = self.outcome.answered.entry((sent.kind, verdict, answer.status)).or_default();
            answers.items += u64::from(sent.items);
            answers.without_retry_after += u64::from(matches!(answer.status, 429 | 503) && !answer.retry_after);
            answers.from_due.record(due.elapsed());
            answers.from_sent.record(sent_at.elapsed());
        }
        line.buffer.clear();
        if closes {
            self.outcome.closed += 1;
            self.reopen(place);
        }
        self.release(place);
    }

    fn release(&mut self, place: usize) {
        match self.waiting.pop_front() {
            Some(due) => self.send(place, due),
            None => self.free.push_back(place),
        }
    }

    fn lost(&mut self, place: usize) {
        let pending = self.lines[place].pending.take();
        self.reopen(place);
        match pending {
            Some(pending) => {
                self.outcome.dropped += u64::from(!pending.is_warm_up);
                self.free.push_back(place);
            }
            None => self.outcome.closed += 1,
        }
    }

    fn reopen(&mut self, place: usize) {
        // The old one leaves the epoll as it is closed.
        match Line::open(self.drive.target, &self.epoll, place) {
            Ok(line) => self.lines[place] = line,
            Err(_) => drop(epoll::delete(&self.epoll, &self.lines[place].stream)),
        }
    }

    fn end(mut self) -> Outcome {
        self.outcome.unanswered =
            self.lines.iter().filter(|line| line.pending.as_ref().is_some_and(|pending| !pending.is_warm_up)).count()
                as u64;
        self.outcome.unsent += self.waiting.iter().filter(|due| !due.is_warm_up).count() as u64;
        self.outcome
    }
}

impl Line {
    fn open(target: SocketAddr, epoll: &OwnedFd, place: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(target)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        epoll::add(epoll, &stream, epoll::EventData::new_u64(place as u64), epoll::EventFlags::IN)?;
        Ok(Self { stream, pending: None, buffer: Vec::new() })
    }
}

/// The answer, once all of it is there.
fn whole(bytes: &[u8]) -> Option<Answer<'_>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (mut length, mut closes, mut retry_after) = (0, false, false);
    for line in bytes[..end].split(|byte| *byte == b'\n').skip(1) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        let value = std::str::from_utf8(&value[1..]).ok()?.trim();
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => length = value.parse().ok()?,
            10 if name.eq_ignore_ascii_case(b"connection") => closes = value.eq_ignore_ascii_case("close"),
            11 if name.eq_ignore_ascii_case(b"retry-after") => retry_after = true,
            _ => {}
        }
    }
    let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
    let body = bytes.get(end + 4..end + 4 + length)?;
    Some(Answer { status, closes, retry_after, body })
}
