//! A request's budget, and what is known of how long things take.
//!
//! The clock starts when the first bytes of a request are read. Nothing here reads one: instants come in (S1).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config;

/// When an answer is due.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    pub started: Instant,
    pub budget: Duration,
    /// Whether the client asked for far less than its route has: what it does not wait for is nobody's fault.
    pub is_short: bool,
}

/// What kind of work a route does, by how long it may take unless the client says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Score,
    /// The same in the Ahorro Valle contract.
    Predecir,
    Batch,
    Events,
    /// What is held of a person.
    Query,
}

impl Deadline {
    /// What is left of the budget.
    pub fn left(&self, now: Instant) -> Duration {
        self.budget.saturating_sub(now.saturating_duration_since(self.started))
    }

    /// When it is used up.
    pub fn ends(&self) -> Instant {
        self.started + self.budget
    }

    /// How long something may be waited for that may be in vain: `reserve` is kept for the answer, or half of what is left if
    /// that is less.
    pub fn patience(&self, now: Instant, reserve: Duration) -> Duration {
        let left = self.left(now);
        left - reserve.min(left / 2)
    }
}

impl config::Budget {
    /// The budget of a request: what the client asks for in milliseconds, within the configured bounds, or else what the route has.
    pub fn of(&self, work: Work, asked_ms: Option<&[u8]>) -> Result<Duration, String> {
        let Some(asked) = asked_ms else {
            return Ok(match work {
                Work::Score | Work::Predecir => self.score.get(),
                Work::Batch => self.batch.get(),
                Work::Events => self.events.get(),
                Work::Query => self.query.get(),
            });
        };
        let asked = std::str::from_utf8(asked).ok().and_then(|text| text.trim().parse::<u64>().ok());
        let asked = asked.filter(|ms| *ms > 0).ok_or_else(|| {
            format!(
                "`X-Latency-Budget-Ms` must be a whole number of milliseconds; it is kept between {} and {}",
                self.least.get().as_millis(),
                self.most.get().as_millis()
            )
        })?;
        Ok(Duration::from_millis(asked).clamp(self.least.get(), self.most.get()))
    }
}

/// When the answers are due that wait beside the work of one thread: a run on it must not make them late.
#[derive(Default)]
pub struct Dues(RefCell<BTreeSet<(Instant, u64)>>);

/// One of them, for as long as it waits.
pub struct Due {
    dues: Rc<Dues>,
    key: (Instant, u64),
}

impl Dues {
    /// Adds one.
    pub fn wait(self: &Rc<Self>, ends: Instant) -> Due {
        let mut dues = self.0.borrow_mut();
        // Several may be due at the same instant.
        let number = (0..).find(|number| !dues.contains(&(ends, *number))).expect("fewer wait than there are numbers");
        dues.insert((ends, number));
        Due { dues: self.clone(), key: (ends, number) }
    }

    /// The first of them that is not late already.
    pub fn first(&self, now: Instant) -> Option<Instant> {
        self.0.borrow().range((now, 0)..).next().map(|(ends, _)| *ends)
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        self.dues.0.borrow_mut().remove(&self.key);
    }
}

/// Samples that a percentile is taken of.
const SAMPLES: usize = 128;

/// The percentiles are found again after so many samples.
const FIND_EVERY: usize = 32;

/// After so long without a sample nothing is known any more: the next call is one to find out.
const FORGET_AFTER: Duration = Duration::from_secs(1);

/// How long something took lately, on one thread.
pub struct Recent {
    took: [Duration; SAMPLES],
    count: usize,
    newest: Option<Instant>,
    p50: Duration,
    p99: Duration,
}

impl Default for Recent {
    fn default() -> Self {
        let none = Duration::ZERO;
        Self { took: [none; SAMPLES], count: 0, newest: None, p50: none, p99: none }
    }
}

impl Recent {
    /// Adds what a call took that ended now.
    pub fn record(&mut self, now: Instant, took: Duration) {
        if self.is_forgotten(now) {
            self.count = 0;
        }
        self.newest = Some(now);
        self.took[self.count % SAMPLES] = took;
        self.count += 1;
        if self.count < FIND_EVERY || self.count.is_multiple_of(FIND_EVERY) {
            self.find();
        }
    }

