//! One field's raw JSON text as its raw value.

use xxhash_rust::xxh3::xxh3_64;

use super::FieldCode;
use super::object::{kind_of, text};
use crate::fixed::{DecimalError, MAX_RAW, MISSING, format_decimal, parse_decimal};
use crate::nearest::nearest;
use crate::spec::{Field, FieldKind, MAX_TEXT_BYTES};

/// What is wrong with a value, without the value.
pub(super) struct Wrong {
    pub(super) code: FieldCode,
    pub(super) given: &'static str,
    pub(super) expected: String,
    pub(super) suggestion: Option<String>,
}

/// The raw value of a field from the text of a JSON value, or [`MISSING`] for a `null` that may be one.
#[inline]
pub(super) fn read(field: &Field, raw: &str) -> Result<i64, Wrong> {
    let first = raw.as_bytes().first().copied().unwrap_or(b'n');
    match (&field.kind, first) {
        (_, b'n') if field.required => Err(Wrong::absent("null", field)),
        (_, b'n') => Ok(MISSING),
        (FieldKind::Integer, b'-' | b'0'..=b'9') => number(field, raw, 0),
        (FieldKind::Decimal { scale }, b'-' | b'0'..=b'9') => number(field, raw, *scale),
        (FieldKind::Boolean, b't') => Ok(1),
        (FieldKind::Boolean, b'f') => Ok(0),
        (FieldKind::Category { values }, b'"') => category(field, values, raw),
        (FieldKind::Text, b'"') => hashed(field, raw),
        _ => Err(Wrong::new(FieldCode::WrongType, kind_of(raw), field)),
    }
}

fn number(field: &Field, raw: &str, scale: u8) -> Result<i64, Wrong> {
    match parse_decimal(raw, scale) {
        Ok(value) if value < field.min => Err(Wrong::new(FieldCode::OutOfRange, "number below the minimum", field)),
        Ok(value) if value > field.max => Err(Wrong::new(FieldCode::OutOfRange, "number above the maximum", field)),
        Ok(value) => Ok(value),
        Err(DecimalError::TooManyDecimals) => {
            Err(Wrong::new(FieldCode::TooManyDecimals, "number with too many decimals", field))
        }
        Err(DecimalError::OutOfRange) if raw.starts_with('-') => {
            Err(Wrong::new(FieldCode::OutOfRange, "number below the minimum", field))
        }
        Err(DecimalError::OutOfRange) => Err(Wrong::new(FieldCode::OutOfRange, "number above the maximum", field)),
        Err(DecimalError::NotANumber) => Err(Wrong::new(FieldCode::WrongType, "number", field)),
    }
}

fn category(field: &Field, values: &[String], raw: &str) -> Result<i64, Wrong> {
    let given = text(raw).ok_or_else(|| not_text(field))?;
    match values.iter().position(|value| **value == *given) {
        Some(index) => Ok(index as i64),
        None => Err(Wrong {
            suggestion: nearest(&given, values.iter().map(String::as_str)).map(str::to_owned),
            ..Wrong::new(FieldCode::NotInList, "text that is not in the list", field)
        }),
    }
}

fn hashed(field: &Field, raw: &str) -> Result<i64, Wrong> {
    let given = text(raw).ok_or_else(|| not_text(field))?;
    if given.len() > MAX_TEXT_BYTES {
        return Err(Wrong::new(FieldCode::TooLong, "text that is too long", field));
    }
    Ok(match xxh3_64(given.as_bytes()) as i64 {
        MISSING => MISSING + 1,
        hash => hash,
    })
}

#[cold]
fn not_text(field: &Field) -> Wrong {
    Wrong::new(FieldCode::WrongType, "text with an escape that is no character", field)
}

impl Wrong {
    #[cold]
    pub(super) fn new(code: FieldCode, given: &'static str, field: &Field) -> Self {
        Self { code, given, expected: expected(field), suggestion: None }
    }

    #[cold]
    pub(super) fn absent(given: &'static str, field: &Field) -> Self {
        Self::new(FieldCode::MissingField, given, field)
    }
}

/// What a field takes, for people.
fn expected(field: &Field) -> String {
    let bounds = |scale: u8| {
        let (min, max) = (format_decimal(field.min, scale), format_decimal(field.max, scale));
        match (field.min > -MAX_RAW, field.max < MAX_RAW) {
            (true, true) => format!(" from {min} to {max}"),
            (true, false) => format!(" of at least {min}"),
            (false, true) => format!(" of at most {max}"),
            (false, false) => String::new(),
        }
    };
    match &field.kind {
        FieldKind::Integer => format!("a whole number{}", bounds(0)),
        FieldKind::Decimal { scale } => format!("a number{}, with at most {scale} decimals", bounds(*scale)),
        FieldKind::Category { values } if values.len() <= 12 => {
            format!("one of {}", listed(values.iter().map(String::as_str)))
        }
        FieldKind::Category { values } => format!("one of {} texts", values.len()),
        FieldKind::Text => format!("text of at most {MAX_TEXT_BYTES} bytes"),
        FieldKind::Boolean => "`true` or `false`".to_owned(),
    }
}

pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
