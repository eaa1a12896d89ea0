//! The highest rate at which a service stays within its limits: by steps, or along a ramp.
//!
//! Steps are held one after the other, each higher than the last, until one misses; then a few more halve what is between the last that
//! held and it. A ramp is one run whose rate grows evenly, looked at by its seconds: quicker, and rougher: a queue that has begun to grow shows
//! late, and the p99 of a second with few requests is the longest of them. Which rate is next is decided by values alone; what drives is a function.

use std::io;
use std::time::Duration;

use parking_lot::Mutex;

use crate::drive::Progress;
use crate::outcome::{NotDriven, Outcome, Second};

/// Of what is offered, less what may fail, this part has to be answered while it is offered, or a queue is growing that a short step ends
/// before its end.
const KEPT_UP: f64 = 0.95;
/// So many seconds in a row that miss are the end of a ramp.
const MISSES: usize = 3;

/// What was tried, in order, and what was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    pub steps: Vec<Step>,
    /// The highest rate that held, in requests a second.
    pub highest: Option<f64>,
    /// Whether the generator, not the service, was what gave way above it.
    pub limited_by_generator: bool,
}

/// A rate that was held for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Offered, and answered as meant, in requests a second.
    pub offered: f64,
    pub good: f64,
    pub p50: Duration,
    pub p99: Duration,
    pub error_rate: f64,
    pub holds: bool,
    /// Why its figures are not told: the generator's own lateness is in them. A step can hold all the same.
    pub not_driven: Option<NotDriven>,
}

/// What has to hold at a rate.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Goal {
    /// At most; without it, whatever the service gets through holds.
    pub p99: Option<Duration>,
    /// At most, from 0 to 1.
    pub error_rate: f64,
}

/// Which rates are tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steps {
    pub from: f64,
    pub growth: Growth,
    /// No rate above it is tried.
    pub up_to: f64,
    /// How often what is between the last that held and the first that missed is halved.
    pub halvings: usize,
    /// How often a rate is tried until it holds, once at least: a pause of the machine fails a try, a limit of the service all of them.
    pub tries: usize,
}

/// From one rate to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Growth {
    Factor(f64),
    By(f64),
}

/// Says when a run is over its goal for good, so that a ramp need not go on.
#[derive(Debug)]
pub struct Breach {
    goal: Goal,
    /// When it was over its goal first, and has been since.
    since: Mutex<Option<Duration>>,
}

impl Search {
    /// Holds one rate after the other; `drive` offers a rate for as long as a step is to take.
    pub fn by_steps(steps: &Steps, goal: &Goal, mut drive: impl FnMut(f64) -> io::Result<Outcome>) -> io::Result<Self> {
        let (mut search, mut tried) = (Self::default(), Vec::new());
        while let Some(rate) = steps.next(&tried) {
            let mut step = Step::of(&drive(rate)?, goal);
            for _ in 1..steps.tries {
                if step.holds {
                    break;
                }
                step = Step::of(&drive(rate)?, goal);
            }
            tried.push((rate, step.holds));
            search.limited_by_generator = step.is_of_generator(goal);
            search.steps.push(step);
            if search.limited_by_generator {
                break;
            }
        }
        search.highest = tried.iter().filter(|(_, holds)| *holds).map(|(rate, _)| *rate).max_by(f64::total_cmp);
        Ok(search)
    }

    /// Looks at a run whose rate has grown, second by second.
    pub fn along_ramp(outcome: &Outcome, goal: &Goal) -> Self {
        let mut search = Self::default();
        let mut missed = 0;
        for second in outcome.seconds.iter().filter(|second| !second.is_warm_up && second.due > 0) {
            let step = Step::of_second(second, goal);
            missed = if step.holds { 0 } else { missed + 1 };
            search.limited_by_generator = step.is_of_generator(goal);
            search.steps.push(step);
            if missed == MISSES || search.limited_by_generator {
                break;
            }
        }
        let held = search.steps.iter().filter(|step| step.holds);
        search.highest = held.map(|step| step.offered).max_by(f64::total_cmp);
        search
    }

