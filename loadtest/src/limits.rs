//! What was asked of a run: `--max-p99 5ms --max-error-rate 0`.

use std::time::Duration;

use crate::outcome::{NotDriven, Outcome};
use crate::search::Search;

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
    /// Why it could not be judged; it is missed then. That the service gave no good answer is no such reason.
    pub not_driven: Option<NotDriven>,
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

    /// Each stated limit beside what was measured. A figure that could not be driven misses its limit.
    ///
    /// A percentile is of good answers: what has none would be beyond every percentile, and unless a limit of its own allows for it, more
    /// of it than lies beyond a percentile misses that one's limit.
    pub fn judge(&self, outcome: &Outcome) -> Vec<Judged> {
        let good = outcome.good().from_due;
        let lost = outcome.error_rate();
        let percentiles = self.percentiles().into_iter().filter_map(|(name, percent, most)| {
            let most = most?;
            let limit = format!("{name} ≤ {most:?}");
            // Shares such as 0.01 are not exact.
            let is_lost = lost > self.error_rate.unwrap_or(0.0).max(1.0 - percent / 100.0) + 1e-9;
            Some(match outcome.trusted(&good, percent) {
                Ok(_) | Err(NotDriven::TooFew { .. }) if is_lost => missed(limit, lost),
                // The generator's own lateness is in these times: a limit that they keep to is kept to, though they are not told.
                Err(NotDriven::Late { .. } | NotDriven::TooFew { .. }) if good.percentile(percent) <= most => {
                    Judged { limit, measured: "within it, and not told".to_owned(), holds: true, not_driven: None }
                }
                figure => judged(limit, figure, |latency| *latency <= most, |latency| format!("{latency:?}")),
            })
        });
        let driven = |figure: f64| outcome.driven().map(|()| figure);
        let error_rate = self.error_rate.map(|most| {
            let limit = format!("error rate ≤ {most}");
            judged(limit, driven(lost), |rate| *rate <= most, |rate| format!("{rate:.6}"))
        });
        let rate = self.rate.map(|least| {
            let limit = format!("good answers ≥ {least}/s");
            judged(limit, driven(outcome.rate()), |rate| *rate >= least, |rate| format!("{rate:.1}/s"))
        });
        percentiles.chain(error_rate).chain(rate).collect()
    }

    /// The same of a ramp, whose limits are looked at along it: at its end the service has too much to do, as it is meant to have.
    pub fn judge_ramp(&self, search: &Search) -> Vec<Judged> {
        let found = search.highest.map_or("at no rate".to_owned(), |rate| format!("up to {rate:.1}/s"));
        let p99 = self.p99.map(|most| format!("p99 ≤ {most:?}"));
        let error_rate = self.error_rate.map(|most| format!("error rate ≤ {most}"));
        let holds = search.highest.is_some();
        let limits = p99.into_iter().chain(error_rate);
        limits.map(|limit| Judged { limit, measured: found.clone(), holds, not_driven: None }).collect()
    }

    /// Whether something is stated that a ramp is not looked at for.
    pub fn go_beyond_a_ramp(&self) -> bool {
        self.p50.is_some() || self.p999.is_some() || self.rate.is_some()
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
        Ok(figure) => Judged { limit, measured: told(&figure), holds: holds(&figure), not_driven: None },
        Err(none @ NotDriven::NoAnswers) => {
            Judged { limit, measured: none.to_string(), holds: false, not_driven: None }
        }
        Err(why) => Judged { limit, measured: format!("not driven: {why}"), holds: false, not_driven: Some(why) },
    }
}

