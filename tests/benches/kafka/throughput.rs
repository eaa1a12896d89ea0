//! Events applied and applications scored in a second by a group of one instance, beside what bounds both.
//!
//! An instance finds a topic full of events, and after another start one full of applications. Both are timed by the offsets that it
//! commits, from its first commit on: a start and the joining of the group are not part of it.

use std::thread;
use std::time::{Duration, Instant};

use cauce_model::bundle::{Bundle, Limits};
use cauce_model::onnx::OnnxModel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::common::median;
use super::support::history::{BUNDLE, DAY_MS, JSON, Random, application_of, event, instant};
use super::support::kafka::Broker;
use super::support::kafka::chaos::now_ms;
use super::support::kafka::topics::{Input, Progress, Topics};
use super::support::{Directory, Server, repository};

pub(super) const PARTITIONS: i32 = 4;
pub(super) const PEOPLE: u64 = 50_000;
const EVENTS: &str = "full.events";
/// Rows of one run of the model: as many as the service takes.
const BATCH: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Per second, medians of all turns.
pub(super) struct Rates {
    pub(super) events: f64,
    pub(super) raw_events: f64,
    pub(super) applications: f64,
    pub(super) inference: f64,
}

pub(super) fn measure(events: u64, applications: u64, count: u64) -> Rates {
    let broker = Broker::new("bench-kafka");
    broker.create(EVENTS, PARTITIONS, &[("message.timestamp.type", "LogAppendTime")]);
    fill(&broker, events);

    let mut turns: [Vec<f64>; 4] = Default::default();
    for turn in 0..count {
        let raw = copy(&broker, EVENTS, &format!("copy-{turn}"));
        let run = serve(&broker, &format!("turn-{turn}"), applications);
        println!(
            "turn {turn}: events {:.0}/s, copied {raw:.0}/s; applications {:.0}/s, inference {:.0}/s",
            run.events, run.applications, run.inference
        );
        for (rates, rate) in turns.iter_mut().zip([run.events, raw, run.applications, run.inference]) {
            rates.push(rate);
        }
    }
    let [events, raw_events, applications, inference] = turns.map(median);
    println!(
        "events: {:.2} of the copy; applications: {:.2} of the model",
        events / raw_events,
        applications / inference
    );
    Rates { events, raw_events, applications, inference }
}

/// Histories of the last month.
fn fill(broker: &Broker, count: u64) {
    let (mut random, mut writer, now_ms) = (Random(1), broker.writer(), now_ms());
    for number in 0..count {
        let mut event = event(&mut random, number % PEOPLE, number);
        event["time"] = json!(instant(now_ms - random.below(30 * DAY_MS)));
        writer.send(EVENTS, &record(&event));
    }
    writer.finish();
}

/// How many records a topic holds: what was scored over HTTP in an earlier turn is among the events.
fn count(broker: &Broker, topic: &str) -> u64 {
    broker.ends(topic).iter().sum::<i64>() as u64
}

pub(super) fn record(document: &Value) -> Input {
    Input::new(document["person_id"].as_str().expect("it is text"), document.to_string())
}

/// What the client library alone allows: reads a topic and writes the same bytes to another, records a second.
fn copy(broker: &Broker, from: &str, to: &str) -> f64 {
    let count = count(broker, from);
    broker.create(to, PARTITIONS, &[]);
    let mut config = broker.client();
    let consumer: BaseConsumer = config.clone().set("group.id", to).create().expect("a consumer");
    let producer: BaseProducer =
        config.set("enable.idempotence", "true").set("linger.ms", "5").create().expect("a producer");
    let mut assigned = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assigned.add_partition_offset(from, partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&assigned).expect("it is assigned");
    let (mut begin, mut copied) = (Instant::now(), 0);
    while copied < count {
        assert!(begin.elapsed() < PATIENCE, "{copied} of {count} are copied after {PATIENCE:?}");
        // It may come back early with nothing.
        let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
        let message = message.expect("the broker is well");
        if copied == 0 {
            begin = Instant::now();
        }
        let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        let mut record = BaseRecord::to(to).partition(message.partition()).key(key).payload(value);
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(1));
            record = again;
        }
        copied += 1;
        if copied % 1_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE).expect("all is written");
    count as f64 / begin.elapsed().as_secs_f64()
}

