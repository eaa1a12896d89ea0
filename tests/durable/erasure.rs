//! A person who was erased is gone from memory, state, log and disk, and no restart or replay brings them back.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::settings;
use crate::support::crash::{digest, replay};
use crate::support::history::{JSON, LINES, NOW, NOW_MS, application, lines, payment};
use crate::support::{Directory, Server, files};

/// Found nowhere else, so that files can be searched for it.
const PERSON: &str = "erase-me-7f3a9c51";
const EVENTS: u32 = 2_000;
/// How long rewriting segments may take in the background.
const REWRITTEN: Duration = Duration::from_secs(30);

fn start(data: &Directory) -> Server {
    Server::start_in(data.root(), settings(&["log.segment=64KiB", "store.checkpoint_every=300ms"]))
}

/// Whose event a number is.
fn person(number: u32) -> String {
    if number.is_multiple_of(10) { PERSON.to_owned() } else { format!("c-{}", number % 7) }
}

/// Events of the person among those of others, over several segments.
fn post_histories(server: &Server) {
    for from in (0..EVENTS).step_by(100) {
        let events: Vec<Value> = (from..from + 100)
            .map(|number| payment(&person(number), &number.to_string(), "2026-06-19T10:00:00Z", number % 40))
            .collect();
        let answer = server.post("/v1/events/batch", LINES, lines(&events));
        assert_eq!((answer.status, &answer.json()["new"]), (200, &json!(100)), "{}", answer.text());
    }
    let scored = server.post("/v1/score", JSON, application(PERSON, "a-1").to_string());
    assert_eq!((scored.status, &scored.json()["recorded"]), (200, &json!(true)), "{}", scored.text());
}

fn erase(server: &Server) {
    let answer = server.send("DELETE", &format!("/v1/people/{PERSON}"), &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.text().contains("c-1"), "an answer about one person tells of no other: {}", answer.text());
}

#[track_caller]
fn expect_gone(server: &Server) {
    for path in ["", "/features", "/timeline"] {
        let answer = server.get(&format!("/v1/people/{PERSON}{path}"));
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    assert_eq!(payments(server, "c-1") as usize, count("c-1"), "others keep theirs");
}

fn count(whose: &str) -> usize {
    (0..EVENTS).filter(|number| person(*number) == whose).count()
}

/// How many payments of a person the state counts.
fn payments(server: &Server, person: &str) -> f64 {
    let answer = server.get(&format!("/v1/people/{person}/features")).json();
    let features = answer["features"].as_array().unwrap();
    features.iter().find(|feature| feature["name"] == "payments_lifetime").unwrap()["value"].as_f64().unwrap()
}

/// The files that hold the id.
fn holding(directory: &Path) -> Vec<String> {
    let held =
        |path: &Path| fs::read(path).is_ok_and(|bytes| bytes.windows(PERSON.len()).any(|at| at == PERSON.as_bytes()));
    files(directory).iter().filter(|path| held(path)).map(|path| path.display().to_string()).collect()
}

/// A replay reads the log of the running service, and does not disturb it.
#[track_caller]
fn expect_replay(server: &Server, data: &Directory) {
    let (served, replayed) = (digest(server, NOW_MS), replay(data.root(), NOW));
    assert!(replayed.contains(&served), "served {served}, replayed {replayed}");
}

/// Waits until nothing is left to be erased from the files.
#[track_caller]
fn wait_until(done: impl Fn() -> bool, left: impl Fn() -> String) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < REWRITTEN, "after {REWRITTEN:?} still {}", left());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn erased_person_is_in_no_answer_and_in_no_file_through_kill_and_replay() {
    let data = Directory::new("erasure");
    let server = start(&data);
    post_histories(&server);
    assert_eq!(server.post("/v1/admin/checkpoint", JSON, "").status, 200);
    assert_eq!(payments(&server, PERSON) as usize, count(PERSON));
    assert!(!holding(data.root()).is_empty(), "otherwise there is nothing to erase");

    erase(&server);
    expect_gone(&server);
    server.kill();
    let server = start(&data);
    expect_gone(&server);

    wait_until(|| holding(data.root()).is_empty(), || format!("in {:?}", holding(data.root())));
    expect_replay(&server, &data);
    server.kill();
    expect_gone(&start(&data));
}

#[test]
fn person_who_comes_back_after_an_erasure_begins_anew() {
    let data = Directory::new("erasure-anew");
    let server = start(&data);
    post_histories(&server);
    erase(&server);
    // The very event that was erased: nothing is left that could call it a duplicate.
    let event = payment(PERSON, "10", "2026-06-19T10:00:00Z", 10).to_string();
    let answer = server.post("/v1/events", JSON, &event);
    assert_eq!((answer.status, &answer.json()["applied"]), (201, &json!("new")), "{}", answer.text());
    assert_eq!(payments(&server, PERSON), 1.0);
    let pending = || server.get("/metrics").text().contains("\ncauce_erasures_pending 0\n");
    wait_until(pending, || "pending".to_owned());
    server.kill();

    let server = start(&data);
    assert_eq!(payments(&server, PERSON), 1.0);
    let timeline = server.get(&format!("/v1/people/{PERSON}/timeline")).json();
    assert_eq!(timeline["events"].as_array().unwrap().len(), 1, "{timeline}");
    expect_replay(&server, &data);
}
