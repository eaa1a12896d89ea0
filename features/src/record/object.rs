//! JSON text as an object's members, and what is wrong with them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{FieldCode, FieldError, RecordErrors};
use crate::event::EventId;

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<FieldError>);

impl Errors {
    pub(super) fn push(&mut self, error: FieldError) {
        if self.0.len() < RecordErrors::MOST {
            self.0.push(error);
        }
    }

    /// The value, if nothing is wrong.
    pub(super) fn or<T>(self, value: T) -> Result<T, RecordErrors> {
        if self.0.is_empty() { Ok(value) } else { Err(RecordErrors::Fields(self.0)) }
    }

    /// What is wrong, known to be something.
    pub(super) fn refusal(self) -> RecordErrors {
        debug_assert!(!self.0.is_empty(), "whatever is not there has been refused");
        RecordErrors::Fields(self.0)
    }
}

/// What reads the members of an object, or hears that there is none.
pub(super) trait Members<'de> {
    fn members<A: MapAccess<'de>>(&mut self, map: A) -> Result<(), A::Error>;

    fn not_an_object(&mut self, given: &'static str);
}

/// Reads a whole text as one object.
pub(super) fn read_object<'de>(json: &'de [u8], members: &mut impl Members<'de>) -> Result<(), RecordErrors> {
    let text = std::str::from_utf8(json).map_err(|error| not_utf8(json, error.valid_up_to()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Object(members).deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(malformed)
}

#[cold]
fn malformed(error: serde_json::Error) -> RecordErrors {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let message = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text).to_owned();
    RecordErrors::Malformed { line, column, message }
}

#[cold]
fn not_utf8(json: &[u8], valid: usize) -> RecordErrors {
    let before = &json[..valid];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    RecordErrors::Malformed {
        line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
        column: valid - line_start + 1,
        message: "not UTF-8".to_owned(),
    }
}

/// One value that should be an object.
pub(super) struct Object<'m, M>(pub(super) &'m mut M);

impl<'de, M: Members<'de>> DeserializeSeed<'de> for Object<'_, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Members<'de>> Visitor<'de> for Object<'_, M> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.members(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.0.not_an_object("list");
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.not_an_object("null");
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.0.not_an_object("true or false");
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.0.not_an_object("number");
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.0.not_an_object("number");
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.0.not_an_object("number");
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.0.not_an_object("text");
        Ok(())
    }
}

/// A key, looked at without a copy.
pub(super) struct Key<F>(pub(super) F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for Key<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for Key<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<T, E> {
        Ok((self.0)(key))
    }
}

/// A JSON value's kind, for people.
pub(super) fn kind_of(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'"') => "text",
        Some(b'{') => "object",
        Some(b'[') => "list",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// What a JSON text says, without a copy unless it has escapes; `None` for another kind, or an escape that is no character.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.as_bytes().contains(&b'\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// A key as it is repeated to its sender: no longer than any name may be, and in one line.
pub(super) fn shown(key: &str) -> String {
    key.chars().filter(|character| !character.is_control()).take(64).collect()
}

/// The path of a member below `path`.
pub(super) fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(super) fn not_an_object(path: &str, given: &'static str) -> FieldError {
    FieldError {
        path: path.to_owned(),
        code: FieldCode::WrongType,
        given,
        expected: "an object".into(),
        suggestion: None,
    }
}

/// The first of these members that can be an id (a text, or a whole number as its digits), for envelopes that hide the
/// person among the fields. Nothing is checked beyond that: the record's own reading follows.
pub fn text_member(json: &[u8], names: &[&str]) -> Option<String> {
    struct Named<'n> {
        names: &'n [&'n str],
        found: Vec<Option<String>>,
    }

    impl<'de> Members<'de> for Named<'_> {
        fn members<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
            let names = self.names;
            let find = |key: &str| names.iter().position(|name| *name == key);
            while let Some(index) = map.next_key_seed(Key(find))? {
                match index {
                    Some(index) => self.found[index] = as_id(map.next_value::<&RawValue>()?.get()),
                    None => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            Ok(())
        }

        fn not_an_object(&mut self, _: &'static str) {}
    }

    let mut named = Named { names, found: vec![None; names.len()] };
    read_object(json, &mut named).ok()?;
    named.found.into_iter().flatten().next()
}

fn as_id(raw: &str) -> Option<String> {
    let is_number = raw.len() <= EventId::MAX_BYTES && raw.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Some(raw.to_owned()) } else { text(raw).filter(|text| !text.is_empty()).map(Cow::into_owned) }
}
