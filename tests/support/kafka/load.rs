//! What a group of instances has to cope with: events and applications of many people, some twice, some late, in every format, and among
//! them records that nobody can use.
//!
//! A record that should become a dead letter says why in a header of its own, so that what is expected of any topic can be read off it.

use serde_json::{Value, json};

use super::topics::{Input, Record, Topics};
use crate::support::history::{DAY_MS, MINUTE_MS, Random, application_of, event, instant};

/// The reason that a poisoned record should be given.
pub(crate) const POISON: &str = "expected-reason";

/// Seeded records without an end.
pub(crate) struct Load {
    random: Random,
    people: u64,
    /// Tells apart all that is written.
    number: u64,
    /// Written a moment ago; some of them come again.
    recent: Vec<Input>,
}

/// Which topic a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Events,
    Applications,
}

impl Load {
    pub(crate) fn new(people: u64, seed: u64) -> Self {
        Self { random: Random(seed), people, number: 0, recent: Vec::new() }
    }

    /// The next record, written at `now_ms`: of a hundred 84 are events, 15 applications and one is poison. 5 of a hundred events are
    /// there twice, 5 come days late, and one in a thousand records erases a person.
    pub(crate) fn next(&mut self, now_ms: u64) -> (Lane, Input) {
        self.number += 1;
        if self.random.one_in(100) {
            return self.poison(now_ms);
        }
        if self.random.one_in(1_000) {
            let key = format!("c-{}", self.random.below(self.people));
            return (Lane::Events, Input { key: Some(key.into()), ..Input::default() });
        }
        if self.random.below(100) < 15 {
            return (Lane::Applications, self.application(now_ms));
        }
        if !self.recent.is_empty() && self.random.one_in(20) {
            let again = self.random.below(self.recent.len() as u64) as usize;
            return (Lane::Events, self.recent[again].clone());
        }
        let input = self.event(now_ms);
        match self.recent.len() {
            0..1_000 => self.recent.push(input.clone()),
            _ => self.recent[self.number as usize % 1_000] = input.clone(),
        }
        (Lane::Events, input)
    }

    /// An event that happened just now, or up to 80 days ago.
    fn event(&mut self, now_ms: u64) -> Input {
        let person = self.random.below(self.people);
        let late = self.random.one_in(20);
        let time_ms = now_ms - self.random.below(if late { 80 * DAY_MS } else { 10 * MINUTE_MS });
        let mut event = event(&mut self.random, person, self.number);
        event["time"] = json!(instant(time_ms));
        let format = self.random.below(10);
        input_of(format, &event, "event_id", &event["data"], event["type"].as_str().unwrap_or_default())
    }

    /// Mostly as of when it is written, sometimes as of a moment before, and sometimes without a name.
    fn application(&mut self, now_ms: u64) -> Input {
        let person = self.random.below(self.people);
        let mut application = application_of(&mut self.random, person, &format!("a-{}", self.number));
        if self.random.one_in(5) {
            application["as_of"] = json!(instant(now_ms - self.random.below(DAY_MS)));
        }
        if self.random.one_in(5) {
            application.as_object_mut().expect("it is one").remove("application_id");
        }
        Input::new(application["person_id"].as_str().unwrap_or_default(), application.to_string())
    }

    /// A record that nobody can use.
    fn poison(&mut self, now_ms: u64) -> (Lane, Input) {
        let person = self.random.below(self.people);
        let (event, application) =
            (event(&mut self.random, person, self.number), application_of(&mut self.random, person, "poison"));
        let key = format!("c-{person}");
        let with = |record: &Value, name: &str, value: Value| {
            let mut record = record.clone();
            record[name] = value;
            record.to_string()
        };
        let number = self.number;
        let now = json!(instant(now_ms));
        let (lane, reason, input) = match self.random.below(8) {
            0 => (Lane::Events, "malformed_json", Input::new(&key, format!("{{\"event_id\": {number}, "))),
            1 => (Lane::Events, "invalid_fields", Input::new(&key, with(&event, "data", json!({"amount": -1})))),
            2 => (Lane::Events, "key_mismatch", Input::new("somebody else", with(&event, "time", now))),
            3 => {
                let long_ago = json!(instant(now_ms - 100 * DAY_MS));
                (Lane::Events, "event_too_late", Input::new(&key, with(&event, "time", long_ago)))
            }
            4 => {
                let tomorrow = json!(instant(now_ms + DAY_MS));
                (Lane::Events, "event_in_future", Input::new(&key, with(&event, "time", tomorrow)))
            }
            5 => (Lane::Applications, "malformed_json", Input::new(&key, vec![0xff, number as u8])),
            6 => {
                let fields = json!({"monthly_income": number, "amount": "much"});
                (Lane::Applications, "invalid_fields", Input::new(&key, with(&application, "application", fields)))
            }
            _ => {
                let nobody = Input { key: None, ..Input::new("", with(&event, "time", now)) };
                (Lane::Events, "missing_key", nobody)
            }
        };
        (lane, input.header(POISON, reason))
    }
}

impl Lane {
    pub(crate) fn topic(self, topics: &Topics) -> &str {
        match self {
            Lane::Events => &topics.events,
            Lane::Applications => &topics.applications,
        }
    }
}

/// A record in one of the three formats: a tenth is CloudEvents, structured or binary.
fn input_of(format: u64, record: &Value, id: &str, data: &Value, kind: &str) -> Input {
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let person = text("person_id");
    match format {
        0 => {
            let event = json!({
                "specversion": "1.0", "id": text(id), "source": "/tests", "type": format!("mx.example.{kind}"),
                "subject": person, "time": text("time"), "datacontenttype": "application/json", "data": data,
            });
            Input::new(&person, event.to_string()).header("content-type", "application/cloudevents+json; charset=utf-8")
        }
        1 => Input::new(&person, data.to_string())
            .header("ce_specversion", "1.0")
            .header("ce_id", &text(id))
            .header("ce_source", "/tests")
            .header("ce_type", &format!("mx.example.{kind}"))
            .header("ce_time", &text("time"))
            .header("content-type", "application/json"),
        _ => Input::new(&person, record.to_string()),
    }
}

/// Where a record stands, as a header of a score or a dead letter says it.
pub(crate) fn place(topic: &str, record: &Record) -> String {
    format!("{topic}/{}/{}", record.partition, record.offset)
}
