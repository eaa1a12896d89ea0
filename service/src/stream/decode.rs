//! Bytes of a stream record to a valid event or application, or the reason why it is a dead letter.
//!
//! The key says whose record it is, since it alone decides in which partition it is: a body that names somebody else is refused.

use std::str;

use cauce_features::application::{Application, StreamedApplication};
use cauce_features::event::Event;
use cauce_features::record::{FieldError, RecordErrors, Unknown, check_id};
use cauce_features::spec::Specification;
use serde::Serialize;

use super::cloud_event;
use super::output::Origin;
use super::{Lane, Record};
use crate::ingest::Refusal;
use crate::kafka::header;

/// What a record of the events topic is.
#[derive(Debug, Clone, PartialEq)]
pub enum Intake {
    Event(Event),
    /// Everything of this person goes.
    Erasure(String),
}

/// Why a record is a dead letter: stable, for `cauce dead-letters replay --reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    MalformedJson,
    InvalidFields,
    /// It has no key, so nobody knows whose it is or whether its partition is right.
    MissingKey,
    /// Its key is of another person than its body.
    KeyMismatch,
    EventTooLate,
    EventInFuture,
    StoreFull,
    /// Its header `cauce-kind` is none that there is.
    UnknownKind,
}

/// A record that is not taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub reason: Reason,
    /// What is wrong, as JSON that names fields and never values.
    pub errors: String,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::MalformedJson,
        Self::InvalidFields,
        Self::MissingKey,
        Self::KeyMismatch,
        Self::EventTooLate,
        Self::EventInFuture,
        Self::StoreFull,
        Self::UnknownKind,
    ];

    /// As it stands in headers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::InvalidFields => "invalid_fields",
            Self::MissingKey => "missing_key",
            Self::KeyMismatch => "key_mismatch",
            Self::EventTooLate => "event_too_late",
            Self::EventInFuture => "event_in_future",
            Self::StoreFull => "store_full",
            Self::UnknownKind => "unknown_kind",
        }
    }
}

/// Reads a record of the events topic.
pub fn event(specification: &Specification, record: &Record) -> Result<Intake, Refused> {
    let person = person(record)?;
    if record.value.is_none() {
        return Ok(Intake::Erasure(person.to_owned()));
    }
    let event = match record.header(header::KIND) {
        None => Event::from_json(specification, &cloud_event::unwrap(record, Lane::Events)?)?,
        Some(kind) => scored_over_http(specification, record, kind, person)?,
    };
    if event.person() != person {
        return Err(Reason::KeyMismatch.into());
    }
    Ok(Intake::Event(event))
}

/// Reads an application. One without an id takes the name of its place, which it keeps however often it is read.
pub fn application(
    specification: &Specification,
    record: &Record,
    origin: &Origin,
) -> Result<StreamedApplication, Refused> {
    let person = person(record)?;
    let json = cloud_event::unwrap(record, Lane::Applications)?;
    let mut streamed = StreamedApplication::from_json(specification, &json, &origin.id())?;
    if streamed.application.person().is_empty() {
        streamed.application = streamed.application.of_person(person);
    } else if streamed.application.person() != person {
        return Err(Reason::KeyMismatch.into());
    }
    streamed.high_priority |= record.header(header::PRIORITY) == Some("high");
    Ok(streamed)
}

/// An application that this service scored over HTTP, as the event that it is from then on.
fn scored_over_http(
    specification: &Specification,
    record: &Record,
    kind: &str,
    person: &str,
) -> Result<Event, Refused> {
    let (body, id) = (record.value.as_deref().unwrap_or_default(), record.header(header::ID).unwrap_or_default());
    let application = match kind {
        "application" => Application::from_json(specification, body, id)?,
        "fields" => Application::from_fields(specification, person, id, body, Unknown::Ignore)?,
        _ => return Err(Reason::UnknownKind.into()),
    };
    let as_of = record.instant(header::AS_OF).unwrap_or(record.timestamp);
    Ok(application.as_event(specification, as_of))
}

fn person(record: &Record) -> Result<&str, Refused> {
    let key = record.key.as_deref().ok_or(Reason::MissingKey)?;
    let person = str::from_utf8(key).ok().filter(|person| check_id(person).is_ok());
    person.ok_or_else(|| {
        field("key", "invalid_id", "bytes that are no id", "text of 1 to 128 bytes without control characters")
    })
}

/// A refusal for one part of a record that no specification declares.
pub(super) fn field(path: &str, code: &str, given: &str, expected: &str) -> Refused {
    let errors = serde_json::json!([{"path": path, "code": code, "given": given, "expected": expected}]);
    Refused { reason: Reason::InvalidFields, errors: errors.to_string() }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self { reason, errors: "[]".to_owned() }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLate => Reason::EventTooLate.into(),
            Refusal::InFuture => Reason::EventInFuture.into(),
            Refusal::StoreFull => Reason::StoreFull.into(),
        }
    }
}

impl From<RecordErrors> for Refused {
    fn from(errors: RecordErrors) -> Self {
        #[derive(Serialize)]
        struct Place {
            line: usize,
            column: usize,
        }
        match errors {
            RecordErrors::Malformed { line, column, .. } => {
                Self { reason: Reason::MalformedJson, errors: json(&[Place { line, column }]) }
            }
            RecordErrors::Fields(errors) => Self { reason: Reason::InvalidFields, errors: json::<FieldError>(&errors) },
        }
    }
}

fn json<T: Serialize>(errors: &[T]) -> String {
    serde_json::to_string(errors).expect("errors are plain text and numbers")
}
