//! One seeded history of 200 people, by every way in (F1, F2).

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};

use super::{BUNDLE, JSON, LINES, NOW, expect, lines, server};
use crate::support::{Directory, Server, cauce, history};

const PEOPLE: u64 = 200;

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
fn served_vectors_are_those_of_the_training_table_bit_for_bit() {
    let (events, applications) = (history::events(PEOPLE, 20_260_620), history::applications(PEOPLE));
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
