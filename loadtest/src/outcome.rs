//! What came of a run, and which of it can be reported.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::traffic::Verdict;

/// Times by buckets, from a microsecond to an hour, three significant digits.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

/// What came of a run. Warm-up is in none of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Names of the kinds, as [`crate::traffic::Traffic::kinds`] gives them.
    pub kinds: Vec<String>,
    /// Requests that were due.
    pub due: u64,
    /// Sent, with or without an answer.
    pub sent: u64,
    /// Never sent, since no connection became free in time.
    pub unsent: u64,
    /// Sent on a connection that was closed before an answer.
    pub dropped: u64,
    /// Sent and without an answer when patience was at its end.
    pub unanswered: u64,
    /// Answers that are no HTTP, or longer than is read of one.
    pub unreadable: u64,
    /// Never sent, since the generator looked at them so late itself that patience was at its end.
    pub skipped: u64,
    /// Looked at by the generator only when the load was over, though due before.
    pub late: u64,
    /// Good answers that came while the load was offered, warm-up aside, whichever requests they are of: what the service got through.
    pub good_meanwhile: u64,
    /// Connections that the service closed after an answer or between two, as it may.
    pub closed: u64,
    /// Answers by kind, verdict and status.
    pub answered: BTreeMap<(usize, Verdict, u16), Answers>,
    /// How late the generator was itself: from when a request was due to when it was looked at, free connection or not.
    pub lag: Latency,
    /// How long requests were due; answers may come later.
    pub duration: Duration,
    /// What happened in each second of it, by when requests were due; warm-up seconds are among them and say so.
    pub seconds: Vec<Second>,
    /// CPU time of the generator's threads.
    pub generator_cpu: Duration,
}

/// Answers of one kind.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Items in the requests that got them.
    pub items: u64,
    /// Of 429 and 503: those that do not say when to ask again.
    pub without_retry_after: u64,
    /// From when a request was due.
    pub from_due: Latency,
    /// From when it was sent: what a closed loop would see.
    pub from_sent: Latency,
}

/// One second of a run.
#[derive(Debug, Clone, Default)]
pub struct Second {
    pub is_warm_up: bool,
    pub due: u64,
    /// Of those, as are the next two, whenever it was known.
    pub good: u64,
    pub refused: u64,
    /// Failed, unreadable, dropped, unsent, unanswered or skipped.
    pub failed: u64,
    /// Good answers that came in it, whenever their requests were due: what the service got through.
    pub came_in: u64,
    /// Of good answers, from when their requests were due; zero where there are none.
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
    /// How late the generator was itself.
    pub lag_p50: Duration,
    pub lag_p99: Duration,
    pub lag_max: Duration,
}

/// Why a figure is not told: the generator, not the service, would be in it, or it would be another one than its name says.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotDriven {
    #[error(
        "the generator was {lag:.1?} late itself at p{percent}, and may be {bound:.1?} late where {latency:.1?} are told"
    )]
    Late { percent: f64, lag: Duration, bound: Duration, latency: Duration },
    #[error(
        "the generator looked at only {in_time} of {due} requests in time: within a second, and while load was offered"
    )]
    Behind { in_time: u64, due: u64 },
    #[error("of {count} answers, p{percent} would be the longest")]
    TooFew { percent: f64, count: u64 },
    #[error("there are no answers that it could be told of")]
    NoAnswers,
}

/// The generator's own lateness at a percentile of a latency may be this part of it …
const LAG_ALLOWED_PART: f64 = 0.1;
/// … or so long, if that is longer and not most of it.
const LAG_ALLOWED: Duration = Duration::from_micros(500);
const LAG_ALLOWED_PART_MOST: f64 = 0.5;
/// Of what is due, this part has to be looked at within `LOOKED_AT_WITHIN`, and while load is offered: in a short run the rate would be
/// the generator's before it is as late as that.
const LOOKED_AT_PART: f64 = 0.99;
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(1);

impl Default for Latency {
    fn default() -> Self {
        // The bounds are constants that the histogram takes.
        Self(Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("valid bounds"))
    }
}

impl Latency {
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(micros(time));
    }

    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("histograms of the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that so many of a hundred are at or below; zero where there is none.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(self.0.value_at_percentile(percent))
    }

    /// How many are at or below a time.
    pub fn count_within(&self, time: Duration) -> u64 {
        self.0.count_between(0, micros(time))
    }

    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

