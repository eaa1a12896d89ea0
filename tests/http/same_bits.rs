//! One seeded history of 200 people, by every way in (F1, F2).

use serde_json::{Value, json};

use super::{BUNDLE, JSON, LINES, NOW, expect, lines, server};
use crate::support::bits::{Bits, names, served_bits, table_bits};
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
    let names = names(&server);

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
