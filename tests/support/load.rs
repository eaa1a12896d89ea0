//! An open-loop load: requests are due at their times, whether or not the service keeps up, as those of many independent clients are.
//!
//! One thread, one epoll, connections that do not block: a core offers more than 50,000 requests a second, since a request is written
//! from prepared bytes and of an answer only head and length are looked at. A connection has one request at a time; one that is due while
//! none is free is not sent, and counted. Latency counts from when a request was due, and beside it from when it was sent.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;

use super::history::Random;

/// What is offered.
pub(crate) struct Load<'a> {
    pub(crate) authority: &'a str,
    pub(crate) connections: usize,
    /// Requests a second over all kinds.
    pub(crate) rate: f64,
    /// Whether requests come independently of each other (Poisson) or evenly.
    pub(crate) poisson: bool,
    pub(crate) duration: Duration,
    /// How long answers are waited for when all is sent.
    pub(crate) patience: Duration,
    pub(crate) kinds: Vec<Kind>,
}

/// Requests of one kind.
pub(crate) struct Kind {
    /// Of so many requests that are due, this many are of this kind.
    pub(crate) weight: u64,
    /// Sent by turns.
    pub(crate) requests: Vec<Vec<u8>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    /// Due while no connection was free.
    pub(crate) unsent: u64,
    /// Sent on a connection that was closed before an answer.
    pub(crate) dropped: u64,
    /// Without an answer at the end.
    pub(crate) unanswered: u64,
    /// Connections that the service closed after an answer or between two, as it may.
    pub(crate) closed: u64,
    /// Answers by kind and status.
    pub(crate) answered: BTreeMap<(usize, u16), Latencies>,
    /// Refusals that do not say when to ask again.
    pub(crate) without_retry_after: u64,
    pub(crate) elapsed: Duration,
}

/// How long answers took, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    due: Vec<u32>,
    sent: Vec<u32>,
}

impl Load<'_> {
    /// Offers the load until its duration is over and everything is answered.
    pub(crate) fn run(&self) -> Report {
        let mut run = Run::new(self);
        let begin = Instant::now();
        let (mut due, mut order) = (begin, Random(4711));
        while due < begin + self.duration {
            let now = Instant::now();
            while due <= now && due < begin + self.duration {
                run.send(self.kind(&mut order), due);
                due += self.gap(&mut order);
            }
            run.receive(due.saturating_duration_since(Instant::now()));
        }
        let end = begin + self.duration + self.patience;
        while run.is_waiting() && Instant::now() < end {
            run.receive(Duration::from_millis(1));
        }
        run.report.elapsed = begin.elapsed();
        run.report.unanswered = run.lines.iter().filter(|line| line.pending.is_some()).count() as u64;
        run.report
    }

    fn gap(&self, random: &mut Random) -> Duration {
        let even = 1.0 / self.rate;
        // A number above 0 and at most 1.
        let uniform = (random.below(1 << 30) + 1) as f64 / (1_u64 << 30) as f64;
        Duration::from_secs_f64(if self.poisson { -even * uniform.ln() } else { even })
    }

    fn kind(&self, random: &mut Random) -> usize {
        let mut left = random.below(self.kinds.iter().map(|kind| kind.weight).sum());
        let is_it = |kind: &Kind| {
            let is_it = left < kind.weight;
            left = left.saturating_sub(kind.weight);
            is_it
        };
        self.kinds.iter().position(is_it).expect("weights add up")
    }
}

impl Report {
    /// Answers of this kind whose status this holds for, their latencies sorted.
    pub(crate) fn of(&self, kind: usize, status: impl Fn(u16) -> bool) -> Latencies {
        let mut all = Latencies::default();
        for (_, latencies) in self.answered.iter().filter(|((of, is), _)| *of == kind && status(*is)) {
            all.due.extend(&latencies.due);
            all.sent.extend(&latencies.sent);
        }
        all.due.sort_unstable();
        all.sent.sort_unstable();
        all
    }

    /// Statuses that came, whatever the kind.
    pub(crate) fn statuses(&self) -> BTreeMap<u16, usize> {
        let mut counts = BTreeMap::new();
        self.answered.iter().for_each(|((_, status), latencies)| {
            *counts.entry(*status).or_default() += latencies.due.len();
        });
        counts
    }

    /// One line for each kind and status.
    pub(crate) fn summary(&self) -> String {
        let Self { sent, unsent, dropped, unanswered, closed, elapsed, .. } = self;
        let head = format!(
            "sent {sent} in {elapsed:.2?}, no free connection {unsent}, dropped {dropped}, unanswered {unanswered}, closed {closed}\n"
        );
        let line = |(kind, status): &(usize, u16)| {
            let all = self.of(*kind, |is| is == *status);
            let millis = |latency: Duration| latency.as_secs_f64() * 1e3;
            format!(
                "kind {kind} status {status}: {} answers, p50 {:.2} p99 {:.2} p99.9 {:.2} ms from due, p50 {:.2} p99 {:.2} ms from sent\n",
                all.count(),
                millis(all.after_due(0.5)),
                millis(all.after_due(0.99)),
                millis(all.after_due(0.999)),
                millis(all.after_sent(0.5)),
                millis(all.after_sent(0.99)),
            )
        };
        self.answered.keys().map(line).fold(head, |all, line| all + &line)
    }
}

