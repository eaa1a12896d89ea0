//! The traffic of a scenario: each request's kind drawn by its number, and written as its kind is.

use std::sync::Arc;

use cauce_features::time::Timestamp;
use rand::RngExt;

use super::answers::{Answers, Note};
use super::bank::{Clients, Items, Of};
use super::json::{self, Pointer};
use super::replay::{Records, ReplayError};
use super::template::Numbers;
use super::{Sent, Traffic, Verdict};
use crate::random;
use crate::scenario::{Applications, Events, Kind, Scenario, What};
use crate::schedule::Schedule;

/// The stream of draws that decide about kinds.
const KIND_STREAM: u64 = 31;

/// In an answer: that of an application, and the events of a batch that were refused.
const PROBABILITY: &[u8] = br#""probability_of_default":"#;
const REFUSED: &[u8] = br#""refused":"#;

/// Statuses that say that what was sent is wrong, not who sent it or where to.
const TOLD_INVALID: [u16; 4] = [400, 413, 415, 422];

/// How many digits a body's length has at most: it is written to the right in so many places, since the head goes before the body.
const LENGTH_DIGITS: usize = 10;

/// The files that a scenario sends, read once: by kind, where it has one.
#[derive(Debug, Clone)]
pub struct Files(Vec<Option<Arc<Records>>>);

/// The requests of one run.
#[derive(Debug)]
pub struct Mixed {
    seed: u64,
    makers: Vec<Maker>,
    clients: Clients,
    answers: Option<Arc<Answers>>,
}

/// One kind.
#[derive(Debug)]
struct Maker {
    name: String,
    /// The part of all requests that are of this kind or one before it.
    up_to: f64,
    /// The head up to the body's length.
    head: Vec<u8>,
    what: Makes,
}

#[derive(Debug)]
enum Makes {
    One(Items, Expected),
    Many(Items, Expected),
    Records(Arc<Records>),
}

/// What a good answer has in it.
#[derive(Debug)]
struct Expected {
    /// `"mode":"full"`.
    mode: Option<Vec<u8>>,
    answer: Option<Pointer>,
}

impl Files {
    pub fn load(scenario: &Scenario) -> Result<Self, ReplayError> {
        let load = |kind: &Kind| match &kind.what {
            What::Replay(replay) => Records::load(replay, &scenario.directory).map(|records| Some(Arc::new(records))),
            _ => Ok(None),
        };
        scenario.traffic.iter().map(load).collect::<Result<_, _>>().map(Self)
    }

    /// Requests after which a file that is sent once has been.
    pub fn requests(&self, scenario: &Scenario) -> Option<u64> {
        let is_once = |kind: &Kind| matches!(&kind.what, What::Replay(replay) if replay.once);
        let of_kind = |(kind, records): (&Kind, &Option<Arc<Records>>)| {
            records.as_ref().filter(|_| is_once(kind)).map(|records| records.requests())
        };
        scenario.traffic.iter().zip(&self.0).find_map(of_kind)
    }
}

impl Mixed {
    /// The requests of a run that begins then. Ids are those of the run, so that another one can follow it with the same seed.
    pub fn new(scenario: &Scenario, files: &Files, schedule: &Schedule, started_at: Timestamp) -> Self {
        let whole: f64 = scenario.traffic.iter().map(|kind| kind.weight).sum();
        let mut up_to = 0.0;
        let makers = scenario.traffic.iter().zip(&files.0).map(|(kind, records)| {
            up_to += kind.weight / whole;
            Maker { name: kind.name.clone(), up_to, head: head(kind, scenario), what: makes(kind, records) }
        });
        let makers: Vec<_> = makers.collect();
        let stride = scenario.traffic.iter().map(size).max().unwrap_or(1);
        let clients = Clients::new(&scenario.people, scenario.clock, schedule, started_at, stride.into());
        Self { seed: schedule.seed, makers, clients, answers: None }
    }

    /// Notes what is answered.
    pub fn with_answers(self, answers: Arc<Answers>) -> Self {
        Self { answers: Some(answers), ..self }
    }

    fn kind(&self, number: u64) -> usize {
        if self.makers.len() == 1 {
            return 0;
        }
        let draw: f64 = random::stream(self.seed, KIND_STREAM, number).random();
        // The last one's part of the whole may be a little below 1.
        self.makers.iter().position(|maker| draw < maker.up_to).unwrap_or(self.makers.len() - 1)
    }

    fn write_body(&self, kind: usize, number: u64, out: &mut Vec<u8>) -> Sent {
        let is_same_kind = |other| self.kind(other) == kind;
        let sent = |items, is_invalid| Sent { number, kind, items, is_invalid };
        match &self.makers[kind].what {
            Makes::One(items, _) => {
                self.clients.write(items, number, 0, &is_same_kind, out);
                sent(1, self.clients.invalid(items, number) > 0)
            }
            Makes::Many(items, _) => {
                for place in 0..items.size {
                    if place > 0 {
                        out.push(b'\n');
                    }
                    self.clients.write(items, number, place, &is_same_kind, out);
                }
                sent(items.size, false)
            }
            Makes::Records(records) => sent(records.write(Numbers { number, id: self.clients.id(number) }, out), false),
        }
    }

