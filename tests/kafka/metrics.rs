//! The metrics page of an instance with Kafka, and its KPIs.

use serde_json::{Value, json};

use super::{Group, record};
use crate::metrics::assert_conventions;
use crate::support::history::{JSON, MINUTE_MS, application, instant, payment};
use crate::support::kafka::chaos::now_ms;
use crate::support::kafka::topics::{Input, await_true};

#[test]
fn what_is_shown_with_kafka_keeps_to_the_conventions_of_prometheus() {
    let group = Group::start("metrics", &[]);
    group.events([record(&payment("c-1", "1", "2026-06-10T12:00:00Z", 0), 0)]);
    group.score(record(&application("c-1", "a"), 1));
    let page = group.server.get("/metrics").text();
    assert!(page.contains("# TYPE cauce_kafka_lag_records gauge\n"), "{page}");
    assert_conventions(&page);
}

/// The KPIs, once they tell of so many events.
#[track_caller]
fn kpis(group: &Group, events: u64) -> Value {
    await_true("all events are counted", || group.server.get("/v1/kpis").json()["quality"]["events"] == events);
    group.server.get("/v1/kpis").json()
}

#[test]
fn kpis_tell_of_each_event_once_however_it_came_and_how_far_the_stream_is_behind() {
    let group = Group::of_today("kpis");
    let earlier = || instant(now_ms() - MINUTE_MS);
    let written = |id: &str| Input::new("c-1", payment("c-1", id, &earlier(), 0).to_string());
    group.events([written("1"), written("2"), written("2"), Input::new("c-1", "nonsense")]);
    let before = kpis(&group, 4);
    assert_eq!(before["quality"]["events_refused_rate"], json!(0.25), "{before}");

    // One goes through the topic, the next stands already and does not; a score is an event of the history and none of these.
    let posted = payment("c-1", "3", &earlier(), 0).to_string();
    for status in [201, 200] {
        let answer = group.server.post("/v1/events", JSON, posted.clone());
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let scored = group.server.post("/v1/score", JSON, application("c-1", "a").to_string());
    assert_eq!(scored.status, 200, "{}", scored.text());
    await_true("the application is in the topic", || group.broker.read(&group.topics.events).len() == 6);
    group.broker.await_caught_up(&group.topics);
    let after = kpis(&group, 6);
    assert_eq!(after["quality"]["events_refused_rate"], json!(1.0 / 6.0), "{after}");
    await_true("nothing waits", || {
        let kafka = &group.server.get("/v1/kpis").json()["resources"]["kafka"];
        (&kafka["lag_records"], &kafka["lag_seconds"]) == (&json!(0), &json!(0.0))
    });
    let freshness = &after["resources"]["kafka"]["freshness_seconds"];
    assert!(freshness.as_f64().is_some_and(|seconds| (0.0..600.0).contains(&seconds)), "{after}");

    // What is read again by a new life was counted by the one before.
    let group = group.begin_anew(&["server.clock=system"]);
    let answer = group.server.post("/v1/events", JSON, payment("c-1", "4", &earlier(), 0).to_string());
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(kpis(&group, 1)["quality"]["events_refused_rate"], json!(0.0));
}
