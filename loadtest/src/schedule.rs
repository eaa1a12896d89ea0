//! When requests are due: fixed before the run, whatever the service does.

use std::time::Duration;

use rand::RngExt;
use serde::Deserialize;

use crate::random::{self, Random};

/// The stream of draws that decide when requests are due.
const ARRIVAL_STREAM: u64 = 33;

/// How requests follow each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Independently of each other, as many people's do: gaps are exponential.
    #[default]
    Poisson,
    /// Evenly.
    Constant,
}

/// A stretch of time over which the rate goes evenly from one value to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// Requests a second at its beginning and at its end.
    pub from: f64,
    pub to: f64,
    pub duration: Duration,
    /// Whether what is due in it is left out of the figures: a warm-up.
    pub is_warm_up: bool,
}

impl Phase {
    pub fn steady(rate: f64, duration: Duration) -> Self {
        Self { from: rate, to: rate, duration, is_warm_up: false }
    }

    /// Requests that are due in it, on average.
    pub fn requests(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.duration.as_secs_f64()
    }
}

/// The phases of a run, one behind the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub phases: Vec<Phase>,
    pub pace: Pace,
    pub seed: u64,
}

/// One request that is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// From 0 on, in order of time.
    pub number: u64,
    /// After the begin of the run.
    pub due: Duration,
    /// The phase that it falls in.
    pub phase: usize,
}

impl Schedule {
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }

    /// When so many requests have been due on average; at the end of the last phase for more than there are.
    pub fn expected_at(&self, requests: f64) -> Duration {
        let (mut before, mut start) = (0.0, Duration::ZERO);
        for phase in &self.phases {
            if requests - before < phase.requests() {
                return start + seconds_until(phase, requests - before);
            }
            before += phase.requests();
            start += phase.duration;
        }
        start
    }

    /// How long what is due is in the figures: without warm-up.
    pub fn measured(&self) -> Duration {
        self.measured_until(Duration::MAX)
    }

    /// The same, if no more is offered from a time on.
    pub fn measured_until(&self, end: Duration) -> Duration {
        let (mut begin, mut measured) = (Duration::ZERO, Duration::ZERO);
        for phase in &self.phases {
            if !phase.is_warm_up {
                measured += phase.duration.min(end.saturating_sub(begin));
            }
            begin += phase.duration;
        }
        measured
    }

    /// The phase at a time after the begin; the last one at the end.
    pub fn phase_at(&self, time: Duration) -> usize {
        let mut end = Duration::ZERO;
        let is_at = |phase: &Phase| {
            end += phase.duration;
            time < end
        };
        self.phases.iter().position(is_at).unwrap_or(self.phases.len().saturating_sub(1))
    }

    pub fn is_warm_up_at(&self, time: Duration) -> bool {
        self.phases.get(self.phase_at(time)).is_some_and(|phase| phase.is_warm_up)
    }

    /// All that are due, in order; the same for the same seed.
    pub fn arrivals(&self) -> Arrivals<'_> {
        Arrivals {
            schedule: self,
            random: random::stream(self.seed, ARRIVAL_STREAM, 0),
            expected: 0.0,
            phase: 0,
            phase_begin: Duration::ZERO,
            before: 0.0,
            number: 0,
        }
    }
}

/// Goes through the arrivals of a schedule.
///
/// Times are those at which the expected number of arrivals reaches the next value: 1, 2, 3 … for a constant pace, a sum of exponential
/// draws for a Poisson process. That is exact for rates that change, too (inversion of the cumulative rate; L. Devroye, *Non-Uniform
/// Random Variate Generation*, 1986, ch. VI).
#[derive(Debug)]
pub struct Arrivals<'a> {
    schedule: &'a Schedule,
    random: Random,
    /// How many are expected until the next arrival.
    expected: f64,
    phase: usize,
    phase_begin: Duration,
    /// How many are expected before the phase.
    before: f64,
    number: u64,
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.expected += match self.schedule.pace {
            Pace::Constant if self.number == 0 => 0.0,
            Pace::Constant => 1.0,
            // 1 less a number below 1: never the logarithm of 0.
            Pace::Poisson => -(1.0 - self.random.random::<f64>()).ln(),
        };
        loop {
            let phase = self.schedule.phases.get(self.phase)?;
            let within = self.expected - self.before;
            if within < phase.requests() {
                let due = self.phase_begin + seconds_until(phase, within);
                let number = self.number;
                self.number += 1;
                return Some(Arrival { number, due, phase: self.phase });
            }
            self.before += phase.requests();
            self.phase_begin += phase.duration;
            self.phase += 1;
        }
    }
}

/// After how long in a phase so many requests are expected: the root of `from·t + (to − from)·t²/(2·length) = expected`.
fn seconds_until(phase: &Phase, expected: f64) -> Duration {
    // The first of a ramp that begins at nothing, too, where the root is 0 over 0.
    if expected <= 0.0 {
        return Duration::ZERO;
    }
    let growth = (phase.to - phase.from) / phase.duration.as_secs_f64();
    // In the form that stays exact as the growth goes to 0.
    let seconds = 2.0 * expected / (phase.from + (phase.from * phase.from + 2.0 * growth * expected).max(0.0).sqrt());
    // A ramp down to nothing ends where the root does not know it to the last digit.
    Duration::from_secs_f64(seconds).min(phase.duration)
}

#[cfg(test)]
mod tests;
