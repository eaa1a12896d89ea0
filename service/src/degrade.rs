//! The degradation ladder: which rung gives an answer, by what is known of time, model and history.
//!
//! [`plan`] is a pure function over plain values. It is asked again whenever the rung that it chose gave nothing, with that rung
//! marked as [`Standing::Out`], so every request ends on some rung. Inline work cannot be interrupted, so a rung is chosen only
//! when its recent 99th percentile fits into the time that is left (S1); the last rung that is allowed costs next to nothing
//! and is taken whatever the time.

use std::time::Duration;

use serde::Serialize;

use crate::config;
use crate::deadline::Work;

/// The rungs, from the best down; also the mode in which an answer was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The model, on the full history.
    Full,
    /// The last score of the same application, with its age.
    Cached,
    /// The scorecard.
    Fallback,
    /// No score can be given honestly: a person decides.
    Refer,
}

/// All rungs, in order, with their names.
pub const MODES: [(Mode, &str); 4] =
    [(Mode::Full, "full"), (Mode::Cached, "cached"), (Mode::Fallback, "fallback"), (Mode::Refer, "refer")];

/// Why a rung above the one that answered was not used, or what else is less than it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The model gave no probability.
    ModelFailed,
    /// The model ran longer than there was time, and was stopped.
    ModelTimedOut,
    /// Calls of the model failed or were slow lately: it is left alone for a while.
    ModelBreakerOpen,
    /// By its recent times the model would not be done in what is left.
    ModelTooSlow,
    /// The time was used up before scoring began.
    OutOfTime,
    /// The history is on disk, which did not answer in time or failed.
    HistoryUnavailable,
    /// Reads of histories failed or were slow lately: the disk is left alone for a while.
    HistoryBreakerOpen,
    /// More waits in the stream than should: the history is not up to date.
    HistoryStale,
    /// The route or product may not be answered in this way.
    NotAllowed,
    /// The log took too long: the application is not known to be durable.
    LogSlow,
    /// The log failed: the application is not recorded.
    LogFailed,
    /// The log failed or was slow lately and is not waited for: the application is not known to be durable.
    LogBreakerOpen,
}

/// All reasons, in order, as they stand in answers and metrics.
pub const REASONS: [(Reason, &str); 12] = [
    (Reason::ModelFailed, "model_failed"),
    (Reason::ModelTimedOut, "model_timed_out"),
    (Reason::ModelBreakerOpen, "model_breaker_open"),
    (Reason::ModelTooSlow, "model_too_slow"),
    (Reason::OutOfTime, "out_of_time"),
    (Reason::HistoryUnavailable, "history_unavailable"),
    (Reason::HistoryBreakerOpen, "history_breaker_open"),
    (Reason::HistoryStale, "history_stale"),
    (Reason::NotAllowed, "rung_not_allowed"),
    (Reason::LogSlow, "log_slow"),
    (Reason::LogFailed, "log_failed"),
    (Reason::LogBreakerOpen, "log_breaker_open"),
];

/// A set of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reasons(u16);

/// A set of rungs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rungs(u8);

/// How a rung stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can be tried; so long its recent 99th percentile is.
    Usable(Duration),
    /// It cannot, and why.
    Out(Reason),
    /// It was asked and had nothing; that is nobody's fault.
    Empty,
}

/// What is known when a rung is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Situation {
    /// Until the request's budget is used up.
    pub left: Duration,
    /// What the route and product may use.
    pub rungs: Rungs,
    /// The model on the history that is there.
    pub full: Standing,
    /// The last score of the same application.
    pub cached: Standing,
    /// How long the scorecard and everything behind it takes: reserved whenever a dearer rung is chosen.
    pub fallback: Duration,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub mode: Mode,
    /// Why not a better one.
    pub reasons: Reasons,
}

/// Chooses the best rung that is allowed, stands, and fits into the time that is left.
pub fn plan(situation: &Situation) -> Plan {
    let Situation { left, rungs, full, cached, fallback } = *situation;
    let mut reasons = Reasons::default();
    for (mode, standing) in [(Mode::Full, full), (Mode::Cached, cached), (Mode::Fallback, Standing::Usable(fallback))] {
        if !rungs.allow(mode) {
            continue;
        }
        let reserve = if mode == Mode::Fallback { Duration::ZERO } else { fallback };
        match standing {
            Standing::Usable(_) if left.is_zero() && !rungs.end_with(mode) => reasons.add(Reason::OutOfTime),
            Standing::Usable(takes) if takes + reserve <= left || rungs.end_with(mode) => {
                return Plan { mode, reasons }.explained(rungs);
            }
            Standing::Usable(_) if mode == Mode::Full => reasons.add(Reason::ModelTooSlow),
            Standing::Usable(_) => reasons.add(Reason::OutOfTime),
            Standing::Out(reason) => reasons.add(reason),
            Standing::Empty => {}
        }
    }
    Plan { mode: Mode::Refer, reasons }.explained(rungs)
}

