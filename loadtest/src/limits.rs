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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Answers;
    use crate::traffic::Verdict;

    /// A thousand good answers of 0.1 to 100 ms in a second, twenty that were not, and a generator that was so late.
    fn outcome(lag: Duration) -> Outcome {
        let mut outcome =
            Outcome { due: 1020, duration: Duration::from_secs(1), good_meanwhile: 1000, ..Outcome::default() };
        let mut answers = Answers::default();
        (1..=1000).for_each(|time| answers.from_due.record(Duration::from_micros(time * 100)));
        (0..1020).for_each(|_| outcome.lag.record(lag));
        outcome.answered.insert((0, Verdict::Good, 200), answers);
        outcome
    }

    #[test]
    fn a_limit_holds_or_is_missed() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let none = Limits::default;
        for (limits, holds) in [
            (Limits { p50: ms(51), ..none() }, true),
            (Limits { p50: ms(40), ..none() }, false),
            (Limits { p99: ms(100), ..none() }, true),
            (Limits { p99: ms(90), ..none() }, false),
            (Limits { p999: ms(99), ..none() }, false),
            (Limits { error_rate: Some(0.02), ..none() }, true),
            (Limits { error_rate: Some(0.0), ..none() }, false),
            (Limits { rate: Some(1000.0), ..none() }, true),
            (Limits { rate: Some(1001.0), ..none() }, false),
        ] {
            let outcome = outcome(Duration::from_micros(10));
            let judged = limits.judge(&outcome);
            assert_eq!(judged.iter().map(|judged| judged.holds).collect::<Vec<_>>(), [holds], "{judged:?}");
            assert_eq!(limits.driven(&outcome), Ok(()), "{limits:?}");
        }
    }

    #[test]
    fn a_figure_that_could_not_be_driven_misses_its_limit_and_says_so() {
        let outcome = outcome(Duration::from_millis(20));
        let limits = Limits { p99: Some(Duration::from_secs(9)), ..Limits::default() };
        let judged = limits.judge(&outcome);
        assert!(!judged[0].holds && judged[0].measured.starts_with("not driven: the generator was"), "{judged:?}");
        assert!(limits.driven(&outcome).is_err());
        // Nobody asked for a percentile.
        assert_eq!(Limits { rate: Some(1.0), ..Limits::default() }.driven(&outcome), Ok(()));
    }

    #[test]
    fn a_service_without_a_good_answer_misses_its_limits() {
        let limits = Limits { p99: Some(Duration::from_secs(9)), error_rate: Some(0.5), ..Limits::default() };
        let mut outcome = outcome(Duration::from_micros(10));
        outcome.answered.clear();
        assert!(limits.judge(&outcome).iter().all(|judged| !judged.holds));
        assert_eq!(limits.driven(&outcome), Ok(()));
    }

    #[test]
    fn what_the_command_line_says_goes_before_the_file() {
        let (flag, file) = (Some(Duration::from_millis(1)), Some(Duration::from_millis(2)));
        let flags = Limits { p99: flag, ..Limits::default() };
        let merged = flags.or(Limits { p99: file, p50: file, ..Limits::default() });
        assert_eq!(merged, Limits { p99: flag, p50: file, ..Limits::default() });
    }
}
