//! Circuit breakers: what fails or drags is left alone for a while, so that it neither costs requests their time nor is kept from
//! recovering.
//!
//! Closed, calls pass and are counted over a sliding window of eight buckets. When enough of them failed or were slow the breaker
//! opens: calls are turned away at once. After a while it is half-open: a few probes pass; if all go well it closes, if one does not
//! it opens again for twice as long, up to a bound. (Nygard, *Release It!*, 2nd ed., "Circuit Breaker"; slow calls count as
//! resilience4j counts them.)
//!
//! Written here since no kept crate fits: recloser 1.4 counts failures only, not slow calls, and neither it nor failsafe shows its state
//! for metrics or takes time as an argument, which the tests of this file need.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config;

const BUCKETS: usize = 8;

/// When a breaker opens and closes.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How far back calls count.
    pub window: Duration,
    /// With fewer calls in the window it never opens.
    pub calls_least: u32,
    pub failure_percent: u32,
    pub slow_percent: u32,
    /// A call that takes longer is slow.
    pub slow_call: Duration,
    /// How long it stays open the first time, and at most.
    pub open: Duration,
    pub open_most: Duration,
    /// Calls that have to go well, one after the other or side by side, before it closes.
    pub probes: u32,
}

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Closed,
    HalfOpen,
    Open,
}

/// All states, in order, with their names.
pub const STATES: [(State, &str); 3] =
    [(State::Closed, "closed"), (State::HalfOpen, "half_open"), (State::Open, "open")];

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It gave what was asked for, and took so long.
    Done(Duration),
    Failed,
    /// It was not given the time that such a call may take, so it says nothing.
    CutShort,
}

/// A breaker around one dependency. It may be shared: a lock is held for some nanoseconds, never across a call.
pub struct Breaker {
    /// What it stands in front of, as metrics and logs name it.
    pub name: &'static str,
    settings: Settings,
    /// Instants have no zero: buckets are counted from here.
    since: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    phase: Phase,
    /// How often it has opened in all.
    opened: u64,
}

#[derive(Clone, Copy)]
enum Phase {
    Closed { calls: [Calls; BUCKETS], newest: u64 },
    Open { since: Instant, lasts: Duration },
    HalfOpen { since: Instant, lasts: Duration, admitted: u32, succeeded: u32 },
}

/// Calls of an eighth of the window.
#[derive(Clone, Copy, Default)]
struct Calls {
    all: u32,
    failed: u32,
    slow: u32,
}

impl Breaker {
    /// A closed one.
    pub fn new(name: &'static str, settings: Settings, now: Instant) -> Self {
        Self { name, settings, since: now, inner: Mutex::new(Inner { phase: Phase::closed(), opened: 0 }) }
    }

    /// Whether a call may be made now. Who may make one records its outcome.
    pub fn admit(&self, now: Instant) -> bool {
        let Inner { phase, .. } = &mut *self.inner.lock();
        match phase {
            Phase::Closed { .. } => true,
            Phase::Open { since, lasts } if now.saturating_duration_since(*since) < *lasts => false,
            Phase::Open { lasts, .. } => {
                *phase = Phase::HalfOpen { since: now, lasts: *lasts, admitted: 1, succeeded: 0 };
                true
            }
            Phase::HalfOpen { since, lasts, admitted, .. } => {
                // A probe whose outcome never came is given up after as long as it had been open.
                if *admitted >= self.settings.probes && now.saturating_duration_since(*since) >= *lasts {
                    (*since, *admitted) = (now, 0);
                }
                let may = *admitted < self.settings.probes;
                *admitted += u32::from(may);
                may
            }
        }
    }

    /// Counts the outcome of a call.
    pub fn record(&self, now: Instant, outcome: Outcome) {
        let settings = &self.settings;
        let failed = outcome == Outcome::Failed;
        let may_be_slow = settings.slow_percent > 100;
        let slow = matches!(outcome, Outcome::Done(took) if took > settings.slow_call && !may_be_slow);
        let mut inner = self.inner.lock();
        if outcome == Outcome::CutShort {
            // Somebody else may be the probe.
            if let Phase::HalfOpen { admitted, .. } = &mut inner.phase {
                *admitted = admitted.saturating_sub(1);
            }
            return;
        }
        let next = match &mut inner.phase {
            Phase::Closed { calls, newest } => {
                *newest = advance(calls, *newest, self.bucket_at(now));
                let bucket = &mut calls[*newest as usize % BUCKETS];
                bucket.all += 1;
                bucket.failed += u32::from(failed);
                bucket.slow += u32::from(slow);
                ((failed || slow) && settings.are_too_many(calls))
                    .then_some(Phase::Open { since: now, lasts: settings.open })
            }
            // A call from before it opened.
            Phase::Open { .. } => None,
            Phase::HalfOpen { lasts, .. } if failed || slow => {
                Some(Phase::Open { since: now, lasts: (*lasts * 2).min(settings.open_most) })
            }
            Phase::HalfOpen { succeeded, .. } => {
                *succeeded += 1;
                (*succeeded >= settings.probes).then(Phase::closed)
            }
        };
        if let Some(next) = next {
            self.turn(&mut inner, next);
        }
    }

