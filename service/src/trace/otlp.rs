//! Recordings in the words of OpenTelemetry: its messages, and its names for what HTTP services do.
//!
//! `url.path` is left out although it is usual: it holds the ids of people.

use std::time::{Duration, Instant, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use super::{Recording, StageTaken};

/// The caller recorded it too or it is a root; that a parent is or is not in another process is known, and that it is.
const SAMPLED: u32 = 1;
const KNOWN_WHERE: u32 = 1 << 8;
const REMOTE: u32 = 1 << 9;

/// The body of one export.
pub fn encode(service: &str, recordings: &[Recording]) -> Vec<u8> {
    let scope = InstrumentationScope { name: "cauce".into(), version: VERSION.into(), ..Default::default() };
    let spans = recordings.iter().flat_map(spans).collect();
    let attributes = vec![text("service.name", service), text("service.version", VERSION)];
    let spans = ResourceSpans {
        resource: Some(Resource { attributes, ..Default::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }],
        ..Default::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec()
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The request, then its stages.
fn spans(recording: &Recording) -> impl Iterator<Item = Span> {
    let stages = recording.stages.iter().zip(0..).map(|(stage, number)| stage_span(recording, stage, number));
    std::iter::once(request_span(recording)).chain(stages)
}

fn request_span(recording: &Recording) -> Span {
    let Recording { place, method, route, started, ended, status, .. } = recording;
    let is_failure = status.is_some_and(|status| status >= 500);
    Span {
        trace_id: place.trace_id.to_bytes().into(),
        span_id: place.span_id.to_bytes().into(),
        parent_span_id: place.parent.map(|parent| parent.to_bytes().into()).unwrap_or_default(),
        flags: SAMPLED | KNOWN_WHERE | if place.parent.is_some() { REMOTE } else { 0 },
        name: route.map_or_else(|| (*method).to_owned(), |route| format!("{method} {route}")),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: nanos(recording, *started),
        end_time_unix_nano: nanos(recording, *ended),
        attributes: attributes(recording),
        status: is_failure.then(|| Status { code: StatusCode::Error.into(), message: String::new() }),
        ..Default::default()
    }
}

fn stage_span(recording: &Recording, stage: &StageTaken, number: u64) -> Span {
    let place = recording.place;
    Span {
        trace_id: place.trace_id.to_bytes().into(),
        span_id: place.span_id.child(number).to_bytes().into(),
        parent_span_id: place.span_id.to_bytes().into(),
        flags: SAMPLED | KNOWN_WHERE,
        name: stage.name.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanos(recording, stage.from),
        end_time_unix_nano: nanos(recording, stage.to),
        ..Default::default()
    }
}

fn attributes(recording: &Recording) -> Vec<KeyValue> {
    let Recording { request_id, method, route, status, decided, .. } = recording;
    let mut attributes =
        vec![text("http.request.method", method), text("url.scheme", "http"), text("cauce.request_id", request_id)];
    attributes.extend(route.map(|route| text("http.route", route)));
    if let Some(status) = status {
        attributes.push(attribute("http.response.status_code", Value::IntValue((*status).into())));
        attributes.extend((*status >= 500).then(|| text("error.type", &status.to_string())));
    }
    if let Some(decided) = decided {
        let reasons = decided.reasons().map(|reason| any(Value::StringValue(reason.to_owned()))).collect();
        attributes.extend([
            text("cauce.mode", decided.mode()),
            attribute("cauce.degraded_reasons", Value::ArrayValue(ArrayValue { values: reasons })),
            text("cauce.bundle.version", &decided.bundle_version),
        ]);
    }
    attributes
}

/// When it was by the wall's clock.
fn nanos(recording: &Recording, instant: Instant) -> u64 {
    let since_epoch = recording.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_start: Duration = instant.saturating_duration_since(recording.started);
    (since_epoch + since_start).as_nanos() as u64
}

fn text(key: &'static str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &'static str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..Default::default() }
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}
