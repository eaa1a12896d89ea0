//! An application goes in, a decision comes out, and the history is one application longer.

use serde_json::{Value, json};

use super::{JSON, application, expect, feature, lines, metric, payment, score, score_under, server, take};
use crate::support::Answer;

fn is_fraction(value: &Value) -> bool {
    value.as_f64().is_some_and(|value| (0.0..=1.0).contains(&value))
}

#[test]
fn answer_carries_all_that_a_decision_rests_on() {
    let server = server();
    take(&server, &payment("c-1", "1", "2026-06-20T11:58:30Z", 0));
    let headers = [("content-type", JSON), ("x-request-id", "abc-1")];
    let answer = server.send("POST", "/v1/score", &headers, application("c-1", "a-9").to_string().as_bytes());
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(JSON)), "{}", answer.text());
    assert_eq!(answer.header("x-request-id"), Some("abc-1"));
    expect_server_timing(&answer);

    let scored = answer.json();
    for (pointer, expected) in [
        ("/request_id", json!("abc-1")),
        ("/person_id", json!("c-1")),
        ("/application_id", json!("a-9")),
        ("/mode", json!("full")),
        ("/degraded_reasons", json!([])),
        ("/history", json!({"known": true, "newest_event_age_seconds": 90.0, "truncated": false, "coarse": false})),
        ("/recorded", json!(true)),
        ("/as_of", json!(super::NOW)),
    ] {
        assert_eq!(scored.pointer(pointer), Some(&expected), "{pointer}: {scored}");
    }
    let bundle = server.get("/v1/bundle").json();
    assert_eq!(scored["bundle"], json!({"name": bundle["name"], "version": bundle["version"], "hash": bundle["hash"]}));
    assert!(is_fraction(&scored["probability_of_default"]) && is_fraction(&scored["confidence"]), "{scored}");
    assert!(["approve", "refer", "decline"].contains(&scored["decision"].as_str().unwrap()), "{scored}");
    assert!(bundle["bands"].as_array().unwrap().contains(&scored["band"]), "{scored}");
    for stage in STAGES {
        assert!(scored["timing_us"][stage].as_f64().unwrap() >= 0.0, "{stage}: {scored}");
    }
}

const STAGES: [&str; 9] = ["receive", "validate", "state", "features", "cache", "model", "ledger", "reply", "total"];

/// Milliseconds by stage, as browsers read them.
fn expect_server_timing(answer: &Answer) {
    let timing = answer.header("server-timing").unwrap();
    let stages: Vec<&str> = timing
        .split(", ")
        .map(|stage| {
            let (name, took) = stage.split_once(";dur=").unwrap();
            assert!(took.parse::<f64>().unwrap() >= 0.0, "{timing}");
            name
        })
        .collect();
    assert_eq!(stages, STAGES);
}

#[test]
fn decision_follows_from_the_probability_and_the_thresholds_of_the_bundle() {
    let server = server();
    let bundle = server.get("/v1/bundle").json();
    let (approve_below, decline_from) = (bundle["approve_below"].as_f64(), bundle["decline_from"].as_f64());
    for amount in [1, 500, 5_000, 50_000, 5_000_000] {
        let scored = score(&server, &json!({"application": {"monthly_income": 900, "amount": amount}}));
        let probability = scored["probability_of_default"].as_f64();
        let expected = match probability {
            probability if probability < approve_below => "approve",
            probability if probability >= decline_from => "decline",
            _ => "refer",
        };
        assert_eq!(scored["decision"], expected, "{scored}");
        let confidence = probability.map(|probability| probability.max(1.0 - probability)).unwrap();
        assert!((scored["confidence"].as_f64().unwrap() - confidence).abs() < 1e-6, "{scored}");
    }
}

