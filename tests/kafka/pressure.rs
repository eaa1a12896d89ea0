//! A service that is far behind scores what is urgent first, and the rest later, as if it had never waited; and one that can hold only little at a
//! time reads on wherever it was held up.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Group, arguments, record, start, topics};
use crate::support::Server;
use crate::support::history::{NOW_MS, application, instant, payment};
use crate::support::kafka::Broker;
use crate::support::kafka::topics::{Input, Record, await_true};

const PEOPLE: u32 = 50;
const EVENTS: u32 = 4_000;

/// An event that is read as soon as it happens: no other one is late by it.
fn event(number: u32) -> Input {
    let (person, time) = (format!("c-{}", number % PEOPLE), instant(NOW_MS + u64::from(number)));
    record(&payment(&person, &number.to_string(), &time, number % 9), i64::from(number))
}

/// Events of everybody, with an application of everybody in their midst, one in five of high priority.
fn write(broker: &Broker, events: &str, applications: &str) {
    broker.write(events, (0..EVENTS).map(event));
    let application = |number: u32| {
        let asked = record(&application(&format!("c-{number}"), "a"), i64::from(EVENTS / 2 + number));
        if number.is_multiple_of(5) { asked.header("priority", "high") } else { asked }
    };
    broker.write(applications, (0..PEOPLE).map(application));
}

/// What was scored of each person, without the names of topics, which are not those of another group.
fn by_person(scores: &[Record]) -> BTreeMap<String, Value> {
    let of_person = |score: &Record| {
        let mut score = score.json();
        ["score_id", "source"].iter().for_each(|name| score[*name] = Value::Null);
        (score["person_id"].to_string(), score)
    };
    scores.iter().map(of_person).collect()
}

fn metric(server: &Server, name: &str) -> f64 {
    let page = server.get("/metrics").text();
    let line = page.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{name}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn under_lag_only_high_priority_is_scored_and_what_waited_is_scored_alike_once_it_is_over() {
    let (broker, waiting) = (Broker::shared(), topics("pressure"));
    write(broker, &waiting.events, &waiting.applications);
    // Small rounds, so that the lag lasts for some seconds.
    let slow = ["kafka.lag_high=1000", "kafka.lag_low=100", "kafka.round_records=10"];
    let server = start(&arguments(broker, &waiting, &slow));
    let waited = by_person(&broker.read_until(&waiting.scores, PEOPLE as usize));
    assert_eq!(broker.read(&waiting.deferred).len(), (PEOPLE - PEOPLE / 5) as usize);
    await_true("the wait is over", || metric(&server, "cauce_kafka_deferring") == 0.0);
    assert_eq!(metric(&server, "cauce_kafka_mode_changes_total"), 2.0);
    let log = server.log();
    assert!(
        log.contains("only applications of high priority") && log.contains("all applications are scored again"),
        "{log}"
    );

    let calm = Group::start("pressure-calm", &[]);
    write(broker, &calm.topics.events, &calm.topics.applications);
    let expected = by_person(&broker.read_until(&calm.topics.scores, PEOPLE as usize));
    assert_eq!(broker.read(&calm.topics.deferred), []);
    for (person, score) in &waited {
        assert_eq!(score, &expected[person]);
    }
}

#[test]
fn a_lane_that_is_full_is_held_up_and_read_on_after_every_rebalance() {
    let (broker, narrow) = (Broker::shared(), topics("narrow"));
    let bounds = ["kafka.buffer_records=20", "kafka.round_records=50"];
    let own = arguments(broker, &narrow, &bounds);
    let first = start(&own);
    broker.write(&narrow.events, (0..3_000).map(event));
    // Another one takes half of the partitions, and gives them back in the midst of the work.
    let second = start(&[&own[..], &["--set".into(), "kafka.instance=second".into()]].concat());
    broker.write(&narrow.events, (3_000..6_000).map(event));
    assert_eq!(second.stop(), Some(0));
    broker.write(&narrow.events, (6_000..9_000).map(event));
    broker.await_caught_up(&narrow);
    broker.write(&narrow.applications, [record(&application("c-1", "a"), 10_000)]);
    assert_eq!(broker.read_until(&narrow.scores, 1).len(), 1);
    assert_eq!(first.stop(), Some(0));
}
