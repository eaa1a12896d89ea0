//! From when an application is due to be produced until a consumer that reads only committed records sees its score, at a quarter of the
//! peak. Due, not produced: a pause of the producer is felt by all that were due in it.

use std::thread;
use std::time::{Duration, Instant};

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

/// p50 and p99 in milliseconds, over so many seconds.
pub(super) fn measure(rates: &Rates, seconds: u64) -> (f64, f64) {
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
    let mut taken = thread::scope(|scope| {
        scope.spawn(|| produce(&broker, &topics, count, due));
        let mut taken = Vec::new();
        for _ in 0..count {
            let score = reader.next(Duration::from_secs(30)).expect("every application is scored");
            let number = score.json()["application_id"].as_str().and_then(|id| id.parse().ok()).expect("a number");
            if number >= warm {
                taken.push(due(number).elapsed());
            }
        }
        taken
    });
    drop(server);
    taken.sort_unstable();
    let ms = |share: f64| taken[((taken.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "end to end at {per_second} applications/s: p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms",
        ms(0.5),
        ms(0.99),
        ms(1.0)
    );
    (ms(0.5), ms(0.99))
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

fn produce(broker: &Broker, topics: &Topics, count: u64, due: impl Fn(u64) -> Instant) {
    let (mut random, mut writer) = (Random(4), broker.writer());
    for number in 0..count {
        let application = record(&application_of(&mut random, number * 7919 % PEOPLE, &number.to_string()));
        thread::sleep(due(number).saturating_duration_since(Instant::now()));
        writer.send(&topics.applications, &application);
    }
    writer.finish();
}
