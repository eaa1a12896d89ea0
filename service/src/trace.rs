//! Traces: every request has a place in one, which its log lines name, and some requests are recorded and exported.
//!
//! The place is W3C's ([`place`]), so that what a caller does and what happens here can be seen as one. Recording costs an allocation and
//! is done only where somebody exports: where the caller records too, or for a share of the requests whose trace begins here. A recording
//! holds what the tables of this service have names for; nothing of a person or an application is in it. Nothing here reads a header.

pub mod export;
mod otlp;
pub mod place;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::config;
use crate::degrade::{MODES, Mode, REASONS, Reasons};
use crate::metrics::trace::TraceMetrics;
use crate::trace::export::{ExportError, Exporter};
use crate::trace::place::{Ids, Parent, Place};

/// Stages that are recorded of one request; no way through the service has as many.
const STAGES_MOST: usize = 64;

/// Decides what is recorded, and has it exported.
pub struct Tracer {
    sample_percent: u32,
    /// Unless nothing is exported.
    exporter: Option<Arc<Exporter>>,
}

/// The trace of a request that is being answered.
#[derive(Debug)]
pub struct Trace {
    pub place: Place,
    pub recording: Option<Box<Recording>>,
}

/// One request, as it is exported.
#[derive(Debug)]
pub struct Recording {
    place: Place,
    request_id: String,
    method: &'static str,
    /// The path as it stands in the table of routes, if it does.
    route: Option<&'static str>,
    /// One instant by two clocks: lengths are exact, and where they lie in time is known.
    started: Instant,
    started_at: SystemTime,
    ended: Instant,
    /// Of the answer, if there was one.
    status: Option<u16>,
    stages: Vec<StageTaken>,
    decided: Option<DecidedAs>,
}

/// What is known of a request as it begins.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub request_id: &'a str,
    pub method: &'static str,
    pub route: Option<&'static str>,
    pub started: Instant,
    /// What only tells how the service is doing is not recorded.
    pub is_vital: bool,
}

#[derive(Debug)]
struct StageTaken {
    name: &'static str,
    from: Instant,
    to: Instant,
}

/// How the applications of a request were decided.
#[derive(Debug)]
struct DecidedAs {
    mode: Mode,
    reasons: Reasons,
    bundle_version: String,
}

impl Tracer {
    /// Starts to export, if that is asked for.
    pub fn start(config: &config::Tracing, metrics: TraceMetrics) -> Result<Self, ExportError> {
        let exporter = if config.otlp.is_empty() { None } else { Some(Exporter::start(config, metrics)?) };
        Ok(Self { sample_percent: config.sample_percent, exporter })
    }

    /// Begins the trace of a request, which goes on that of its caller.
    pub fn begin(&self, parent: Option<Parent>, ids: &Ids, head: Head<'_>) -> Trace {
        let place = Place::below(parent, ids);
        let is_sampled = match parent {
            Some(parent) => parent.is_sampled,
            None => place.trace_id.is_within(self.sample_percent),
        };
        let is_recorded = is_sampled && !head.is_vital && self.exporter.is_some();
        Trace { place, recording: is_recorded.then(|| Box::new(Recording::new(place, head))) }
    }

    /// Ends it. Without a status the client went away.
    pub fn end(&self, trace: Trace, status: Option<u16>) {
        if let (Some(mut recording), Some(exporter)) = (trace.recording, &self.exporter) {
            recording.ended = Instant::now();
            recording.status = status;
            exporter.push(*recording);
        }
    }

    /// Exports what is left, as far as that can be done soon.
    pub fn stop(&self, patience: std::time::Duration) {
        if let Some(exporter) = &self.exporter {
            exporter.stop(patience);
        }
    }
}

impl Recording {
    fn new(place: Place, head: Head<'_>) -> Self {
        let Head { request_id, method, route, started, .. } = head;
        Self {
            place,
            request_id: request_id.to_owned(),
            method,
            route,
            started,
            started_at: SystemTime::now() - started.elapsed(),
            ended: started,
            status: None,
            stages: Vec::with_capacity(STAGES_MOST / 4),
            decided: None,
        }
    }

    /// A stage of its way is over.
    pub fn stage(&mut self, name: &'static str, from: Instant, to: Instant) {
        if self.stages.len() < STAGES_MOST {
            self.stages.push(StageTaken { name, from, to });
        }
    }

    /// Its applications are decided.
    pub fn decided(&mut self, mode: Mode, reasons: Reasons, bundle_version: &str) {
        self.decided = Some(DecidedAs { mode, reasons, bundle_version: bundle_version.to_owned() });
    }
}

impl DecidedAs {
    fn mode(&self) -> &'static str {
        MODES[self.mode as usize].1
    }

    fn reasons(&self) -> impl Iterator<Item = &'static str> {
        self.reasons.places().map(|place| REASONS[place].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(sample_percent: u32, exports: bool, is_vital: bool, parent: Option<bool>) -> Trace {
        let exporter = exports.then(Exporter::idle);
        let tracer = Tracer { sample_percent, exporter };
        let parent = parent.map(|is_sampled| Parent { is_sampled, ..Parent::for_tests() });
        let head = Head { request_id: "r", method: "GET", route: None, started: Instant::now(), is_vital };
        tracer.begin(parent, &Ids::new(), head)
    }

    #[test]
    fn a_sampled_caller_is_followed_and_a_share_of_the_others_recorded() {
        for (sample_percent, exports, is_vital, parent, is_recorded) in [
            (0, true, false, Some(true), true),
            (100, true, false, Some(false), false),
            (100, true, false, None, true),
            (0, true, false, None, false),
            (100, true, true, Some(true), false),
            (100, false, false, Some(true), false),
        ] {
            let trace = begun(sample_percent, exports, is_vital, parent);
            let case = (sample_percent, exports, is_vital, parent);
            assert_eq!(trace.recording.is_some(), is_recorded, "{case:?}");
        }
    }

    #[test]
    fn stages_of_a_recording_are_bounded() {
        let mut recording = begun(100, true, false, None).recording.unwrap();
        let now = Instant::now();
        (0..1000).for_each(|_| recording.stage("model", now, now));
        assert_eq!(recording.stages.len(), STAGES_MOST);
    }
}