/// What one instance has done.
struct Run {
    events: f64,
    applications: f64,
    /// Rows of its applications through the model alone.
    inference: f64,
}

fn serve(broker: &Broker, name: &str, applications: u64) -> Run {
    let topics = Topics { events: EVENTS.to_owned(), ..Topics::named(name, PARTITIONS) };
    broker.create(&topics.applications, PARTITIONS, &[("message.timestamp.type", "LogAppendTime")]);
    broker.create_outputs(&topics);
    let (data, progress) =
        (Directory::new("bench-kafka-data"), |topic: &str| Progress::new(broker, &topics.group, topic));
    let server = start(broker, &topics, &data);
    let events = rate(count(broker, EVENTS), &server, &progress(EVENTS));
    assert_eq!(server.stop(), Some(0));

    let mut random = Random(5);
    let asked =
        (0..applications).map(|number| record(&application_of(&mut random, number % PEOPLE, &number.to_string())));
    broker.write(&topics.applications, asked);
    let server = start(broker, &topics, &data);
    let applications = rate(applications, &server, &progress(&topics.applications));
    let rows = rows(&server);
    assert_eq!(count(broker, &topics.dead_letters), 0, "every record can be used");
    drop(server);
    Run { events, applications, inference: inference(&rows) }
}

pub(super) fn start(broker: &Broker, topics: &Topics, data: &Directory) -> Server {
    let settings = ["--bundle", BUNDLE].map(str::to_owned);
    Server::start_in(data.root(), topics.settings(broker).into_iter().chain(settings))
}

/// How many a second, from when some are committed until all are.
fn rate(count: u64, server: &Server, progress: &Progress) -> f64 {
    let begin = Instant::now();
    let mut first = None;
    loop {
        let done = progress.committed().iter().sum::<i64>() as u64;
        let now = Instant::now();
        match first {
            None if done > 0 => first = Some((now, done)),
            Some((since, before)) if done == count => {
                assert!(before < count, "all was done at once");
                return (count - before) as f64 / (now - since).as_secs_f64();
            }
            _ => assert!(
                begin.elapsed() < PATIENCE,
                "{done} of {count} after {PATIENCE:?}: {:?}\n{}",
                progress.committed(),
                server.log()
            ),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Vectors that the service gives its model, of many people.
fn rows(server: &Server) -> Vec<f32> {
    let mut random = Random(2);
    let mut rows = Vec::new();
    for first in (0..4_000).step_by(500) {
        let applications: Vec<Value> =
            (first..first + 500).map(|person| application_of(&mut random, person, "rows")).collect();
        let answer = server.post("/v1/score/batch?vector=true", JSON, json!(applications).to_string()).json();
        for scored in answer["results"].as_array().expect("results") {
            let vector = scored["vector"].as_array().expect("a vector").iter();
            rows.extend(vector.map(|value| value.as_f64().map_or(f32::NAN, |value| value as f32)));
        }
    }
    rows
}

/// What the model alone allows: rows a second in batches, on as many threads at once as the service works on, a session each.
fn inference(rows: &[f32]) -> f64 {
    let bundle = Bundle::load(&repository().join(BUNDLE), &Limits::default()).expect("a sound bundle");
    let threads = thread::available_parallelism().expect("the system tells").get();
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| inference_of_one(&bundle, rows))).collect();
        running.into_iter().map(|thread| thread.join().expect("it has run")).sum()
    })
}

fn inference_of_one(bundle: &Bundle, rows: &[f32]) -> f64 {
    let mut model = OnnxModel::new(bundle).expect("a session");
    let (batch, begin, mut done) = (BATCH * bundle.plan().width(), Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(3) {
        for rows in rows.chunks_exact(batch) {
            std::hint::black_box(model.probabilities(rows).expect("probabilities"));
            done += BATCH;
        }
    }
    done as f64 / begin.elapsed().as_secs_f64()
}