    /// The median of the last calls; zero where nothing is known.
    pub fn p50(&self, now: Instant) -> Duration {
        if self.is_forgotten(now) { Duration::ZERO } else { self.p50 }
    }

    /// Their 99th percentile; zero where nothing is known.
    pub fn p99(&self, now: Instant) -> Duration {
        if self.is_forgotten(now) { Duration::ZERO } else { self.p99 }
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        self.newest.is_none_or(|newest| now.saturating_duration_since(newest) > FORGET_AFTER)
    }

    fn find(&mut self) {
        let mut took = self.took;
        let took = &mut took[..self.count.min(SAMPLES)];
        took.sort_unstable();
        self.p50 = took[took.len() / 2];
        // Of these, the second largest: one call that a busy machine held up says nothing of the next.
        self.p99 = took[took.len().saturating_sub(2)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets() -> config::Budget {
        config::Config::load(None, std::iter::empty(), Vec::new()).unwrap().budget
    }

    #[test]
    fn the_client_may_ask_for_a_budget_within_bounds() {
        let budgets = budgets();
        for (asked, expected) in [
            (None, Some(50)),
            (Some("20"), Some(20)),
            (Some(" 20 "), Some(20)),
            (Some("1"), Some(2)),
            (Some("999999"), Some(30_000)),
            (Some("0"), None),
            (Some("-3"), None),
            (Some("fast"), None),
        ] {
            let budget = budgets.of(Work::Score, asked.map(str::as_bytes));
            assert_eq!(budget.ok(), expected.map(Duration::from_millis), "{asked:?}");
        }
    }

    #[test]
    fn what_is_left_never_goes_below_nothing() {
        let started = Instant::now();
        let deadline = Deadline { started, budget: Duration::from_millis(50), is_short: false };
        assert_eq!(deadline.left(started), Duration::from_millis(50));
        assert_eq!(deadline.left(started + Duration::from_millis(20)), Duration::from_millis(30));
        assert_eq!(deadline.left(started + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn what_is_waited_for_leaves_time_for_an_answer() {
        let (started, ms) = (Instant::now(), Duration::from_millis);
        let deadline = Deadline { started, budget: ms(50), is_short: false };
        for (passed, reserve, expected) in [(0, 3, 47), (46, 3, 2), (50, 3, 0), (60, 3, 0), (0, 100, 25), (0, 0, 50)] {
            assert_eq!(deadline.patience(started + ms(passed), ms(reserve)), ms(expected), "{passed} {reserve}");
        }
    }

    #[test]
    fn what_waits_is_known_by_the_first_that_is_due_until_it_waits_no_more() {
        let (dues, start) = (Rc::new(Dues::default()), Instant::now());
        assert_eq!(dues.first(start), None);
        let later = dues.wait(start + Duration::from_secs(2));
        let both = [(); 2].map(|()| dues.wait(start + Duration::from_secs(1)));
        assert_eq!(dues.first(start), Some(start + Duration::from_secs(1)));
        let [one, other] = both;
        drop(one);
        assert_eq!(dues.first(start), Some(start + Duration::from_secs(1)));
        drop(other);
        assert_eq!(dues.first(start), Some(start + Duration::from_secs(2)));
        drop(later);
        assert_eq!(dues.first(start), None);
    }

    #[test]
    fn percentiles_follow_the_last_calls_and_are_forgotten() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        assert_eq!(recent.p99(start), Duration::ZERO);
        for ms in 1..=128 {
            recent.record(start, Duration::from_millis(ms));
        }
        assert_eq!((recent.p50(start).as_millis(), recent.p99(start).as_millis()), (65, 127));
        for _ in 0..128 {
            recent.record(start, Duration::from_millis(3));
        }
        recent.record(start, Duration::from_secs(9));
        assert_eq!((recent.p50(start).as_millis(), recent.p99(start).as_millis()), (3, 3));
        assert_eq!(recent.p99(start + Duration::from_secs(2)), Duration::ZERO);
    }
}