#[test]
fn late_payment_posted_afterwards_raises_the_probability() {
    let server = server();
    for (id, day) in [("1", 2), ("2", 9), ("3", 16)] {
        take(&server, &payment("c-1", id, &format!("2026-06-{day:02}T10:00:00Z"), 0));
    }
    // The same application both times: it does not see itself, so that nothing but the payment is new.
    let before = score_under(&server, "before", &application("c-1", "a"));
    take(&server, &payment("c-1", "4", "2026-06-18T10:00:00Z", 60));
    let after = score_under(&server, "after", &application("c-1", "a"));
    assert_eq!(feature(&server, &before, "late_payments_30d"), json!(0.0));
    assert_eq!(feature(&server, &after, "late_payments_30d"), json!(1.0));
    let [before, after] = [before, after].map(|scored| scored["probability_of_default"].as_f64().unwrap());
    assert!(after > before, "{after} after the late payment, {before} without");
}

#[test]
fn scored_application_is_seen_by_the_next_of_its_person_and_by_nobody_elses() {
    let server = server();
    let applications = [("c-1", "a", "1"), ("c-1", "a", "2"), ("c-1", "b", "3"), ("c-2", "a", "4")];
    let [first, again, second, other] = applications.map(|(person, id, key)| {
        let scored = score_under(&server, key, &application(person, id));
        (feature(&server, &scored, "applications_30d"), feature(&server, &scored, "since_application"))
    });
    assert_eq!(first, (json!(0.0), json!(null)));
    assert_eq!(again, first, "an application does not see itself");
    assert_eq!(second, (json!(1.0), json!(0.0)));
    assert_eq!(other, first);
    assert_eq!(metric(&server, "cauce_people"), 2.0);
}

#[test]
fn unknown_person_is_scored_on_an_empty_history_which_begins_then() {
    let server = server();
    let scored = score(&server, &application("c-1", "a"));
    let nothing = json!({"known": false, "newest_event_age_seconds": null, "truncated": false, "coarse": false});
    assert_eq!((&scored["history"], &scored["recorded"]), (&nothing, &json!(true)));
    let scored = score(&server, &application("c-1", "b"));
    assert_eq!(scored["history"]["known"], json!(true));
}

#[test]
fn application_of_nobody_is_scored_and_not_recorded() {
    let server = server();
    let mut application = application("c-1", "a");
    application.as_object_mut().unwrap().remove("person_id");
    for _ in 0..2 {
        let scored = score(&server, &application);
        assert_eq!(scored["person_id"], json!(null));
        assert_eq!((&scored["history"]["known"], &scored["recorded"]), (&json!(false), &json!(false)));
        assert_eq!(feature(&server, &scored, "applications_30d"), json!(0.0));
    }
    assert_eq!(metric(&server, "cauce_people"), 0.0);
}

#[test]
fn application_without_an_id_takes_that_of_its_request() {
    let server = server();
    let body = json!({"application": {"monthly_income": 900, "amount": 100}});
    let headers = [("content-type", JSON), ("x-request-id", "abc-1")];
    let one = expect(server.send("POST", "/v1/score", &headers, body.to_string().as_bytes()));
    assert_eq!(one["application_id"], "abc-1");
    let many = expect(server.send("POST", "/v1/score/batch", &headers, json!([body, body]).to_string().as_bytes()));
    assert_eq!(many["results"][1]["application_id"], "abc-1.1");
    let unnamed = server.post("/v1/score", JSON, body.to_string());
    assert_eq!(unnamed.json()["application_id"], unnamed.header("x-request-id").unwrap());
}

#[test]
fn applications_of_a_batch_see_the_history_before_it_and_not_each_other() {
    let server = server();
    let batch = [application("c-1", "a"), application("c-1", "b"), application("c-2", "a")];
    let answer = server.post("/v1/score/batch?vector=true", super::LINES, lines(&batch));
    expect_server_timing(&answer);
    let answer = expect(answer);
    assert_eq!((&answer["count"], &answer["scored"]), (&json!(3), &json!(3)));
    let results = answer["results"].as_array().unwrap();
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], json!(index));
        assert_eq!(feature(&server, result, "applications_30d"), json!(0.0), "{result}");
    }
    let later = score(&server, &application("c-1", "c"));
    assert_eq!(feature(&server, &later, "applications_30d"), json!(2.0));
}
