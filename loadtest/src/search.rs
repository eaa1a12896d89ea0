//! The highest rate at which a service stays within its limits: by steps, or along a ramp.
//!
//! Steps are held one after the other, each higher than the last, until one misses; then a few more halve what is between the last that
//! held and it. A ramp is one run whose rate grows evenly, looked at by its seconds: quicker, and rougher, since the p99 of a second with few
//! requests is the longest of them. Which rate is next is decided by values alone; what drives is a function.

use std::io::{self, ErrorKind};
use std::time::Duration;

use parking_lot::Mutex;

use crate::drive::Progress;
use crate::outcome::{NotDriven, Outcome, Second};

/// Of what is offered, less what may fail, this part has to be answered while it is offered, or a queue is growing that a short step ends
/// before its end.
const KEPT_UP: f64 = 0.95;
/// So many seconds in a row that miss, or that say nothing, are the end of a ramp.
const MISSES: usize = 3;
/// Of a second, the generator may be so late that what comes in the next one instead does not make it miss: what `KEPT_UP` leaves.
const SECOND: Duration = Duration::from_secs(1);
const LATE_IN_SECOND: Duration = Duration::from_millis(50);

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
    /// Offered, and answered as meant while it was, in requests a second.
    pub offered: f64,
    pub good: f64,
    pub p50: Result<Duration, NotDriven>,
    pub p99: Result<Duration, NotDriven>,
    pub error_rate: f64,
    pub holds: bool,
    /// Why it says nothing of the service: it did not hold, and the generator may be why. Limits that are kept to with the generator's own
    /// lateness in the times are kept to, though the times are not told.
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
    /// A rate that does not hold is tried so often, at least once: a pause of the machine fails one try, a limit of the service all.
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
    state: Mutex<Breached>,
}

#[derive(Debug, Default)]
struct Breached {
    /// When it was over its goal first, and has been since.
    since: Option<Duration>,
    /// What had been due when it was last looked at.
    due: u64,
}

impl Search {
    /// Holds one rate after the other; `drive` offers a rate for as long as a step is to take. One that was interrupted ends the search with
    /// what was found by then. Of several tries of a rate the last is told, or the last that says anything of the service.
    pub fn by_steps(steps: &Steps, goal: &Goal, mut drive: impl FnMut(f64) -> io::Result<Outcome>) -> io::Result<Self> {
        let (mut search, mut tried) = (Self::default(), Vec::new());
        while let Some(rate) = steps.next(&tried) {
            let step = match Step::tried(steps.tries, goal, || drive(rate)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => break,
                step => step?,
            };
            tried.push((rate, step.holds));
            search.steps.push(step);
            // Above a rate that the service missed, the generator is of no concern.
            search.limited_by_generator = search.steps.iter().all(Step::says_no_miss) && !search.has_held_last();
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
        let (mut missed, mut not_driven) = (0, 0);
        for second in outcome.seconds.iter().filter(|second| !second.is_warm_up && second.due > 0) {
            let step = Step::of_second(second, goal);
            (missed, not_driven) = match (&step.not_driven, step.holds) {
                (Some(_), _) => (missed, not_driven + 1),
                (None, true) => (0, 0),
                (None, false) => (missed + 1, 0),
            };
            search.steps.push(step);
            search.limited_by_generator = not_driven == MISSES;
            if missed == MISSES || search.limited_by_generator {
                break;
            }
        }
        let held = search.steps.iter().filter(|step| step.holds);
        search.highest = held.map(|step| step.offered).max_by(f64::total_cmp);
        search
    }

    fn has_held_last(&self) -> bool {
        self.steps.last().is_some_and(|step| step.holds)
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
            p50: outcome.trusted(&times, 50.0),
            p99: outcome.trusted(&times, 99.0),
            error_rate: outcome.error_rate(),
            holds: false,
            not_driven: outcome.driven().err(),
        };
        step.judged(goal, times.percentile(99.0), outcome.lag.percentile(99.0))
    }

    fn of_second(second: &Second, goal: &Goal) -> Self {
        let (offered, good) = (second.due as f64, second.came_in as f64);
        let mut step = Self {
            offered,
            good,
            p50: second.told(50.0),
            p99: second.told(99.0),
            error_rate: 1.0 - second.good as f64 / offered,
            holds: false,
            not_driven: None,
        };
        step = step.judged(goal, second.p99, second.lag_p99);
        if !step.holds && second.lag_p99 > LATE_IN_SECOND {
            let (lag, bound) = (second.lag_p99, LATE_IN_SECOND);
            step.not_driven = Some(NotDriven::Late { percent: 99.0, lag, bound, latency: SECOND });
        }
        step
    }

    /// A rate once, and again as long as it does not hold.
    fn tried(tries: usize, goal: &Goal, mut drive: impl FnMut() -> io::Result<Outcome>) -> io::Result<Self> {
        let mut told = Self::of(&drive()?, goal);
        for _ in 1..tries {
            if told.holds {
                break;
            }
            let step = Self::of(&drive()?, goal);
            if step.not_driven.is_none() || told.not_driven.is_some() {
                told = step;
            }
        }
        Ok(told)
    }

    /// Whether the service missed nothing at it, as far as can be told.
    fn says_no_miss(&self) -> bool {
        self.holds || self.not_driven.is_some()
    }

    fn judged(mut self, goal: &Goal, p99: Duration, lag_p99: Duration) -> Self {
        let keeps_up = self.good >= self.offered * (1.0 - goal.error_rate) * KEPT_UP;
        let is_served = self.good > 0.0 && keeps_up && self.error_rate <= goal.error_rate;
        let missed = goal.p99.filter(|limit| p99 > *limit);
        // What is refused or fails is the service's doing however late it was asked; a time is the generator's, too.
        if let Some(limit) = missed.filter(|_| is_served && self.not_driven.is_none()) {
            self.not_driven = NotDriven::unless_late(99.0, lag_p99, limit).err();
        }
        self.holds = self.not_driven.is_none() && is_served && missed.is_none();
        self
    }
}

impl Breach {
    pub fn of(goal: Goal) -> Self {
        Self { goal, state: Mutex::default() }
    }

    /// Whether, warm-up aside, the p99 has been over its limit for some seconds on end, or nothing of what was due has come for as long.
    pub fn is_lasting(&self, progress: &Progress) -> bool {
        let p99 = progress.latency_p99;
        let mut state = self.state.lock();
        let has_grown = progress.due > std::mem::replace(&mut state.due, progress.due);
        // Where nothing is due nothing comes, and what has begun to fail goes on.
        let is_silent = p99.is_zero() && (has_grown || state.since.is_some());
        let is_over = self.goal.p99.is_some_and(|limit| p99 > limit || is_silent) && !progress.is_warm_up;
        state.since = is_over.then(|| state.since.unwrap_or(progress.elapsed));
        state.since.is_some_and(|since| progress.elapsed.saturating_sub(since) >= Duration::from_secs(MISSES as u64))
    }
}

#[cfg(test)]
mod tests;
