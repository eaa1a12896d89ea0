//! Runs that nobody made, for tests of what is told of them.

use std::time::{Duration, SystemTime};

use super::Report;
use crate::limits::Judged;
use crate::outcome::{NotDriven, Outcome, Second};
use crate::search::{Search, Step};
use crate::traffic::Verdict;
use crate::watch::Series;

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A run and what goes with it.
pub(super) struct Example {
    pub(super) name: String,
    pub(super) scenario: String,
    pub(super) target: String,
    pub(super) command: String,
    pub(super) outcome: Outcome,
    pub(super) limits: Vec<Judged>,
    pub(super) search: Option<Search>,
    pub(super) watched: Vec<Series>,
}

impl Example {
    /// Ten seconds in which nothing was due.
    pub(super) fn new(kinds: &[&str]) -> Self {
        Self {
            name: "mixed".into(),
            scenario: "name = \"mixed\"\n".into(),
            target: "http://127.0.0.1:8080".into(),
            command: "cauce-loadtest run mixed --max-p99 5ms".into(),
            outcome: Outcome {
                generator_cpu: ms(1_500),
                ..Outcome::new(kinds.iter().map(|kind| (*kind).into()).collect(), Duration::from_secs(10))
            },
            limits: Vec::new(),
            search: None,
            watched: Vec::new(),
        }
    }

    /// So many answers, on whose requests the generator looked at once.
    pub(super) fn answer(
        &mut self,
        kind: usize,
        verdict: Verdict,
        status: u16,
        count: u64,
        due: Duration,
        sent: Duration,
    ) {
        let outcome = &mut self.outcome;
        outcome.due += count;
        outcome.sent += count;
        let answers = outcome.answered.entry((kind, verdict, status)).or_default();
        answers.items += count;
        for _ in 0..count {
            answers.from_due.record(due);
            answers.from_sent.record(sent);
            outcome.lag.record(Duration::from_micros(40));
        }
        if verdict == Verdict::Good {
            outcome.good_meanwhile += count;
        }
    }

    /// Requests that were due and got no answer.
    pub(super) fn lose(&mut self, count: u64) {
        self.outcome.due += count;
        self.outcome.unsent += count;
        (0..count).for_each(|_| self.outcome.lag.record(Duration::from_micros(40)));
    }

    /// Two kinds, some of each verdict, a limit that holds and one that is missed, a search, two figures of the service.
    pub(super) fn mixed() -> Self {
        let mut example = Self::new(&["score", "events"]);
        for (part, time) in [(900, ms(2)), (80, ms(4)), (19, ms(6)), (1, ms(30))] {
            example.answer(0, Verdict::Good, 200, part * 2, time, time);
            example.answer(1, Verdict::Good, 202, part, time, time);
        }
        example.answer(0, Verdict::Refused, 503, 50, ms(1), ms(1));
        example.answer(1, Verdict::Failed, 500, 7, ms(3), ms(3));
        example.lose(3);
        example.outcome.seconds = (0..12).map(second).collect();
        example.limits = vec![judged("p99 ≤ 20 ms", "6.00 ms", true), judged("error rate ≤ 0", "1.96 %", false)];
        example.search = Some(search());
        let points = |step: f64| (0..10).map(|at| (f64::from(at), 1e8 + step * f64::from(at))).collect();
        example.watched = vec![
            Series {
                name: "resident memory".into(),
                unit: "B".into(),
                points: points(1e6),
                trend: Some("grew".into()),
            },
            Series { name: "open handles".into(), unit: String::new(), points: points(0.0), trend: None },
        ];
        example
    }

    /// The generator was late, now and then.
    pub(super) fn late() -> Self {
        let mut example = Self::new(&["score"]);
        example.answer(0, Verdict::Good, 200, 1_940, ms(2), ms(2));
        for _ in 0..60 {
            example.outcome.due += 1;
            example.outcome.lag.record(ms(12));
        }
        example
    }

    /// The generator did not get through.
    pub(super) fn behind() -> Self {
        let mut example = Self::new(&["score"]);
        example.answer(0, Verdict::Good, 200, 100, ms(2), ms(2));
        example.outcome.due += 100;
        example.outcome.skipped = 100;
        example
    }

    pub(super) fn report(&self) -> Report<'_> {
        Report {
            name: &self.name,
            scenario: &self.scenario,
            target: &self.target,
            command: &self.command,
            started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
            outcome: &self.outcome,
            limits: &self.limits,
            search: self.search.as_ref(),
            watched: &self.watched,
        }
    }
}

fn second(number: u64) -> Second {
    Second {
        is_warm_up: number < 2,
        due: 310,
        good: 300,
        refused: 6,
        failed: 4,
        came_in: 300,
        p50: ms(2),
        p99: ms(if number == 7 { 90 } else { 6 }),
        max: ms(100),
        lag_p50: Duration::from_micros(20),
        lag_p99: if number == 5 { ms(20) } else { Duration::from_micros(20) },
        lag_max: if number == 5 { ms(40) } else { Duration::from_micros(40) },
    }
}

fn judged(limit: &str, measured: &str, holds: bool) -> Judged {
    Judged { limit: limit.into(), measured: measured.into(), holds, not_driven: None }
}

/// Three rates that held, one that did not, and one that the generator gave way at.
fn search() -> Search {
    let step = |offered: f64, p99, not_driven: Option<NotDriven>| {
        let told = |time| not_driven.clone().map_or(Ok(time), Err);
        Step {
            offered,
            good: offered.min(3_500.0),
            p50: told(ms(1)),
            p99: told(p99),
            error_rate: 0.0,
            holds: p99 <= ms(20) && not_driven.is_none(),
            not_driven,
        }
    };
    let behind = NotDriven::Behind { in_time: 3_000, due: 8_000 };
    let steps = vec![
        step(1_000.0, ms(2), None),
        step(2_000.0, ms(3), None),
        step(4_000.0, ms(200), None),
        step(3_000.0, ms(6), None),
        step(8_000.0, ms(900), Some(behind)),
    ];
    Search { steps, highest: Some(3_000.0), limited_by_generator: true }
}
