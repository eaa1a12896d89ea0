//! HTTP beside Kafka: what is posted goes to the topics, and what is asked needs no broker.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Group, arguments, start};
use crate::support::history::{JSON, MINUTE_MS, application, instant, payment};
use crate::support::kafka::Broker;
use crate::support::kafka::chaos::now_ms;
use crate::support::kafka::topics::{Input, Topics, await_true};
use crate::support::{Answer, Server};

/// Posts a payment of an hour ago.
fn post(server: &Server, id: &str) -> Answer {
    let earlier = instant(now_ms() - 60 * MINUTE_MS);
    server.post("/v1/events", JSON, payment("c-1", id, &earlier, 0).to_string())
}

fn payments(server: &Server, person: &str) -> Value {
    let answer = server.get(&format!("/v1/people/{person}/features")).json();
    let features = answer["features"].as_array().map(Vec::as_slice).unwrap_or_default();
    features
        .iter()
        .find(|feature| feature["name"] == "payments_90d")
        .map_or(Value::Null, |found| found["value"].clone())
}

#[test]
fn posted_event_is_in_the_topic_and_in_the_history_when_it_is_answered() {
    let group = Group::of_today("http-events");
    let answer = post(&group.server, "1");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let (said, records) = (answer.json(), group.broker.read(&group.topics.events));
    let expected = json!({"applied": "new", "stored": "kafka", "durable": true, "event_id": "1",
        "partition": records[0].partition, "position": records[0].offset});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&said[name], value, "{name}: {said}");
    }
    assert_eq!(records[0].key.as_deref(), Some(b"c-1".as_slice()));
    assert_eq!(records[0].json()["event_id"], "1");
    assert_eq!(payments(&group.server, "c-1"), json!(1.0));
}

#[test]
fn application_that_is_scored_over_http_becomes_history_for_all() {
    let group = Group::of_today("http-scores");
    assert_eq!(post(&group.server, "1").status, 201);
    let scored = group.server.post("/v1/score", JSON, application("c-1", "a").to_string());
    assert_eq!((scored.status, &scored.json()["recorded"]), (200, &json!(true)), "{}", scored.text());
    await_true("the application is in the topic", || group.broker.read(&group.topics.events).len() == 2);
    // The topics tell it all.
    let group = group.begin_anew(&["server.clock=system"]);
    let score = group.score(Input::new("c-1", application("c-1", "b").to_string()));
    assert_eq!(group.feature(&score, "payments_90d"), json!(1.0));
    assert_eq!(group.feature(&score, "applications_90d"), json!(1.0));
}

#[test]
fn person_that_is_erased_over_http_is_erased_in_the_topic() {
    let group = Group::of_today("http-erasure");
    assert_eq!(post(&group.server, "1").status, 201);
    let answer = group.server.send("DELETE", "/v1/people/c-1", &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    await_true("the person is gone", || group.server.get("/v1/people/c-1/timeline").status == 404);
    let records = group.broker.read(&group.topics.events);
    assert_eq!((records[1].key.as_deref(), &records[1].value), (Some(b"c-1".as_slice()), &None));
}

/// A broker that goes, and an instance at it.
fn alone(name: &str, settings: &[&str]) -> (Broker, Server) {
    let broker = Broker::new(name);
    let topics = Topics::named(name, 2);
    broker.create_all(&topics);
    let settings: Vec<&str> = ["kafka.ack_timeout=1s", "server.clock=system"].iter().chain(settings).copied().collect();
    let server = start(&arguments(&broker, &topics, &settings));
    assert_eq!(post(&server, "before").status, 201);
    (broker, server)
}

#[test]
fn scoring_goes_on_without_a_broker_and_events_are_refused_for_a_while() {
    let settings = ["breaker.calls=3", "breaker.open=300ms", "breaker.open_most=1s", "budget.reserve=20ms"];
    let (mut broker, server) = alone("http-down", &settings);
    let breaker = || server.get("/readyz").json()["breakers"]["kafka"].clone();
    let lag_seconds = || server.get("/v1/kpis").json()["resources"]["kafka"]["lag_seconds"].as_f64();
    assert_eq!(breaker(), "closed");
    broker.kill();
    let refused = post(&server, "1");
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("log_unavailable")), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    // Once it is known that nobody is there, nobody waits for it.
    let began = Instant::now();
    for id in 0..20 {
        let refused = post(&server, &format!("down {id}"));
        assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("log_unavailable")), "{}", refused.text());
        let scored = server.post("/v1/score", JSON, application("c-1", &format!("a {id}")).to_string());
        let said = scored.json();
        assert_eq!((scored.status, &said["mode"], &said["history"]["known"]), (200, &json!("full"), &json!(true)));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "they took {:?}", began.elapsed());
    await_true("nobody knows what waits, and for how long is told", || lag_seconds() > Some(2.0));
    broker.start();
    await_true("events are taken again", || post(&server, "2").status < 300);
    await_true("the breaker is closed", || post(&server, "3").status < 300 && breaker() == "closed");
    await_true("nothing waits", || lag_seconds() == Some(0.0));
}

#[test]
fn events_are_kept_while_no_broker_is_there_and_forwarded_then() {
    let (mut broker, server) = alone("http-forward", &["kafka.when_down=forward"]);
    broker.kill();
    for id in 0..10 {
        let answer = post(&server, &id.to_string());
        assert_eq!((answer.status, &answer.json()["stored"]), (201, &json!("outbox")), "{}", answer.text());
    }
    broker.start();
    await_true("they are in the history", || payments(&server, "c-1") == json!(11.0));
    assert_eq!(broker.read("http-forward.events").len(), 11);
}
