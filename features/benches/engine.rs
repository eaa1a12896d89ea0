//! What the engine costs: per event applied, per vector read, per person held, per event stored.
//!
//! The stream has the shape of real customers: 5.3 million events of 200,000 people over 90 days, a median of some 20 events a
//! person and a tail up to 100,000, five in a hundred events late by up to a day. Forty features over seven windows.
//!
//! Sketch, before the code: with many people the cost is cache misses. A person is one allocation of about 26 rows of 19
//! bytes, so two or three dependent misses (200 ns each) to reach it, then a scan at 5 to 10 ns a row: 0.3 µs to apply, 0.6 µs
//! to read, 26 × 19 + 50 = 550 bytes a person. A busy person's read has 7 edges, each a chunk of 64 rows and some 16
//! summaries: 5 µs. A stored event: time gap 20 bits, id gap 18, amount 14, merchant 5: 7 bytes.
//!
//! Throughput and a busy person's operations are CPU time of this thread, since a shared machine's clock also counts what
//! others do (asking for it costs some 0.3 µs, which is left in); reads below that are timed on the wall clock.

use std::collections::BTreeMap;
use std::time::Instant;

use cauce_features::application::Application;
use cauce_features::event::{Event, EventId};
use cauce_features::plan::FeaturePlan;
use cauce_features::spec::Specification;
use cauce_features::time::Timestamp;
use cauce_features::timeline::Timeline;
use cpu_time::ThreadTime;
use mimalloc::MiMalloc;

/// The allocator of the service.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PEOPLE: usize = 200_000;
const SPAN_MS: i64 = 90 * DAY_MS;
const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_767_225_600_000;
const MERCHANTS: usize = 32;
const BLOCK: usize = 10_000;

/// One event of the stream, in order of arrival.
#[derive(Clone, Copy)]
struct Arrival {
    arrives_ms: i64,
    time_ms: i64,
    id: u64,
    person: u32,
    cents: i64,
    merchant: i64,
}

fn main() {
    let plan = plan();
    assert_eq!(plan.width(), 40, "the bars are stated for 40 features");
    let mut figures = Figures::default();
    let stream = stream(PEOPLE, 1);
    println!("{} events of {PEOPLE} people, {} features", stream.len(), plan.width());

    let timelines = throughput(&plan, &stream, &mut figures);
    reads(&plan, &timelines, &mut figures);
    memory(&plan, &timelines, stream.len(), &mut figures);
    drop(timelines);
    busy(&plan, &mut figures);
    figures.write();
}

/// Applies the stream without and with a full vector after each event.
fn throughput(plan: &FeaturePlan, stream: &[Arrival], figures: &mut Figures) -> Vec<Timeline> {
    let applied = run(plan, stream, false);
    figures.put("apply_ns", applied.1, 300.0, "ns per event applied, CPU time");
    drop(applied);
    let (timelines, ns) = run(plan, stream, true);
    figures.put("apply_read_ns", ns, 1_000.0, "ns per event applied with a full vector after it, CPU time");
    figures.put(
        "apply_read_events_per_s",
        1e9 / ns,
        1e6,
        "events/s on one core with a full vector after each (at least)",
    );
    timelines
}

fn run(plan: &FeaturePlan, stream: &[Arrival], read: bool) -> (Vec<Timeline>, f64) {
    let mut timelines = vec![Timeline::default(); PEOPLE];
    let application = application(plan);
    let (mut scratch, mut vector, mut spent) = (plan.scratch(), vec![0.0; plan.width()], 0.0);
    for block in stream.chunks(BLOCK) {
        let events: Vec<Event> = block.iter().map(event).collect();
        let start = ThreadTime::now();
        for (arrival, event) in block.iter().zip(&events) {
            let timeline = &mut timelines[arrival.person as usize];
            timeline.apply(plan, event);
            if read {
                let as_of = Timestamp::from_millis(arrival.arrives_ms);
                plan.vector_into(timeline, &application, as_of, &mut scratch, &mut vector);
            }
        }
        spent += start.elapsed().as_secs_f64();
        std::hint::black_box(&vector);
    }
    (timelines, spent * 1e9 / stream.len() as f64)
}

