//! Requests at a steady rate whatever the answers take, so that a pause of the server is felt by all that were due in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cauce_loadtest::drive::Drive;
use cauce_loadtest::outcome::Latency;
use cauce_loadtest::schedule::{Pace as Gaps, Phase, Schedule};
use cauce_loadtest::traffic::{Sent, Traffic, Verdict};

/// How fast, over how many connections, and how it has to be answered.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) per_second: f64,
    pub(super) connections: usize,
    pub(super) expected: u16,
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

impl Pace {
    /// Sends for so long what `make` makes of each number; how long answers took from when their requests were due.
    pub(super) fn run(self, authority: &str, span: Duration, make: impl Fn(u64) -> Vec<u8> + Sync) -> Latency {
        self.drive(authority, span, make, None)
    }

    /// Sends for as long as `work` takes; how long that was.
    pub(super) fn run_beside(
        self,
        authority: &str,
        make: impl Fn(u64) -> Vec<u8> + Sync + Send,
        work: impl FnOnce(),
    ) -> (Latency, Duration) {
        let (begin, done) = (Instant::now(), AtomicBool::new(false));
        thread::scope(|scope| {
            let driven = scope.spawn(|| self.drive(authority, HOUR, make, Some(&done)));
            work();
            done.store(true, Ordering::Relaxed);
            let took = begin.elapsed();
            (driven.join().expect("every request is answered"), took)
        })
    }

    fn drive(
        self,
        authority: &str,
        span: Duration,
        make: impl Fn(u64) -> Vec<u8> + Sync,
        stop: Option<&AtomicBool>,
    ) -> Latency {
        let traffic = Made { make, expected: self.expected };
        let schedule = Schedule { phases: vec![Phase::steady(self.per_second, span)], pace: Gaps::Constant, seed: 1 };
        let target = authority.parse().expect("the server has told its address");
        let drive = Drive { connections: self.connections, stop, ..Drive::to(target, &traffic, &schedule) };
        let outcome = drive.run().expect("the server takes connections");
        assert_eq!(
            outcome.good().from_due.count(),
            outcome.due,
            "every request is answered as it has to be: {outcome}"
        );
        outcome.good().from_due
    }
}

/// The percentile in milliseconds.
pub(super) fn ms(latency: &Latency, percent: f64) -> f64 {
    latency.percentile(percent).as_secs_f64() * 1e3
}

pub(super) fn told(latency: &Latency) -> String {
    format!("p50 {:.2} ms, p99 {:.2} ms of {}", ms(latency, 50.0), ms(latency, 99.0), latency.count())
}

pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
