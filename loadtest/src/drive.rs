//! Sends what is due when it is due, over a bounded pool of kept connections, and measures.
//!
//! A thread has one epoll, connections that do not block, and every so many-th of what is due. A connection has one request at a time;
//! what is due while none is free waits for one, and that wait is in its latency, which counts from when it was due. Nothing waits for
//! ever: what is not answered in time gives its connection back, which is opened anew.
//!
//! Sketch: a request costs the generator 6 to 10 µs of CPU: to write 3, to read 2, its part of the waiting 1 to 3, to make it 1, and to
//! understand the answer and note it 0.5. So a core offers some 100,000 a second.

/// HTTP/1.1 answers, piece by piece.
mod answer;
mod connection;
/// Waiting for answers, or until a time.
mod poll;
/// What is noted of requests.
mod record;
/// What is told by the second.
mod seconds;
mod worker;

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle, Thread};
use std::time::{Duration, Instant};

use crate::outcome::Outcome;
use crate::schedule::Schedule;
use crate::traffic::Traffic;
use record::Shared;
use seconds::Coarse;
use worker::Worker;

/// How often progress is told, and how many of these times make a second.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
const PROGRESS_A_SECOND: usize = 5;
/// Until the threads are there that send what is due first.
const PREPARATION: Duration = Duration::from_millis(5);

/// What is offered, to whom.
#[derive(Clone, Copy)]
pub struct Drive<'a> {
    pub target: SocketAddr,
    pub traffic: &'a dyn Traffic,
    pub schedule: &'a Schedule,
    pub connections: usize,
    /// Each has its share of the connections and of what is due.
    pub threads: usize,
    /// Requests that may wait for a free connection; one that is due beyond is not sent, and counted.
    pub waiting: usize,
    /// How long a request may wait for a connection, and then for its answer; and how long answers are waited for when the load is over.
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

    /// Offers the load until its time is over and everything is answered, or patience is at its end.
    pub fn run(&self) -> io::Result<Outcome> {
        if self.threads == 0 || self.connections < self.threads {
            let said = format!(
                "`connections` must be at least `threads`, and that at least 1: {} and {}",
                self.connections, self.threads
            );
            return Err(io::Error::new(ErrorKind::InvalidInput, said));
        }
        let shared = Shared::new(self.threads);
        let mut outcome = {
            let workers = (0..self.threads).map(|number| Worker::new(self, number, &shared));
            let workers = workers.collect::<io::Result<Vec<_>>>().map_err(|error| self.not_connected(&error))?;
            self.run_all(workers, &shared)?
        };
        outcome.seconds = shared.seconds.into_inner().end();
        Ok(outcome)
    }

    fn run_all(&self, workers: Vec<Worker<'_>>, shared: &Shared) -> io::Result<Outcome> {
        let begin = Instant::now() + PREPARATION;
        let teller = thread::current();
        let run = |worker: Worker<'_>| {
            let ending = Ending { has_failed: &shared.has_failed, teller: &teller, is_well: Cell::new(false) };
            let outcome = worker.run(begin);
            ending.is_well.set(outcome.is_ok());
            outcome
        };
        let run = &run;
        let outcomes = thread::scope(|scope| {
            let running: Vec<_> = workers.into_iter().map(|worker| scope.spawn(move || run(worker))).collect();
            self.tell_until_done(begin, shared, &running);
            running.into_iter().map(joined).collect::<io::Result<Vec<_>>>()
        })?;
        let mut all = Outcome::new(self.traffic.kinds(), Duration::ZERO);
        outcomes.iter().for_each(|outcome| all.add(outcome));
        Ok(all)
    }

    fn tell_until_done(&self, begin: Instant, shared: &Shared, running: &[ScopedJoinHandle<'_, io::Result<Outcome>>]) {
        let Some(tell) = self.progress else { return };
        let mut last_second = VecDeque::with_capacity(PROGRESS_A_SECOND);
        while !running.iter().all(ScopedJoinHandle::is_finished) {
            thread::park_timeout(PROGRESS_EVERY);
            if last_second.len() == PROGRESS_A_SECOND {
                last_second.pop_front();
            }
            let (counts, times) = shared.live.lock().take();
            last_second.push_back(times);
            let mut all = Coarse::default();
            last_second.iter().for_each(|times| all.add(times));
            let elapsed = begin.elapsed();
            tell(Progress {
                elapsed,
                total: self.schedule.duration(),
                phase: self.schedule.phase_at(elapsed),
                is_warm_up: self.schedule.is_warm_up_at(elapsed),
                latency_p99: all.percentile(99.0),
                ..counts
            });
        }
    }

    fn not_connected(&self, error: &io::Error) -> io::Error {
        let (target, connections) = (self.target, self.connections);
        io::Error::new(error.kind(), format!("`{target}` does not take {connections} connections: {error}"))
    }
}

/// The end of a thread, as it is told to the others: an error, or a panic, ends them, too.
struct Ending<'a> {
    has_failed: &'a AtomicBool,
    teller: &'a Thread,
    is_well: Cell<bool>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.is_well.get() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        self.teller.unpark();
    }
}

fn joined(thread: ScopedJoinHandle<'_, io::Result<Outcome>>) -> io::Result<Outcome> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the generator has failed")))
}

#[cfg(test)]
mod tests;
