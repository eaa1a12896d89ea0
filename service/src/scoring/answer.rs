//! What is said of a score, over HTTP, in files and in streams alike.

use cauce_features::application::Application;
use cauce_features::time::Timestamp;
use cauce_model::bundle::Bundle;
use serde::Serialize;

use super::{Decision, History, Mode};

/// How scored applications are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// In the history, and in the log a moment later.
    Relaxed,
    /// In the history, and in the log for good.
    Durable,
    /// Not: the log failed.
    Failed,
}

/// One scored application, as it stands in answers.
#[derive(Serialize)]
pub struct Scored<'a> {
    person_id: Option<&'a str>,
    application_id: &'a str,
    decision: &'static str,
    probability_of_default: f32,
    band: &'a str,
    confidence: f32,
    mode: Mode,
    degraded_reasons: &'static [&'static str],
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
        let score = decision.score;
        let recorded = decision.recorded && kept != Kept::Failed;
        Self {
            person_id: Some(application.person()).filter(|person| !person.is_empty()),
            application_id: application.id_text(),
            decision: score.decision.as_str(),
            probability_of_default: score.probability_of_default,
            band: score.band,
            confidence: score.confidence,
            mode: decision.mode,
            degraded_reasons: match decision.mode {
                Mode::Full => &[],
                Mode::Fallback => &["model_failed"],
            },
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
