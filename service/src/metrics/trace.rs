//! What becomes of recorded requests. [`TRACE_FAMILIES`] is its table of names, as [`super::FAMILIES`] is of the rest.

use metrics::{Counter, Gauge};

use super::Metrics;
use super::family::{Family, counter, gauge};

const EXPORTED: &str = "cauce_traces_exported_total";
const DROPPED: &str = "cauce_traces_dropped_total";
const WAITING: &str = "cauce_traces_waiting";

/// Every family there is, beside the others.
pub const TRACE_FAMILIES: [Family; 3] = [
    counter(EXPORTED, "Recorded requests whose spans the receiver of traces has."),
    counter(
        DROPPED,
        "Recorded requests whose spans are lost: too many waited, or the receiver was not there or refused them.",
    ),
    gauge(WAITING, "Recorded requests whose spans wait to be exported."),
];

/// A handle on every series.
pub struct TraceMetrics {
    pub exported: Counter,
    pub dropped: Counter,
    pub waiting: Gauge,
}

impl TraceMetrics {
    /// All series, on the page of the others.
    pub fn new(metrics: &Metrics) -> Self {
        metrics.register(|| Self {
            exported: metrics::counter!(EXPORTED),
            dropped: metrics::counter!(DROPPED),
            waiting: metrics::gauge!(WAITING),
        })
    }
}
