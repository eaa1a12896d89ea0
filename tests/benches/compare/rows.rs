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
/// An application that is not scored by the model, since the machine stood still and its time was over, is asked again so often.
const TRIES: u64 = 5;
/// A repetition is of one of so many …
const RECENT: u64 = 100;
/// … that were new before these, so that it has been answered.
const UNDER_WAY: u64 = 20;

/// What is asked of a system, and what its answers have to be.
pub(crate) trait Requests: Sync {
    /// Writes the request that has that place among all that are asked.
    fn write(&self, place: u64, out: &mut Vec<u8>);

    /// What an answer of status 200 to it is.
    fn answered(&self, place: u64, body: &[u8]) -> Answered;
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Made anew.
    Anew,
    /// Made before, and kept.
    Kept,
    /// No score, or a degraded one.
    Not,
}

/// Applications that nobody has made before, of so many people: for Cauce.
pub(crate) struct Applications {
    pub(crate) people: u64,
}

/// Some applications by turns, for the bare handler, which looks at none of them.
pub(crate) struct Prepared(Vec<Vec<u8>>);

/// The rows of applications by turns, with Cauce's own answers, for those who are given features ready-made.
pub(crate) struct Rows {
    rows: Vec<Row>,
    /// The place of a request for the first row.
    first: AtomicU64,
    /// The bits of the largest difference of an answer from Cauce's: of numbers that are not negative, larger ones have larger bits.
    difference: AtomicU64,
}

struct Row {
    request: Vec<u8>,
    probability: f64,
}

/// Gives the service what so many people did.
pub(crate) fn post_histories(server: &Server, people: u64) {
    let mut client = Client::connect(server.authority()).expect("it listens");
    for batch in events(people, 11).chunks(BATCH) {
        let reply = client.post("/v1/events/batch", LINES, &lines(batch)).expect("it answers");
        assert!(reply.status < 300, "events are taken: {}", reply.json());
    }
}

impl Requests for Applications {
    fn write(&self, place: u64, out: &mut Vec<u8>) {
        let application = application_of(&mut Random(place), place % self.people, &place.to_string());
        out.extend_from_slice(&request("/v1/score", JSON, application.to_string().as_bytes()));
    }

    fn answered(&self, _: u64, body: &[u8]) -> Answered {
        if !holds(body, r#""mode":"full""#) {
            Answered::Not
        } else if holds(body, r#""replayed":true"#) || holds(body, r#""model":0.0,"#) {
            Answered::Kept
        } else {
            Answered::Anew
        }
    }
}

impl Prepared {
    pub(crate) fn new(count: u64) -> Self {
        let application = |person| application_of(&mut Random(person), person, "bare").to_string();
        Self((0..count).map(|person| request("/v1/score", JSON, application(person).as_bytes())).collect())
    }
}

impl Requests for Prepared {
    fn write(&self, place: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0[(place % self.0.len() as u64) as usize]);
    }

    fn answered(&self, _: u64, _: &[u8]) -> Answered {
        Answered::Anew
    }
}

impl Rows {
    /// Those of an application of each of so many people.
    pub(crate) fn new(server: &Server, people: u64) -> Self {
        let names = features();
        let mut client = Client::connect(server.authority()).expect("it listens");
        let mut row = |person: u64| {
            let application = |number| application_of(&mut Random(!person), person, &format!("row-{number}"));
            let mut answers = (0..TRIES).map(|number| {
                let body = application(number).to_string();
                client.post("/v1/score?vector=true", JSON, &body).expect("it answers").json()
            });
            let reply = answers.find(|reply| reply["mode"] == "full").expect("an application is scored by the model");
            let (values, probability) = (reply["vector"].as_array(), reply["probability_of_default"].as_f64());
            let (Some(values), Some(probability)) = (values, probability) else {
                panic!("a score has its vector: {reply}");
            };
            assert_eq!(values.len(), names.len(), "a vector has a value for each feature");
            let row: Map<String, Value> = names.iter().cloned().zip(values.iter().cloned()).collect();
            Row { request: request("/score", JSON, Value::Object(row).to_string().as_bytes()), probability }
        };
        let rows = (0..people).map(&mut row).collect();
        Self { rows, first: AtomicU64::new(0), difference: AtomicU64::new(0) }
    }

    /// Asks a system for each of them, and from now on, from this place, for the first one again: of what a cache of the last rows holds
    /// it is the farthest.
    pub(crate) fn ask_all(&self, address: SocketAddr, place: u64) {
        self.first.store(place, Ordering::Relaxed);
        let mut client = Client::connect(&address.to_string()).expect("it listens");
        for (row, place) in self.rows.iter().zip(place..) {
            let reply = client.ask(&row.request).expect("it answers");
            let answered = self.answered(place, reply.body);
            assert_ne!(answered, Answered::Not, "a row is scored: {} {}", reply.status, reply.json());
        }
    }

    /// The largest difference of an answer from Cauce's.
    pub(crate) fn difference(&self) -> f64 {
        f64::from_bits(self.difference.load(Ordering::Relaxed))
    }

    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    fn row(&self, place: u64) -> &Row {
        &self.rows[((place - self.first.load(Ordering::Relaxed)) % self.rows.len() as u64) as usize]
    }
}

impl Requests for Rows {
    fn write(&self, place: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.row(place).request);
    }

    fn answered(&self, place: u64, body: &[u8]) -> Answered {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(probability) = answer["probability_of_default"].as_f64() else { return Answered::Not };
        let difference = (probability - self.row(place).probability).abs();
        self.difference.fetch_max(difference.to_bits(), Ordering::Relaxed);
        if answer["cached"] == true { Answered::Kept } else { Answered::Anew }
    }
}

/// The names of a vector's values, in order.
fn features() -> Vec<String> {
    let path = repository().join(BUNDLE).join("reference.json");
    let reference: Value = serde_json::from_slice(&std::fs::read(path).expect("it ships")).expect("it is JSON");
    let features = reference["features"].as_array().expect("it lists features");
    features.iter().map(|feature| feature["name"].as_str().expect("each has a name").to_owned()).collect()
}

/// A run of requests, all of them new, or with repetitions among them.
pub(crate) struct Asked<'a> {
    pub(crate) requests: &'a dyn Requests,
    /// The place of the first one.
    pub(crate) first: u64,
    pub(crate) repeats: bool,
    /// Answers that were not made anew.
    pub(crate) kept: AtomicU64,
}

impl Asked<'_> {
    fn place(&self, number: u64) -> u64 {
        self.first + if self.repeats { place(number) } else { number }
    }
}

impl Traffic for Asked<'_> {
    fn kinds(&self) -> Vec<String> {
        vec!["score".to_owned()]
    }

    fn write(&self, number: u64, out: &mut Vec<u8>) -> Sent {
        self.requests.write(self.place(number), out);
        Sent { number, kind: 0, items: 1, is_invalid: false }
    }

    fn judge(&self, sent: Sent, status: u16, body: &[u8]) -> Verdict {
        let verdict = Verdict::of_status(status);
        if verdict != Verdict::Good {
            return verdict;
        }
        let answered = self.requests.answered(self.place(sent.number), body);
        self.kept.fetch_add(u64::from(answered == Answered::Kept), Ordering::Relaxed);
        if answered == Answered::Not { Verdict::Failed } else { Verdict::Good }
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

/// An answer of the service to one application that it is asked for: what the bare handler answers.
pub(crate) fn answer(server: &Server) -> Vec<u8> {
    let application = json!(application_of(&mut Random(1), 1, "answer"));
    server.post("/v1/score", JSON, application.to_string()).body
}
