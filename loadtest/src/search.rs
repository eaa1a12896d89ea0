//! The highest rate at which a service stays within its limits: by steps, or along a ramp.

use std::time::Duration;

use crate::outcome::NotDriven;

/// What was tried, in order, and what was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    pub steps: Vec<Step>,
    /// The highest rate that held, in requests a second.
    pub highest: Option<f64>,
    /// Whether the generator, not the service, was what gave way above it.
    pub limited_by_generator: bool,
}

/// A rate that was held for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Offered, and answered as meant, in requests a second.
    pub offered: f64,
    pub good: f64,
    pub p50: Duration,
    pub p99: Duration,
    pub error_rate: f64,
    pub holds: bool,
    /// Why the step says nothing about the service; its figures are not told then.
    pub not_driven: Option<NotDriven>,
}
