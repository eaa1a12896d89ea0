//! The file as a whole: from text to a [`Specification`], or to all that is wrong with it.

use sha2::{Digest, Sha256};

use super::source::{Found, Section, Source};
use super::{EventType, Record, SpecErrors, Specification, feature, fields};
use crate::time::{Span, parse_utc_offset};

/// The largest file, in bytes.
const MAX_FILE_BYTES: usize = 1 << 20;

/// The most event types, with the implicit one.
const MAX_EVENT_TYPES: usize = 64;

/// The event type that needs no declaration.
pub(super) const APPLICATION: &str = "application";

pub(super) fn parse(file_name: &str, text: &str) -> Result<Specification, SpecErrors> {
    let mut source = Source::new(text);
    if text.len() > MAX_FILE_BYTES {
        source.refuse(0, "a specification is at most 1 MiB long");
        return Err(source.into_errors(file_name));
    }
    let table = source.document();
    if !source.is_right() {
        return Err(source.into_errors(file_name));
    }
    let specification = read(&mut source, Section { table: &table, at: 0 });
    match specification {
        Some(specification) if source.is_right() => Ok(specification),
        _ => Err(source.into_errors(file_name)),
    }
}

/// What could be read; whatever is missing in it has been noted as wrong.
fn read(source: &mut Source<'_>, file: Section<'_>) -> Option<Specification> {
    source.only(file, &["name", "horizon", "clock_skew", "utc_offset", "application", "events", "features"]);
    let name = source.required_text(file, "name");
    if let Some(name) = name {
        check_specification_name(source, name);
    }
    let horizon = required_span(source, file, "horizon").unwrap_or(Span::MAX);
    let clock_skew = span(source, file, "clock_skew").unwrap_or(Span::from_millis(300_000));
    let utc_offset_ms = utc_offset(source, file);
    let application = application(source, file);
    let events = events(source, file, &application);
    let features = feature::features(source, file, &application, &events, horizon);
    let name = name?.value.to_owned();
    let hash = [0; 32];
    let mut specification =
        Specification { name, horizon, clock_skew, utc_offset_ms, application, events, features, hash };
    specification.hash = Sha256::digest(specification.canonical()).into();
    Some(specification)
}

fn check_specification_name(source: &mut Source<'_>, name: Found<&str>) {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if !(1..=64).contains(&name.value.len()) || !name.value.bytes().all(letters) {
        source.refuse(name.at, "`name` is 1 to 64 small letters, digits, `-` and `_`");
    }
}

fn utc_offset(source: &mut Source<'_>, file: Section<'_>) -> i64 {
    let Some(text) = source.text(file, "utc_offset") else { return 0 };
    parse_utc_offset(text.value).unwrap_or_else(|| {
        source.refuse(text.at, "`utc_offset` is hours and minutes east of UTC, as `-05:00`");
        0
    })
}

fn application(source: &mut Source<'_>, file: Section<'_>) -> Record {
    let section = source.section(file, APPLICATION);
    if !file.table.contains_key(APPLICATION) {
        source.refuse(0, "`[application.fields]` is missing");
    }
    section.map_or_else(|| Record::new(Vec::new()), |section| record(source, section, fields::Of::Application))
}

fn record(source: &mut Source<'_>, section: Section<'_>, of: fields::Of) -> Record {
    source.only(section, &["fields"]);
    let declared = source.section(section, "fields");
    Record::new(declared.map_or_else(Vec::new, |declared| fields::fields(source, declared, of)))
}

/// The declared event types, then the implicit one.
fn events(source: &mut Source<'_>, file: Section<'_>, application: &Record) -> Vec<EventType> {
    let mut events = Vec::new();
    if let Some(section) = source.section(file, "events") {
        for (name, declared) in source.sections(section) {
            source.check_name("event type", name);
            if name.value == APPLICATION {
                source
                    .refuse(name.at, "event type `application` declares itself: a scored application is such an event");
                continue;
            }
            let record = record(source, declared, fields::Of::Event);
            events.push(EventType { name: name.value.to_owned(), record });
            if events.len() == MAX_EVENT_TYPES {
                source.refuse(name.at, format!("at most {} event types can be declared", MAX_EVENT_TYPES - 1));
            }
        }
    }
    let usable = application.fields.iter().filter(|field| !field.protected).cloned().collect();
    events.push(EventType { name: APPLICATION.to_owned(), record: Record::new(usable) });
    events
}

pub(super) fn span(source: &mut Source<'_>, section: Section<'_>, key: &str) -> Option<Span> {
    let text = source.text(section, key)?;
    match Span::parse(text.value) {
        Ok(span) => Some(span),
        Err(error) => {
            source.refuse(text.at, format!("`{key}`: {error}"));
            None
        }
    }
}

fn required_span(source: &mut Source<'_>, section: Section<'_>, key: &str) -> Option<Span> {
    if !section.table.contains_key(key) {
        source.refuse(section.at, format!("`{key}` is missing"));
    }
    span(source, section, key)
}
