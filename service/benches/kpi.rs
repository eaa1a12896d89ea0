//! How far the percentiles of KPIs are off, at most, over a million samples each of three distributions that go the way of answers.
//!
//! Sketch: a bucket is at most 1/128 of its value wide and its upper end is told, so at most 0.8 %.

use std::fs;
use std::path::Path;

use cauce_service::percentile_error_max;
use serde_json::{Map, Value};

const SAMPLES: usize = 1_000_000;

fn main() {
    let error = percentile_error_max(SAMPLES);
    println!("percentile_error_max {error:.5}");
    // Beside what other benchmarks of KPIs have written.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench/kpi.json");
    let mut figures: Map<String, Value> =
        fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    figures.insert("percentile_error_max".to_owned(), error.into());
    fs::create_dir_all(path.parent().expect("it has one")).expect("the target directory can be written");
    fs::write(&path, serde_json::to_vec_pretty(&figures).expect("numbers can be written")).expect("a figure");
}
