//! The members of an object as the raw values of a record's fields.

use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::object::{Errors, Key, Members, below, not_an_object, shown};
use super::{FieldCode, FieldError, Unknown, value};
use crate::fixed::MISSING;
use crate::nearest::nearest;
use crate::spec::Record;

/// Where a record's values go as they are read.
pub(super) struct Fields<'a> {
    pub(super) record: &'a Record,
    pub(super) unknown: Unknown,
    /// What stands before a field's name in an error: `application`.
    pub(super) path: &'static str,
    /// One for each field, all missing at first.
    pub(super) values: &'a mut [i64],
    pub(super) errors: &'a mut Errors,
}

/// What a key turned out to be.
enum Found {
    Field(usize),
    /// Under another of its names, which the sender knows it by.
    Alias(usize, String),
    Ignored,
    Unknown(String),
}

impl<'de> Members<'de> for Fields<'_> {
    fn members<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        let (mut expected, mut seen) = (0, 0_u64);
        while let Some(found) = map.next_key_seed(Key(|key: &str| self.find(key, expected)))? {
            let (index, alias) = match found {
                Found::Field(index) => (index, None),
                Found::Alias(index, alias) => (index, Some(alias)),
                Found::Ignored => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                Found::Unknown(key) => {
                    map.next_value::<IgnoredAny>()?;
                    self.refuse_unknown(&key);
                    continue;
                }
            };
            let raw: &RawValue = map.next_value()?;
            expected = index + 1;
            if seen >> index & 1 == 1 {
                self.refuse_duplicate(index, alias);
                continue;
            }
            seen |= 1 << index;
            match value::read(&self.record.fields[index], raw.get()) {
                Ok(value) => self.values[index] = value,
                Err(wrong) => self.refuse(index, alias, wrong),
            }
        }
        self.refuse_absent(seen);
        Ok(())
    }

    fn not_an_object(&mut self, given: &'static str) {
        self.errors.push(not_an_object(self.path, given));
    }
}

impl Fields<'_> {
    /// Senders mostly keep the declared order, so the next field is tried first.
    #[inline]
    fn find(&self, key: &str, expected: usize) -> Found {
        if self.record.fields.get(expected).is_some_and(|field| field.name == key) {
            return Found::Field(expected);
        }
        match self.record.index_of(key) {
            Some(index) if self.record.fields[index].name == key => Found::Field(index),
            Some(index) => Found::Alias(index, key.to_owned()),
            None if self.unknown == Unknown::Ignore => Found::Ignored,
            None => Found::Unknown(shown(key)),
        }
    }

    /// Fields that have to be there and are not, those given as `null` included.
    fn refuse_absent(&mut self, seen: u64) {
        for (index, field) in self.record.fields.iter().enumerate() {
            if seen >> index & 1 == 0 && field.required {
                self.refuse(index, None, value::Wrong::absent("absent", field));
            }
        }
    }

    #[cold]
    fn refuse(&mut self, index: usize, alias: Option<String>, wrong: value::Wrong) {
        let name = alias.as_deref().unwrap_or(&self.record.fields[index].name);
        let value::Wrong { code, given, expected, suggestion } = wrong;
        self.errors.push(FieldError { path: below(self.path, name), code, given, expected, suggestion });
    }

    #[cold]
    fn refuse_duplicate(&mut self, index: usize, alias: Option<String>) {
        let names = value::listed(self.record.fields[index].names());
        let expected = format!("the field once; its names are {names}");
        let wrong = value::Wrong { code: FieldCode::DuplicateField, given: "once more", expected, suggestion: None };
        self.values[index] = MISSING;
        self.refuse(index, alias, wrong);
    }

    #[cold]
    fn refuse_unknown(&mut self, key: &str) {
        let fields = &self.record.fields;
        self.errors.push(FieldError {
            path: below(self.path, key),
            code: FieldCode::UnknownField,
            given: "unknown field",
            expected: format!("one of the {} declared fields", fields.len()),
            suggestion: nearest(key, fields.iter().flat_map(|field| field.names())).map(str::to_owned),
        });
    }
}
