//! What nobody can use goes to the dead letters with a reason, as it came; what stands behind it is worked off.

use serde_json::{Value, json};

use super::{Group, record};
use crate::support::history::{NOW_MS, application, payment};
use crate::support::kafka::topics::{Input, Record};

fn wrong(mut document: Value, name: &str, value: Value) -> Value {
    document[name] = value;
    document
}

/// Each kind of event that is refused, and why.
fn poisoned_events() -> Vec<(&'static str, Input)> {
    let payment = payment("c-1", "poison", "2026-06-20T11:00:00Z", 0);
    let with = |name: &str, value: Value| record(&wrong(payment.clone(), name, value), 0);
    let at_now = |input: Input| input.at(NOW_MS as i64);
    vec![
        ("malformed_json", at_now(Input::new("c-1", "{\"person_id\": "))),
        ("malformed_json", at_now(Input::new("c-1", vec![0, 159, 255]))),
        ("invalid_fields", with("data", json!({"amount": -1}))),
        ("invalid_fields", with("time", json!("yesterday"))),
        ("missing_key", Input { key: None, ..record(&payment, 0) }),
        ("key_mismatch", Input { key: Some("c-2".into()), ..record(&payment, 0) }),
        ("event_too_late", with("time", json!("2026-03-20T11:00:00Z"))),
        ("event_in_future", with("time", json!("2026-06-20T12:06:00Z"))),
    ]
}

/// That a dead letter is the record as it came, with where it stood and why it is one.
#[track_caller]
fn expect_letter(letter: &Record, original: &Record, topic: &str, reason: &str) {
    assert_eq!((&letter.key, &letter.value), (&original.key, &original.value), "{reason}");
    assert_eq!(letter.headers[..original.headers.len()], original.headers[..], "{reason}");
    let place = [
        ("cauce-reason", reason.to_owned()),
        ("cauce-topic", topic.to_owned()),
        ("cauce-partition", original.partition.to_string()),
        ("cauce-offset", original.offset.to_string()),
        ("cauce-timestamp", original.timestamp_ms.to_string()),
    ];
    for (name, value) in place {
        assert_eq!(letter.header(name), Some(value.as_str()), "{name} of {letter:?}");
    }
}

#[test]
fn event_that_nobody_can_use_is_a_dead_letter_and_stops_nobody() {
    let group = Group::start("dead-events", &[]);
    for (at, (reason, input)) in poisoned_events().into_iter().enumerate() {
        let input = input.header("origin", "a test").header("origin", "twice");
        group.broker.write(&group.topics.events, [input]);
        let letters = group.broker.read_until(&group.topics.dead_letters, at + 1);
        let events = group.broker.read(&group.topics.events);
        let place = |record: &Record| (record.timestamp_ms, record.partition, record.offset);
        let is_of = |letter: &Record, record: &Record| {
            letter.header("cauce-offset") == Some(record.offset.to_string().as_str())
                && letter.header("cauce-partition") == Some(record.partition.to_string().as_str())
        };
        let original = events.iter().find(|record| {
            letters
                .iter()
                .filter(|letter| letter.header("cauce-reason") == Some(reason))
                .any(|letter| is_of(letter, record))
        });
        let original = original.unwrap_or_else(|| panic!("{reason}: {letters:?}"));
        let letter = letters.iter().find(|letter| is_of(letter, original)).unwrap();
        expect_letter(letter, original, &group.topics.events, reason);
        assert!(place(original).0 >= NOW_MS as i64);
    }
    group.events([record(&payment("c-1", "sound", "2026-06-20T11:00:00Z", 0), 1)]);
    let score = group.score(record(&application("c-1", "a"), 2));
    assert_eq!(group.feature(&score, "payments_90d"), json!(1.0));
}

#[test]
fn dead_letter_of_an_application_names_every_wrong_field_and_no_value() {
    let group = Group::start("dead-applications", &[]);
    let mut poison = application("c-1", "a");
    poison["application"] = json!({"monthly_income": "plenty", "amount": -5, "amuont": 7});
    let scores = group.scores([record(&poison, 0), record(&application("c-1", "b"), 1)], 1);
    assert_eq!(scores[0].json()["application_id"], "b");
    let letters = group.broker.read_until(&group.topics.dead_letters, 1);
    let original = &group.broker.read(&group.topics.applications)[0];
    expect_letter(&letters[0], original, &group.topics.applications, "invalid_fields");
    let said = letters[0].header("cauce-errors").unwrap();
    let errors: Vec<Value> = serde_json::from_str(said).unwrap();
    let paths: Vec<&str> = errors.iter().map(|error| error["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"application.monthly_income") && paths.contains(&"application.amount"), "{paths:?}");
    assert!(!said.contains("plenty"), "{said}");
}
