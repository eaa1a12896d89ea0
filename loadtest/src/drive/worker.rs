//! One thread of a run: its share of the connections and of what is due.
//!
//! It goes through the whole schedule and takes every so many-th arrival: that costs a draw for each of the others and makes the schedule
//! the same for any number of threads. Between two arrivals it reads what has come; where it is late it still reads after every few.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::Drive;
use super::connection::{Connection, Pending, State};
use super::poll::Poll;
use super::record::{Due, Loss, Record, Shared};
use crate::outcome::Outcome;

/// How often patience is looked after, and what was noted is handed over.
const ROUND: Duration = Duration::from_millis(50);
/// How often a target that takes no connection is asked again …
const REOPEN_AFTER: Duration = Duration::from_millis(100);
/// … and over how many connections at once.
const REOPEN_AT_ONCE: usize = 32;
/// So many requests are sent in a row before answers are read.
const SEND_AT_ONCE: usize = 16;
const READ_BUFFER: usize = 64 << 10;

pub(super) struct Worker<'a> {
    drive: &'a Drive<'a>,
    /// Another thread has: there is nothing to be told any more.
    has_failed: &'a AtomicBool,
    /// Which of the threads it is.
    number: usize,
    poll: Poll,
    connections: Vec<Connection>,
    /// Connections without a request, the one that has rested longest first.
    free: VecDeque<usize>,
    /// Places whose connection is closed.
    closed: VecDeque<usize>,
    reopen_at: Instant,
    /// Requests without a connection, in order.
    waiting: VecDeque<Due>,
    waiting_most: usize,
    /// Sent since answers were read last.
    in_a_row: usize,
    request: Vec<u8>,
    buffer: Vec<u8>,
    next_round: Instant,
    /// What had been spent on a core when the first request was due that is in the figures.
    cpu: Option<Duration>,
    record: Record<'a>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(drive: &'a Drive<'a>, number: usize, shared: &'a Shared) -> io::Result<Self> {
        // What does not divide falls to the first threads.
        let share = |all: usize| all / drive.threads + usize::from(number < all % drive.threads);
        let poll = Poll::new()?;
        let open = |place| Connection::open(drive.target, &poll, place);
        let connections = (0..share(drive.connections)).map(open).collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            drive,
            has_failed: &shared.has_failed,
            number,
            free: (0..connections.len()).collect(),
            closed: VecDeque::new(),
            reopen_at: Instant::now(),
            poll,
            connections,
            waiting: VecDeque::new(),
            waiting_most: share(drive.waiting),
            in_a_row: 0,
            request: Vec::new(),
            buffer: vec![0; READ_BUFFER],
            next_round: Instant::now(),
            cpu: None,
            record: Record::new(drive, shared),
        })
    }

    /// Offers its share, and waits until everything is answered or patience is at its end.
    pub(super) fn run(mut self, begin: Instant) -> io::Result<Outcome> {
        self.record.begin(begin);
        let offered_until = self.offer(begin)?;
        let cpu = self.cpu.map_or(Duration::ZERO, |before| thread_cpu().saturating_sub(before));
        let end = offered_until + self.drive.patience;
        loop {
            let now = Instant::now();
            if now >= end || !self.is_busy() || self.has_failed.load(Ordering::Relaxed) {
                break;
            }
            self.receive(now, end)?;
        }
        for connection in &self.connections {
            if let State::Busy(pending) = &connection.state {
                self.record.lost(Loss::Unanswered, &pending.due);
            }
        }
        self.waiting.iter().for_each(|due| self.record.lost(Loss::Unsent, due));
        self.record.outcome.generator_cpu = cpu;
        Ok(self.record.end())
    }

    /// Takes its arrivals when they are due; when no more was offered.
    fn offer(&mut self, begin: Instant) -> io::Result<Instant> {
        let (threads, number) = (self.drive.threads as u64, self.number as u64);
        for arrival in self.drive.schedule.arrivals().filter(|arrival| arrival.number % threads == number) {
            self.record.next_due = arrival.due;
            if !self.read_until(begin + arrival.due)? {
                return Ok(Instant::now());
            }
            let now = Instant::now();
            let due = self.record.due(arrival, now);
            if !due.is_warm_up && self.cpu.is_none() {
                self.cpu = Some(thread_cpu());
            }
            self.take(due, now);
            self.in_a_row += 1;
        }
        self.record.next_due = Duration::MAX;
        // Load is offered until the end of the schedule, though nothing is due in its last moments.
        self.read_until(begin + self.drive.schedule.duration())?;
        Ok(Instant::now())
    }

    /// Reads until then, however late it is once after every few requests; false if the run is stopped.
    fn read_until(&mut self, until: Instant) -> io::Result<bool> {
        loop {
            let now = Instant::now();
            if now >= until && self.in_a_row < SEND_AT_ONCE {
                return Ok(true);
            }
            if self.is_stopped() {
                self.record.stop(now);
                return Ok(false);
            }
            self.in_a_row = 0;
            self.receive(now, until)?;
        }
    }

    fn is_stopped(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed) || self.drive.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.connections.iter().any(|one| matches!(one.state, State::Busy(_)))
    }

    fn take(&mut self, due: Due, now: Instant) {
        // A late generator must not go on for ever: what nobody would have waited for is not sent any more.
        if now.saturating_duration_since(due.at) > self.drive.patience {
            return self.record.lost(Loss::Skipped, &due);
        }
        match self.free.pop_front() {
            Some(place) => self.send(place, due, now),
            None if self.waiting.len() < self.waiting_most => self.waiting.push_back(due),
            None => self.record.lost(Loss::Unsent, &due),
        }
    }

    fn send(&mut self, place: usize, due: Due, now: Instant) {
        self.request.clear();
        let sent = self.drive.traffic.write(due.number, &mut self.request);
        self.record.sent(&due);
        let connection = &mut self.connections[place];
        connection.state = State::Busy(Pending { sent, due, sent_at: Instant::now() });
        if connection.write(&self.request, &self.poll).is_err() {
            self.lost(place, now);
        }
    }

    /// Takes what has come, or waits for it, at most until then.
    fn receive(&mut self, now: Instant, until: Instant) -> io::Result<()> {
        if now >= self.next_round {
            self.round(now);
        }
        self.poll.wait(now, until.min(self.next_round))?;
        for event in 0.. {
            let Some(token) = self.poll.ready(event) else { break };
            let place = Connection::place(token);
            if self.connections[place].is_of(token) {
                self.look_at(place);
            }
        }
        Ok(())
    }

    fn look_at(&mut self, place: usize) {
        let (now, connection) = (Instant::now(), &mut self.connections[place]);
        if let State::Connecting(_) = connection.state {
            return match connection.connected(&self.poll) {
                Ok(()) => self.release(place, now),
                Err(_) => self.close(place, now),
            };
        }
        if connection.write_on(&self.poll).is_err() {
            return self.lost(place, now);
        }
        match connection.read(&mut self.buffer) {
            Ok(None) => {}
            Ok(Some(count)) => self.take_piece(place, count, now),
            Err(_) => self.lost(place, now),
        }
    }

    /// What was read on a connection; nothing is its end.
    fn take_piece(&mut self, place: usize, count: usize, now: Instant) {
        let connection = &mut self.connections[place];
        let State::Busy(pending) = &connection.state else {
            // Closed while it rested, or a word that nobody asked for, such as 408, which it closes behind.
            return self.lost(place, now);
        };
        let is_writing = connection.is_writing();
        let answer = match count {
            0 => Ok(connection.reader.close()),
            _ => connection.reader.take(&self.buffer[..count]),
        };
        match answer {
            Ok(Some(answer)) => {
                let verdict = self.drive.traffic.judge(pending.sent, answer.status, answer.body);
                self.record.answered(pending, &answer, verdict, now);
                // An answer to half a request: what is left of it would be taken for the next one.
                let closes = answer.closes || is_writing;
                connection.reader.clear();
                connection.is_proven = true;
                connection.state = State::Free;
                if closes {
                    self.record.closed();
                    self.close(place, now);
                } else {
                    self.release(place, now);
                }
            }
            Ok(None) if count > 0 => {}
            Ok(None) => self.lost(place, now),
            Err(_) => self.give_up(place, Loss::Unreadable, now),
        }
    }

    /// A connection that can be written to: for the request that has waited longest, if any.
    fn release(&mut self, place: usize, now: Instant) {
        while let Some(due) = self.waiting.pop_front() {
            if now.saturating_duration_since(due.at) <= self.drive.patience {
                return self.send(place, due, now);
            }
            self.record.lost(Loss::Unsent, &due);
        }
        self.connections[place].state = State::Free;
        self.free.push_back(place);
    }

    /// A connection that the service has closed.
    fn lost(&mut self, place: usize, now: Instant) {
        if matches!(self.connections[place].state, State::Busy(_)) {
            return self.give_up(place, Loss::Dropped, now);
        }
        self.record.closed();
        self.free.retain(|free| *free != place);
        // One that was never of use would be closed again and again, as fast as it can be opened.
        if !self.connections[place].is_proven {
            self.reopen_at = now + REOPEN_AFTER;
        }
        self.close(place, now);
    }

    /// A request that is not answered, and its connection.
    fn give_up(&mut self, place: usize, loss: Loss, now: Instant) {
        if let State::Busy(pending) = &self.connections[place].state {
            self.record.lost(loss, &pending.due);
        }
        self.close(place, now);
    }

    fn close(&mut self, place: usize, now: Instant) {
        let connection = &mut self.connections[place];
        if let State::Connecting(_) = connection.state {
            self.reopen_at = now + REOPEN_AFTER;
        }
        connection.close(&self.poll);
        self.closed.push_back(place);
        self.reopen(now);
    }

    /// Opens what is closed, unless the target has just refused.
    fn reopen(&mut self, now: Instant) {
        let mut left = REOPEN_AT_ONCE;
        while now >= self.reopen_at && left > 0 {
            let Some(place) = self.closed.pop_front() else { return };
            left -= 1;
            if self.connections[place].reopen(self.drive.target, &self.poll, now).is_err() {
                self.closed.push_back(place);
                self.reopen_at = now + REOPEN_AFTER;
            }
        }
    }

    /// Ends what takes longer than patience, opens what is closed, and hands over what was noted.
    fn round(&mut self, now: Instant) {
        self.next_round = now + ROUND;
        let is_over = |since: Instant| now.saturating_duration_since(since) > self.drive.patience;
        while let Some(due) = self.waiting.front().filter(|due| is_over(due.at)).copied() {
            self.waiting.pop_front();
            self.record.lost(Loss::Unsent, &due);
        }
        for place in 0..self.connections.len() {
            match &self.connections[place].state {
                State::Busy(pending) if is_over(pending.sent_at) => self.give_up(place, Loss::Unanswered, now),
                State::Connecting(since) if is_over(*since) => self.close(place, now),
                _ => {}
            }
        }
        self.reopen(now);
        self.record.hand_over(now);
    }
}

/// What this thread has spent on a core.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}
