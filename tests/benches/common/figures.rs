//! Figures as files under target/bench, and those that two benchmarks tell together.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// What the benchmark `loadtest` and the comparison tell together, and which of them tells it.
const LOADTEST_FIGURES: [(&str, &str); 8] = [
    ("workloads", "generator_ceiling_per_s"),
    ("workloads", "service_peak_per_s"),
    ("workloads", "bare_peak_per_s"),
    ("compare", "flask_peak_per_s"),
    ("compare", "fastapi_peak_per_s"),
    ("workloads", "p99_ms_at_half_peak"),
    ("workloads", "p999_ms_at_half_peak"),
    ("compare", "answers_max_difference"),
];

/// Writes target/bench/NAME.json.
pub(crate) fn write(name: &str, figures: &Value) {
    fs::create_dir_all(folder()).expect("the target directory can be written");
    fs::write(folder().join(format!("{name}.json")), format!("{figures:#}\n")).expect("it can be written");
}

/// Brings loadtest.json up to what its two benchmarks wrote last; what was not measured yet is null.
pub(crate) fn write_loadtest() {
    let read = |name| fs::read(folder().join(format!("{name}.json"))).ok();
    let of = |name| -> Value { read(name).and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default() };
    let figures = LOADTEST_FIGURES.map(|(of_bench, figure)| (figure.to_owned(), of(of_bench)[figure].clone()));
    write("loadtest", &json!(Map::from_iter(figures)));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench")
}
