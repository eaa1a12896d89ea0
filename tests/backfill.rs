//! `cauce backfill`: the training table holds what the service would have computed, point in time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::support::{Directory, Finished, cauce};

const SPECIFICATION: &str = r#"
name = "test"
horizon = "30d"

[application.fields]
income = { type = "decimal", scale = 2, min = 0 }

[events.payment.fields]
amount = { type = "decimal", scale = 2, min = 0 }

[[features]]
name = "payments"
from = "payment"
aggregate = "count"
window = { sliding = "30d" }

[[features]]
name = "last_amount"
from = "payment"
field = "amount"
aggregate = "last"
window = { sliding = "30d" }

[[features]]
name = "applications"
from = "application"
aggregate = "count"
window = { sliding = "30d" }

[[features]]
name = "payments_ever"
from = "payment"
aggregate = "count"
window = "lifetime"

[[features]]
name = "income"
expression = "income"
"#;

/// A history in files, and the table made of it.
struct Backfill {
    directory: Directory,
    events: Vec<String>,
    applications: Vec<String>,
    arguments: Vec<&'static str>,
}

impl Backfill {
    fn new(test: &str) -> Self {
        let directory = Directory::new(&format!("backfill-{test}"));
        directory.write("features.toml", SPECIFICATION);
        Self { directory, events: Vec::new(), applications: Vec::new(), arguments: Vec::new() }
    }

    /// A payment of `c-1` in June 2026: `at` is like `15T14:00:00Z`.
    fn payment(self, id: u32, at: &str, amount: &str) -> Self {
        self.event(&payment("c-1", id, at, amount, ""))
    }

