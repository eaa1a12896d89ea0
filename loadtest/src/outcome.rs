//! What came of a run, and which of it can be reported.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::traffic::Verdict;

/// Times by buckets, from a microsecond to an hour, three significant digits.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

/// What came of a run. Warm-up is in none of it.
#[derive(Debug, Clone)]
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
    pub good: u64,
    pub refused: u64,
    /// Failed, dropped, unsent or unanswered.
    pub failed: u64,
    pub latency: Latency,
    pub lag_max: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        // The bounds are constants that the histogram takes.
        Self(Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("valid bounds"))
    }
}

impl Latency {
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(time.as_micros().max(1).try_into().unwrap_or(u64::MAX));
    }

    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("histograms of the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that so many of a hundred are at or below; zero where there is none.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(self.0.value_at_percentile(percent)).min(self.max())
    }

    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }
}

impl Outcome {
    /// Answers of a kind (or of all) with that verdict (or any).
    pub fn of(&self, kind: Option<usize>, verdict: Option<Verdict>) -> Answers {
        let mut all = Answers::default();
        for ((of, is, _), answers) in &self.answered {
            if kind.is_none_or(|kind| kind == *of) && verdict.is_none_or(|verdict| verdict == *is) {
                all.items += answers.items;
                all.without_retry_after += answers.without_retry_after;
                all.from_due.add(&answers.from_due);
                all.from_sent.add(&answers.from_sent);
            }
        }
        all
    }

    /// Good answers.
    pub fn good(&self) -> Answers {
        self.of(None, Some(Verdict::Good))
    }

    /// Good answers a second.
    pub fn rate(&self) -> f64 {
        self.good().from_due.count() as f64 / self.duration.as_secs_f64()
    }

    /// What was not answered as meant, over what was due: from 0 to 1.
    pub fn error_rate(&self) -> f64 {
        if self.due == 0 { 0.0 } else { 1.0 - self.good().from_due.count() as f64 / self.due as f64 }
    }
}