impl Latencies {
    pub(crate) fn count(&self) -> usize {
        self.due.len()
    }

    /// Counted from when requests were due.
    pub(crate) fn after_due(&self, part: f64) -> Duration {
        percentile(&self.due, part)
    }

    /// Counted from when they were sent.
    pub(crate) fn after_sent(&self, part: f64) -> Duration {
        percentile(&self.sent, part)
    }
}

fn percentile(sorted: &[u32], part: f64) -> Duration {
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    Duration::from_micros(sorted.get(at).copied().unwrap_or(0).into())
}

/// A load that is being offered.
struct Run<'a> {
    load: &'a Load<'a>,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    lines: Vec<Line>,
    /// Connections without a request, the one that has rested longest first.
    free: VecDeque<usize>,
    turns: Vec<usize>,
    report: Report,
}

/// A connection.
struct Line {
    stream: TcpStream,
    pending: Option<Pending>,
    buffer: Vec<u8>,
}

struct Pending {
    kind: usize,
    due: Instant,
    sent: Instant,
}

/// A whole answer.
struct Answer {
    status: u16,
    closes: bool,
    retry_after: bool,
}

impl<'a> Run<'a> {
    fn new(load: &'a Load<'a>) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let lines = (0..load.connections).map(|place| Line::open(load.authority, &epoll, place)).collect();
        Self {
            load,
            epoll,
            events: Vec::with_capacity(256),
            lines,
            free: (0..load.connections).collect(),
            turns: vec![0; load.kinds.len()],
            report: Report::default(),
        }
    }

    fn is_waiting(&self) -> bool {
        self.free.len() < self.lines.len()
    }

    fn send(&mut self, kind: usize, due: Instant) {
        let Some(place) = self.free.pop_front() else {
            self.report.unsent += 1;
            return;
        };
        let requests = &self.load.kinds[kind].requests;
        let request = &requests[self.turns[kind] % requests.len()];
        self.turns[kind] += 1;
        let line = &mut self.lines[place];
        let sent = Instant::now();
        line.pending = Some(Pending { kind, due, sent });
        self.report.sent += 1;
        match line.stream.write(request) {
            Ok(count) => assert_eq!(count, request.len(), "a request fits into the buffer of a socket that is empty"),
            Err(_) => self.lost(place),
        }
    }

    /// Takes the answers that have come, or waits for some.
    fn receive(&mut self, wait: Duration) {
        // The kernel waits for milliseconds: of a shorter time nothing is slept there.
        let millis = wait.min(Duration::from_millis(5)).subsec_millis();
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(millis) * 1_000_000 };
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
        // The cores are the service's too: what is due is sent by the tenth of a millisecond, not by a loop that spins.
        if self.events.is_empty() && millis == 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
        let ready: Vec<_> = self.events.iter().map(|event| event.data.u64() as usize).collect();
        ready.into_iter().for_each(|place| self.read(place));
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
        line.buffer.clear();
        // A word that nobody asked for: 408 to a connection without a request.
        let Some(Pending { kind, due, sent }) = line.pending.take() else { return };
        let micros = |since: Instant| u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
        let latencies = self.report.answered.entry((kind, answer.status)).or_default();
        latencies.due.push(micros(due));
        latencies.sent.push(micros(sent));
        self.report.without_retry_after += u64::from(matches!(answer.status, 429 | 503) && !answer.retry_after);
        if answer.closes {
            self.report.closed += 1;
            self.reopen(place);
        }
        self.free.push_back(place);
    }

    fn lost(&mut self, place: usize) {
        match self.lines[place].pending.take() {
            Some(_) => {
                self.report.dropped += 1;
                self.free.push_back(place);
            }
            None => self.report.closed += 1,
        }
        self.reopen(place);
    }

    fn reopen(&mut self, place: usize) {
        // The old one leaves the epoll as it is closed.
        if let Ok(stream) = TcpStream::connect(self.load.authority) {
            self.lines[place] = Line::add(stream, &self.epoll, place);
        } else {
            let _ = epoll::delete(&self.epoll, &self.lines[place].stream);
        }
    }
}

impl Line {
    fn open(authority: &str, epoll: &OwnedFd, place: usize) -> Self {
        Self::add(TcpStream::connect(authority).unwrap(), epoll, place)
    }

    fn add(stream: TcpStream, epoll: &OwnedFd, place: usize) -> Self {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        epoll::add(epoll, &stream, epoll::EventData::new_u64(place as u64), epoll::EventFlags::IN).unwrap();
        Self { stream, pending: None, buffer: Vec::new() }
    }
}

/// The answer, once all of it is there.
fn whole(bytes: &[u8]) -> Option<Answer> {
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
    (bytes.len() >= end + 4 + length).then_some(Answer { status, closes, retry_after })
}

#[test]
fn answer_is_looked_at_once_all_of_it_is_there() {
    let bytes =
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let answer = whole(bytes).unwrap();
    assert_eq!((answer.status, answer.closes, answer.retry_after), (503, true, true));
    assert!((0..bytes.len()).all(|length| whole(&bytes[..length]).is_none()));
}