/// Reads people at random, at the end of the stream.
fn reads(plan: &FeaturePlan, timelines: &[Timeline], figures: &mut Figures) {
    let mut random = Random(7);
    let application = application(plan);
    let (mut scratch, mut vector) = (plan.scratch(), vec![0.0; plan.width()]);
    let as_of = Timestamp::from_millis(START_MS + SPAN_MS);
    let mut one = |timeline: &Timeline| {
        let start = Instant::now();
        plan.vector_into(timeline, &application, as_of, &mut scratch, &mut vector);
        start.elapsed().as_nanos() as f64
    };
    let mut taken: Vec<f64> = (0..400_000).map(|_| one(&timelines[random.below(PEOPLE)])).collect();
    figures.put("read_ns_p50", quantile(&mut taken, 0.5), 1_000.0, "ns per 40-feature read, median person");
    figures.put("read_ns_p99", quantile(&mut taken, 0.99), 10_000.0, "ns per 40-feature read, 99th percentile");
}

fn memory(plan: &FeaturePlan, timelines: &[Timeline], events: usize, figures: &mut Figures) {
    let heap: usize = timelines.iter().map(|timeline| timeline.heap_bytes(plan) + size_of::<Timeline>()).sum();
    figures.put("bytes_per_person", heap as f64 / PEOPLE as f64, 900.0, "bytes held per person");
    let start = ThreadTime::now();
    let stored: Vec<Vec<u8>> = timelines.iter().map(|timeline| timeline.encode(plan)).collect();
    let encode = start.elapsed().as_secs_f64() * 1e9 / events as f64;
    let bytes: usize = stored.iter().map(Vec::len).sum();
    figures.put("snapshot_bytes_per_event", bytes as f64 / events as f64, 8.0, "bytes per stored event, numeric ids");
    figures.put("encode_ns", encode, f64::NAN, "ns per event encoded");
    let start = ThreadTime::now();
    for bytes in &stored {
        std::hint::black_box(Timeline::decode(plan, bytes).expect("what was encoded decodes"));
    }
    figures.put("decode_ns", start.elapsed().as_secs_f64() * 1e9 / events as f64, f64::NAN, "ns per event decoded");
}

/// One person of 100,000 events: in order, 30 days late, after a month of silence, in the past.
fn busy(plan: &FeaturePlan, figures: &mut Figures) {
    let mut random = Random(11);
    let mut timeline = Timeline::default();
    for index in 0..100_000 {
        let time_ms = START_MS + index * SPAN_MS / 100_000;
        timeline.apply(plan, &event(&arrival(&mut random, 0, index as u64, time_ms)));
    }
    let end_ms = START_MS + SPAN_MS;
    let application = application(plan);
    let (mut scratch, mut vector) = (plan.scratch(), vec![0.0; plan.width()]);
    let mut id = 1_000_000;
    let mut one = |lag_ms: &mut dyn FnMut() -> i64, as_of_ms: i64, applies: bool| {
        id += 1;
        let event = event(&arrival(&mut random, 0, id, end_ms - lag_ms()));
        let start = ThreadTime::now();
        if applies {
            timeline.apply(plan, &event);
        }
        plan.vector_into(&timeline, &application, Timestamp::from_millis(as_of_ms), &mut scratch, &mut vector);
        start.elapsed().as_nanos() as f64 / 1_000.0
    };
    let mut jitter = Random(13);
    let mut late = |days: i64| days * DAY_MS - jitter.below(DAY_MS as usize) as i64;
    let mut sample = |name: &str, lag_days: i64, as_of_ms: i64, applies: bool, what: &str| {
        let mut taken: Vec<f64> = (0..20_000).map(|_| one(&mut || late(lag_days), as_of_ms, applies)).collect();
        figures.put(
            &format!("{name}_us_p50"),
            quantile(&mut taken, 0.5),
            10.0,
            &format!("µs, busy person: {what}, median"),
        );
        figures.put(
            &format!("{name}_us_p999"),
            quantile(&mut taken, 0.999),
            50.0,
            &format!("µs, busy person: {what}, p99.9"),
        );
    };
    sample("read_busy", 0, end_ms, false, "a read");
    sample("idle_busy", 0, end_ms + 29 * DAY_MS, false, "first read after 29 silent days");
    sample("past_busy", 0, end_ms - 17 * DAY_MS, false, "a read 17 days in the past");
    sample("late_busy", 31, end_ms, true, "an event 30 days late and a read");
}