    fn is_good(&self, sent: Sent, status: u16, body: &[u8]) -> bool {
        match &self.makers[sent.kind].what {
            Makes::One(..) if sent.is_invalid => TOLD_INVALID.contains(&status),
            Makes::One(items, expected) | Makes::Many(items, expected) => {
                let invalid = self.clients.invalid(items, sent.number);
                let valid = items.size - invalid;
                let is_meant = || match items.of {
                    // `refer` is an answer, but no score.
                    Of::Applications { .. } => occurrences(body, PROBABILITY, is_number) == valid,
                    Of::Events if items.size == 1 => true,
                    Of::Events => {
                        json::behind(body, REFUSED).and_then(json::leading_number) == Some(u64::from(invalid))
                    }
                };
                let is_mode = |mode: &[u8]| occurrences(body, mode, |_| true) == valid;
                (200..300).contains(&status) && is_meant() && expected.mode.as_deref().is_none_or(is_mode)
            }
            Makes::Records(records) => records.is_good(status, body),
        }
    }

    fn note(&self, sent: Sent, status: u16, body: &[u8]) {
        let Some(answers) = &self.answers else { return };
        let maker = &self.makers[sent.kind];
        let (pointer, line) = match &maker.what {
            Makes::One(_, expected) | Makes::Many(_, expected) => (expected.answer.as_ref(), None),
            Makes::Records(records) => (records.answer.as_ref(), Some(records.line(sent.number))),
        };
        let answer = pointer.and_then(|pointer| pointer.find(body));
        answers.note(&Note { number: sent.number, kind: &maker.name, line, status, answer });
    }
}

impl Traffic for Mixed {
    fn kinds(&self) -> Vec<String> {
        self.makers.iter().map(|maker| maker.name.clone()).collect()
    }

    fn write(&self, number: u64, out: &mut Vec<u8>) -> Sent {
        let kind = self.kind(number);
        out.extend_from_slice(&self.makers[kind].head);
        let length_at = out.len();
        out.extend_from_slice(&[b' '; LENGTH_DIGITS]);
        out.extend_from_slice(b"\r\n\r\n");
        let begin = out.len();
        let sent = self.write_body(kind, number, out);
        let mut length = out.len() - begin;
        // Spaces before a value belong to no value (RFC 9110, 5.5).
        for place in (length_at..length_at + LENGTH_DIGITS).rev() {
            out[place] = b'0' + (length % 10) as u8;
            length /= 10;
            if length == 0 {
                break;
            }
        }
        sent
    }

    fn judge(&self, sent: Sent, status: u16, body: &[u8]) -> Verdict {
        self.note(sent, status, body);
        match status {
            // First of all: a replay may ask for any status.
            _ if self.is_good(sent, status, body) => Verdict::Good,
            429 | 503 => Verdict::Refused,
            _ => Verdict::Failed,
        }
    }
}

fn head(kind: &Kind, scenario: &Scenario) -> Vec<u8> {
    let (method, content_type) = match &kind.what {
        What::Replay(replay) => (replay.method.as_str(), replay.content_type.as_str()),
        _ if size(kind) > 1 || matches!(kind.what, What::Applications(Applications { batch: Some(_), .. })) => {
            ("POST", "application/x-ndjson")
        }
        _ => ("POST", "application/json"),
    };
    let mut head = format!(
        "{method} {} HTTP/1.1\r\nhost: {}\r\ncontent-type: {content_type}\r\n",
        kind.path, scenario.target.authority
    );
    for (name, value) in &kind.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "content-length: ";
    head.into_bytes()
}

fn makes(kind: &Kind, records: &Option<Arc<Records>>) -> Makes {
    match (&kind.what, records) {
        (What::Applications(applications), _) => {
            let Applications { batch, repeated, invalid, has_person, has_id, ref mode } = *applications;
            let of = Of::Applications { has_person, has_id };
            let items = Items { of, invalid, repeated, late: 0.0, size: batch.unwrap_or(1) };
            let mode = mode.as_ref().map(|mode| format!(r#""mode":"{mode}""#).into_bytes());
            let answer = if batch.is_some() { "/results" } else { "/probability_of_default" };
            let expected = Expected { mode, answer: Pointer::parse(answer).ok() };
            if batch.is_some() { Makes::Many(items, expected) } else { Makes::One(items, expected) }
        }
        (What::Events(events), _) => {
            let Events { size, late, duplicate, invalid } = *events;
            let items = Items { of: Of::Events, invalid, repeated: duplicate, late, size };
            let expected = Expected { mode: None, answer: None };
            if size > 1 { Makes::Many(items, expected) } else { Makes::One(items, expected) }
        }
        (What::Replay(_), Some(records)) => Makes::Records(records.clone()),
        (What::Replay(_), None) => unreachable!("the files of this scenario were read"),
    }
}

/// The most items in a request of a kind.
fn size(kind: &Kind) -> u32 {
    match &kind.what {
        What::Applications(applications) => applications.batch.unwrap_or(1),
        What::Events(events) => events.size,
        What::Replay(replay) => replay.batch,
    }
}

/// How often a text is in a body with what is behind it as asked.
fn occurrences(body: &[u8], text: &[u8], is_meant: impl Fn(&[u8]) -> bool) -> u32 {
    let (mut rest, mut count) = (body, 0);
    while let Some(behind) = json::behind(rest, text) {
        rest = behind;
        count += u32::from(is_meant(behind));
    }
    count
}

fn is_number(json: &[u8]) -> bool {
    json::leading_number(json).is_some()
}

#[cfg(test)]
mod tests;
