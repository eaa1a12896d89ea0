//! The bank of `cauce-loadtest simulate`, straight into the topics that an instance reads.

use std::collections::BTreeSet;

use serde_json::json;

use super::Group;
use crate::support::kafka::Broker;
use crate::support::kafka::topics::Topics;
use crate::support::{Finished, finish, loadtest_command};

/// Simulates 200 people up to the instant at which the clocks of the tests stand still.
fn simulate(topics: &Topics, further: &[&str]) -> Finished {
    let mut command = loadtest_command();
    command.args([
        "simulate",
        "--people",
        "200",
        "--seed",
        "3",
        "--from",
        "2026-02-01",
        "--to",
        "2026-06-20T12:00:00Z",
    ]);
    command.args(["--kafka", &Broker::shared().address(), "--topic", &topics.events]);
    command.args(["--applications-topic", &topics.applications]).args(further);
    finish(&mut command)
}

#[test]
fn simulated_bank_is_scored_whole_and_what_is_invalid_in_it_told_apart() {
    let group = Group::start("simulated", &[]);
    let said = simulate(&group.topics, &["--duplicate-share", "0.02", "--invalid-share", "0.02"]).expect_success();
    group.broker.await_caught_up(&group.topics);

    let applications = group.broker.read(&group.topics.applications);
    let valid = applications.iter().filter_map(|record| {
        let application = serde_json::from_slice::<serde_json::Value>(record.value.as_deref()?).ok()?;
        // The time of a spoilt one is none, or it has no person.
        let is_valid = application["as_of"].as_str()?.starts_with("2026") && application["person_id"].is_string();
        is_valid.then(|| application["application_id"].clone().to_string())
    });
    let (valid, scores) = (valid.collect::<Vec<_>>(), group.broker.read(&group.topics.scores));
    let scored: Vec<_> = scores.iter().map(super::Record::json).collect();
    let ids: Vec<_> = scored.iter().map(|score| score["application_id"].to_string()).collect();
    let (distinct, all) = (ids.iter().collect::<BTreeSet<_>>(), valid.iter().collect::<BTreeSet<_>>());
    assert_eq!((distinct, ids.len()), (all.clone(), valid.len()), "{}", said.stderr());
    assert!(all.len() > 250, "{}", said.stderr());
    assert!(scored.iter().all(|score| score["mode"] == json!("full")));
    // Who has a history has it where the score is made: it came before the application.
    let known = scored.iter().filter(|score| score["history"]["known"] == json!(true)).count();
    assert!(known as f64 > 0.8 * scored.len() as f64, "{known} of {}", scored.len());

    let dead: Vec<_> = group.broker.read(&group.topics.dead_letters);
    let invalid = applications.len() - valid.len();
    let reasons: BTreeSet<_> = dead.iter().filter_map(|record| record.header("cauce-reason")).collect();
    assert_eq!(reasons, BTreeSet::from(["invalid_fields", "malformed_json"]));
    assert!(invalid > 0 && dead.len() > invalid, "{} {invalid}", dead.len());
}

#[test]
fn simulation_says_what_is_missing_at_the_broker() {
    let topics = Topics::named("simulated-nowhere", 1);
    let said = simulate(&topics, &[]);
    assert_eq!(said.code(), Some(2));
    assert!(said.stderr().contains("there is no topic `simulated-nowhere.events`"), "{}", said.stderr());
}
