//! From when an application is due to be produced until a consumer that reads only committed records sees its score, at a quarter of the
//! peak. Due, not produced: a pause of the producer is felt by all that were due in it.

use std::thread;
use std::time::{Duration, Instant};

use cauce_loadtest::outcome::{Latency, NotDriven};
use serde_json::json;

use super::support::Directory;
use super::support::history::{DAY_MS, Random, application_of, event, instant};
use super::support::kafka::Broker;
use super::support::kafka::chaos::now_ms;
use super::support::kafka::topics::{Reader, Topics};
use super::throughput::{PARTITIONS, Rates, record, start};

const PEOPLE: u64 = 10_000;
/// Seconds until everything is awake: they are not measured.
const WARM_S: u64 = 3;

/// p50 and p99 in milliseconds, over so many seconds; none where the producer was late itself.
pub(super) fn measure(rates: &Rates, seconds: u64) -> (Option<f64>, Option<f64>) {
    let (broker, data) = (Broker::new("bench-latency"), Directory::new("bench-latency-data"));
    let topics = Topics::named("paced", PARTITIONS);
    broker.create_all(&topics);
    histories(&broker, &topics);
    let server = start(&broker, &topics, &data);
    broker.await_caught_up(&topics);

    let per_second = (rates.applications / 4.0) as u64;
    let (warm, count) = (WARM_S * per_second, (WARM_S + seconds) * per_second);
    let reader = Reader::new(&broker, &topics.scores, "read_committed");
    let begin = Instant::now();
    let due = |number: u64| begin + Duration::from_nanos(number * 1_000_000_000 / per_second);
    let (taken, lag) = thread::scope(|scope| {
        let producing = scope.spawn(|| produce(&broker, &topics, count, due));
        let mut taken = Latency::default();
        for _ in 0..count {
            let score = reader.next(Duration::from_secs(30)).expect("every application is scored");
            let number = score.json()["application_id"].as_str().and_then(|id| id.parse().ok()).expect("a number");
            if number >= warm {
                taken.record(due(number).elapsed());
            }
        }
        (taken, producing.join().expect("a producer does not panic"))
    });
    drop(server);
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "end to end at {per_second} applications/s: p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms; the producer late by {:.1} ms at p99",
        ms(taken.percentile(50.0)),
        ms(taken.percentile(99.0)),
        ms(taken.max()),
        ms(lag.percentile(99.0))
    );
    let told = |percent| {
        let (lag, taken) = (lag.percentile(percent), taken.percentile(percent));
        NotDriven::unless_late(percent, lag, taken).is_ok().then(|| ms(taken))
    };
    (told(50.0), told(99.0))
}

/// Ten events of everybody.
fn histories(broker: &Broker, topics: &Topics) {
    let (mut random, mut writer, now_ms) = (Random(3), broker.writer(), now_ms());
    for number in 0..10 * PEOPLE {
        let mut event = event(&mut random, number % PEOPLE, number);
        event["time"] = json!(instant(now_ms - random.below(30 * DAY_MS)));
        writer.send(&topics.events, &record(&event));
    }
    writer.finish();
}

/// How late it was itself.
fn produce(broker: &Broker, topics: &Topics, count: u64, due: impl Fn(u64) -> Instant) -> Latency {
    let (mut random, mut writer, mut lag) = (Random(4), broker.writer(), Latency::default());
    for number in 0..count {
        let application = record(&application_of(&mut random, number * 7919 % PEOPLE, &number.to_string()));
        thread::sleep(due(number).saturating_duration_since(Instant::now()));
        lag.record(due(number).elapsed());
        writer.send(&topics.applications, &application);
    }
    writer.finish();
    lag
}
