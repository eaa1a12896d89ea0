//! All 30,000 real applications through Kafka: the vectors are those of the training table bit for bit (F2), and the probabilities
//! those over HTTP. `make check-kafka` runs it on the files that `make check-taiwan` has left in target/check.
//!
//! The records have timestamps of 2005, each event its own and the applications the end of it all, since `now` is a record's
//! timestamp. Over HTTP each application is scored alone; through Kafka in batches, each on one thread, in which ONNX
//! Runtime may add up in another order: how far apart that puts them is reported.

#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, reason = "it is made for the tests, which use all of it")]
mod support;

use std::collections::HashMap;
use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};
use support::bits::{names, served_bits, table_bits};
use support::client::Client;
use support::history::{JSON, LINES, instant_ms};
use support::kafka::Broker;
use support::kafka::topics::{Input, Topics};
use support::{Directory, Server, repository};

const BUNDLE: &str = "model/artifacts/taiwan";
const AS_OF: &str = "2005-10-01T00:00:00Z";
/// Of a probability through Kafka to that over HTTP.
const TOLERANCE: f64 = 1e-6;

fn main() -> ExitCode {
    let (events, applications) = (read("events.ndjson"), read("applications.ndjson"));
    let applications: Vec<Value> = applications.iter().map(as_sent).collect();
    let over_http = over_http(&events, &applications);
    let through_kafka = through_kafka(&events, &applications);
    let table = over_http.table;

    let (mut different, mut other, mut furthest) = (0_u64, 0_u64, 0_f64);
    for (row, application) in applications.iter().enumerate() {
        let score = &through_kafka[text(application, "application_id")];
        let answer = &over_http.answers[row];
        different += u64::from(served_bits(score) != table[row]);
        other += u64::from(served_bits(score) != served_bits(answer));
        furthest = furthest.max((probability(score) - probability(answer)).abs());
    }
    let figures = json!({
        "applications": through_kafka.len(),
        "vectors_different_from_table": different,
        "vectors_different_from_http": other,
        "probability_max_difference": furthest,
    });
    println!("{figures:#}");
    fs::write(repository().join("target/check/kafka.json"), format!("{figures:#}\n")).expect("target is writable");
    let holds = through_kafka.len() == applications.len() && different + other == 0 && furthest <= TOLERANCE;
    println!("{}", if holds { "holds" } else { "MISSED" });
    ExitCode::from(u8::from(!holds))
}

/// The documents of a file of `make check-taiwan`.
fn read(name: &str) -> Vec<Value> {
    let path = repository().join("target/check").join(name);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|_| panic!("{} is missing: `make check-taiwan`", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a line is a document")).collect()
}

/// An application as a front-end sends it: without the instant and the outcome that stand in the file.
fn as_sent(historic: &Value) -> Value {
    let kept = ["person_id", "application_id", "application"];
    kept.iter().map(|name| ((*name).to_owned(), historic[*name].clone())).collect::<serde_json::Map<_, _>>().into()
}

fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document[name].as_str().expect("it is text")
}

fn probability(score: &Value) -> f64 {
    score["probability_of_default"].as_f64().expect("it was scored")
}

/// What HTTP says, and the training table, in the order of the applications.
struct OverHttp {
    answers: Vec<Value>,
    table: Vec<support::bits::Bits>,
}

fn over_http(events: &[Value], applications: &[Value]) -> OverHttp {
    let server = Server::start(["--bundle", BUNDLE, "--clock", AS_OF]);
    let mut client = Client::connect(server.authority()).expect("it listens");
    for events in events.chunks(1_000) {
        let reply = client.post("/v1/events/batch", LINES, &support::history::lines(events)).expect("it answers");
        assert_eq!(reply.json()["refused"], json!(0));
    }
    let mut score = |application: &Value| {
        let reply = client.post("/v1/score?vector=true", JSON, &application.to_string()).expect("it answers");
        assert_eq!(reply.status, 200, "{}", reply.json());
        reply.json()
    };
    let answers = applications.iter().map(&mut score).collect();
    let table = table_bits(&repository().join("target/check/taiwan.parquet"), &names(&server));
    OverHttp { answers, table }
}

/// Every score by the id of its application.
fn through_kafka(events: &[Value], applications: &[Value]) -> HashMap<String, Value> {
    let (broker, data) = (Broker::new("taiwan-kafka"), Directory::new("taiwan"));
    let topics = Topics::named("taiwan", 4);
    topics.inputs().iter().for_each(|topic| broker.create(topic, topics.partitions, &[]));
    broker.create_outputs(&topics);
    let record = |document: &Value, timestamp_ms: i64| {
        Input::new(text(document, "person_id"), document.to_string()).at(timestamp_ms)
    };
    let of_event = |event: &Value| record(event, instant_ms(text(event, "time")) as i64);
    broker.write(&topics.events, events.iter().map(of_event));
    let as_of_ms = instant_ms(AS_OF) as i64;
    broker.write(&topics.applications, applications.iter().map(|application| record(application, as_of_ms)));

    let begin = Instant::now();
    let settings = ["--bundle", BUNDLE, "--clock", AS_OF, "--set", "kafka.vectors=true"].map(str::to_owned);
    let server = Server::start_in(data.root(), topics.settings(&broker).into_iter().chain(settings));
    broker.await_caught_up(&topics);
    println!(
        "{} events and {} applications in {:.1} s",
        events.len(),
        applications.len(),
        begin.elapsed().as_secs_f64()
    );
    drop(server);
    let letters = broker.read(&topics.dead_letters);
    assert!(letters.is_empty(), "{:?}", letters[0]);
    let scores = broker.read(&topics.scores).into_iter().map(|score| score.json());
    let scores: Vec<(String, Value)> = scores.map(|score| (text(&score, "application_id").to_owned(), score)).collect();
    let count = scores.len();
    let by_id: HashMap<String, Value> = scores.into_iter().collect();
    assert_eq!(by_id.len(), count, "an application is scored twice");
    by_id
}