/// In short, for the log of a test or a benchmark: a line for the whole, and one for each kind of answer.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { due, sent, unsent, dropped, unanswered, unreadable, skipped, closed, lag, .. } = self;
        write!(
            f,
            "{due} due, {sent} sent, {unsent} unsent, {dropped} dropped, {unanswered} unanswered, {unreadable} unreadable, \
             {skipped} skipped, {closed} closed, generator late by {:.1?} at p99",
            lag.percentile(99.0)
        )?;
        for ((kind, verdict, status), Answers { from_due, from_sent, .. }) in &self.answered {
            let kind = self.kinds.get(*kind).map_or("?", String::as_str);
            let [due50, due99] = [50.0, 99.0].map(|percent| from_due.percentile(percent));
            let [sent50, sent99] = [50.0, 99.0].map(|percent| from_sent.percentile(percent));
            write!(f, "\n{kind} {verdict} {status}: {} answers, p50 {due50:.1?}", from_due.count())?;
            write!(f, " p99 {due99:.1?} from due, p50 {sent50:.1?} p99 {sent99:.1?} from sent")?;
        }
        Ok(())
    }
}

impl NotDriven {
    /// Whether a latency can be told at a percentile where the generator was so late.
    pub fn unless_late(percent: f64, lag: Duration, latency: Duration) -> Result<(), Self> {
        let bound = LAG_ALLOWED.min(latency.mul_f64(LAG_ALLOWED_PART_MOST)).max(latency.mul_f64(LAG_ALLOWED_PART));
        if lag <= bound { Ok(()) } else { Err(Self::Late { percent, lag, bound, latency }) }
    }
}

impl Answers {
    fn add(&mut self, other: &Self) {
        self.items += other.items;
        self.without_retry_after += other.without_retry_after;
        self.from_due.add(&other.from_due);
        self.from_sent.add(&other.from_sent);
    }
}

impl Second {
    /// A percentile that is kept of it (50, 99, 100), if there are good answers and the generator was not late itself.
    pub fn told(&self, percent: f64) -> Result<Duration, NotDriven> {
        let (lag, time) = match percent {
            50.0 => (self.lag_p50, self.p50),
            99.0 => (self.lag_p99, self.p99),
            _ => (self.lag_max, self.max),
        };
        if self.good == 0 {
            Err(NotDriven::NoAnswers)
        } else {
            NotDriven::unless_late(percent, lag, time).map(|()| time)
        }
    }
}

impl Outcome {
    /// Of a run that has just begun.
    pub fn new(kinds: Vec<String>, duration: Duration) -> Self {
        Self { kinds, duration, ..Self::default() }
    }

    /// Takes in what another thread had of the same run; the seconds are put together elsewhere.
    pub(crate) fn add(&mut self, other: &Self) {
        self.due += other.due;
        self.sent += other.sent;
        self.unsent += other.unsent;
        self.dropped += other.dropped;
        self.unanswered += other.unanswered;
        self.unreadable += other.unreadable;
        self.skipped += other.skipped;
        self.late += other.late;
        self.good_meanwhile += other.good_meanwhile;
        self.closed += other.closed;
        self.generator_cpu += other.generator_cpu;
        self.lag.add(&other.lag);
        self.duration = self.duration.max(other.duration);
        for (key, answers) in &other.answered {
            self.answered.entry(*key).or_default().add(answers);
        }
    }

    /// Answers of a kind (or of all) with that verdict (or any).
    pub fn of(&self, kind: Option<usize>, verdict: Option<Verdict>) -> Answers {
        let mut all = Answers::default();
        self.each_of(kind, verdict).for_each(|answers| all.add(answers));
        all
    }

    fn each_of(&self, kind: Option<usize>, verdict: Option<Verdict>) -> impl Iterator<Item = &Answers> {
        let is_of = move |of, is| kind.is_none_or(|kind| kind == of) && verdict.is_none_or(|verdict| verdict == is);
        self.answered.iter().filter(move |((of, is, _), _)| is_of(*of, *is)).map(|(_, answers)| answers)
    }

    /// Good answers.
    pub fn good(&self) -> Answers {
        self.of(None, Some(Verdict::Good))
    }

    /// Requests that were due a second.
    pub fn offered(&self) -> f64 {
        self.a_second(self.due)
    }

    /// Good answers a second while the load was offered: not of what was answered from a queue afterwards.
    pub fn rate(&self) -> f64 {
        self.a_second(self.good_meanwhile)
    }

    fn a_second(&self, count: u64) -> f64 {
        if self.duration.is_zero() { 0.0 } else { count as f64 / self.duration.as_secs_f64() }
    }