fn missed(limit: String, lost: f64) -> Judged {
    let measured = format!("{:.2} % have no good answer", lost * 100.0);
    Judged { limit, measured, holds: false, not_driven: None }
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
            (Limits { p99: ms(100), error_rate: Some(0.02), ..none() }, true),
            (Limits { p99: ms(90), ..none() }, false),
            (Limits { p999: ms(99), ..none() }, false),
            (Limits { error_rate: Some(0.02), ..none() }, true),
            (Limits { error_rate: Some(0.0), ..none() }, false),
            (Limits { rate: Some(1000.0), ..none() }, true),
            (Limits { rate: Some(1001.0), ..none() }, false),
        ] {
            let outcome = outcome(Duration::from_micros(10));
            let judged = limits.judge(&outcome);
            assert_eq!(judged.iter().all(|judged| judged.holds), holds, "{judged:?}");
            assert_eq!(judged[0].not_driven, None, "{limits:?}");
        }
    }

    #[test]
    fn a_figure_that_could_not_be_driven_misses_its_limit_and_says_so() {
        let outcome = outcome(Duration::from_millis(20));
        let limit = |ms| Limits { p99: Some(Duration::from_millis(ms)), error_rate: Some(0.02), ..Limits::default() };
        let judged = limit(90).judge(&outcome);
        assert!(!judged[0].holds && judged[0].measured.starts_with("not driven: the generator was"), "{judged:?}");
        assert!(judged[0].not_driven.is_some());
        // With the generator's own lateness in it, it is kept to.
        let judged = limit(9_000).judge(&outcome);
        assert!(judged[0].holds && judged[0].measured.starts_with("within it, and not told"), "{judged:?}");
        // Nobody asked for a percentile.
        assert!(Limits { rate: Some(1.0), ..Limits::default() }.judge(&outcome)[0].holds);
    }

    #[test]
    fn a_service_without_a_good_answer_misses_its_limits() {
        let limits = Limits { p99: Some(Duration::from_secs(9)), error_rate: Some(0.5), ..Limits::default() };
        let mut outcome = outcome(Duration::from_micros(10));
        outcome.answered.clear();
        assert!(limits.judge(&outcome).iter().all(|judged| !judged.holds && judged.not_driven.is_none()));
    }

    #[test]
    fn what_has_no_good_answer_is_beyond_every_percentile_unless_it_is_allowed_for() {
        let slow = Some(Duration::from_secs(9));
        // Of 1020, 2 % are lost; of 2040, half are.
        for (limits, due, holds) in [
            (Limits { p99: slow, ..Limits::default() }, 1020, false),
            (Limits { p50: slow, ..Limits::default() }, 1020, true),
            (Limits { p50: slow, ..Limits::default() }, 2040, false),
            (Limits { p99: slow, error_rate: Some(0.02), ..Limits::default() }, 1020, true),
            (Limits { p99: slow, ..Limits::default() }, 1010, true),
        ] {
            let mut outcome = Outcome { due, ..outcome(Duration::from_micros(10)) };
            (1020..due).for_each(|_| outcome.lag.record(Duration::from_micros(10)));
            let judged = limits.judge(&outcome);
            assert_eq!((judged[0].holds, &judged[0].not_driven), (holds, &None), "{due}: {judged:?}");
        }
    }

    #[test]
    fn ramp_is_held_to_what_was_found_along_it_and_not_to_its_end() {
        let limits = Limits { p99: Some(Duration::from_millis(5)), error_rate: Some(0.0), ..Limits::default() };
        for (highest, holds, measured) in [(Some(500.0), true, "up to 500.0/s"), (None, false, "at no rate")] {
            let judged = limits.judge_ramp(&Search { highest, ..Search::default() });
            let is_told = |judged: &Judged| judged.holds == holds && judged.measured == measured;
            assert!(judged.len() == 2 && judged.iter().all(is_told), "{judged:?}");
        }
        assert!(!limits.go_beyond_a_ramp() && Limits { rate: Some(1.0), ..limits }.go_beyond_a_ramp());
    }

    #[test]
    fn what_the_command_line_says_goes_before_the_file() {
        let (flag, file) = (Some(Duration::from_millis(1)), Some(Duration::from_millis(2)));
        let flags = Limits { p99: flag, ..Limits::default() };
        let merged = flags.or(Limits { p99: file, p50: file, ..Limits::default() });
        assert_eq!(merged, Limits { p99: flag, p50: file, ..Limits::default() });
    }
}
