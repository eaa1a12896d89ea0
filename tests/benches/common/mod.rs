//! What benchmarks of the whole service have in common.

use std::process::Command;
use std::time::Duration;

use cauce_loadtest::drive::Drive;
use cauce_loadtest::outcome::Outcome;
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::traffic::Prepared;

/// All threads of a process, and those that they start, keep to one core.
pub(crate) fn keep_to(process: u32, core: usize) {
    let kept = Command::new("taskset").args(["-a", "-c", "-p", &core.to_string(), &process.to_string()]).output();
    let kept = kept.is_ok_and(|kept| kept.status.success());
    println!("process {process} keeps to core {core}: {kept}");
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number from the environment, for a smaller run.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
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
