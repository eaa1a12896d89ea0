//! A TOML file that people write, read by key, with everything wrong noted where it stands: specifications, and scenarios of load.

use toml::Spanned;
pub use toml::de::{DeTable, DeValue};

use super::{SpecError, SpecErrors};
use crate::nearest::nearest;

pub type Value<'t> = Spanned<DeValue<'t>>;

/// A table and where it stands.
#[derive(Clone, Copy)]
pub struct Section<'v> {
    pub table: &'v DeTable<'v>,
    pub at: usize,
}

/// A value read, and where it stands.
#[derive(Clone, Copy)]
pub struct Found<T> {
    pub value: T,
    pub at: usize,
}

/// The text and what is wrong with it so far, as byte offsets.
pub struct Source<'t> {
    pub text: &'t str,
    wrong: Vec<(usize, String)>,
}

impl<'t> Source<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, wrong: Vec::new() }
    }

    /// The whole of it as a table; what is no TOML is noted and left out.
    pub fn document(&mut self) -> DeTable<'t> {
        let (table, syntax_errors) = DeTable::parse_recoverable(self.text);
        for error in &syntax_errors {
            let message = error.message().trim_end().replace('\n', ", ");
            self.refuse(error.span().map_or(0, |span| span.start), message);
        }
        table.into_inner()
    }

    pub fn refuse(&mut self, at: usize, message: impl Into<String>) {
        self.wrong.push((at, message.into()));
    }

    pub fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// All that is wrong, from the top of the file to its end.
    pub fn into_errors(mut self, file: &str) -> SpecErrors {
        self.wrong.sort();
        self.wrong.dedup();
        let error = |(at, message): (usize, String)| {
            let before = self.text.get(..at).unwrap_or(self.text);
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let line = 1 + before.bytes().filter(|&byte| byte == b'\n').count();
            SpecError { file: file.to_owned(), line, column: 1 + before[line_start..].chars().count(), message }
        };
        SpecErrors { errors: self.wrong.drain(..).map(error).collect() }
    }

    /// Refuses every key that is not among these.
    pub fn only(&mut self, section: Section<'_>, known: &[&str]) {
        for key in section.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let message = format!("unknown key `{name}`{}", meant(name, known.iter().copied()));
                self.refuse(key.span().start, message);
            }
        }
    }

    /// The entries of a table of tables in the order of the file.
    pub(crate) fn sections<'v>(&mut self, section: Section<'v>) -> Vec<(Found<&'v str>, Section<'v>)> {
        let mut entries: Vec<_> = section.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut sections = Vec::new();
        for (key, value) in entries {
            let name = Found { value: &**key.get_ref(), at: key.span().start };
            if let Some(inner) = self.as_section(name.value, name.at, value) {
                sections.push((name, inner));
            }
        }
        sections
    }

    /// The tables of a list of tables: `[[key]]`.
    pub fn tables<'v>(&mut self, section: Section<'v>, key: &str) -> Vec<Section<'v>> {
        let Some(value) = section.table.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type::<()>(value, key, "a list of tables", value.get_ref());
            return Vec::new();
        };
        items.iter().filter_map(|item| self.as_section(key, item.span().start, item)).collect()
    }

    pub fn section<'v>(&mut self, section: Section<'v>, key: &str) -> Option<Section<'v>> {
        let (name, value) = section.table.get_key_value(key)?;
        self.as_section(key, name.span().start, value)
    }

    pub(crate) fn as_section<'v>(&mut self, name: &str, at: usize, value: &'v Value<'v>) -> Option<Section<'v>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Section { table, at }),
            other => self.wrong_type(value, name, "a table", other),
        }
    }

    pub fn text<'v>(&mut self, section: Section<'v>, key: &str) -> Option<Found<&'v str>> {
        let value = section.table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Found { value: &**text, at: value.span().start }),
            other => self.wrong_type(value, key, "a text in quotes", other),
        }
    }

    pub(crate) fn required_text<'v>(&mut self, section: Section<'v>, key: &str) -> Option<Found<&'v str>> {
        if !section.table.contains_key(key) {
            self.refuse(section.at, format!("`{key}` is missing"));
        }
        self.text(section, key)
    }

    pub fn boolean(&mut self, section: Section<'_>, key: &str) -> Option<bool> {
        let value = section.table.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            other => self.wrong_type(value, key, "true or false", other),
        }
    }

    /// A number as it is written, so that a decimal stays exact.
    pub fn number(&mut self, section: Section<'_>, key: &str) -> Option<Found<String>> {
        let value = section.table.get(key)?;
        let written = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            other => return self.wrong_type(value, key, "a number", other),
        };
        let plain = written.strip_prefix('+').unwrap_or(written).replace('_', "");
        Some(Found { value: plain, at: value.span().start })
    }

    pub fn texts<'v>(&mut self, section: Section<'v>, key: &str) -> Option<Vec<Found<&'v str>>> {
        let value = section.table.get(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_type(value, key, "a list of texts", value.get_ref());
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push(Found { value: &**text, at: item.span().start }),
                other => self.wrong_type(item, key, "a list of texts", other).unwrap_or(()),
            }
        }
        Some(texts)
    }

    /// A name as specifications use them: `[a-z][a-z0-9_]*`, at most 64 bytes.
    pub(crate) fn check_name(&mut self, what: &str, name: Found<&str>) {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let starts = name.value.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if !starts || !name.value.bytes().all(letters) || name.value.len() > 64 {
            let rule = "begins with a small letter, goes on with small letters, digits and `_`, and has at most 64";
            self.refuse(name.at, format!("{what} `{}`: a name {rule}", name.value));
        }
    }

    fn wrong_type<T>(&mut self, value: &Value<'_>, key: &str, expected: &str, given: &DeValue<'_>) -> Option<T> {
        self.refuse(value.span().start, format!("`{key}` is {expected}, not {}", kind_of(given)));
        None
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(number) if number.radix() != 10 => "a number in another base than ten",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What an unknown word is followed by: the one that was probably meant, or all there are if they are few.
pub fn meant<'n>(word: &str, known: impl IntoIterator<Item = &'n str> + Clone) -> String {
    if let Some(name) = nearest(word, known.clone()) {
        return format!("; did you mean `{name}`?");
    }
    let all: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
    match all.len() {
        0 => String::new(),
        1..=16 => format!("; there are {}", all.join(", ")),
        _ => String::new(),
    }
}
