//! What others may ask of the thread that reads from Kafka, and tell it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::kpi::snapshot::KafkaKpis;

/// For how long freshness is told.
const FRESHNESS_KEPT: Duration = Duration::from_secs(60);

/// What others may ask of the worker's thread, and tell it.
#[derive(Default)]
pub struct Control {
    is_ready: AtomicBool,
    is_stopping: AtomicBool,
    is_deferring: AtomicBool,
    /// Why it cannot go on.
    failure: Mutex<Option<String>>,
    behind: Mutex<KafkaKpis>,
    /// When freshness was last shown.
    fresh_at: Mutex<Option<Instant>>,
}

impl Control {
    /// `is_ready` where there are histories to begin with.
    pub fn new(is_ready: bool) -> Self {
        Self { is_ready: AtomicBool::new(is_ready), ..Self::default() }
    }

    /// Whether there are histories: those of a former life, or those of the first assignment, read up to what was committed.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// Has the thread give its partitions back and end.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether applications of normal priority have to wait.
    pub fn is_deferring(&self) -> bool {
        self.is_deferring.load(Ordering::Relaxed)
    }

    /// Why it has ended before it was told to.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// How far the stream is behind.
    pub fn behind(&self) -> KafkaKpis {
        self.behind_at(Instant::now())
    }

    fn behind_at(&self, now: Instant) -> KafkaKpis {
        let mut behind = *self.behind.lock();
        // What was so long ago says nothing of now.
        if self.fresh_at.lock().is_none_or(|at| now.saturating_duration_since(at) > FRESHNESS_KEPT) {
            behind.freshness_seconds = None;
        }
        behind
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    pub(super) fn become_ready(&self) {
        self.is_ready.store(true, Ordering::Relaxed);
    }

    pub(super) fn defer(&self, is_deferring: bool) {
        self.is_deferring.store(is_deferring, Ordering::Relaxed);
    }

    pub(super) fn fail(&self, failure: String) {
        *self.failure.lock() = Some(failure);
    }

    /// So many records wait, the oldest of them for so long.
    pub(super) fn show_lag(&self, records: u64, oldest_ms: i64) {
        let behind = &mut *self.behind.lock();
        (behind.lag_records, behind.lag_seconds) = (records, oldest_ms as f64 / 1e3);
    }

    /// So long after it happened the newest of what has just become state did.
    pub(super) fn show_freshness(&self, ms: i64) {
        *self.fresh_at.lock() = Some(Instant::now());
        self.behind.lock().freshness_seconds = Some(ms.max(0) as f64 / 1e3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_told_for_a_while() {
        let control = Control::new(true);
        let now = Instant::now();
        assert_eq!(control.behind_at(now).freshness_seconds, None);
        control.show_freshness(1_500);
        assert_eq!(control.behind_at(now).freshness_seconds, Some(1.5));
        assert_eq!(control.behind_at(now + FRESHNESS_KEPT * 2).freshness_seconds, None);
    }
}
