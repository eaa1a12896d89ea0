//! CloudEvents 1.0: a whole event as the value (structured mode), or its attributes as headers (binary mode).

use serde_json::json;

use super::{Group, record};
use crate::support::history::{NOW_MS, application};
use crate::support::kafka::topics::Input;

const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";

fn at_now(input: Input) -> Input {
    input.at(NOW_MS as i64)
}

/// A payment of `c-1` as a whole CloudEvent.
fn structured(id: &str) -> Input {
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/loans", "type": "mx.ahorrovalle.payment", "subject": "c-1",
        "time": "2026-06-19T08:00:00Z", "data": {"amount": 10.5, "days_past_due": 0},
    });
    at_now(Input::new("c-1", event.to_string()).header("content-type", STRUCTURED))
}

/// The same with its attributes as headers; its key says whose it is.
fn binary(id: &str) -> Input {
    let data = json!({"amount": 10.5, "days_past_due": 0});
    let input = Input::new("c-1", data.to_string()).header("content-type", "application/json");
    let attributes = [("ce_specversion", "1.0"), ("ce_id", id), ("ce_source", "/loans"), ("ce_type", "payment")];
    let input = attributes.iter().fold(input, |input, (name, value)| input.header(name, value));
    at_now(input.header("ce_time", "2026-06-19T08:00:00Z"))
}

#[test]
fn events_are_read_in_both_modes_and_are_one_by_their_id() {
    let group = Group::start("cloud-events", &[]);
    group.events([structured("1"), binary("2"), binary("1"), structured("2")]);
    let score = group.score(record(&application("c-1", "a"), 1));
    assert_eq!(group.feature(&score, "payments_90d"), json!(2.0));
    assert_eq!(group.broker.read(&group.topics.dead_letters), []);
}

#[test]
fn applications_are_read_in_both_modes_with_their_own_instant() {
    let group = Group::start("cloud-applications", &[]);
    let fields = application("c-1", "x")["application"].clone();
    let whole = json!({
        "specversion": "1.0", "id": "a-1", "source": "/loans", "type": "mx.ahorrovalle.application", "subject": "c-1",
        "time": "2026-06-19T08:00:00Z", "data": fields,
    });
    let attributes = [
        ("ce_specversion", "1.0"),
        ("ce_id", "a-2"),
        ("ce_source", "/loans"),
        ("ce_type", "mx.ahorrovalle.application"),
        ("ce_time", "2026-06-19T09:00:00Z"),
        ("content-type", "application/json"),
    ];
    let input = Input::new("c-1", fields.to_string());
    let binary = attributes.iter().fold(input, |input, (name, value)| input.header(name, value));
    let structured = Input::new("c-1", whole.to_string()).header("content-type", STRUCTURED);
    let scores = group.scores([at_now(structured), at_now(binary)], 2);
    let told = |at: usize| (scores[at].json()["application_id"].clone(), scores[at].json()["as_of"].clone());
    assert_eq!(told(0), (json!("a-1"), json!("2026-06-19T08:00:00Z")));
    assert_eq!(told(1), (json!("a-2"), json!("2026-06-19T09:00:00Z")));
}
