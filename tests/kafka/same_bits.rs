//! One seeded history of 200 people through Kafka, in another order than over HTTP: the same bits (F1, F2).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Group, record};
use crate::support::Server;
use crate::support::history::{self, BUNDLE, JSON, LINES, NOW, lines};

const PEOPLE: u64 = 200;

/// What is scored of each person over HTTP.
fn over_http(events: &[Value], applications: &[Value]) -> BTreeMap<String, Value> {
    let server = Server::start(["--bundle", BUNDLE, "--clock", NOW]);
    for events in events.chunks(1_000) {
        let answer = server.post("/v1/events/batch", LINES, lines(events)).json();
        assert_eq!(answer["refused"], json!(0), "{answer}");
    }
    let answer = server.post("/v1/score/batch?vector=true", JSON, json!(applications).to_string()).json();
    by_person(answer["results"].as_array().unwrap().iter().cloned())
}

fn by_person(scores: impl Iterator<Item = Value>) -> BTreeMap<String, Value> {
    scores.map(|score| (score["person_id"].as_str().unwrap().to_owned(), score)).collect()
}

#[test]
fn scores_through_kafka_are_those_over_http_bit_for_bit() {
    let (events, applications) = (history::events(PEOPLE, 20_260_620), history::applications(PEOPLE));
    let group = Group::start("same-bits", &[]);
    let other_order = events.iter().rev().map(|event| record(event, 0));
    group.broker.write(&group.topics.events, other_order);
    let scores = group.scores(applications.iter().map(|application| record(application, 0)), PEOPLE as usize);
    assert_eq!(group.broker.read(&group.topics.dead_letters), []);

    let (seen, expected) = (by_person(scores.iter().map(|score| score.json())), over_http(&events, &applications));
    assert_eq!(seen.len(), PEOPLE as usize);
    for (person, score) in &seen {
        for name in ["vector", "probability_of_default", "decision", "band", "history"] {
            assert_eq!(score[name], expected[person][name], "{name} of {person}");
        }
    }
}
