//! One JSON object against one declared record: every wrong field at once, never the value of one.
//!
//! This stands on the request path, so it streams: `serde_json` finds the members, a field is expected where the declaration
//! has it and looked up otherwise, and its raw text becomes an integer without a float or a tree between. When all is
//! well one allocation holds the values. `serde_json` bounds recursion and skips what nobody asked for without recursing.

mod envelope;
mod fields;
mod names;
mod object;
#[cfg(test)]
mod tests;
mod value;

use serde::Serialize;

use crate::event::EventId;
use crate::fixed::MISSING;
use crate::spec::Record;
pub(crate) use envelope::{Envelope, EnvelopeKind};
use fields::Fields;
pub(crate) use names::Names;
pub use object::text_member;
use object::{Errors, read_object};

/// What becomes of a key that no field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    Refuse,
    Ignore,
}

/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordErrors {
    /// Not JSON at all, from this place on.
    #[error("malformed JSON at line {line}, column {column}: {message}")]
    Malformed { line: usize, column: usize, message: String },
    /// JSON, but not this record: all that is wrong, at most [`RecordErrors::MOST`] entries.
    #[error("{} wrong field(s), first `{}`", .0.len(), .0.first().map_or("", |error| &error.path))]
    Fields(Vec<FieldError>),
}

/// One wrong field: where, what, and what would be right. Never the value itself, which may be personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// `application.age`
    pub path: String,
    pub code: FieldCode,
    /// The kind of what was given: `text`, `number above the maximum`, `absent`.
    pub given: &'static str,
    pub expected: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// What is wrong with a field, as a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldCode {
    UnknownField,
    DuplicateField,
    MissingField,
    WrongType,
    OutOfRange,
    TooManyDecimals,
    TooLong,
    NotInList,
    InvalidId,
    InvalidTime,
}

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("an id is not empty")]
    Empty,
    #[error("an id is at most 128 bytes long")]
    TooLong,
    #[error("an id has no control characters")]
    ControlCharacter,
}

impl RecordErrors {
    /// How many wrong fields are listed at most (S5).
    pub const MOST: usize = 128;
}

impl FieldError {
    pub(crate) fn id(path: &str, error: IdError) -> Self {
        let given = match error {
            IdError::Empty => "empty text",
            IdError::TooLong => "text that is too long",
            IdError::ControlCharacter => "text with a control character",
        };
        Self {
            path: path.to_owned(),
            code: FieldCode::InvalidId,
            given,
            expected: "text of 1 to 128 bytes without control characters".to_owned(),
            suggestion: None,
        }
    }
}

/// Whether a text may be the id of a person, an event or an application.
pub fn check_id(text: &str) -> Result<(), IdError> {
    match text.len() {
        0 => Err(IdError::Empty),
        1..=EventId::MAX_BYTES if text.chars().any(char::is_control) => Err(IdError::ControlCharacter),
        1..=EventId::MAX_BYTES => Ok(()),
        _ => Err(IdError::TooLong),
    }
}

impl Record {
    /// The raw values of a JSON object in declared order, [`crate::fixed::MISSING`] where not given; a `null` is not given.
    pub fn read(&self, json: &[u8], unknown: Unknown) -> Result<Vec<i64>, RecordErrors> {
        let mut values = vec![MISSING; self.fields.len()];
        let mut errors = Errors::default();
        read_object(json, &mut Fields { record: self, unknown, path: "", values: &mut values, errors: &mut errors })?;
        errors.or(values)
    }
}
