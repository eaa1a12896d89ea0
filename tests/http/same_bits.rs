//! One seeded history of 200 people, by every way in (F1, F2).

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};

use super::{BUNDLE, JSON, LINES, NOW, expect, lines, server};
use crate::support::{Directory, Server, cauce};

const PEOPLE: u64 = 200;
/// [`NOW`] in milliseconds since 1970.
const NOW_MS: u64 = 1_781_956_800_000;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 1_440 * MINUTE_MS;

/// A small generator with a period that is long enough (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn cents(&mut self, bound: u64) -> f64 {
        self.below(bound) as f64 / 100.0
    }

    /// An instant within the horizon, mostly anywhere; sometimes in a burst now, on the edge of a window, or a little ahead of the clock.
    fn time_ms(&mut self) -> u64 {
        match self.below(10) {
            0 | 1 => NOW_MS - self.below(90) * MINUTE_MS,
            2 => NOW_MS - [7, 30, 31, 89][self.below(4) as usize] * DAY_MS + self.below(3),
            3 => NOW_MS + self.below(5 * MINUTE_MS),
            _ => NOW_MS - self.below(90 * DAY_MS),
        }
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Milliseconds since 1970 as RFC 3339 text (Howard Hinnant's `civil_from_days`, for this century).
fn instant(ms: u64) -> String {
    let (days, rest) = (ms / DAY_MS + 719_468, ms % DAY_MS);
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = days / 146_097 * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, seconds) = (rest / 3_600_000, rest / MINUTE_MS % 60, rest % MINUTE_MS);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z", seconds / 1_000, seconds % 1_000)
}

fn event(random: &mut Random, person: u64, id: u64) -> Value {
    let (kind, data) = match random.below(6) {
        0 | 1 => {
            ("payment", json!({"amount": random.cents(100_000), "days_past_due": random.below(4) * random.below(30)}))
        }
        2 => {
            let (balance, limit) = ((random.below(1_000_000) as f64 - 50_000.0) / 100.0, random.cents(2_000_000));
            ("statement", json!({"balance": balance, "credit_limit": limit, "minimum_due": random.cents(10_000)}))
        }
        _ => {
            let counterparty = (!random.one_in(4)).then(|| format!("shop {}", random.below(9)));
            let (direction, channel) = (random.pick(&["in", "out"]), random.pick(&["card", "transfer", "cash"]));
            let amount = random.cents(5_000_000);
            (
                "transaction",
                json!({"amount": amount, "direction": direction, "channel": channel, "counterparty": counterparty}),
            )
        }
    };
    let time = instant(random.time_ms());
    json!({"person_id": format!("c-{person}"), "event_id": id.to_string(), "type": kind, "time": time, "data": data})
}

/// Events with repetitions and conflicts among them, in no order.
fn events() -> Vec<Value> {
    let mut random = Random(20_260_620);
    let mut events = Vec::new();
    for person in 0..PEOPLE {
        for id in 0..random.below(40) {
            let event = event(&mut random, person, id);
            if random.one_in(20) {
                events.push(event.clone());
            }
            if random.one_in(20) && event["type"] == "payment" {
                let mut other = event.clone();
                other["data"]["amount"] = json!(random.cents(100_000));
                events.push(other);
            }
            events.push(event);
        }
    }
    random.shuffle(&mut events);
    events
}

/// One application of each person, half of the optional fields given.
fn applications() -> Vec<Value> {
    let mut random = Random(7);
    let mut application = |person| {
        let mut fields = json!({"monthly_income": random.cents(1_000_000), "amount": 1 + random.below(50_000)});
        for (name, value) in [
            ("credit_score", json!(300 + random.below(551))),
            ("term_months", json!(1 + random.below(360))),
            ("purpose", json!(random.pick(&["home", "vehicle", "other"]))),
            ("employment", json!(random.pick(&["salaried", "informal"]))),
        ] {
            if random.one_in(2) {
                fields[name] = value;
            }
        }
        json!({"person_id": format!("c-{person}"), "application_id": "a", "application": fields})
    };
    (0..PEOPLE).map(&mut application).collect()
}

fn take_all(server: &Server, events: &[Value]) {
    let answer = expect(server.post("/v1/events/batch", LINES, lines(events)));
    assert_eq!(answer["refused"], json!(0), "{answer}");
}

fn score_batch(server: &Server, applications: &[Value]) -> Vec<Value> {
    let answer = expect(server.post("/v1/score/batch?vector=true", JSON, json!(applications).to_string()));
    answer["results"].as_array().unwrap().clone()
}

type Bits = Vec<Option<u32>>;

/// The bits of a served vector; `None` where a value is missing.
fn served_bits(scored: &Value) -> Bits {
    let values = scored["vector"].as_array().unwrap();
    values.iter().map(|value| value.as_f64().map(|value| (value as f32).to_bits())).collect()
}

/// The same of every row of a training table.
fn table_bits(path: &Path, names: &[String]) -> Vec<Bits> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns());
    let value = |field: &Field| match field {
        Field::Float(value) => (!value.is_nan()).then_some(value.to_bits()),
        other => panic!("a feature is no float: {other:?}"),
    };
    rows.map(|row| {
        let of = |name| &row.iter().find(|(column, _)| column == name).expect("every feature has its column").1;
        names.iter().map(|name| value(of(name))).collect()
    })
    .collect()
}