    fn late_payment(self, id: u32, at: &str, arrived_at: &str) -> Self {
        self.event(&payment("c-1", id, at, "1", &format!(r#","arrived_at":"2026-06-{arrived_at}""#)))
    }

    fn event(mut self, line: &str) -> Self {
        self.events.push(line.to_owned());
        self
    }

    /// An application of `c-1` in June 2026.
    fn application(self, id: &str, at: &str) -> Self {
        self.application_line(&application("c-1", id, at, ""))
    }

    fn application_line(mut self, line: &str) -> Self {
        self.applications.push(line.to_owned());
        self
    }

    fn with(mut self, arguments: &[&'static str]) -> Self {
        self.arguments.extend(arguments);
        self
    }

    fn out(&self) -> PathBuf {
        self.directory.path("table.parquet")
    }

    fn run(&self) -> Finished {
        let events = self.directory.write("events.ndjson", &self.events.join("\n"));
        let applications = self.directory.write("applications.ndjson", &self.applications.join("\n"));
        let files = [
            ("--spec", self.directory.path("features.toml")),
            ("--events", events),
            ("--applications", applications),
            ("--out", self.out()),
        ];
        let files = files.into_iter().flat_map(|(flag, path)| [flag.into(), path.into_os_string()]);
        cauce(["backfill".into()].into_iter().chain(files).chain(self.arguments.iter().map(Into::into)))
    }

    /// The rows of the table: column name to value.
    fn rows(&self) -> Vec<BTreeMap<String, Field>> {
        self.run().expect_success();
        let reader = SerializedFileReader::new(File::open(self.out()).unwrap()).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        rows.map(|row| row.unwrap().into_columns().into_iter().collect()).collect()
    }

    /// One feature down the table.
    fn feature(&self, name: &str) -> Vec<f32> {
        self.rows()
            .into_iter()
            .map(|row| match row[name] {
                Field::Float(value) => value,
                ref other => panic!("`{name}` is no float: {other:?}"),
            })
            .collect()
    }
}

fn payment(person: &str, id: u32, at: &str, amount: &str, more: &str) -> String {
    format!(
        r#"{{"person_id":"{person}","event_id":"{id}","type":"payment","time":"2026-06-{at}","data":{{"amount":{amount}}}{more}}}"#
    )
}

fn application(person: &str, id: &str, at: &str, more: &str) -> String {
    format!(
        r#"{{"person_id":"{person}","application_id":"{id}","as_of":"2026-06-{at}","application":{{"income":1200.50}}{more}}}"#
    )
}

#[test]
fn application_sees_what_had_happened_by_then_and_nothing_later() {
    let table = Backfill::new("happened")
        .payment(1, "10T00:00:00Z", "10")
        .payment(2, "15T12:00:00Z", "20")
        .payment(3, "15T12:00:00.001Z", "30")
        .application("a", "15T12:00:00Z");
    assert_eq!(table.feature("payments"), [2.0]);
    assert_eq!(table.feature("last_amount"), [20.0]);
}

#[test]
fn event_is_seen_only_once_it_has_arrived() {
    let table = Backfill::new("arrived")
        .late_payment(1, "10T00:00:00Z", "15T12:00:00Z")
        .late_payment(2, "10T00:00:00Z", "15T12:00:00.001Z")
        .application("a", "15T12:00:00Z")
        .application("b", "16T00:00:00Z");
    assert_eq!(table.feature("payments"), [1.0, 2.0]);
}

#[test]
fn event_older_than_the_horizon_when_it_arrived_is_refused_as_the_service_would() {
    let table = Backfill::new("too-late")
        .event(&payment("c-1", 1, "01T00:00:00Z", "1", r#","arrived_at":"2026-07-01T00:00:00.001Z""#))
        .event(&payment("c-1", 2, "01T00:00:00.002Z", "1", r#","arrived_at":"2026-07-01T00:00:00.001Z""#))
        .application_line(&application("c-1", "a", "30T00:00:00Z", "").replace("06-30", "07-02"));
    assert_eq!(table.feature("payments_ever"), [1.0]);
}

#[test]
fn earlier_application_is_seen_by_a_later_one_and_none_by_itself() {
    let table = Backfill::new("applications")
        .application("later", "16T00:00:00Z")
        .application("first", "15T00:00:00Z")
        .application("second", "15T00:00:00Z")
        .application_line(&application("c-2", "other", "20T00:00:00Z", ""));
    assert_eq!(table.feature("applications"), [2.0, 0.0, 1.0, 0.0]);
}

#[test]
fn applications_of_nobody_known_see_no_history_and_not_each_other() {
    let line = |id: &str| application("x", id, "15T00:00:00Z", "").replace(r#""person_id":"x","#, "");
    let table = Backfill::new("nobody").application_line(&line("a")).application_line(&line("b"));
    assert_eq!(table.feature("applications"), [0.0, 0.0]);
}

#[test]
fn withheld_history_is_seen_only_at_that_age() {
    let table = Backfill::new("withhold")
        .payment(1, "10T00:00:00Z", "10")
        .payment(2, "10T00:00:00.001Z", "20")
        .application("a", "15T00:00:00Z")
        .application("b", "16T00:00:00Z")
        .with(&["--withhold", "5d"]);
    assert_eq!(table.feature("payments"), [1.0, 2.0]);
    assert_eq!(table.feature("applications"), [0.0, 0.0]);
}

#[test]
fn rows_keep_the_order_of_the_applications_and_their_labels() {
    let table = Backfill::new("order")
        .application_line(&application("c-9", "a", "16T00:00:00Z", r#","label":1"#))
        .application_line(&application("c-1", "b", "15T00:00:00Z", r#","label":0"#))
        .application_line(&application("c-5", "c", "14T00:00:00Z", ""));
    let rows = table.rows();
    let column = |name: &str| rows.iter().map(|row| row[name].to_string()).collect::<Vec<_>>();
    assert_eq!(column("person_id"), ["\"c-9\"", "\"c-1\"", "\"c-5\""]);
    assert_eq!(column("application_id"), ["\"a\"", "\"b\"", "\"c\""]);
    assert_eq!(column("label"), ["1", "0", "null"]);
    assert_eq!(rows[0]["as_of"], Field::TimestampMillis(1_781_568_000_000));
}

#[test]
fn missing_value_is_nan_and_not_null() {
    let table = Backfill::new("missing").application("a", "15T00:00:00Z");
    assert!(table.feature("last_amount")[0].is_nan());
    assert_eq!(table.feature("income"), [1200.5]);
}

#[test]
fn any_order_and_repetition_of_events_gives_the_same_bytes() {
    let events: Vec<String> = (1..=20)
        .flat_map(|id| {
            let at = format!("{:02}T00:00:00Z", 1 + id * 7 % 20);
            ["c-1", "c-2"].map(|person| payment(person, id, &at, &format!("{id}.25"), ""))
        })
        .collect();
    let bytes = |test: &str, events: &mut dyn Iterator<Item = &String>| {
        let table = events.fold(Backfill::new(test), |table, line| table.event(line));
        let table =
            table.application("a", "15T00:00:00Z").application_line(&application("c-2", "b", "19T00:00:00Z", ""));
        table.run().expect_success();
        fs::read(table.out()).unwrap()
    };
    let forward = bytes("forward", &mut events.iter());
    assert_eq!(forward, bytes("backward", &mut events.iter().rev().chain(events.iter().step_by(3))));
}

#[test]
fn table_says_which_specification_made_it() {
    let table = Backfill::new("metadata").application("a", "15T00:00:00Z");
    table.run().expect_success();
    let reader = SerializedFileReader::new(File::open(table.out()).unwrap()).unwrap();
    let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let value = |key: &str| metadata.iter().find(|entry| entry.key == key).unwrap().value.clone().unwrap();
    assert_eq!(value("cauce.specification").len(), 64);
    assert_eq!(value("cauce.features"), r#"["payments","last_amount","applications","payments_ever","income"]"#);
}

#[test]
fn every_wrong_field_is_named_with_its_line_and_nothing_is_written() {
    let table = Backfill::new("wrong")
        .payment(1, "10T00:00:00Z", "10")
        .payment(2, "10T00:00:00Z", "-1")
        .event("not json")
        .event(&payment("c-1", 3, "10T00:00:00Z", "1", r#","arrived_at":"2026-06-09T00:00:00Z""#))
        .application_line(&application("c-1", "a", "15T00:00:00Z", r#","labell":1"#).replace("1200.50", "\"much\""));
    let finished = table.run();
    let said = finished.stderr();
    assert_eq!(finished.code(), Some(2), "{said}");
    for named in [
        "applications.ndjson:1: `application.income`",
        "applications.ndjson:1: `labell`",
        "events.ndjson:2: `data.amount`",
        "events.ndjson:3: ",
        "events.ndjson:4: `arrived_at`",
        "lines that are not valid records: 4",
        "--skip-invalid",
    ] {
        assert!(said.contains(named), "`{named}` is missing in:\n{said}");
    }
    assert!(!said.contains("much"), "a value was shown:\n{said}");
    assert!(!table.out().exists());
}

#[test]
fn wrong_lines_are_left_out_only_when_asked_and_are_counted() {
    let table = Backfill::new("skip")
        .payment(1, "10T00:00:00Z", "10")
        .payment(2, "10T00:00:00Z", "-1")
        .application("a", "15T00:00:00Z")
        .with(&["--skip-invalid"]);
    assert_eq!(table.feature("payments"), [1.0]);
    assert!(table.run().stderr().contains("lines that are not valid records: 1"));
}

#[test]
fn endless_line_is_refused_and_the_next_one_is_read() {
    let table = Backfill::new("endless")
        .event(&payment("c-1", 1, "10T00:00:00Z", &"9".repeat(3 << 20), ""))
        .payment(2, "10T00:00:00Z", "20")
        .application("a", "15T00:00:00Z")
        .with(&["--skip-invalid"]);
    assert_eq!(table.feature("last_amount"), [20.0]);
    assert!(table.run().stderr().contains("events.ndjson:1: the line is longer than 1 MiB"));
}

#[test]
fn wrong_specification_is_named_with_its_line() {
    let table = Backfill::new("specification").application("a", "15T00:00:00Z");
    table.directory.write("features.toml", &SPECIFICATION.replace("aggregate = \"last\"", "aggregate = \"lst\""));
    let finished = table.run();
    assert_eq!(finished.code(), Some(1));
    assert!(finished.stderr().contains("features.toml:21:"), "{}", finished.stderr());
    assert!(finished.stderr().contains("`last`"), "{}", finished.stderr());
}
