//! CloudEvents 1.0 around a record, structured or binary (Kafka protocol binding), made the envelope that everything else reads.
//!
//! `id` is the event's or application's id, `subject` the person (or else the record's key), `time` when it happened, the last word of
//! `type` the event type, `data` the rest. What is missing is missing in the envelope too, and is told by the name that it has there.

use std::borrow::Cow;
use std::str;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::decode::{Reason, Refused, field};
use super::{Lane, Record};

const STRUCTURED: &str = "application/cloudevents+json";

#[derive(Deserialize)]
struct Attributes<'a> {
    #[serde(borrow)]
    specversion: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    person_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<&'a RawValue>,
}

/// The envelope of a record: its value as it is, unless it is a CloudEvent.
pub fn unwrap(record: &Record, lane: Lane) -> Result<Cow<'_, [u8]>, Refused> {
    let value = record.value.as_deref().unwrap_or_default();
    if record.headers.is_empty() {
        return Ok(Cow::Borrowed(value));
    }
    let is_structured = record.header("content-type").is_some_and(|kind| kind.starts_with(STRUCTURED));
    let attributes = if is_structured {
        serde_json::from_slice(value).map_err(|error| Refused {
            reason: Reason::MalformedJson,
            errors: format!(r#"[{{"line":{},"column":{}}}]"#, error.line(), error.column()),
        })?
    } else if record.header("ce_specversion").is_some() {
        let header = |name| record.header(name).map(Cow::Borrowed);
        Attributes {
            specversion: header("ce_specversion"),
            id: header("ce_id"),
            r#type: header("ce_type"),
            subject: header("ce_subject"),
            time: header("ce_time"),
            data: Some(serde_json::from_slice(value).map_err(|_| Reason::MalformedJson)?),
        }
    } else {
        return Ok(Cow::Borrowed(value));
    };
    envelope(record, &attributes, lane).map(Cow::Owned)
}

fn envelope(record: &Record, attributes: &Attributes<'_>, lane: Lane) -> Result<Vec<u8>, Refused> {
    let Attributes { specversion, id, r#type, subject, time, data } = attributes;
    if specversion.as_deref() != Some("1.0") {
        return Err(field("specversion", "not_in_list", "another version, or none", "`1.0`"));
    }
    let key = record.key.as_deref().and_then(|key| str::from_utf8(key).ok()).unwrap_or_default();
    let is_event = lane == Lane::Events;
    let envelope = Envelope {
        person_id: subject.as_deref().unwrap_or(key),
        event_id: id.as_deref().filter(|_| is_event),
        application_id: id.as_deref().filter(|_| !is_event),
        r#type: r#type.as_deref().filter(|_| is_event).map(|name| name.rsplit('.').next().unwrap_or(name)),
        time: time.as_deref().filter(|_| is_event),
        as_of: time.as_deref().filter(|_| !is_event),
        data: data.filter(|_| is_event),
        application: data.filter(|_| !is_event),
    };
    Ok(serde_json::to_vec(&envelope).expect("an envelope is text and JSON"))
}
