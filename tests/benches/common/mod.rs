//! What benchmarks of the whole service have in common.

pub(crate) mod figures;

use std::process::Command;
use std::time::Duration;

use cauce_loadtest::drive::Drive;
use cauce_loadtest::outcome::{Latency, Outcome};
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::traffic::Prepared;

/// All threads of a process, and those that they start, keep to one core.
pub(crate) fn keep_to(process: u32, core: usize) {
    let kept = Command::new("taskset").args(["-a", "-c", "-p", &core.to_string(), &process.to_string()]).output();
    let kept = kept.is_ok_and(|kept| kept.status.success());
    println!("process {process} keeps to core {core}: {kept}");
}

/// The middle, or between the two that are; no number of nothing, which is null in JSON.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    values.get(low).zip(values.get(high)).map_or(f64::NAN, |(low, high)| low.midpoint(*high))
}

/// A number from the environment, for a smaller run.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("`{name}` is a whole number, not `{text}`"))
        }
        _ => default,
    }
}

/// The same for what there has to be some of.
pub(crate) fn some(name: &str, default: u64) -> u64 {
    let number = number(name, default);
    assert!(number > 0, "`{name}` is 1 at least, not 0");
    number
}

/// A percentile in milliseconds, or why it is none.
pub(crate) fn millis(outcome: &Outcome, latency: &Latency, percent: f64) -> Result<f64, String> {
    let told = outcome.trusted(latency, percent).map_err(|reason| reason.to_string())?;
    Ok(told.as_secs_f64() * 1e3)
}

/// Offers so many requests a second, and sends those that find a free connection: as many clients as connections, each of which has one
/// request at a time. Their latency counts from when a request was sent.
pub(crate) fn offer(authority: &str, traffic: &Prepared, connections: usize, rate: f64, duration: Duration) -> Outcome {
    let schedule = Schedule { phases: vec![Phase::steady(rate, duration)], pace: Pace::Poisson, seed: 4711 };
    let target = authority.parse().expect("the server has told its address");
    let (waiting, patience) = (0, Duration::from_secs(5));
    let drive = Drive { connections, waiting, patience, ..Drive::to(target, traffic, &schedule) };
    drive.run().expect("the server takes connections")
}