/// Which rungs routes and products may use.
#[derive(Debug, Clone)]
pub struct Allowed {
    score: Rungs,
    batch: Rungs,
    predecir: Rungs,
    products: Vec<(String, Rungs)>,
}

impl Allowed {
    /// Reads the settings; which one is wrong, and how.
    pub fn parse(settings: &config::Ladder) -> Result<Self, (&'static str, String)> {
        let rungs = |key, text: &str| Rungs::parse(text).map_err(|error| (key, error));
        let product = |text: &str| {
            let form = || ("ladder.products", "products are written `name: rungs; name: rungs`".to_owned());
            let (name, text) = text.split_once(':').ok_or_else(form)?;
            Ok((name.trim().to_owned(), rungs("ladder.products", text)?))
        };
        let products = settings.products.split(';').filter(|product| !product.trim().is_empty());
        Ok(Self {
            score: rungs("ladder.score", &settings.score)?,
            batch: rungs("ladder.batch", &settings.batch)?,
            predecir: rungs("ladder.predecir", &settings.predecir)?,
            products: products.map(product).collect::<Result<_, _>>()?,
        })
    }

    /// What a request may be answered with.
    pub fn of(&self, work: Work, product: Option<&str>) -> Rungs {
        let named = product.and_then(|product| self.products.iter().find(|(name, _)| name == product));
        match (named, work) {
            (Some((_, rungs)), _) => *rungs,
            (None, Work::Predecir) => self.predecir,
            (None, Work::Batch) => self.batch,
            (None, Work::Score | Work::Events | Work::Query) => self.score,
        }
    }
}

impl Plan {
    /// A worse mode than full has a reason, always.
    fn explained(mut self, rungs: Rungs) -> Self {
        if self.mode != Mode::Full && self.reasons.is_empty() && !rungs.allow(Mode::Full) {
            self.reasons.add(Reason::NotAllowed);
        }
        self
    }
}

impl Rungs {
    /// All of them.
    #[cfg(test)]
    pub const ALL: Self = Self(0b1111);

    /// Reads names of rungs, best first, between blanks: `full fallback refer`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rungs = Self(0);
        for word in text.split_whitespace() {
            let Some((mode, _)) = MODES.iter().find(|(_, name)| *name == word) else {
                return Err(format!("`{word}` is no rung; `full`, `cached`, `fallback` and `refer` are"));
            };
            rungs.0 |= 1 << *mode as u8;
        }
        if !rungs.allow(Mode::Fallback) && !rungs.allow(Mode::Refer) {
            return Err("one of `fallback` and `refer` has to be there: the others can fail".to_owned());
        }
        Ok(rungs)
    }

    /// Whether a rung may be used.
    pub fn allow(self, mode: Mode) -> bool {
        self.0 & (1 << mode as u8) != 0
    }

    /// Whether there is none below.
    fn end_with(self, mode: Mode) -> bool {
        self.0 >> mode as u8 == 1
    }
}

impl Reasons {
    /// No reason at all.
    pub const NONE: Self = Self(0);

    /// Adds one.
    pub fn add(&mut self, reason: Reason) {
        *self = self.with(reason);
    }

    /// The same with one more.
    pub const fn with(self, reason: Reason) -> Self {
        Self(self.0 | 1 << reason as u16)
    }

    /// Those of both.
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether this is one.
    pub fn has(self, reason: Reason) -> bool {
        self.0 & 1 << reason as u16 != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their places in [`REASONS`].
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..REASONS.len()).filter(move |place| self.0 & (1 << place) != 0)
    }
}

impl Serialize for Reasons {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.places().map(|place| REASONS[place].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Everything is well: 50 ms are left, the model takes 1 ms.
    const WELL: Situation = Situation {
        left: ms(50),
        rungs: Rungs::ALL,
        full: Standing::Usable(ms(1)),
        cached: Standing::Usable(ms(2)),
        fallback: Duration::from_micros(200),
    };

    fn names(reasons: Reasons) -> Vec<&'static str> {
        reasons.places().map(|place| REASONS[place].1).collect()
    }

