//! What a thread counts of requests, once: for Prometheus, whose counters are those of all threads, and in its own recorder for KPIs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cauce_features::application::Application;
use cauce_model::bundle::Bundle;

use crate::degrade::{self, Reasons};
use crate::ingest::{Refusal, Taken};
use crate::kpi::recorder::{Answered, Recorder};
use crate::metrics::kafka::TAKEN;
use crate::metrics::{INVALID, Metrics, STAGES, outcome};
use crate::scoring::Decision;
use crate::stream::Worked;
use crate::stream::decode::Reason;

/// Counts for one thread.
pub struct Tally {
    metrics: Arc<Metrics>,
    /// None where no KPIs are kept.
    recorder: Option<Arc<Recorder>>,
}

impl Tally {
    /// For a thread with this recorder.
    pub fn new(metrics: Arc<Metrics>, recorder: Option<Arc<Recorder>>) -> Self {
        Self { metrics, recorder }
    }

    /// Counts an answer.
    pub fn answered(&self, answered: &Answered) {
        self.metrics.answered(answered);
        self.kpi(|recorder| recorder.answered(answered));
    }

    /// Counts how long each stage of a request took, those that it had.
    pub fn stages(&self, took: &[Option<Duration>; STAGES.len()]) {
        self.metrics.stages(took);
        self.kpi(|recorder| recorder.stages(took));
    }

    /// Counts a scored application, for a product if the request named one.
    pub fn scored(
        &self,
        application: &Application,
        product: Option<&str>,
        decision: &Decision<'_>,
        bundle: &Arc<Bundle>,
    ) {
        self.metrics.scored(application, decision);
        self.kpi(|recorder| recorder.scored(application, product, decision, bundle));
    }

    /// Counts an application of the stream that was scored, which Prometheus has families of its own for.
    pub fn streamed(&self, application: &Application, decision: &Decision<'_>, bundle: &Arc<Bundle>) {
        self.kpi(|recorder| recorder.scored(application, None, decision, bundle));
    }

    /// Counts a reason that was found after so many scores were counted, some of which were not degraded before.
    pub fn degraded(&self, reason: degrade::Reason, scores: u64, anew: u64) {
        self.metrics.degraded(Reasons::NONE.with(reason), scores);
        self.kpi(|recorder| recorder.degraded(reason, scores, anew));
    }

    /// Counts a valid event whose fate is decided here.
    pub fn event(&self, became: Result<Taken, Refusal>) {
        self.event_at(outcome(became));
    }

    /// Counts a valid event that went to Kafka: for KPIs it is one of the stream, counted by whoever makes it history.
    pub fn relayed(&self, became: Result<Taken, Refusal>) {
        self.metrics.event(outcome(became));
    }

    /// Counts what was sent as an event and is none.
    pub fn invalid_event(&self) {
        self.event_at(INVALID);
    }

    /// Counts what came of events of the stream, which Prometheus has families of its own for.
    pub fn worked(&self, worked: &Worked) {
        self.kpi(|recorder| {
            let taken = TAKEN.into_iter().map(|taken| outcome(Ok(taken))).zip(worked.taken);
            let events = worked.refused.iter().filter(|(is_event, ..)| *is_event);
            let refused = events.map(|(_, reason, count)| (refused(*reason), *count));
            taken.chain(refused).for_each(|(outcome, count)| recorder.events(outcome, count));
        });
    }

    /// Counts a defect.
    pub fn panicked(&self) {
        self.metrics.panicked();
    }

    /// Says how the thread stands, and when it will say so again, at the latest.
    pub fn load(&self, delay: Duration, in_flight: usize, next: Instant) {
        self.kpi(|recorder| recorder.load(delay, in_flight, next));
    }

    fn event_at(&self, outcome: usize) {
        self.metrics.event(outcome);
        self.kpi(|recorder| recorder.events(outcome, 1));
    }

    fn kpi(&self, count: impl FnOnce(&Recorder)) {
        if let Some(recorder) = &self.recorder {
            count(recorder);
        }
    }
}

/// The place of a dead letter among what may become of an event.
fn refused(reason: Reason) -> usize {
    match reason {
        Reason::EventTooLate => outcome(Err(Refusal::TooLate)),
        Reason::EventInFuture => outcome(Err(Refusal::InFuture)),
        Reason::StoreFull => outcome(Err(Refusal::StoreFull)),
        Reason::MalformedJson
        | Reason::InvalidFields
        | Reason::MissingKey
        | Reason::KeyMismatch
        | Reason::UnknownKind => INVALID,
    }
}
