//! What is said of a score, over HTTP, in files and in streams alike.

use std::sync::Arc;

use cauce_features::application::Application;
use cauce_features::time::Timestamp;
use cauce_model::bundle::Bundle;
use cauce_model::score::{self as policy, Score};
use serde::Serialize;

use super::{Decision, History, Made};
use crate::degrade::{Mode, Reason, Reasons};

/// How scored applications are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// In the history, and in the log a moment later.
    Relaxed,
    /// In the history, and in the log for good.
    Durable,
    /// Not known to be: the log failed, or did not answer in time.
    Unknown(Reason),
}

impl Kept {
    fn reasons(self, reasons: Reasons) -> Reasons {
        match self {
            Self::Unknown(reason) => reasons.with(reason),
            Self::Relaxed | Self::Durable => reasons,
        }
    }
}

/// A decision apart from the scorer that made it.
pub struct Decided {
    pub bundle: Arc<Bundle>,
    pub made: Made,
    pub history: History,
    probability: Option<f32>,
    recorded: bool,
    vector: Option<Vec<f32>>,
}

impl Decided {
    /// The same decision, made under a bundle.
    pub fn of(decision: &Decision<'_>, bundle: Arc<Bundle>, wants_vector: bool) -> Self {
        let Decision { score, made, history, recorded, vector } = decision;
        Self {
            bundle,
            made: *made,
            history: *history,
            probability: score.map(|score| score.probability_of_default),
            recorded: *recorded,
            vector: wants_vector.then(|| vector.to_vec()),
        }
    }

    /// What it means; `None` where a person has to decide.
    pub fn score(&self) -> Option<Score<'_>> {
        self.probability.map(|probability| self.bundle.policy().score(probability))
    }

    /// Whether it is as recorded as it can be: nobody in particular has no history. A log that has not answered in time will.
    pub fn is_recorded(&self, application: &Application, kept: Kept) -> bool {
        let is_lost = matches!(kept, Kept::Unknown(Reason::LogFailed));
        (self.recorded || application.person().is_empty()) && !is_lost
    }

    /// Why it is less than it should be.
    pub fn reasons(&self, kept: Kept) -> Reasons {
        kept.reasons(self.made.reasons)
    }

    /// As it stands in answers.
    pub fn answer<'a>(&'a self, application: &'a Application, as_of: Timestamp, kept: Kept) -> Scored<'a> {
        let Self { made, history, recorded, vector, .. } = self;
        let (made, history, recorded) = (*made, *history, *recorded);
        let decision =
            Decision { score: self.score(), made, history, recorded, vector: vector.as_deref().unwrap_or_default() };
        Scored::new(application, &decision, as_of, vector.is_some(), kept)
    }
}

/// One scored application, as it stands in answers.
#[derive(Serialize)]
pub struct Scored<'a> {
    person_id: Option<&'a str>,
    application_id: &'a str,
    decision: &'static str,
    /// Null where a person has to decide, like what follows from it.
    probability_of_default: Option<f32>,
    band: Option<&'a str>,
    confidence: Option<f32>,
    mode: Mode,
    degraded_reasons: Reasons,
    /// Of a score that was given before: how long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_age_seconds: Option<f64>,
    history: HistoryAnswer,
    recorded: bool,
    durable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<&'a [f32]>,
}

impl<'a> Scored<'a> {
    /// The answer to an application.
    pub fn new(
        application: &'a Application,
        decision: &Decision<'a>,
        as_of: Timestamp,
        wants_vector: bool,
        kept: Kept,
    ) -> Self {
        let (score, made) = (decision.score, decision.made);
        let (is_unknown, reasons) = (matches!(kept, Kept::Unknown(_)), kept.reasons(made.reasons));
        let recorded = decision.recorded && !is_unknown;
        Self {
            person_id: Some(application.person()).filter(|person| !person.is_empty()),
            application_id: application.id_text(),
            decision: score.map_or(policy::Decision::Refer, |score| score.decision).as_str(),
            probability_of_default: score.map(|score| score.probability_of_default),
            band: score.map(|score| score.band),
            confidence: score.map(|score| score.confidence),
            mode: made.mode,
            degraded_reasons: reasons,
            cached_age_seconds: made.age.map(|age| age.as_secs_f64()),
            history: HistoryAnswer::of(decision.history, as_of),
            recorded,
            durable: recorded && kept == Kept::Durable,
            vector: wants_vector.then_some(decision.vector),
        }
    }
}

/// What is said of the history behind an answer.
#[derive(Serialize)]
pub struct HistoryAnswer {
    known: bool,
    newest_event_age_seconds: Option<f64>,
    truncated: bool,
    coarse: bool,
}

impl HistoryAnswer {
    /// The history as of an instant.
    pub fn of(History { known, facts }: History, as_of: Timestamp) -> Self {
        let age = |newest: Timestamp| (as_of.millis() - newest.millis()) as f64 / 1000.0;
        Self {
            known,
            newest_event_age_seconds: facts.newest_event.map(age),
            truncated: facts.truncated,
            coarse: facts.coarse,
        }
    }
}

/// Which bundle an answer is of.
#[derive(Serialize)]
pub struct BundleRef<'a> {
    name: &'a str,
    version: &'a str,
    hash: &'a str,
}

impl<'a> BundleRef<'a> {
    /// The reference of a bundle.
    pub fn of(bundle: &'a Bundle) -> Self {
        Self { name: bundle.name(), version: bundle.version(), hash: bundle.hash() }
    }

    /// The same as labels of a metric.
    pub fn labels(&self) -> [(&'static str, &'a str); 3] {
        [("name", self.name), ("version", self.version), ("hash", self.hash)]
    }
}

/// An instant as RFC 3339 text.
pub struct InstantText(pub Timestamp);

impl Serialize for InstantText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