    /// Whether rates and shares can be told: nearly all that was due was looked at in time.
    pub fn driven(&self) -> Result<(), NotDriven> {
        if self.due == 0 {
            return Err(NotDriven::NoAnswers);
        }
        let in_time = self.lag.count_within(LOOKED_AT_WITHIN).min(self.due - self.late);
        let is_driven = self.skipped == 0 && in_time as f64 >= self.due as f64 * LOOKED_AT_PART;
        if is_driven { Ok(()) } else { Err(NotDriven::Behind { in_time, due: self.due }) }
    }

    /// A percentile of some of the answers' times, if the generator was not so late itself that the figure would be its own.
    ///
    /// Lateness is measured at every arrival, and arrivals are spread over the run as answers are: a pause of the generator that delayed
    /// its reading shows in it just as often.
    pub fn trusted(&self, latency: &Latency, percent: f64) -> Result<Duration, NotDriven> {
        self.driven()?;
        let count = latency.count();
        if count == 0 {
            return Err(NotDriven::NoAnswers);
        }
        // The longest is called so, and half of few are half of them. A share such as 0.99 is not exact.
        let beyond = count as f64 * (1.0 - percent / 100.0);
        if percent > 50.0 && percent < 100.0 && beyond < 0.999 {
            return Err(NotDriven::TooFew { percent, count });
        }
        let told = latency.percentile(percent);
        NotDriven::unless_late(percent, self.lag.percentile(percent), told).map(|()| told)
    }

    /// What was not answered as meant, over what was due: from 0 to 1.
    pub fn error_rate(&self) -> f64 {
        // Counted where they lie: a share needs no histograms added up.
        let good: u64 = self.each_of(None, Some(Verdict::Good)).map(|answers| answers.from_due.count()).sum();
        if self.due == 0 { 0.0 } else { 1.0 - good as f64 / self.due as f64 }
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros().max(1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// So many good answers that took so long, by a generator that was so late.
    fn outcome(count: u64, took: Duration, lag: Duration) -> Outcome {
        let mut outcome = Outcome::new(vec!["score".to_owned()], Duration::from_secs(1));
        let mut answers = Answers::default();
        for _ in 0..count {
            answers.from_due.record(took);
            outcome.lag.record(lag);
        }
        outcome.answered.insert((0, Verdict::Good, 200), answers);
        outcome.due = count;
        outcome
    }

    #[test]
    fn figure_is_told_unless_the_generator_was_late_by_more_than_a_tenth_of_it() {
        let cases =
            [(MS, MS / 2, true), (MS, MS * 6 / 10, false), (MS * 100, MS * 9, true), (MS * 100, MS * 11, false)];
        for (took, lag, is_told) in cases {
            let outcome = outcome(1000, took, lag);
            assert_eq!(outcome.trusted(&outcome.good().from_due, 99.0).is_ok(), is_told, "{took:?} {lag:?}");
            assert_eq!(outcome.driven(), Ok(()));
        }
        let outcome = outcome(0, MS, MS);
        assert_eq!(outcome.trusted(&Latency::default(), 50.0), Err(NotDriven::NoAnswers));
        assert_eq!(outcome.driven(), Err(NotDriven::NoAnswers));
    }

    #[test]
    fn figure_of_half_a_millisecond_is_not_told_where_the_generator_was_as_late() {
        for (lag, is_told) in [(MS * 3 / 10, false), (MS / 10, true)] {
            assert_eq!(NotDriven::unless_late(50.0, lag, MS * 3 / 10).is_ok(), is_told, "{lag:?}");
        }
    }

    #[test]
    fn percentile_is_told_where_an_answer_lies_beyond_it() {
        for (count, percent, is_told) in [
            (1, 50.0, true),
            (1, 100.0, true),
            (99, 99.0, false),
            (100, 99.0, true),
            (999, 99.9, false),
            (1000, 99.9, true),
        ] {
            let outcome = outcome(count, MS, MS / 100);
            assert_eq!(outcome.trusted(&outcome.good().from_due, percent).is_ok(), is_told, "{count} {percent}");
        }
    }

    #[test]
    fn rate_of_a_short_run_is_not_told_where_part_of_it_was_looked_at_when_it_was_over() {
        for (late, is_told) in [(10, true), (11, false)] {
            assert_eq!(Outcome { late, ..outcome(1000, MS, MS) }.driven().is_ok(), is_told, "{late}");
        }
    }

    #[test]
    fn what_could_not_be_driven_says_how_late_the_generator_was() {
        let outcome = outcome(1000, MS * 20, MS * 12);
        let why = outcome.trusted(&outcome.good().from_due, 99.0).unwrap_err();
        assert_eq!(
            why.to_string(),
            "the generator was 12.0ms late itself at p99, and may be 2.0ms late where 20.0ms are told"
        );
    }
}
