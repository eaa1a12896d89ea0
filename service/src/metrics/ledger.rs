//! What is counted of answers that are kept for their repetition. [`LEDGER_FAMILIES`] is its table of names, as [`super::FAMILIES`] is of
//! the rest.

use metrics::{Counter, Gauge};

use super::{Family, Metrics, counter, gauge};
use crate::ledger::LedgerStatus;

const REPLAYED: &str = "cauce_decisions_replayed_total";
const ENTRIES: &str = "cauce_ledger_entries";
const MEMORY: &str = "cauce_ledger_memory_bytes";
const WAITING: &str = "cauce_ledger_waiting_bytes";
const WRITABLE: &str = "cauce_ledger_writable";
const DROPPED: &str = "cauce_ledger_dropped_total";
const TOO_LARGE: &str = "cauce_ledger_too_large_total";
const EVICTED: &str = "cauce_ledger_evicted_early_total";
const UNREADABLE: &str = "cauce_ledger_unreadable_total";

/// Every family there is, beside the others.
pub const LEDGER_FAMILIES: [Family; 9] = [
    counter(REPLAYED, "Requests that were answered as they had been before."),
    gauge(ENTRIES, "Answers that are kept for their repetition."),
    gauge(MEMORY, "Memory of answers that are kept."),
    gauge(WAITING, "Bytes of answers that wait to be written."),
    gauge(WRITABLE, "1 while answers are kept on disk, 0 while it cannot be written."),
    counter(DROPPED, "Answers that are not kept: too much waited, or the disk failed."),
    counter(TOO_LARGE, "Answers that are not kept for their size."),
    counter(EVICTED, "Answers that went before their time, since there were too many."),
    counter(UNREADABLE, "Repetitions that were scored anew, since the disk could not be read."),
];

/// A handle on every series.
pub struct LedgerMetrics {
    gauges: [Gauge; 4],
    counters: [Counter; 5],
}

impl LedgerMetrics {
    /// All series, on the page of the others.
    pub fn new(metrics: &Metrics) -> Self {
        metrics.register(|| Self {
            gauges: [ENTRIES, MEMORY, WAITING, WRITABLE].map(|name| metrics::gauge!(name)),
            counters: [REPLAYED, DROPPED, TOO_LARGE, EVICTED, UNREADABLE].map(|name| metrics::counter!(name)),
        })
    }

    /// Shows how the ledger stands.
    pub fn show(&self, status: &LedgerStatus) {
        let LedgerStatus { shelf, memory_bytes, replayed, too_large, unreadable } = status;
        let writable = f64::from(u8::from(shelf.refuses.is_none()));
        let gauges = [shelf.entries as f64, *memory_bytes as f64, shelf.waiting_bytes as f64, writable];
        self.gauges.iter().zip(gauges).for_each(|(gauge, value)| gauge.set(value));
        let counters = [*replayed, shelf.dropped, *too_large, shelf.evicted_early, *unreadable];
        self.counters.iter().zip(counters).for_each(|(counter, value)| counter.absolute(value));
    }
}
