//! What a probability costs through [`OnnxModel`], beside the same session driven through the raw C API.
//!
//! Sketch: 200 trees of 31 leaves over 40 features are 200 walks of 5 to 10 branches, 22 to 24 µs for one row that was
//! not seen before and half of that for a row that repeats, because its branches are predicted. So the rows differ, they
//! are the same for both, and both take turns in one process: what a shared machine takes away, it takes from both. What
//! `ort` and the checks add may be 15 % of a single row at most.

mod raw;
#[allow(dead_code)]
#[path = "../../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Instant;

use cauce_model::OnnxModel;

use support::Fixture;
use support::forest::Random;

const WIDTH: usize = 40;
const ROWS: usize = 4096;
const ROUNDS: usize = 12;
const BATCH: usize = 100;
const RATIO_MAX: f64 = 1.15;

fn main() {
    let fixture = Fixture::new(200, 31, WIDTH);
    let mut model = OnnxModel::new(&fixture.load().expect("a sound bundle")).expect("a session");
    let mut raw = raw::Session::new(&fixture.model.bytes(), WIDTH);
    let rows = Random::new(5).rows(ROWS, WIDTH);
    for row in rows.chunks_exact(WIDTH) {
        assert_eq!(model.probabilities(row).expect("a probability")[0], raw.run(row), "both run the same model");
    }

    let (mut single, mut single_raw, mut batch) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        time(&rows, 1, &mut single, |row| model.probabilities(row).expect("a probability")[0]);
        time(&rows, 1, &mut single_raw, |row| raw.run(row));
        time(&rows, BATCH, &mut batch, |rows| model.probabilities(rows).expect("probabilities")[0]);
    }
    let [single_p50, single_p99] = [0.5, 0.99].map(|share| quantile(&mut single, share));
    let [raw_p50, raw_p99] = [0.5, 0.99].map(|share| quantile(&mut single_raw, share));
    let batch_p50 = quantile(&mut batch, 0.5) / BATCH as f64;
    let ratio = single_p50 / raw_p50;

    println!("us a row, {ROWS} different rows, 200 trees x 31 leaves   p50     p99");
    println!("OnnxModel, one row                              {single_p50:>9.2} {single_p99:>7.2}");
    println!("raw C API, one row                              {raw_p50:>9.2} {raw_p99:>7.2}");
    println!("OnnxModel, batches of {BATCH}                       {batch_p50:>9.2}");
    println!("OnnxModel / raw at p50: {ratio:.3} (at most {RATIO_MAX})");
    report(&[
        ("inference_us_p50", single_p50),
        ("inference_us_p99", single_p99),
        ("inference_raw_us_p50", raw_p50),
        ("inference_raw_us_p99", raw_p99),
        ("inference_batch_us_a_row", batch_p50),
    ]);
}

/// Appends the microseconds of each call.
fn time(rows: &[f32], size: usize, times: &mut Vec<f64>, mut call: impl FnMut(&[f32]) -> f32) {
    for rows in rows.chunks_exact(WIDTH * size) {
        let start = Instant::now();
        black_box(call(black_box(rows)));
        times.push(start.elapsed().as_nanos() as f64 / 1000.0);
    }
}

fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}

/// Where the figures of all benches are put together.
fn report(figures: &[(&str, f64)]) {
    let figures: serde_json::Map<_, _> = figures
        .iter()
        .map(|(name, value)| (name.to_string(), serde_json::json!((value * 100.0).round() / 100.0)))
        .collect();
    let text = serde_json::Value::Object(figures).to_string();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench");
    std::fs::create_dir_all(folder).expect("a folder under target");
    std::fs::write(format!("{folder}/inference.json"), &text).expect("a file under target");
    println!("{text}");
}
