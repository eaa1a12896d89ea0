//! What benchmarks of the whole service have in common.

use std::process::Command;

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
