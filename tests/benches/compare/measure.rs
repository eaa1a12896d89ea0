//! What one system does under load: the highest rate that it keeps up with, and latency, CPU time and memory at half of it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cauce_loadtest::drive::Drive;
use cauce_loadtest::outcome::{Latency, Outcome};
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::search::{Growth, Steps};

use crate::rows::{Asked, Requests};
use crate::system::{cpu_time, resident_mib};

const CONNECTIONS: usize = 64;
/// A rate is kept up with if so much of a hundred is answered in that time, and everything is answered.
const PEAK_PERCENT: f64 = 99.0;
const PEAK_LATENCY: Duration = Duration::from_millis(50);
/// A rate has failed when it failed so often: a shared machine stands still for a moment now and then.
const TRIES: usize = 2;
/// How often the gap between a rate that is kept up with and one that is not is halved: to 4 %.
const HALVINGS: usize = 4;
const RATE_MAX: f64 = 200_000.0;
/// A percentile is told if so many answers took longer than it on average.
const ANSWERS_BEYOND: f64 = 1.0;

/// A system that runs, and how it is asked.
pub(crate) struct Subject<'a> {
    pub(crate) process: u32,
    pub(crate) address: SocketAddr,
    /// Where the search for its peak begins.
    pub(crate) first_rate: f64,
    pub(crate) requests: &'a dyn Requests,
}

/// The highest rate that a system keeps up with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peak {
    pub(crate) per_s: f64,
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
        let growth = Growth::Factor(2.0);
        let steps = Steps { from: subject.first_rate, growth, up_to: RATE_MAX, halvings: HALVINGS, tries: 1 };
        let (mut tried, mut is_of_generator) = (Vec::new(), false);
        while let Some(rate) = steps.next(&tried) {
            let kept = self.keeps_up(subject, rate);
            if kept != Kept::Up {
                is_of_generator = kept == Kept::NotDriven;
            }
            tried.push((rate, kept == Kept::Up));
        }
        let held = tried.iter().filter(|(_, held)| *held).map(|(rate, _)| *rate);
        Peak { per_s: held.fold(0.0, f64::max), is_of_generator }
    }

    fn keeps_up(&self, subject: &Subject<'_>, rate: f64) -> Kept {
        let mut found = Kept::NotDriven;
        for _ in 0..TRIES {
            let offered = self.offer(subject, rate, self.duration / 4, false);
            found = offered.keeps_up();
            if found == Kept::Up {
                break;
            }
        }
        found
    }

    /// Everything at one rate, with every request new or four of five repeated.
    pub(crate) fn at(&self, subject: &Subject<'_>, rate: f64, repeats: bool) -> Figures {
        let offered = self.offer(subject, rate, self.duration, repeats);
        let good = offered.outcome.good().from_due;
        let answers = good.count().max(1) as f64;
        let told = |percent| offered.told(&good, percent).map(|time| time.as_secs_f64() * 1e3);
        Figures {
            rate_per_s: offered.outcome.rate(),
            p50_ms: told(50.0),
            p99_ms: told(99.0),
            p999_ms: told(99.9),
            cpu_us: offered.cpu.as_secs_f64() * 1e6 / answers,
            memory_mib: resident_mib(subject.process),
            errors: offered.outcome.due - good.count(),
            kept: offered.kept as f64 / answers,
        }
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

/// Whether a rate was kept up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Up,
    /// The system did not.
    Behind,
    /// The generator did not.
    NotDriven,
}

impl Offered {
    fn keeps_up(&self) -> Kept {
        let good = self.outcome.good().from_due;
        // How late the generator was is in a latency that counts from when a request was due.
        if good.count() == self.outcome.due && good.percentile(PEAK_PERCENT) <= PEAK_LATENCY {
            Kept::Up
        } else if self.outcome.lag.percentile(PEAK_PERCENT) > PEAK_LATENCY / 10 {
            Kept::NotDriven
        } else {
            Kept::Behind
        }
    }

    /// A percentile, if it is that of the system and not of the generator, and of enough answers.
    fn told(&self, latency: &Latency, percent: f64) -> Option<Duration> {
        let is_enough = latency.count() as f64 * (1.0 - percent / 100.0) >= ANSWERS_BEYOND;
        self.outcome.trusted(latency, percent).ok().filter(|_| is_enough)
    }
}