/// The table that `cauce backfill` makes of the history.
fn backfill(events: &[Value], applications: &[Value], names: &[String]) -> Vec<Bits> {
    let directory = Directory::new("same-bits");
    let dated: Vec<Value> = applications
        .iter()
        .cloned()
        .map(|mut application| {
            application["as_of"] = json!(NOW);
            application
        })
        .collect();
    let (events, applications, out) = (
        directory.write("events.ndjson", &lines(events)),
        directory.write("applications.ndjson", &lines(&dated)),
        directory.path("table.parquet"),
    );
    let files = [("--events", events), ("--applications", applications), ("--out", out.clone())];
    let files = files.into_iter().flat_map(|(flag, path)| [flag.into(), path.into_os_string()]);
    cauce(["backfill", "--bundle", BUNDLE].map(Into::into).into_iter().chain(files)).expect_success();
    table_bits(&out, names)
}

#[test]
fn instants_of_the_generator_are_those_of_the_clock() {
    assert_eq!(instant(NOW_MS), "2026-06-20T12:00:00.000Z");
    assert_eq!(instant(NOW_MS - 90 * DAY_MS - 1), "2026-03-22T11:59:59.999Z");
}

#[test]
fn served_vectors_are_those_of_the_training_table_bit_for_bit() {
    let (events, applications) = (events(), applications());
    let server = server();
    let bundle = server.get("/v1/bundle").json();
    let names =
        bundle["features"].as_array().unwrap().iter().map(|feature| feature["name"].as_str().unwrap().to_owned());
    let names: Vec<String> = names.collect();

    // What a clock running ahead has sent is refused by nobody, and known to the table only once it has happened.
    events.chunks(1_000).for_each(|events| take_all(&server, events));
    let table = backfill(&events, &applications, &names);
    let singly: Vec<Value> = applications.iter().map(|application| super::score(&server, application)).collect();
    // By now all are recorded, and still no application sees itself.
    let batch = score_batch(&server, &applications);

    assert_eq!(table.len(), PEOPLE as usize);
    for (row, expected) in table.iter().enumerate() {
        assert_eq!(&served_bits(&singly[row]), expected, "application {row}, served singly");
        assert_eq!(&served_bits(&batch[row]), expected, "application {row}, served in a batch");
        assert_eq!(singly[row]["probability_of_default"], batch[row]["probability_of_default"], "application {row}");
    }
    let given = table.iter().flatten().flatten().filter(|bits| **bits != 0).count();
    assert!(given > table.len() * names.len() / 2, "this history says too little: {given} values are not zero");
}

#[test]
fn instances_given_the_same_events_in_different_orders_answer_with_the_same_bits() {
    let (mut events, applications) = (events(), applications());
    let [one, other] = [server(), server()];
    events.chunks(1_000).for_each(|events| take_all(&one, events));

    let mut random = Random(1);
    let repeated: Vec<Value> = events.iter().step_by(3).cloned().collect();
    events.extend(repeated);
    random.shuffle(&mut events);
    let mut rest = events.as_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(1 + random.below(400) as usize));
        let (first, now) = now.split_first().unwrap();
        let status = other.post("/v1/events", JSON, first.to_string()).status;
        assert!([200, 201].contains(&status), "{status}");
        if !now.is_empty() {
            take_all(&other, now);
        }
        rest = later;
    }

    assert_eq!(score_batch(&one, &applications), score_batch(&other, &applications));
}
