//! What one system does under load: the highest rate that it keeps up with, and latency, CPU time and memory at half of it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cauce_loadtest::drive::Drive;
use cauce_loadtest::outcome::{Latency, Outcome};
use cauce_loadtest::schedule::{Pace, Phase, Schedule};

use crate::rows::Asked;
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
/// The generator's own lateness may be so long, or a tenth of the latency that is told.
const LAG_ALLOWED: Duration = Duration::from_micros(500);

/// A system that runs, and how it is asked.
pub(crate) struct Subject<'a> {
    pub(crate) process: u32,
    pub(crate) address: SocketAddr,
    /// Where the search for its peak begins.
    pub(crate) first_rate: f64,
    /// Writes the request that has that place among all that are asked of it.
    pub(crate) write: &'a (dyn Fn(u64, &mut Vec<u8>) + Sync),
    /// See [`Asked`].
    pub(crate) good: &'a str,
    pub(crate) kept: &'a [&'a str],
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
    /// Requests so far: those of one run are not those of another.
    pub(crate) requests: Cell<u64>,
}

struct Offered {
    outcome: Outcome,
    cpu: Duration,
    kept: u64,
}

impl Bench {
    /// Doubles the rate until it is too high, then halves the gap.
    pub(crate) fn peak(&self, subject: &Subject<'_>) -> Peak {
        let (mut low, mut high, mut is_of_generator) = (0.0, subject.first_rate, false);
        while high < RATE_MAX {
            match self.keeps_up(subject, high) {
                Kept::Up => (low, high) = (high, high * 2.0),
                failed => {
                    is_of_generator = failed == Kept::NotDriven;
                    // Too high to begin with.
                    if low > 0.0 || high < 1.0 {
                        break;
                    }
                    high /= 2.0;
                }
            }
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            match self.keeps_up(subject, middle) {
                Kept::Up => low = middle,
                failed => (high, is_of_generator) = (middle, failed == Kept::NotDriven),
            }
        }
        Peak { per_s: low, is_of_generator }
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
        let before = self.requests.get();
        let schedule = Schedule { phases: vec![Phase::steady(rate, duration)], pace: Pace::Poisson, seed: before };
        self.requests.set(before + schedule.arrivals().count() as u64);
        let traffic = Asked {
            write: &|place, out| (subject.write)(before + place, out),
            repeats,
            good: subject.good,
            kept: subject.kept,
            kept_count: AtomicU64::new(0),
        };
        let drive = Drive {
            target: subject.address,
            traffic: &traffic,
            schedule: &schedule,
            connections: CONNECTIONS,
            // With more that waits, the limit of latency is missed anyway.
            waiting: (rate * 4.0 * PEAK_LATENCY.as_secs_f64()) as usize + CONNECTIONS,
            patience: Duration::from_secs(10),
        };
        let cpu_before = cpu_time(subject.process);
        let outcome = drive.run().expect("a generator on this machine runs");
        let cpu = cpu_time(subject.process).saturating_sub(cpu_before);
        Offered { outcome, cpu, kept: traffic.kept_count.load(Ordering::Relaxed) }
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
        let time = latency.percentile(percent);
        let is_enough = latency.count() as f64 * (1.0 - percent / 100.0) >= ANSWERS_BEYOND;
        let is_driven = self.outcome.lag.percentile(percent) <= LAG_ALLOWED.max(time / 10);
        (is_enough && is_driven).then_some(time)
    }
}
