//! What one system does under load: the highest rate that it keeps up with, and latency, CPU time and memory at half of it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cauce_loadtest::drive::Drive;
use cauce_loadtest::outcome::Outcome;
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::search::{Goal, Growth, Search, Steps};

use crate::common::millis;
use crate::rows::{Asked, Requests};
use crate::system::{cpu_time, resident_mib};

const CONNECTIONS: usize = 64;
/// A rate is kept up with if everything is answered, and 99 % of it in that time.
const PEAK_LATENCY: Duration = Duration::from_millis(50);
const GOAL: Goal = Goal { p99: Some(PEAK_LATENCY), error_rate: 0.0 };
/// A rate has failed when it failed so often: a shared machine stands still for a moment now and then.
const TRIES: usize = 2;
/// How often the gap between a rate that is kept up with and its double is halved: to 3 to 6 % of the peak.
const HALVINGS: usize = 4;
const RATE_MAX: f64 = 200_000.0;

/// A system that runs, and how it is asked.
pub(crate) struct Subject<'a> {
    pub(crate) process: u32,
    pub(crate) address: SocketAddr,
    /// Where the search for its peak begins.
    pub(crate) first_rate: f64,
    pub(crate) requests: &'a dyn Requests,
}

/// The highest rate that a system keeps up with, if it does with any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peak {
    pub(crate) per_s: Option<f64>,
    /// Whether it was the generator that did not keep up above it.
    pub(crate) is_of_generator: bool,
}

/// What was measured at one rate. What could not be driven, or has too few answers to be told, is none.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) rate_per_s: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p999_ms: Option<f64>,
    pub(crate) cpu_us: f64,
    pub(crate) memory_mib: f64,
    pub(crate) errors: u64,
    /// The part of answers that were not made anew.
    pub(crate) kept: f64,
}

pub(crate) struct Bench {
    pub(crate) duration: Duration,
    /// The place of the next request: those of one run are not those of another.
    pub(crate) place: Cell<u64>,
}

struct Offered {
    outcome: Outcome,
    cpu: Duration,
    kept: u64,
}

impl Bench {
    /// Doubles the rate until it is too high, then halves the gap.
    pub(crate) fn peak(&self, subject: &Subject<'_>) -> Peak {
        let (from, growth) = (subject.first_rate, Growth::Factor(2.0));
        let steps = Steps { from, growth, up_to: RATE_MAX, halvings: HALVINGS, tries: TRIES };
        let offer = |rate| Ok(self.offer(subject, rate, self.duration / 4, false).outcome);
        let search = Search::by_steps(&steps, &GOAL, offer).expect("nothing ends it");
        Peak { per_s: search.highest, is_of_generator: search.limited_by_generator }
    }

    /// Everything at one rate, with every request new or four of five repeated. None where nothing is answered.
    pub(crate) fn at(&self, subject: &Subject<'_>, rate: f64, repeats: bool) -> Option<Figures> {
        let offered = self.offer(subject, rate, self.duration, repeats);
        let good = offered.outcome.good().from_due;
        let answers = good.count() as f64;
        let told = |percent| millis(&offered.outcome, &good, percent).ok();
        (good.count() > 0).then(|| Figures {
            rate_per_s: offered.outcome.rate(),
            p50_ms: told(50.0),
            p99_ms: told(99.0),
            p999_ms: told(99.9),
            cpu_us: offered.cpu.as_secs_f64() * 1e6 / answers,
            memory_mib: resident_mib(subject.process),
            errors: offered.outcome.due - good.count(),
            kept: offered.kept as f64 / answers,
        })
    }

    fn offer(&self, subject: &Subject<'_>, rate: f64, duration: Duration, repeats: bool) -> Offered {
        let first = self.place.get();
        let schedule = Schedule { phases: vec![Phase::steady(rate, duration)], pace: Pace::Poisson, seed: first };
        self.place.set(first + schedule.arrivals().count() as u64);
        let traffic = Asked { requests: subject.requests, first, repeats, kept: AtomicU64::new(0) };
        // With more that waits, the limit of latency is missed anyway.
        let waiting = (rate * 4.0 * PEAK_LATENCY.as_secs_f64()) as usize + CONNECTIONS;
        let drive = Drive { connections: CONNECTIONS, waiting, ..Drive::to(subject.address, &traffic, &schedule) };
        let before = cpu_time(subject.process);
        let outcome = drive.run().expect("a generator on this machine runs");
        let cpu = cpu_time(subject.process).saturating_sub(before);
        Offered { outcome, cpu, kept: traffic.kept.load(Ordering::Relaxed) }
    }
}
