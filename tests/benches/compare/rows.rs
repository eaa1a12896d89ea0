//! Applications of people with histories, and the rows of features that Cauce makes of them, which the others are given ready-made.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use cauce_loadtest::traffic::{Sent, Traffic, Verdict};
use serde_json::{Map, Value, json};

use crate::support::Server;
use crate::support::client::{Client, request};
use crate::support::history::{BUNDLE, JSON, LINES, Random, application_of, events, lines};
use crate::support::repository;

/// A batch of events.
const BATCH: usize = 1_000;
/// Of so many requests with repetitions among them, one is new.
const NEW_ONE_IN: u64 = 5;
/// A repetition is of one of so many …
const RECENT: u64 = 100;
/// … that were new before these, so that it has been answered.
const UNDER_WAY: u64 = 20;

/// What one request of a baseline says, and what Cauce answered for it.
pub(crate) struct Row {
    pub(crate) request: Vec<u8>,
    pub(crate) probability: f64,
}

/// Gives the service what so many people did.
pub(crate) fn post_histories(server: &Server, people: u64) {
    let mut client = Client::connect(server.authority()).expect("it listens");
    for batch in events(people, 11).chunks(BATCH) {
        let reply = client.post("/v1/events/batch", LINES, &lines(batch)).expect("it answers");
        assert!(reply.status < 300, "events are taken: {}", reply.json());
    }
}

/// The rows of an application of each of so many people, with the service's own answers.
pub(crate) fn rows(server: &Server, count: u64) -> Vec<Row> {
    let names = features();
    let mut client = Client::connect(server.authority()).expect("it listens");
    let mut row = |person: u64| {
        let body = application_of(&mut Random(!person), person, "row").to_string();
        let reply = client.post("/v1/score?vector=true", JSON, &body).expect("it answers").json();
        let (values, probability) = (reply["vector"].as_array(), reply["probability_of_default"].as_f64());
        let (Some(values), Some(probability), true) = (values, probability, reply["mode"] == "full") else {
            panic!("an application is scored by the model: {reply}");
        };
        assert_eq!(values.len(), names.len(), "a vector has a value for each feature");
        let row: Map<String, Value> = names.iter().cloned().zip(values.iter().cloned()).collect();
        Row { request: request("/score", JSON, Value::Object(row).to_string().as_bytes()), probability }
    };
    (0..count).map(&mut row).collect()
}

/// The names of a vector's values, in order.
fn features() -> Vec<String> {
    let path = repository().join(BUNDLE).join("reference.json");
    let reference: Value = serde_json::from_slice(&std::fs::read(path).expect("it ships")).expect("it is JSON");
    let features = reference["features"].as_array().expect("it lists features");
    features.iter().map(|feature| feature["name"].as_str().expect("each has a name").to_owned()).collect()
}

/// Asks for every row once, and gives the largest difference from what Cauce answered.
pub(crate) fn largest_difference(address: SocketAddr, rows: &[Row]) -> f64 {
    let mut client = Client::connect(&address.to_string()).expect("it listens");
    let difference = |row: &Row| {
        let reply = client.ask(&row.request).expect("it answers");
        let answer = reply.json();
        let probability = answer["probability_of_default"].as_f64();
        (probability.unwrap_or_else(|| panic!("a row has a probability: {answer}")) - row.probability).abs()
    };
    rows.iter().map(difference).fold(0.0, f64::max)
}

/// Requests by their place among those that are new, and what a good answer says.
pub(crate) struct Asked<'a> {
    /// Writes the request that has that place.
    pub(crate) write: &'a (dyn Fn(u64, &mut Vec<u8>) + Sync),
    /// Whether four of five are asked again.
    pub(crate) repeats: bool,
    /// What is in every answer that is one, if anything: a degraded answer is none.
    pub(crate) good: &'a str,
    /// What is in an answer that was not made anew: any of these.
    pub(crate) kept: &'a [&'a str],
    /// Answers that were not.
    pub(crate) kept_count: AtomicU64,
}

impl Traffic for Asked<'_> {
    fn kinds(&self) -> Vec<String> {
        vec!["score".to_owned()]
    }

    fn write(&self, number: u64, out: &mut Vec<u8>) -> Sent {
        (self.write)(if self.repeats { place(number) } else { number }, out);
        Sent { kind: 0, items: 1, is_invalid: false }
    }

    fn judge(&self, _: Sent, status: u16, body: &[u8]) -> Verdict {
        if self.kept.iter().any(|kept| holds(body, kept)) {
            self.kept_count.fetch_add(1, Ordering::Relaxed);
        }
        match Verdict::of_status(status) {
            Verdict::Good if !self.good.is_empty() && !holds(body, self.good) => Verdict::Failed,
            verdict => verdict,
        }
    }
}

/// The place of a request where some are new, each the next one, and the others are one of those that were new lately.
fn place(number: u64) -> u64 {
    let newest = number / NEW_ONE_IN;
    match number % NEW_ONE_IN {
        0 => newest,
        _ => newest.saturating_sub(UNDER_WAY + Random(number).below(RECENT)),
    }
}

fn holds(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Writes an application that nobody has made before, of one of so many people.
pub(crate) fn write_application(people: u64, place: u64, out: &mut Vec<u8>) {
    let application = application_of(&mut Random(place), place % people, &place.to_string());
    out.extend_from_slice(&request("/v1/score", JSON, application.to_string().as_bytes()));
}

/// Applications for the bare handler, which knows no repetitions.
pub(crate) fn applications(count: u64) -> Vec<Vec<u8>> {
    let application = |person| application_of(&mut Random(person), person, "bare");
    (0..count).map(|person| request("/v1/score", JSON, application(person).to_string().as_bytes())).collect()
}

/// An answer of the service to one application that it is asked for: what the bare handler answers.
pub(crate) fn answer(server: &Server) -> Vec<u8> {
    let application = json!(application_of(&mut Random(1), 1, "answer"));
    server.post("/v1/score", JSON, application.to_string()).body
}
