//! Requests at a steady rate whatever the answers take, so that a pause of the server is felt by all that were due in it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::client::Client;

/// So many measures have to lie beyond a quantile that is told.
const BEYOND: f64 = 4.9;

/// How fast, over how many connections, and how it has to be answered.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) per_second: u64,
    pub(super) connections: u64,
    pub(super) expected: u16,
}

/// How long each of many took.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<Duration>);

impl Pace {
    /// Sends for so long what `make` makes of each number.
    pub(super) fn run(self, authority: &str, span: Duration, make: impl Fn(u64) -> Vec<u8> + Sync) -> Latencies {
        self.run_beside(authority, make, || thread::sleep(span)).0
    }

    /// Sends for as long as `work` takes; how long that was.
    pub(super) fn run_beside(
        self,
        authority: &str,
        make: impl Fn(u64) -> Vec<u8> + Sync,
        work: impl FnOnce(),
    ) -> (Latencies, Duration) {
        let (begin, done) = (Instant::now(), AtomicBool::new(false));
        thread::scope(|scope| {
            let senders: Vec<_> = (0..self.connections)
                .map(|first| {
                    scope.spawn({
                        let (make, done) = (&make, &done);
                        move || self.send(authority, first, begin, make, done)
                    })
                })
                .collect();
            work();
            done.store(true, Ordering::Relaxed);
            let took = begin.elapsed();
            let taken = senders.into_iter().flat_map(|sender| sender.join().expect("every request is answered"));
            (Latencies::of(taken.collect()), took)
        })
    }

    /// Every request of one connection, when it is due or as soon after as the last one is answered.
    fn send(
        self,
        authority: &str,
        first: u64,
        begin: Instant,
        make: &impl Fn(u64) -> Vec<u8>,
        done: &AtomicBool,
    ) -> Vec<Duration> {
        let mut client = Client::connect(authority).expect("the server listens");
        let mut taken = Vec::new();
        for number in (first..).step_by(self.connections as usize) {
            let request = make(number);
            let due = begin + Duration::from_micros(number * 1_000_000 / self.per_second);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if done.load(Ordering::Relaxed) {
                break;
            }
            let reply = client.ask(&request).expect("the server answers");
            assert_eq!(reply.status, self.expected, "{}", String::from_utf8_lossy(reply.body));
            taken.push(due.elapsed());
        }
        taken
    }
}

impl Latencies {
    pub(super) fn of(mut taken: Vec<Duration>) -> Self {
        taken.sort_unstable();
        Self(taken)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.sort_unstable();
    }

    /// The quantile in milliseconds, where enough were measured to tell it: a few that lie beyond it.
    pub(super) fn sure_ms(&self, quantile: f64) -> Option<f64> {
        let beyond = self.0.len() as f64 * (1.0 - quantile);
        (beyond >= BEYOND).then(|| self.ms(quantile))
    }

    /// The quantile in milliseconds.
    pub(super) fn ms(&self, quantile: f64) -> f64 {
        let at = (self.0.len() as f64 * quantile) as usize;
        self.0.get(at).expect("something was measured").as_secs_f64() * 1e3
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, p50, p99) = (self.0.len(), self.ms(0.5), self.ms(0.99));
        write!(f, "p50 {p50:.2} ms, p99 {p99:.2} ms of {count}")
    }
}

/// Nothing of nothing.
pub(super) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