    /// The most that was answered as meant in a second, whatever else held: what the service gets through at its limit.
    pub fn peak(&self) -> Option<f64> {
        self.steps.iter().filter(|step| step.not_driven.is_none()).map(|step| step.good).max_by(f64::total_cmp)
    }
}

impl Steps {
    /// The rate to try after those that were tried, in that order, and held or missed.
    pub fn next(&self, tried: &[(f64, bool)]) -> Option<f64> {
        let Some((last, _)) = tried.last() else { return Some(self.from.min(self.up_to)) };
        let Some(first_miss) = tried.iter().position(|(_, holds)| !holds) else {
            let next = match self.growth {
                Growth::Factor(factor) => last * factor,
                Growth::By(rate) => last + rate,
            };
            // A growth that does not grow would never end.
            return (*last < self.up_to && next > *last).then_some(next.min(self.up_to));
        };
        if tried.len() - first_miss - 1 == self.halvings {
            return None;
        }
        let rates = |held: bool| tried.iter().filter(move |(_, holds)| *holds == held).map(|(rate, _)| *rate);
        let (held, missed) = (rates(true).fold(0.0, f64::max), rates(false).fold(f64::INFINITY, f64::min));
        Some(held.midpoint(missed))
    }
}

impl Step {
    /// What a run at one rate says.
    pub fn of(outcome: &Outcome, goal: &Goal) -> Self {
        let times = outcome.good().from_due;
        let step = Self {
            offered: outcome.offered(),
            good: outcome.rate(),
            p50: times.percentile(50.0),
            p99: times.percentile(99.0),
            error_rate: outcome.error_rate(),
            holds: false,
            not_driven: outcome.driven().err(),
        };
        let told = goal.p99.map_or(Ok(()), |_| outcome.trusted(&times, 99.0).map(drop));
        step.judged(told, goal)
    }

    fn of_second(second: &Second, goal: &Goal) -> Self {
        let (offered, good) = (second.due as f64, second.good as f64);
        let error_rate = 1.0 - good / offered;
        let step = Self { offered, good, p50: second.p50, p99: second.p99, error_rate, holds: false, not_driven: None };
        step.judged(NotDriven::unless_late(99.0, second.lag_p99, second.p99), goal)
    }

    /// Whether it missed, and nobody knows if the service did: what is refused or fails is the service's doing however late it was asked.
    fn is_of_generator(&self, goal: &Goal) -> bool {
        let is_behind = matches!(self.not_driven, Some(NotDriven::Behind { .. }));
        !self.holds && self.not_driven.is_some() && (is_behind || self.error_rate <= goal.error_rate)
    }

    fn judged(mut self, told: Result<(), NotDriven>, goal: &Goal) -> Self {
        // A service that answers nothing as meant has given way itself.
        if self.not_driven.is_none() {
            self.not_driven = told.err().filter(|why| *why != NotDriven::NoAnswers);
        }
        // The generator's own lateness is in these times: a limit that they keep to is kept to, though they are not told.
        let keeps_up = self.good >= self.offered * (1.0 - goal.error_rate) * KEPT_UP;
        self.holds = !matches!(self.not_driven, Some(NotDriven::Behind { .. }))
            && self.good > 0.0
            && keeps_up
            && self.error_rate <= goal.error_rate
            && goal.p99.is_none_or(|limit| self.p99 <= limit);
        self
    }
}

impl Breach {
    pub fn of(goal: Goal) -> Self {
        Self { goal, since: Mutex::default() }
    }

    /// Whether the p99 has been over its limit for some seconds on end, or nothing has come for as long.
    pub fn is_lasting(&self, progress: &Progress) -> bool {
        let p99 = progress.latency_p99;
        let is_over = self.goal.p99.is_some_and(|limit| p99 > limit || (p99.is_zero() && progress.due > 0));
        let mut since = self.since.lock();
        *since = is_over.then(|| since.unwrap_or(progress.elapsed));
        since.is_some_and(|since| progress.elapsed.saturating_sub(since) >= Duration::from_secs(MISSES as u64))
    }
}

#[cfg(test)]
mod tests;
