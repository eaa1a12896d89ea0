//! `cauce serve` at a real Kafka: what goes in, what comes out, and what stays the same whatever is killed.
//!
//! Except where it is told otherwise, topics take the timestamps that a test gives, all about [`NOW`]: what an instance makes of
//! a record depends on nothing else.

/// The broker of these tests is what it has to be.
mod broker;
/// Kills, outages and rebalances.
mod chaos;
/// CloudEvents in both modes.
mod cloud_events;
/// What an operator asks and does.
mod commands;
/// What nobody can use, told why and kept whole.
mod dead_letters;
/// HTTP beside Kafka.
mod http;
/// What Prometheus is given.
mod metrics;
/// Far behind, or with little room.
mod pressure;
/// Another bundle in service.
mod reload;
/// The same events give the same bits, through Kafka or over HTTP.
mod same_bits;
/// Applications in, scores out.
mod scores;
/// A made-up bank.
mod simulated;

use serde_json::Value;

use crate::support::Server;
use crate::support::history::{BUNDLE, NOW, NOW_MS};
use crate::support::kafka::Broker;
use crate::support::kafka::topics::{Input, Record, Topics, await_true};

/// A group of one instance, with topics of its own at the broker that all share.
struct Group {
    broker: &'static Broker,
    topics: Topics,
    server: Server,
}

impl Group {
    /// Starts it with these settings, each as `section.key=value`.
    fn start(name: &str, settings: &[&str]) -> Self {
        let (broker, topics) = (Broker::shared(), topics(name));
        let server = start(&arguments(broker, &topics, settings));
        Self { broker, topics, server }
    }

    /// The same of this day, by the broker's clock and this machine's: what is posted over HTTP is written now.
    fn of_today(name: &str) -> Self {
        let (broker, topics) = (Broker::shared(), Topics::named(name, 2));
        broker.create_all(&topics);
        let server = start(&arguments(broker, &topics, &["server.clock=system"]));
        Self { broker, topics, server }
    }

    /// Kills the server, and starts it without what it had on its disk.
    fn begin_anew(self, settings: &[&str]) -> Self {
        let Self { broker, topics, server } = self;
        server.kill();
        let server = start(&arguments(broker, &topics, settings));
        Self { broker, topics, server }
    }

    fn events(&self, events: impl IntoIterator<Item = Input>) {
        self.broker.write(&self.topics.events, events);
        self.broker.await_caught_up(&self.topics);
    }

    /// Sends applications, and waits for as many scores in all.
    #[track_caller]
    fn scores(&self, applications: impl IntoIterator<Item = Input>, in_all: usize) -> Vec<Record> {
        self.broker.write(&self.topics.applications, applications);
        self.broker.read_until(&self.topics.scores, in_all)
    }

    /// Sends the first application of this group, and waits for its score.
    #[track_caller]
    fn score(&self, application: Input) -> Value {
        self.scores([application], 1)[0].json()
    }

    /// The value of a feature in the vector of a score.
    fn feature(&self, score: &Value, name: &str) -> Value {
        let bundle = self.server.get("/v1/bundle").json();
        let position = bundle["features"].as_array().unwrap().iter().position(|feature| feature["name"] == name);
        score["vector"][position.unwrap()].clone()
    }
}

/// A server that has been given its partitions.
fn start(arguments: &[String]) -> Server {
    let server = Server::start(arguments);
    await_true("it is ready", || server.get("/readyz").status == 200);
    server
}

/// Topics of this name, created.
fn topics(name: &str) -> Topics {
    let (broker, topics) = (Broker::shared(), Topics::named(name, 2));
    topics.inputs().iter().for_each(|topic| broker.create(topic, topics.partitions, &[]));
    broker.create_outputs(&topics);
    topics
}

/// The arguments of an instance whose own clock stands still, too.
fn arguments(broker: &Broker, topics: &Topics, settings: &[&str]) -> Vec<String> {
    let mut arguments = topics.settings(broker);
    arguments.extend(["--bundle", BUNDLE, "--workers", "1"].map(str::to_owned));
    let (instance, clock) = (format!("kafka.instance={}", topics.group), format!("server.clock={NOW}"));
    let own = [instance.as_str(), clock.as_str(), "kafka.vectors=true", "kafka.session_timeout=3s"];
    let all = own.iter().chain(settings).flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]);
    arguments.extend(all);
    arguments
}

/// A document as a record of its person, written so many milliseconds after [`NOW`].
fn record(document: &Value, after_ms: i64) -> Input {
    Input::new(document["person_id"].as_str().unwrap(), document.to_string()).at(NOW_MS as i64 + after_ms)
}