    #[test]
    fn the_best_rung_that_stands_and_fits_answers_and_says_why_not_a_better_one() {
        let rungs = |text| Rungs::parse(text).unwrap();
        let failed = Standing::Out(Reason::ModelFailed);
        let cases: [(&str, Situation, Mode, &[&str]); 14] = [
            ("all is well", WELL, Mode::Full, &[]),
            ("the model just fits", Situation { left: ms(2), ..WELL }, Mode::Full, &[]),
            (
                "the model would not leave time for anything else",
                Situation { left: ms(1), ..WELL },
                Mode::Fallback,
                &["model_too_slow", "out_of_time"],
            ),
            (
                "the model is slow",
                Situation { full: Standing::Usable(ms(60)), ..WELL },
                Mode::Cached,
                &["model_too_slow"],
            ),
            ("the model failed", Situation { full: failed, ..WELL }, Mode::Cached, &["model_failed"]),
            (
                "and nothing is cached",
                Situation { full: failed, cached: Standing::Empty, ..WELL },
                Mode::Fallback,
                &["model_failed"],
            ),
            (
                "the breaker is open",
                Situation { full: Standing::Out(Reason::ModelBreakerOpen), cached: Standing::Empty, ..WELL },
                Mode::Fallback,
                &["model_breaker_open"],
            ),
            (
                "the history is on a disk that stands still",
                Situation { full: Standing::Out(Reason::HistoryUnavailable), ..WELL },
                Mode::Cached,
                &["history_unavailable"],
            ),
            ("no time is left", Situation { left: ms(0), ..WELL }, Mode::Refer, &["out_of_time"]),
            (
                "no time is left, and nobody to refer to",
                Situation { left: ms(0), rungs: rungs("full cached fallback"), ..WELL },
                Mode::Fallback,
                &["out_of_time"],
            ),
            (
                "only the scorecard is allowed",
                Situation { rungs: rungs("fallback"), ..WELL },
                Mode::Fallback,
                &["rung_not_allowed"],
            ),
            (
                "a model or nobody",
                Situation { rungs: rungs("full refer"), full: failed, ..WELL },
                Mode::Refer,
                &["model_failed"],
            ),
            (
                "a person decides in any case",
                Situation { rungs: rungs("refer"), ..WELL },
                Mode::Refer,
                &["rung_not_allowed"],
            ),
            (
                "the scorecard does not fit",
                Situation { left: Duration::from_micros(100), ..WELL },
                Mode::Refer,
                &["model_too_slow", "out_of_time"],
            ),
        ];
        for (case, situation, mode, reasons) in cases {
            let plan = plan(&situation);
            assert_eq!((plan.mode, names(plan.reasons)), (mode, reasons.to_vec()), "{case}");
        }
    }

    #[test]
    fn every_situation_ends_on_an_allowed_rung_with_a_reason_unless_it_is_full() {
        let standings =
            [Standing::Usable(ms(1)), Standing::Usable(ms(100)), Standing::Out(Reason::ModelFailed), Standing::Empty];
        for rungs in (1..16).map(Rungs).filter(|rungs| rungs.allow(Mode::Fallback) || rungs.allow(Mode::Refer)) {
            for full in standings.into_iter().filter(|full| *full != Standing::Empty) {
                for cached in standings {
                    for left in [ms(0), ms(1), ms(50)] {
                        let plan = plan(&Situation { left, rungs, full, cached, fallback: ms(2) });
                        assert!(rungs.allow(plan.mode), "{plan:?} of {rungs:?}");
                        assert_eq!(plan.mode == Mode::Full, plan.reasons.is_empty(), "{plan:?} of {rungs:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn rungs_are_read_by_name_and_have_an_end() {
        assert_eq!(Rungs::parse("full cached fallback refer"), Ok(Rungs::ALL));
        assert!(Rungs::parse("full cached").unwrap_err().contains("has to be there"));
        assert!(Rungs::parse("full best refer").unwrap_err().contains("`best` is no rung"));
    }

    #[test]
    fn positions_in_the_tables_are_those_of_the_enums() {
        assert!(MODES.iter().enumerate().all(|(place, (mode, _))| *mode as usize == place));
        assert!(REASONS.iter().enumerate().all(|(place, (reason, _))| *reason as usize == place));
    }
}
