//! Applications in, scores out.

use serde_json::{Value, json};

use super::{Group, record};
use crate::support::Server;
use crate::support::history::{BUNDLE, JSON, NOW, application, payment};
use crate::support::kafka::topics::Input;

#[test]
fn score_carries_all_that_a_decision_rests_on() {
    let group = Group::start("scores-whole", &[]);
    group.events([record(&payment("c-1", "1", "2026-06-20T11:58:30Z", 0), 0)]);
    let scores = group.scores([record(&application("c-1", "a-9"), 500)], 1);
    let (record, score) = (&scores[0], scores[0].json());
    let place = record.header("cauce-id").unwrap();
    assert_eq!(place, format!("{}/{}/0", group.topics.applications, record.partition));
    assert_eq!(record.key.as_deref(), Some(b"c-1".as_slice()));
    for (pointer, expected) in [
        ("/score_id", json!(place)),
        ("/person_id", json!("c-1")),
        ("/application_id", json!("a-9")),
        ("/mode", json!("full")),
        ("/degraded_reasons", json!([])),
        ("/history", json!({"known": true, "newest_event_age_seconds": 90.5, "truncated": false, "coarse": false})),
        ("/as_of", json!("2026-06-20T12:00:00.500Z")),
        ("/source/topic", json!(group.topics.applications)),
        ("/source/partition", json!(record.partition)),
        ("/source/offset", json!(0)),
        ("/source/timestamp", json!("2026-06-20T12:00:00.500Z")),
    ] {
        assert_eq!(score.pointer(pointer), Some(&expected), "{pointer}: {score}");
    }

    let http = Server::start(["--bundle", BUNDLE, "--clock", "2026-06-20T12:00:00.5Z"]);
    let posted = http.post("/v1/events", JSON, payment("c-1", "1", "2026-06-20T11:58:30Z", 0).to_string());
    assert_eq!(posted.status, 201);
    let answer = http.post("/v1/score?vector=true", JSON, application("c-1", "a-9").to_string()).json();
    for name in ["decision", "probability_of_default", "band", "confidence", "history", "bundle", "as_of", "vector"] {
        assert_eq!(score[name], answer[name], "{name}");
    }
}

#[test]
fn score_stands_in_the_partition_of_its_application_and_by_itself_names_it() {
    let group = Group::start("scores-partitions", &[]);
    let unnamed = |person: usize| {
        let mut application = application(&format!("c-{person}"), "x");
        application.as_object_mut().unwrap().remove("application_id");
        record(&application, 0)
    };
    let scores = group.scores((0..40).map(unnamed), 40);
    let applications = group.broker.read(&group.topics.applications);
    assert!(applications.iter().any(|record| record.partition == 0));
    for (score, application) in scores.iter().zip(&applications) {
        assert_eq!((&score.key, score.partition), (&application.key, application.partition));
        let id = format!("{}-{}-{}", group.topics.applications, application.partition, application.offset);
        assert_eq!(score.json()["application_id"], json!(id));
    }
}

#[test]
fn application_is_scored_as_of_its_own_instant() {
    let group = Group::start("scores-as-of", &[]);
    group.events([
        record(&payment("c-1", "before", "2026-06-14T08:00:00Z", 0), 0),
        record(&payment("c-1", "behind", "2026-06-16T08:00:00Z", 0), 0),
    ]);
    let mut asked = application("c-1", "then");
    asked["as_of"] = json!("2026-06-15T00:00:00Z");
    let scores = group.scores([record(&asked, 1), record(&application("c-1", "now"), 2)], 2);
    let payments = |score: &Value| group.feature(score, "payments_90d");
    let [then, now] = [scores[0].json(), scores[1].json()];
    assert_eq!((payments(&then), &then["as_of"]), (json!(1.0), &json!("2026-06-15T00:00:00Z")));
    assert_eq!((payments(&now), &now["as_of"]), (json!(2.0), &json!("2026-06-20T12:00:00.002Z")));
    // It became part of the history itself, at its instant.
    assert_eq!(group.feature(&now, "applications_90d"), json!(1.0));
}

#[test]
fn late_event_lands_in_its_own_window_and_once() {
    let group = Group::start("scores-late", &[]);
    let late = payment("c-1", "late", "2026-05-10T08:00:00Z", 9);
    group.events([record(&payment("c-1", "fresh", "2026-06-19T08:00:00Z", 5), 0), record(&late, 1), record(&late, 2)]);
    let score = group.score(record(&application("c-1", "a"), 3));
    assert_eq!(group.feature(&score, "late_payments_90d"), json!(2.0));
    assert_eq!(group.feature(&score, "late_payments_30d"), json!(1.0));
    assert_eq!(group.feature(&score, "days_past_due_last_90d"), json!(5.0));
}

#[test]
fn application_waits_for_events_that_were_written_before_it() {
    let group = Group::start("scores-order", &[]);
    // Written last into their topic, yet of an earlier instant than the application.
    let events = (0..200).map(|id| record(&payment("c-1", &id.to_string(), "2026-06-19T08:00:00Z", 0), 0));
    group.broker.write(&group.topics.events, events);
    let score = group.score(record(&application("c-1", "a"), 1));
    assert_eq!(group.feature(&score, "payments_90d"), json!(200.0));
}

#[test]
fn record_without_a_value_erases_its_person() {
    let group = Group::start("scores-erased", &[]);
    let erase = Input { key: Some("c-1".into()), ..Input::default() };
    group.events([
        record(&payment("c-1", "1", "2026-06-20T11:00:00Z", 0), 0),
        record(&payment("c-2", "1", "2026-06-20T11:00:00Z", 0), 0),
        erase.at(crate::support::history::NOW_MS as i64 + 1),
    ]);
    let scores = group.scores([record(&application("c-1", "a"), 2), record(&application("c-2", "a"), 2)], 2);
    for score in scores.iter().map(crate::support::kafka::topics::Record::json) {
        assert_eq!(score["history"]["known"], json!(score["person_id"] == "c-2"), "{score}");
    }
}

#[test]
fn scores_that_are_there_are_not_made_again_by_a_start() {
    let group = Group::start("scores-restart", &[]);
    let count = 20;
    let of = |from: usize| (from..from + count).map(|person| record(&application(&format!("c-{person}"), "a"), 0));
    let first = group.scores(of(0), count);
    let group = group.begin_anew(&[]);
    let both = group.scores(of(count), 2 * count);
    assert!(first.iter().all(|score| both.contains(score)));
    assert!(both.iter().all(|score| score.json()["as_of"] == NOW));
}
