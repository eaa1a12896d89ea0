//! Requests at a steady rate whatever the answers take, so that a pause of the server is felt by all that were due in it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cauce_loadtest::drive::Drive;
use cauce_loadtest::outcome::{Latency, NotDriven};
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::traffic::{Sent, Traffic, Verdict};

/// So many measures have to lie beyond a quantile that is told.
const BEYOND: f64 = 4.9;

/// How fast, over how many connections, and how it has to be answered.
#[derive(Clone, Copy)]
pub(super) struct Steady {
    pub(super) per_second: f64,
    pub(super) connections: usize,
    pub(super) expected: u16,
}

/// How long something took from when it was due, and how late who asked was itself.
#[derive(Default)]
pub(super) struct Times {
    pub(super) taken: Latency,
    pub(super) lag: Latency,
}

/// Longer than any work that is waited for.
const HOUR: Duration = Duration::from_secs(3600);

/// What a function makes of each number.
struct Made<F> {
    make: F,
    expected: u16,
}

impl<F: Fn(u64) -> Vec<u8> + Sync> Traffic for Made<F> {
    fn kinds(&self) -> Vec<String> {
        vec!["made".to_owned()]
    }

    fn write(&self, number: u64, out: &mut Vec<u8>) -> Sent {
        out.extend((self.make)(number));
        Sent { number, kind: 0, items: 1, is_invalid: false }
    }

    fn judge(&self, _: Sent, status: u16, _: &[u8]) -> Verdict {
        if status == self.expected { Verdict::Good } else { Verdict::Failed }
    }
}

impl Steady {
    /// Sends for so long what `make` makes of each number; how long answers took from when their requests were due.
    pub(super) fn run(self, authority: &str, span: Duration, make: impl Fn(u64) -> Vec<u8> + Sync) -> Times {
        self.drive(authority, span, make, None)
    }

    /// Sends for as long as `work` takes; how long that was.
    pub(super) fn run_beside(
        self,
        authority: &str,
        make: impl Fn(u64) -> Vec<u8> + Sync + Send,
        work: impl FnOnce(),
    ) -> (Times, Duration) {
        let (begin, done) = (Instant::now(), AtomicBool::new(false));
        thread::scope(|scope| {
            let driven = scope.spawn(|| self.drive(authority, HOUR, make, Some(&done)));
            work();
            done.store(true, Ordering::Relaxed);
            let took = begin.elapsed();
            (driven.join().expect("the load does not panic"), took)
        })
    }

    fn drive(
        self,
        authority: &str,
        span: Duration,
        make: impl Fn(u64) -> Vec<u8> + Sync,
        stop: Option<&AtomicBool>,
    ) -> Times {
        let traffic = Made { make, expected: self.expected };
        let schedule = Schedule { phases: vec![Phase::steady(self.per_second, span)], pace: Pace::Constant, seed: 1 };
        let target = authority.parse().expect("the server has told its address");
        let drive = Drive { connections: self.connections, stop, ..Drive::to(target, &traffic, &schedule) };
        let outcome = drive.run().expect("the server takes connections");
        // On a machine that was elsewhere for a moment, the service refuses a few.
        let (taken, due) = (outcome.good().from_due, outcome.due);
        assert!(taken.count() >= due - due / 50, "nearly every request is answered as it has to be: {outcome}");
        Times { taken, lag: outcome.lag }
    }
}

impl Times {
    pub(super) fn add(&mut self, other: &Self) {
        self.taken.add(&other.taken);
        self.lag.add(&other.lag);
    }

    /// The percentile in milliseconds, where enough were measured to tell it (a few that lie beyond it) and who measured was not late.
    pub(super) fn sure_ms(&self, percent: f64) -> Option<f64> {
        let beyond = self.taken.count() as f64 * (1.0 - percent / 100.0);
        let (lag, taken) = (self.lag.percentile(percent), self.taken.percentile(percent));
        let is_driven = NotDriven::unless_late(percent, lag, taken).is_ok();
        (beyond >= BEYOND && is_driven).then(|| self.ms(percent))
    }

    /// The percentile in milliseconds, whatever it is worth.
    pub(super) fn ms(&self, percent: f64) -> f64 {
        self.taken.percentile(percent).as_secs_f64() * 1e3
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99, lag) = (self.ms(50.0), self.ms(99.0), self.lag.percentile(99.0).as_secs_f64() * 1e3);
        write!(f, "p50 {p50:.2} ms, p99 {p99:.2} ms of {}, late by {lag:.2} ms at p99", self.taken.count())
    }
}