    /// Closes it, as what it stands in front of was replaced.
    pub fn reset(&self) {
        let mut inner = self.inner.lock();
        if !matches!(inner.phase, Phase::Closed { .. }) {
            self.turn(&mut inner, Phase::closed());
        }
    }

    /// How it stands, in a word.
    pub fn state_name(&self, now: Instant) -> &'static str {
        STATES[self.state(now).0 as usize].1
    }

    /// How it stands, and how often it has opened.
    pub fn state(&self, now: Instant) -> (State, u64) {
        let inner = self.inner.lock();
        let state = match inner.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { since, lasts } if now.saturating_duration_since(since) < lasts => State::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => State::HalfOpen,
        };
        (state, inner.opened)
    }

    fn bucket_at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.since);
        (since.as_nanos() / (self.settings.window / BUCKETS as u32).as_nanos().max(1)) as u64
    }

    fn turn(&self, inner: &mut Inner, next: Phase) {
        inner.phase = next;
        match next {
            Phase::Open { lasts, .. } => {
                inner.opened += 1;
                tracing::error!(dependency = self.name, ?lasts, "left alone for a while");
            }
            _ => tracing::info!(dependency = self.name, "the breaker is closed again"),
        }
    }
}

impl config::Breaker {
    /// The settings of a breaker in front of something whose calls are slow from here on.
    pub fn settings(&self, slow_call: Duration) -> Settings {
        Settings {
            window: self.window.get(),
            calls_least: self.calls,
            failure_percent: self.failed_percent,
            slow_percent: self.slow_percent,
            slow_call,
            open: self.open.get(),
            open_most: self.open_most.get(),
            probes: self.probes,
        }
    }
}

impl Settings {
    fn are_too_many(&self, calls: &[Calls; BUCKETS]) -> bool {
        let sum = |of: fn(&Calls) -> u32| calls.iter().map(of).sum::<u32>();
        let (all, failed, slow) = (sum(|calls| calls.all), sum(|calls| calls.failed), sum(|calls| calls.slow));
        let is_over = |part: u32, percent: u32| u64::from(part) * 100 >= u64::from(all) * u64::from(percent);
        all >= self.calls_least && (is_over(failed, self.failure_percent) || is_over(slow, self.slow_percent))
    }
}

impl Phase {
    fn closed() -> Self {
        Self::Closed { calls: [Calls::default(); BUCKETS], newest: 0 }
    }
}

