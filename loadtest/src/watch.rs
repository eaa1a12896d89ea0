//! What the service uses while it is under load: memory, handles, the size of its log, read from its metrics page.

/// What was read of one figure, and whether it goes up.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// As the metrics page calls it, or as it was derived from what stands there.
    pub name: String,
    pub unit: String,
    /// Seconds after the begin of the run, and the value.
    pub points: Vec<(f64, f64)>,
    /// Why the run fails by it; empty if it does not.
    pub trend: Option<String>,
}
