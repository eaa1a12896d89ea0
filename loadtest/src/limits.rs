//! What was asked of a run: `--max-p99 5ms --max-error-rate 0`.

use std::time::Duration;

use crate::outcome::{NotDriven, Outcome};

/// Stated limits; what is not stated is not held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
    pub p999: Option<Duration>,
    /// Refused, failed, lost and unsent requests over all that were due, from 0 to 1.
    pub error_rate: Option<f64>,
    /// Good answers a second, at least.
    pub rate: Option<f64>,
}

/// A limit and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub limit: String,
    pub measured: String,
    pub holds: bool,
}

impl Limits {
    /// These, and `other` where they state nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            p50: self.p50.or(other.p50),
            p99: self.p99.or(other.p99),
            p999: self.p999.or(other.p999),
            error_rate: self.error_rate.or(other.error_rate),
            rate: self.rate.or(other.rate),
        }
    }

    /// Whether all that the limits are about was driven by the generator, and not held up by it.
    pub fn driven(&self, outcome: &Outcome) -> Result<(), NotDriven> {
        outcome.driven()?;
        let good = outcome.good().from_due;
        // Without any good answer it is the service that has no percentile.
        let mut stated = self.percentiles().into_iter().filter(|(.., most)| most.is_some() && good.count() > 0);
        stated.try_for_each(|(_, percent, _)| outcome.trusted(&good, percent).map(|_| ()))
    }

    /// Each stated limit beside what was measured. A figure that could not be driven misses its limit.
    pub fn judge(&self, outcome: &Outcome) -> Vec<Judged> {
        let good = outcome.good().from_due;
        let percentiles = self.percentiles().into_iter().filter_map(|(name, percent, most)| {
            let most = most?;
            let figure = outcome.trusted(&good, percent);
            Some(judged(
                format!("{name} ≤ {most:?}"),
                figure,
                |latency| *latency <= most,
                |latency| format!("{latency:?}"),
            ))
        });
        let driven = |figure: f64| outcome.driven().map(|()| figure);
        let error_rate = self.error_rate.map(|most| {
            let limit = format!("error rate ≤ {most}");
            judged(limit, driven(outcome.error_rate()), |rate| *rate <= most, |rate| format!("{rate:.6}"))
        });
        let rate = self.rate.map(|least| {
            let limit = format!("good answers ≥ {least}/s");
            judged(limit, driven(outcome.rate()), |rate| *rate >= least, |rate| format!("{rate:.1}/s"))
        });
        percentiles.chain(error_rate).chain(rate).collect()
    }

    fn percentiles(&self) -> [(&'static str, f64, Option<Duration>); 3] {
        [("p50", 50.0, self.p50), ("p99", 99.0, self.p99), ("p99.9", 99.9, self.p999)]
    }
}

fn judged<T>(
    limit: String,
    figure: Result<T, NotDriven>,
    holds: impl FnOnce(&T) -> bool,
    told: impl FnOnce(&T) -> String,
) -> Judged {
    match figure {
        Ok(figure) => Judged { limit, measured: told(&figure), holds: holds(&figure) },
        Err(none @ NotDriven::NoAnswers) => Judged { limit, measured: none.to_string(), holds: false },
        Err(not_driven) => Judged { limit, measured: format!("not driven: {not_driven}"), holds: false },
    }
}
