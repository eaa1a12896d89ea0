//! What is counted of stream records, in Kafka mode. [`KAFKA_FAMILIES`] is its table of names, as [`super::FAMILIES`] is of the rest.
//!
//! Labels are topics by their role, partitions and reasons: as many as there are, known before the first record (S5).

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::{Family, Metrics, counter, gauge, histogram};
use crate::ingest::Taken;
use crate::stream::decode::Reason;
use crate::stream::{Slice, Worked};

const RECORDS: &str = "cauce_kafka_records_total";
const EVENTS: &str = "cauce_kafka_events_total";
const SCORED: &str = "cauce_kafka_scores_total";
const DEFERRED: &str = "cauce_kafka_deferred_total";
const DEAD_LETTERS: &str = "cauce_kafka_dead_letters_total";
const LATE: &str = "cauce_kafka_late_events_total";
const MISPLACED: &str = "cauce_kafka_misplaced_records_total";
const COMMIT_SECONDS: &str = "cauce_kafka_commit_duration_seconds";
const COMMITS_FAILED: &str = "cauce_kafka_commits_failed_total";
const REBALANCES: &str = "cauce_kafka_rebalances_total";
const PARTITIONS: &str = "cauce_kafka_partitions";
const MODE_CHANGES: &str = "cauce_kafka_mode_changes_total";
const DEFERRING: &str = "cauce_kafka_deferring";
const LAG: &str = "cauce_kafka_lag_records";
const WATERMARK: &str = "cauce_kafka_watermark_timestamp_seconds";
const LATENESS: &str = "cauce_kafka_lateness_seconds";
const LAG_SECONDS: &str = "cauce_kafka_lag_seconds";

/// Every family there is in Kafka mode, beside the others.
pub const KAFKA_FAMILIES: [Family; 17] = [
    counter(RECORDS, "Stream records worked off."),
    counter(EVENTS, "Valid events of the stream, by what became of them.").by(&["outcome"]),
    counter(SCORED, "Applications of the stream that were scored."),
    counter(DEFERRED, "Applications that have to wait until the lag is lower."),
    counter(DEAD_LETTERS, "Stream records that were not taken, by reason.").by(&["reason"]),
    counter(LATE, "Events that happened before another one that had come already."),
    counter(
        MISPLACED,
        "Records in another partition than murmur2 of their key gives: their producer partitions otherwise.",
    ),
    histogram(COMMIT_SECONDS, "Time to write scores and commit offsets."),
    counter(COMMITS_FAILED, "Attempts to commit that are made again."),
    counter(REBALANCES, "Decisions of the consumer group about this instance's partitions."),
    gauge(PARTITIONS, "Partitions that this instance owns."),
    counter(MODE_CHANGES, "Times that applications of normal priority began or ceased to wait."),
    gauge(DEFERRING, "1 while applications of normal priority wait, as the lag is too high."),
    gauge(LAG, "Records that are written and not worked off, by topic and partition owned here.")
        .by(&["topic", "partition"]),
    gauge(WATERMARK, "The newest time that an event claims to have happened at, by partition.").by(&["partition"]),
    gauge(LATENESS, "How far the latest event of the last round of work was behind the watermark, by partition.")
        .by(&["partition"]),
    gauge(LAG_SECONDS, "For how long the oldest record has waited that is not worked off, at most, by partition.")
        .by(&["partition"]),
];

/// What an event may become, in the order of [`Worked::taken`].
pub const TAKEN: [Taken; 3] = [Taken::New, Taken::Duplicate, Taken::Conflict];
const LANES: [&str; 3] = ["events", "applications", "deferred"];

/// A handle on every series.
pub struct KafkaMetrics {
    records: Counter,
    scored: Counter,
    deferred: Counter,
    dead_letters: [Counter; Reason::ALL.len()],
    late: Counter,
    misplaced: Counter,
    commit_seconds: Histogram,
    commits_failed: Counter,
    rebalances: Counter,
    partitions: Gauge,
    mode_changes: Counter,
    deferring: Gauge,
    slices: Vec<SliceMetrics>,
    events: [Counter; TAKEN.len()],
}

struct SliceMetrics {
    lag: [Gauge; LANES.len()],
    watermark: Gauge,
    lateness: Gauge,
    lag_seconds: Gauge,
}