fn plan() -> FeaturePlan {
    let merchants: Vec<String> = (0..MERCHANTS).map(|merchant| format!("\"m{merchant}\"")).collect();
    let mut text = include_str!("engine.toml").replace("MERCHANTS", &merchants.join(", "));
    let mut feature = |name: String, rest: &str| text += &format!("\n[[features]]\nname = \"{name}\"\n{rest}\n");
    for window in ["10m", "1h", "24h", "7d", "30d", "90d"] {
        let of = |aggregate: &str, more: &str| {
            format!("from = \"transaction\"\naggregate = \"{aggregate}\"\n{more}window = {{ sliding = \"{window}\" }}")
        };
        feature(format!("count_{window}"), &of("count", ""));
        for aggregate in ["sum", "mean", "min", "max"] {
            feature(format!("{aggregate}_{window}"), &of(aggregate, "field = \"amount\"\n"));
        }
        if ["24h", "30d"].contains(&window) {
            feature(format!("merchants_{window}"), &of("distinct", "field = \"merchant\"\n"));
        }
        if ["24h", "30d", "90d"].contains(&window) {
            feature(format!("large_{window}"), &of("count", "where = \"amount > 500\"\n"));
        }
    }
    let session = "window = { session = \"30m\" }";
    feature("session_count".into(), &format!("from = \"transaction\"\naggregate = \"count\"\n{session}"));
    feature(
        "session_sum".into(),
        &format!("from = \"transaction\"\naggregate = \"sum\"\nfield = \"amount\"\n{session}"),
    );
    feature("idle".into(), "from = \"transaction\"\naggregate = \"time_since_last\"\nwindow = { sliding = \"90d\" }");
    feature("burst".into(), "expression = \"sum_24h / sum_30d\"\ndefault = 0.0");
    feature("burden".into(), "expression = \"amount / (income + 1.0)\"");
    FeaturePlan::compile(Specification::parse("engine.toml", &text).expect("valid")).expect("few streams")
}

fn application(plan: &FeaturePlan) -> Application {
    let values = plan.specification().application.fields.iter().map(|_| 123_456).collect();
    Application::new("", EventId::parse("application").expect("a valid id"), values)
}

fn event(arrival: &Arrival) -> Event {
    let id = EventId::parse(&arrival.id.to_string()).expect("a number is a valid id");
    let time = Timestamp::from_millis(arrival.time_ms);
    Event::new("", id, time, 0, vec![arrival.cents, arrival.merchant])
}

/// The whole stream in order of arrival; ids are one counter over all people, as core banking gives them.
fn stream(people: usize, seed: u64) -> Vec<Arrival> {
    let mut random = Random(seed);
    let mut all = Vec::new();
    for person in 0..people {
        let ordinary = (20.0 * (0.65 * random.normal()).exp()) as usize;
        let count = if person < 20 { 100_000 / (person + 1) } else { ordinary.max(1) };
        for _ in 0..count {
            let time_ms = START_MS + random.below((SPAN_MS / 1_000) as usize) as i64 * 1_000;
            all.push(arrival(&mut random, person as u32, 0, time_ms));
        }
    }
    all.sort_by_key(|arrival| arrival.time_ms);
    for (index, arrival) in all.iter_mut().enumerate() {
        arrival.id = index as u64;
        let late = if random.below(20) == 0 { random.below(DAY_MS as usize) as i64 } else { 0 };
        arrival.arrives_ms = arrival.time_ms + late;
    }
    all.sort_by_key(|arrival| arrival.arrives_ms);
    all
}

fn arrival(random: &mut Random, person: u32, id: u64, time_ms: i64) -> Arrival {
    let cents = (3_000.0 * (1.1 * random.normal()).exp()) as i64;
    let merchant = (random.below(MERCHANTS) * random.below(MERCHANTS) / MERCHANTS) as i64;
    Arrival { arrives_ms: time_ms, time_ms, id, person, cents: cents.clamp(1, 100_000_000), merchant }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): seeded, so every run has the same stream.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Twelve uniform numbers less six: close enough to normal, with no library's logarithm in it.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.below(1 << 20) as f64 / f64::from(1 << 20)).sum::<f64>() - 6.0
    }
}

fn quantile(taken: &mut [f64], share: f64) -> f64 {
    taken.sort_by(f64::total_cmp);
    taken[((taken.len() - 1) as f64 * share) as usize]
}

/// Figures beside their bars, printed and kept.
#[derive(Default)]
struct Figures(BTreeMap<String, f64>);

impl Figures {
    fn put(&mut self, name: &str, value: f64, bar: f64, what: &str) {
        let bar = if bar.is_nan() { String::from("-") } else { format!("{bar:.0}") };
        println!("{name:<26} {value:>14.1}   bar {bar:>9}   {what}");
        self.0.insert(name.into(), (value * 1_000.0).round() / 1_000.0);
    }

    fn write(&self) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench");
        std::fs::create_dir_all(folder).expect("target is writable");
        let text = serde_json::to_string_pretty(&self.0).expect("numbers");
        std::fs::write(format!("{folder}/engine.json"), text + "\n").expect("target is writable");
    }
}
