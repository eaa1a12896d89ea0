//! A log whose disk stalls: scores are given, and say that they are not known to be durable.

use std::time::Duration;

use serde_json::{Value, json};

use super::{BUDGET, Front, arguments, breaker, expect_mode, expect_none_late, has_reason, of_person, opened};
use crate::support::disk::FailingDisk;
use crate::support::history::{DAY_MS, instant};
use crate::support::history::{JSON, payment};
use crate::support::kafka::chaos::now_ms;

/// Longer than any budget here.
const STALL_MS: u32 = 500;

fn ids() -> impl Iterator<Item = String> {
    (0..).map(|number: u32| format!("a-{number}"))
}

#[test]
fn stalled_log_costs_durable_answers_their_durability_and_no_time() {
    let disk = FailingDisk::new("stalled-log");
    let server = disk.serve(arguments(&["log.applications=durable"]));
    let (mut front, mut ids) = (Front::new(&server), ids());
    let mut next = || of_person("c-1", &ids.next().unwrap(), 5_000);
    front.until("the log is durable within a budget", |front| {
        let answer = front.score(&next());
        expect_mode(&answer, "full", answer_reasons(&answer));
        (answer["durable"] == true).then_some(answer)
    });

    disk.stall_in("/log/", "sync", STALL_MS);
    let answer = front.score(&next());
    expect_mode(&answer, "full", &["log_slow"]);
    assert_eq!((&answer["durable"], &answer["recorded"]), (&json!(false), &json!(false)), "{answer}");
    let answer = front.until("the log is left alone", |front| {
        let answer = front.score(&next());
        assert_eq!(answer["durable"], false, "{answer}");
        has_reason(&answer, "log_breaker_open").then_some(answer)
    });
    expect_mode(&answer, "full", &["log_breaker_open"]);
    assert!(opened(&server, "log") >= 1.0);

    disk.heal();
    front.until("the log is durable again", |front| {
        let answer = front.score(&next());
        (answer["durable"] == true && breaker(front.server, "log") == "closed").then_some(answer)
    });
    expect_none_late(&[&front]);
}

#[test]
fn client_in_a_hurry_does_not_have_the_log_left_alone_for_others() {
    let disk = FailingDisk::new("hurried-log");
    let server = disk.serve(arguments(&["log.applications=durable"]));
    let (mut hurried, mut front) = (Front::new(&server).within(Duration::from_millis(10)), Front::new(&server));
    disk.stall_in("/log/", "sync", 20);
    for id in ids().take(50) {
        let (status, answer) = hurried.post("/v1/score", &of_person("c-1", &id, 5_000));
        assert!(status == 200 && !has_reason(&answer, "log_breaker_open"), "{answer}");
    }
    assert_eq!((opened(&server, "log"), breaker(&server, "log")), (0.0, json!("closed")));
    let mut ids = ids();
    front.until("who has the usual time has it durable", |front| {
        let answer = front.score(&of_person("c-2", &ids.next()?, 5_000));
        assert!(!has_reason(&answer, "log_breaker_open"), "{answer}");
        (answer["durable"] == true).then_some(answer)
    });
    disk.heal();
    expect_none_late(&[&hurried, &front]);
}

/// Before the fault a busy disk may be slow for once.
fn answer_reasons(answer: &Value) -> &'static [&'static str] {
    if has_reason(answer, "log_slow") { &["log_slow"] } else { &[] }
}

#[test]
fn stalled_log_is_nothing_to_answers_that_do_not_wait_for_it() {
    let disk = FailingDisk::new("stalled-relaxed");
    let server = disk.serve(arguments(&[]));
    let mut front = Front::new(&server);
    disk.stall_in("/log/", "sync", STALL_MS);
    for id in ids().take(50) {
        let answer = front.score(&of_person("c-1", &id, 5_000));
        expect_mode(&answer, "full", &[]);
        assert_eq!((&answer["durable"], &answer["recorded"]), (&json!(false), &json!(true)), "{answer}");
    }
    assert_eq!((opened(&server, "log"), breaker(&server, "log")), (0.0, json!("closed")));
    disk.heal();
    expect_none_late(&[&front]);
}

#[test]
fn event_that_a_stalled_log_did_not_answer_for_is_sent_again_and_counts_once() {
    let disk = FailingDisk::new("stalled-events");
    let server = disk.serve(arguments(&[]));
    let mut front = Front::new(&server).within(BUDGET * 2);
    let event = payment("c-1", "1", &instant(now_ms() - DAY_MS), 0);
    disk.stall_in("/log/", "sync", STALL_MS);
    let (status, answer) = front.post("/v1/events", &event);
    assert_eq!((status, &answer["code"]), (503, &json!("log_slow")), "{answer}");
    let (status, answer) = front.post("/v1/events", &event);
    assert_eq!((status, &answer["code"]), (503, &json!("log_slow")), "{answer}");
    disk.heal();
    let answer = Front::new(&server).within(Duration::from_secs(5)).until("the log takes it", |front| {
        let (status, answer) = front.post("/v1/events", &event);
        (status < 300).then_some(answer)
    });
    assert!(["new", "duplicate"].contains(&answer["applied"].as_str().unwrap()), "{answer}");
    let features = server.get("/v1/people/c-1/features").json();
    let features = features["features"].as_array().unwrap();
    let payments = features.iter().find(|feature| feature["name"] == "payments_90d").unwrap();
    assert_eq!(payments["value"], 1.0, "{payments}");
    assert_eq!(server.post("/v1/events", JSON, event.to_string()).json()["applied"], "duplicate");
    expect_none_late(&[&front]);
}
