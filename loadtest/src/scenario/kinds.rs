//! What is sent: each `[[traffic]]` of a scenario.

use std::path::PathBuf;

use cauce_features::spec::source::{Found, Section, meant};

use super::read::Reader;
use crate::traffic::json::Pointer;
use crate::traffic::template::Template;

/// One kind of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// As the report calls it.
    pub name: String,
    /// How many of the requests are of this kind, beside the weights of the others.
    pub weight: f64,
    pub path: String,
    /// Beside `Host`, `Content-Type` and `Content-Length`. Their values are not told.
    pub headers: Vec<(String, String)>,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Applications of the simulator's people: `POST /v1/score`, or many at once to `/v1/score/batch`.
    Applications(Applications),
    /// Events of the simulator's people: `POST /v1/events`, or many at once to `/v1/events/batch`.
    Events(Events),
    /// Records of a file, to any service that speaks JSON over HTTP.
    Replay(Replay),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Applications {
    /// Applications in a request; none is one at the route for one.
    pub batch: Option<u32>,
    /// Of those in a hundred, as parts of 1: sent before, byte for byte; made to be refused.
    pub repeated: f64,
    pub invalid: f64,
    /// What stands around an application. Nobody's application is not recorded, so that its repetition finds the same history; one without
    /// an id is no repetition of a request, but another application with the same words.
    pub has_person: bool,
    pub has_id: bool,
    /// The mode that an answer has to be made in to be a good one: `full`.
    pub mode: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Events {
    /// Events in a request; of one, the route for one.
    pub size: u32,
    /// Parts of 1: hours to weeks late; sent before, byte for byte; made to be refused.
    pub late: f64,
    pub duplicate: f64,
    pub invalid: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// One JSON record a line.
    pub file: PathBuf,
    pub method: String,
    pub content_type: String,
    pub body: Template,
    /// What each line becomes where a request takes many.
    pub item: Template,
    /// What stands between them.
    pub separator: String,
    /// Lines in a request.
    pub batch: u32,
    /// Whether the run ends with the file.
    pub once: bool,
    /// Statuses of a good answer; none is any from 200 to 299.
    pub status: Vec<u16>,
    /// Where the answer stands in the body of a good one.
    pub answer: Option<Pointer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Score,
    Batch,
    Events,
    Replay,
}

const WORDS: [(&str, Word); 4] =
    [("score", Word::Score), ("batch", Word::Batch), ("events", Word::Events), ("replay", Word::Replay)];

const COMMON: [&str; 5] = ["kind", "name", "weight", "path", "headers"];

const KEYS: [(Word, &[&str]); 4] = [
    (Word::Score, &["repeated", "invalid", "omit", "mode"]),
    (Word::Batch, &["size", "repeated", "invalid", "omit", "mode"]),
    (Word::Events, &["size", "late", "duplicate", "invalid"]),
    (
        Word::Replay,
        &["file", "method", "content_type", "body", "item", "separator", "batch", "once", "status", "answer"],
    ),
];

/// Words for `mode`: those of the service.
const MODES: [(&str, &str); 3] = [("full", "full"), ("cached", "cached"), ("fallback", "fallback")];

/// Headers that are written of themselves.
const OWN_HEADERS: [&str; 5] = ["host", "content-type", "content-length", "connection", "transfer-encoding"];

const KINDS_MOST: usize = 32;
/// As many as make a request of some megabytes.
const ITEMS_MOST: u64 = 10_000;
const ITEMS: u64 = 100;
/// What is sent for the first time is searched for among what is not.
const REPEATED_MOST: f64 = 0.99;
const EVENTS: u64 = 20;

/// Reads all `[[traffic]]`.
pub(super) fn read(reader: &mut Reader<'_>, file: Section<'_>) -> Vec<Kind> {
    let sections = reader.source.tables(file, "traffic");
    if sections.is_empty() && !file.table.contains_key("traffic") {
        reader.refuse(file.at, "`[[traffic]]` is missing: it says what is sent");
    }
    if sections.len() > KINDS_MOST {
        reader.refuse(file.at, format!("a scenario has at most {KINDS_MOST} kinds of traffic"));
    }
    let mut kinds: Vec<Kind> = Vec::new();
    let is_alone = sections.len() == 1;
    for section in sections.into_iter().take(KINDS_MOST) {
        let Some(kind) = kind(reader, section) else { continue };
        if kinds.iter().any(|other| other.name == kind.name) {
            reader.refuse(section.at, format!("two kinds are called `{}`: give one of them another `name`", kind.name));
        }
        if matches!(&kind.what, What::Replay(replay) if replay.once) && !is_alone {
            reader.refuse(section.at, "`once` needs a scenario with no other traffic");
        }
        kinds.push(kind);
    }
    kinds
}

fn kind(reader: &mut Reader<'_>, section: Section<'_>) -> Option<Kind> {
    reader.require(section, "kind");
    let word = reader.word(section, "kind", &WORDS)?;
    let keys = KEYS.iter().find(|(of, _)| *of == word).map_or(&[][..], |(_, keys)| keys);
    let known: Vec<_> = COMMON.iter().chain(keys).copied().collect();
    reader.source.only(section, &known);
    let (what, path) = match word {
        Word::Score => (What::Applications(applications(reader, section, None)), "/v1/score"),
        Word::Batch => {
            let size = reader.count(section, "size", 1..=ITEMS_MOST).unwrap_or(ITEMS);
            (What::Applications(applications(reader, section, Some(size as u32))), "/v1/score/batch")
        }
        Word::Events => {
            let events = events(reader, section);
            let path = if events.size == 1 { "/v1/events" } else { "/v1/events/batch" };
            (What::Events(events), path)
        }
        Word::Replay => {
            reader.require(section, "path");
            (What::Replay(replay(reader, section)?), "/")
        }
    };
    let default_name = WORDS.iter().find(|(_, of)| *of == word).map_or("", |(word, _)| word);
    Some(Kind {
        name: reader.text(section, "name", name).unwrap_or_else(|| default_name.to_owned()),
        weight: reader.number(section, "weight", 0.001..=1e6).unwrap_or(1.0),
        path: reader.text(section, "path", check_path).unwrap_or_else(|| path.to_owned()),
        headers: headers(reader, section),
        what,
    })
}

fn applications(reader: &mut Reader<'_>, section: Section<'_>, batch: Option<u32>) -> Applications {
    let omitted = reader.source.texts(section, "omit").unwrap_or_default();
    for Found { value, at } in &omitted {
        if !matches!(*value, "person_id" | "application_id") {
            let offer = meant(value, ["person_id", "application_id"]);
            reader.refuse(*at, format!("`{value}` cannot be left out{offer}"));
        }
    }
    let has = |key: &str| omitted.iter().all(|omitted| omitted.value != key);
    let [repeated, invalid] = shares(reader, section, ["repeated", "invalid"]);
    check_repeated(reader, section, "repeated", repeated, invalid);
    let mode = reader.word(section, "mode", &MODES).map(str::to_owned);
    Applications { batch, repeated, invalid, has_person: has("person_id"), has_id: has("application_id"), mode }
}

fn events(reader: &mut Reader<'_>, section: Section<'_>) -> Events {
    let size = reader.count(section, "size", 1..=ITEMS_MOST).unwrap_or(EVENTS) as u32;
    let [late, duplicate, invalid] = shares(reader, section, ["late", "duplicate", "invalid"]);
    check_repeated(reader, section, "duplicate", duplicate, invalid);
    Events { size, late, duplicate, invalid }
}

/// Shares that are parts of one whole.
fn shares<const N: usize>(reader: &mut Reader<'_>, section: Section<'_>, keys: [&str; N]) -> [f64; N] {
    let shares = keys.map(|key| reader.share(section, key).unwrap_or(0.0));
    if shares.iter().sum::<f64>() > 1.0 + 1e-9 {
        let keys = keys.map(|key| format!("`{key}`")).join(", ");
        reader.refuse(section.at, format!("the shares {keys} are together at most 1"));
    }
    shares
}

/// What is sent again was sent before, and was not made to be refused.
fn check_repeated(reader: &mut Reader<'_>, section: Section<'_>, key: &str, repeated: f64, invalid: f64) {
    if repeated > 0.0 && repeated + invalid > REPEATED_MOST + 1e-9 {
        let message =
            format!("`{key}` and `invalid` are together at most {REPEATED_MOST}: the rest is what can be sent again");
        reader.refuse(section.at, message);
    }
}

fn replay(reader: &mut Reader<'_>, section: Section<'_>) -> Option<Replay> {
    reader.require(section, "file");
    let batch = reader.count(section, "batch", 1..=ITEMS_MOST).unwrap_or(1) as u32;
    let content_type =
        reader.text(section, "content_type", header_value).unwrap_or_else(|| "application/json".to_owned());
    let is_lines = content_type.contains("ndjson") || content_type.contains("jsonl");
    let default_body = match batch {
        1 => "{{line}}",
        _ if is_lines => "{{items}}",
        _ => "[{{items}}]",
    };
    let body = template(reader, section, "body", default_body)?;
    let item = template(reader, section, "item", "{{line}}")?;
    if item.has_items() {
        reader.refuse(section.at, "`item` is what `{{items}}` stands for: it cannot have it itself");
    }
    if (batch > 1 || section.table.contains_key("item")) && !body.has_items() {
        reader.refuse(section.at, "`body` has no `{{items}}`, so that only the first line of a request would be sent");
    }
    Some(Replay {
        file: reader.text(section, "file", |text| Ok(PathBuf::from(text)))?,
        method: reader.text(section, "method", method).unwrap_or_else(|| "POST".to_owned()),
        content_type,
        body,
        item,
        separator: reader
            .text(section, "separator", |text| Ok(text.to_owned()))
            .unwrap_or_else(|| if is_lines { "\n" } else { "," }.to_owned()),
        batch,
        once: reader.source.boolean(section, "once").unwrap_or(false),
        status: statuses(reader, section),
        answer: reader.text(section, "answer", Pointer::parse),
    })
}

fn template(reader: &mut Reader<'_>, section: Section<'_>, key: &str, default: &str) -> Option<Template> {
    if !section.table.contains_key(key) {
        return Template::parse(default).ok();
    }
    reader.text(section, key, Template::parse)
}

fn statuses(reader: &mut Reader<'_>, section: Section<'_>) -> Vec<u16> {
    let Some(value) = section.table.get("status") else { return Vec::new() };
    let items = value.get_ref().as_array().into_iter().flat_map(|items| items.iter());
    let read: Vec<_> =
        items.map(|item| item.get_ref().as_integer().and_then(|number| number.as_str().parse().ok())).collect();
    let is_status = |status: &Option<u16>| matches!(status, Some(100..=599));
    if read.is_empty() || !read.iter().all(is_status) {
        reader.refuse(value.span().start, "`status` is a list of HTTP statuses, as `[200, 201]`");
    }
    read.into_iter().flatten().collect()
}

fn headers(reader: &mut Reader<'_>, section: Section<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (name, value) in
        reader.source.section(section, "headers").map(|_| reader.secrets(section, "headers")).unwrap_or_default()
    {
        if name.value.is_empty()
            || !name.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        {
            reader.refuse(name.at, format!("`{}` is no name of a header", name.value));
        } else if OWN_HEADERS.contains(&name.value.to_ascii_lowercase().as_str()) {
            reader.refuse(name.at, format!("header `{}` is written of itself", name.value));
        } else if let Err(wrong) = header_value(&value.value) {
            reader.refuse(value.at, format!("`{}`: {wrong}", name.value));
        }
        headers.push((name.value, value.value));
    }
    headers
}

fn name(text: &str) -> Result<String, String> {
    match text.len() {
        1..=64 if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err("a name has 1 to 64 bytes without control characters".to_owned()),
    }
}

fn check_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(format!("a path begins with `/` and has no spaces, not `{text}`"))
}

fn method(text: &str) -> Result<String, String> {
    match text {
        "POST" | "PUT" | "PATCH" => Ok(text.to_owned()),
        _ => Err(format!("a method with a body is `POST`, `PUT` or `PATCH`, not `{text}`")),
    }
}

fn header_value(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err("a value of a header is printable ASCII".to_owned());
    }
    Ok(text.to_owned())
}
