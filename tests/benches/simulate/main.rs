//! How fast a bank is made up: `cauce-loadtest simulate` into files, from its start to its end, the median of `TURNS=`. `PEOPLE=` makes a
//! smaller bank, in which the start weighs more.
//!
//! Sketch: an event costs 2 µs to make up and to write, on all cores at once, so two of them make a million a second; threads wait for files.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is made for all benchmarks")]
mod common;
#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, reason = "it is made for the tests, which use all of it")]
mod support;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use common::{figures, median, some};
use serde_json::json;
use support::{Directory, loadtest_command};

fn main() {
    let (people, turns) = (some("PEOPLE", 20_000), some("TURNS", 3));
    let directory = Directory::new("bench-simulate");
    // Built before it is measured.
    drop(loadtest_command());
    let turn = |_| {
        let begin = Instant::now();
        let made = loadtest_command()
            .args(["simulate", "--people", &people.to_string(), "--out"])
            .arg(directory.root())
            .status()
            .expect("it was built");
        let taken = begin.elapsed();
        assert!(made.success(), "a bank is made up");
        let events = lines(&directory.path("events.ndjson"));
        let rate = events as f64 / taken.as_secs_f64();
        println!("{events} events of {people} people in {taken:.2?}: {rate:.0} events/s");
        rate
    };
    let rate = median((0..turns).map(turn).collect());
    figures::write("simulate", &json!({"people": people, "turns": turns}), json!({"simulate_events_per_s": rate}));
}

fn lines(path: &Path) -> usize {
    let file = File::open(path).expect("it was written");
    BufReader::with_capacity(1 << 20, file).split(b'\n').count()
}