impl KafkaMetrics {
    /// All series at zero, on the page of the others.
    pub fn new(metrics: &Metrics, partitions: usize) -> Self {
        metrics.register(|| Self {
            records: metrics::counter!(RECORDS),
            scored: metrics::counter!(SCORED),
            deferred: metrics::counter!(DEFERRED),
            dead_letters: Reason::ALL.map(|reason| metrics::counter!(DEAD_LETTERS, "reason" => reason.as_str())),
            late: metrics::counter!(LATE),
            misplaced: metrics::counter!(MISPLACED),
            commit_seconds: metrics::histogram!(COMMIT_SECONDS),
            commits_failed: metrics::counter!(COMMITS_FAILED),
            rebalances: metrics::counter!(REBALANCES),
            partitions: metrics::gauge!(PARTITIONS),
            mode_changes: metrics::counter!(MODE_CHANGES),
            deferring: metrics::gauge!(DEFERRING),
            slices: (0..partitions).map(SliceMetrics::new).collect(),
            events: TAKEN.map(|taken| metrics::counter!(EVENTS, "outcome" => taken.as_str())),
        })
    }

    /// Counts what came of a slice's records.
    pub fn worked(&self, partition: i32, worked: &Worked) {
        self.records.increment(worked.records);
        self.scored.increment(worked.scored);
        self.deferred.increment(worked.deferred);
        self.late.increment(worked.late);
        self.events.iter().zip(worked.taken).for_each(|(counter, count)| counter.increment(count));
        for (_, reason, count) in &worked.refused {
            self.dead_letters[*reason as usize].increment(*count);
        }
        self.slice(partition).lateness.set(worked.lateness_ms_max as f64 / 1e3);
    }

    /// Counts a record that its key has not brought where it is.
    pub fn misplaced(&self) {
        self.misplaced.increment(1);
    }

    /// Counts a commit.
    pub fn committed(&self, took: Duration) {
        self.commit_seconds.record(took);
    }

    /// Counts an attempt that is made again.
    pub fn commit_failed(&self) {
        self.commits_failed.increment(1);
    }

    /// Counts a decision of the group.
    pub fn rebalanced(&self) {
        self.rebalances.increment(1);
    }

    /// How many partitions are here.
    pub fn owned(&self, partitions: usize) {
        self.partitions.set(partitions as f64);
    }

    /// The mode has changed.
    pub fn mode(&self, deferring: bool) {
        self.mode_changes.increment(1);
        self.deferring.set(f64::from(u8::from(deferring)));
    }

    /// How far a slice is: `lag` by lane, and for how long its oldest record has waited.
    pub fn observed(&self, lag: [u64; 3], waited_ms: i64, slice: &Slice) {
        let metrics = self.slice(slice.partition);
        metrics.lag.iter().zip(lag).for_each(|(gauge, lag)| gauge.set(lag as f64));
        if let Some(watermark) = slice.watermark {
            metrics.watermark.set(watermark.millis() as f64 / 1e3);
        }
        metrics.lag_seconds.set(waited_ms as f64 / 1e3);
    }

    /// A partition is elsewhere: nothing of it waits here.
    pub fn gone(&self, partition: i32) {
        let metrics = self.slice(partition);
        metrics
            .lag
            .iter()
            .chain([&metrics.watermark, &metrics.lateness, &metrics.lag_seconds])
            .for_each(|gauge| gauge.set(0.0));
    }

    fn slice(&self, partition: i32) -> &SliceMetrics {
        &self.slices[partition as usize]
    }
}

impl SliceMetrics {
    fn new(partition: usize) -> Self {
        let gauge = |name: &'static str| metrics::gauge!(name, "partition" => partition.to_string());
        let lag = |topic: &'static str| metrics::gauge!(LAG, "topic" => topic, "partition" => partition.to_string());
        Self {
            lag: LANES.map(lag),
            watermark: gauge(WATERMARK),
            lateness: gauge(LATENESS),
            lag_seconds: gauge(LAG_SECONDS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogStatus;
    use crate::metrics::Held;
    use crate::scoring::Guards;

    #[test]
    fn every_family_of_the_table_is_on_the_page_once() {
        let metrics = Metrics::new(&[], [("name", "n"), ("version", "1"), ("hash", "00")]);
        let _kafka = KafkaMetrics::new(&metrics, 2);
        let page = metrics.render(&Held::default(), &LogStatus::default(), &Guards::for_tests());
        for family in &KAFKA_FAMILIES {
            let kind = format!("# TYPE {} {}\n", family.name, family.kind);
            assert_eq!(page.matches(&kind).count(), 1, "{}", family.name);
        }
        assert!(page.contains("cauce_kafka_lag_records{topic=\"deferred\",partition=\"1\"} 0\n"), "{page}");
    }

    #[test]
    fn reasons_stand_in_their_order() {
        assert!(Reason::ALL.iter().enumerate().all(|(position, reason)| *reason as usize == position));
    }
}