/// Empties the buckets between the newest and the one of now; which is the newest then.
fn advance(calls: &mut [Calls; BUCKETS], newest: u64, bucket: u64) -> u64 {
    for passed in (newest + 1..=bucket).rev().take(BUCKETS) {
        calls[passed as usize % BUCKETS] = Calls::default();
    }
    newest.max(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        window: Duration::from_secs(8),
        calls_least: 10,
        failure_percent: 50,
        slow_percent: 80,
        slow_call: Duration::from_millis(20),
        open: Duration::from_secs(1),
        open_most: Duration::from_secs(4),
        probes: 2,
    };
    const FAST: Outcome = Outcome::Done(Duration::from_millis(1));
    const SLOW: Outcome = Outcome::Done(Duration::from_millis(21));

    struct Timed {
        breaker: Breaker,
        start: Instant,
    }

    fn breaker() -> Timed {
        let start = Instant::now();
        Timed { breaker: Breaker::new("model", SETTINGS, start), start }
    }

    impl Timed {
        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn call(&self, ms: u64, outcomes: &[Outcome]) {
            for outcome in outcomes {
                assert!(self.breaker.admit(self.at(ms)), "at {ms} ms");
                self.breaker.record(self.at(ms), *outcome);
            }
        }

        fn state(&self, ms: u64) -> State {
            self.breaker.state(self.at(ms)).0
        }
    }

    #[test]
    fn it_opens_when_enough_calls_fail_or_drag() {
        for (case, outcomes, expected) in [
            ("too few calls", vec![Outcome::Failed; 9], State::Closed),
            ("half of ten fail", [vec![FAST; 5], vec![Outcome::Failed; 5]].concat(), State::Open),
            ("less than half fail", [vec![FAST; 6], vec![Outcome::Failed; 4]].concat(), State::Closed),
            ("nearly all are slow", [vec![FAST; 2], vec![SLOW; 8]].concat(), State::Open),
            ("many are slow", [vec![FAST; 3], vec![SLOW; 7]].concat(), State::Closed),
        ] {
            let timed = breaker();
            timed.call(0, &outcomes);
            assert_eq!(timed.state(0), expected, "{case}");
        }
    }

    #[test]
    fn what_is_further_back_than_the_window_does_not_count() {
        let timed = breaker();
        timed.call(0, &[Outcome::Failed; 9]);
        timed.call(8_001, &[Outcome::Failed; 9]);
        assert_eq!(timed.state(8_001), State::Closed);
        timed.call(8_500, &[Outcome::Failed]);
        assert_eq!(timed.state(8_500), State::Open);
    }

    #[test]
    fn an_open_one_turns_calls_away_then_probes_and_closes() {
        let timed = breaker();
        timed.call(0, &[Outcome::Failed; 10]);
        assert!(!timed.breaker.admit(timed.at(999)));
        assert!(timed.breaker.admit(timed.at(1_000)) && timed.breaker.admit(timed.at(1_000)));
        assert!(!timed.breaker.admit(timed.at(1_000)), "two probes are enough");
        assert_eq!(timed.state(1_000), State::HalfOpen);
        timed.breaker.record(timed.at(1_001), FAST);
        timed.breaker.record(timed.at(1_001), FAST);
        assert_eq!(timed.state(1_001), State::Closed);
        assert_eq!(timed.breaker.state(timed.start).1, 1);
    }

    #[test]
    fn a_probe_that_fails_opens_it_for_longer_up_to_a_bound() {
        let timed = breaker();
        timed.call(0, &[Outcome::Failed; 10]);
        let mut ms = 0;
        for lasts in [1_000, 2_000, 4_000, 4_000] {
            assert!(!timed.breaker.admit(timed.at(ms + lasts - 1)), "{lasts}");
            ms += lasts;
            timed.call(ms, &[SLOW]);
        }
    }

    #[test]
    fn a_probe_that_is_cut_short_is_another_ones_however_many_were_turned_away_meanwhile() {
        let timed = breaker();
        timed.call(0, &[Outcome::Failed; 10]);
        assert!(timed.breaker.admit(timed.at(1_000)) && timed.breaker.admit(timed.at(1_000)));
        (0..100).for_each(|_| assert!(!timed.breaker.admit(timed.at(1_000))));
        timed.breaker.record(timed.at(1_001), Outcome::CutShort);
        assert!(timed.breaker.admit(timed.at(1_001)) && !timed.breaker.admit(timed.at(1_001)));
    }

    #[test]
    fn a_probe_without_an_outcome_is_given_up() {
        let timed = breaker();
        timed.call(0, &[Outcome::Failed; 10]);
        assert!(timed.breaker.admit(timed.at(1_000)) && timed.breaker.admit(timed.at(1_000)));
        assert!(!timed.breaker.admit(timed.at(1_999)));
        assert!(timed.breaker.admit(timed.at(2_000)));
    }

    #[test]
    fn calls_that_were_cut_short_say_nothing_and_leave_their_place_as_probes_to_others() {
        let timed = breaker();
        timed.call(0, &[Outcome::CutShort; 100]);
        assert_eq!(timed.state(0), State::Closed);
        timed.call(0, &[Outcome::Failed; 10]);
        assert_eq!(timed.state(0), State::Open);
        timed.call(1_000, &[Outcome::CutShort; 100]);
        assert_eq!(timed.state(1_000), State::HalfOpen);
        timed.call(1_000, &[FAST; 2]);
        assert_eq!(timed.state(1_000), State::Closed);
    }

    #[test]
    fn where_nothing_is_too_slow_a_slow_probe_closes_it() {
        let start = Instant::now();
        let breaker = Breaker::new("model", Settings { slow_percent: 101, ..SETTINGS }, start);
        let timed = Timed { breaker, start };
        timed.call(0, &[SLOW; 100]);
        assert_eq!(timed.state(0), State::Closed);
        timed.call(0, &[Outcome::Failed; 100]);
        timed.call(1_000, &[SLOW; 2]);
        assert_eq!(timed.state(1_000), State::Closed);
    }

    #[test]
    fn it_is_closed_when_what_it_guards_is_replaced() {
        let timed = breaker();
        timed.call(0, &[Outcome::Failed; 10]);
        timed.breaker.reset();
        timed.call(1, &[FAST]);
        assert_eq!(timed.state(1), State::Closed);
    }
}
