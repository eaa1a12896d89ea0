//! What is bounded by which setting, and what bounds a setting has itself (S5).

use actix_web::http::header::HeaderName;
use cauce_features::timeline::MAX_EVENTS;

use super::{Config, ConfigError, Duration};
use crate::alerts::webhook;
use crate::degrade::Allowed;

impl Config {
    /// Bounds that the layout of files and histories sets to bounds.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self {
            server, budget, cache, breaker, model, log, store, kafka, ledger, alerts, admission, limits, ..
        } = self;
        if let Err((key, cause)) = Allowed::parse(&self.ladder) {
            return Err(ConfigError::Wrong { key, cause });
        }
        if let Err(cause) = webhook::parse(&alerts.webhooks) {
            return Err(ConfigError::Wrong { key: "alerts.webhooks", cause });
        }
        let ms = |duration: &Duration| duration.get().as_millis() as u64;
        let days = |duration: &Duration| duration.get().as_secs() / 86_400;
        let body = server.body.bytes().max(server.batch_body.bytes()) as u64;
        for (key, value, range, expected) in [
            ("server.batch_body", body, 1..=(15 << 20), "like `server.body` at most 15 MiB"),
            ("budget.least", ms(&budget.least), 1..=ms(&budget.most), "at least 1ms and at most `budget.most`"),
            ("budget.most", ms(&budget.most), 1..=600_000, "at most 10m"),
            ("cache.entries", cache.entries, 0..=100_000_000, "at most 100000000"),
            ("cache.disk_entries", cache.disk_entries as u64, 0..=1_000_000_000, "at most 1000000000"),
            ("breaker.window", ms(&breaker.window), 8..=3_600_000, "from 8ms to 1h"),
            ("breaker.calls", u64::from(breaker.calls), 1..=1_000_000, "from 1 to 1000000"),
            ("breaker.failed_percent", u64::from(breaker.failed_percent), 1..=101, "from 1 to 100, or 101 for never"),
            ("breaker.slow_percent", u64::from(breaker.slow_percent), 1..=101, "from 1 to 100, or 101 for never"),
            (
                "breaker.open",
                ms(&breaker.open),
                1..=ms(&breaker.open_most),
                "at least 1ms and at most `breaker.open_most`",
            ),
            ("breaker.probes", u64::from(breaker.probes), 1..=1_000, "from 1 to 1000"),
            ("breaker.reads", breaker.reads as u64, 1..=10_000, "from 1 to 10000"),
            (
                "model.check_memory",
                model.check_memory.bytes() as u64,
                (16 << 20)..=(1 << 50),
                "at least 16 MiB: ONNX Runtime itself needs that",
            ),
            ("model.check_cpu", ms(&model.check_cpu), 1..=3_600_000, "from 1 ms to 1 h"),
            ("model.check_time", ms(&model.check_time), 1..=3_600_000, "from 1 ms to 1 h"),
            ("log.segment", log.segment.bytes() as u64, 1..=(2 << 30), "at most 2 GiB"),
            ("log.group", log.group.bytes() as u64, 1..=(256 << 20), "from 1 B to 256 MiB"),
            ("log.retain_age", days(&log.retain_age), 0..=36_500, "at most 36500 days"),
            ("log.segment_age", days(&log.segment_age), 0..=36_500, "at most 36500 days"),
            ("store.forget_after", days(&store.forget_after), 0..=36_500, "at most 36500 days"),
            ("store.events_per_person", store.events_per_person as u64, 1..=MAX_EVENTS as u64, "from 1 to 4194304"),
            ("store.checkpoint_records", store.checkpoint_records, 1..=u64::MAX, "at least 1"),
            ("kafka.oldest_as_of", days(&kafka.oldest_as_of), 0..=36_500, "at most 36500 days"),
            ("kafka.applications", kafka.applications.len() as u64, 1..=90, "a name of 1 to 90 bytes"),
            ("kafka.round_records", kafka.round_records as u64, 1..=1_000_000, "from 1 to 1000000"),
            ("kafka.buffer_records", kafka.buffer_records as u64, 1..=10_000_000, "from 1 to 10000000"),
            ("kafka.lag_low", kafka.lag_low, 0..=kafka.lag_high, "at most `kafka.lag_high`"),
            ("ledger.keep", days(&ledger.keep), 0..=36_500, "at most 36500 days"),
            ("ledger.entries", ledger.entries as u64, 2..=100_000_000, "from 2 to 100000000"),
            ("ledger.answer", ledger.answer.bytes() as u64, 1..=(64 << 20), "from 1 B to 64 MiB"),
            ("alerts.clear_percent", u64::from(alerts.clear_percent), 0..=100, "from 0 to 100"),
            ("alerts.errors_percent", u64::from(alerts.errors_percent), 0..=101, "from 0 to 100, or 101 for never"),
            ("alerts.degraded_percent", u64::from(alerts.degraded_percent), 0..=101, "from 0 to 100, or 101 for never"),
            ("alerts.memory_percent", u64::from(alerts.memory_percent), 0..=101, "from 0 to 100, or 101 for never"),
            (
                "alerts.failed_events_percent",
                u64::from(alerts.failed_events_percent),
                0..=101,
                "from 0 to 100, or 101 for never",
            ),
            // Cast as Rust does it, what is no number is zero and what is negative too.
            ("alerts.drift_psi", (alerts.drift_psi * 1e3).ceil() as u64, 1..=1_000_000, "above 0 and at most 1000"),
            ("alerts.history", alerts.history as u64, 0..=10_000, "from 0 to 10000"),
            ("alerts.queue", alerts.queue as u64, 1..=10_000, "from 1 to 10000"),
            ("alerts.timeout", ms(&alerts.timeout), 1..=60_000, "from 1ms to 1m"),
            (
                "alerts.retry",
                ms(&alerts.retry),
                1..=ms(&alerts.retry_most),
                "at least 1ms and at most `alerts.retry_most`",
            ),
            ("alerts.retry_most", ms(&alerts.retry_most), 1..=86_400_000, "at most 1d"),
            ("alerts.give_up", ms(&alerts.give_up), 0..=604_800_000, "at most 7d"),
            ("server.shutdown_timeout", ms(&server.shutdown_timeout), 1000..=u64::MAX, "at least `1s`"),
            ("server.write_timeout", ms(&server.write_timeout), 1..=u64::MAX, "at least `1ms`"),
            ("admission.in_flight", admission.in_flight as u64, 4..=1_000_000, "from 4 to 1000000"),
            ("admission.pause", ms(&admission.pause), 0..=1000, "at most `1s`"),
            ("limits.requests_per_second", u64::from(limits.requests_per_second), 0..=1_000_000, "at most 1000000"),
            ("limits.burst", u64::from(limits.burst), 1..=1_000_000, "from 1 to 1000000"),
            ("limits.clients", limits.clients as u64, 1..=100_000_000, "from 1 to 100000000"),
            (
                "limits.key",
                u64::from(limits.key.parse::<HeaderName>().is_ok()),
                1..=1,
                "`address` or the name of a header",
            ),
        ] {
            if !range.contains(&value) {
                let key = key.to_owned();
                return Err(ConfigError::WrongKind { origin: "configuration".into(), key, expected });
            }
        }
        Ok(())
    }

    /// Every bound by the name of its setting, sizes in bytes and durations in milliseconds (S5).
    pub fn bounds(&self) -> Vec<(&'static str, u64)> {
        let Self {
            server, budget, cache, breaker, model, log, store, kafka, ledger, alerts, admission, limits, ..
        } = self;
        let ms = |duration: &Duration| duration.get().as_millis() as u64;
        vec![
            ("server.workers", server.workers as u64),
            ("server.connections", server.connections as u64),
            ("server.backlog", u64::from(server.backlog)),
            ("server.body", server.body.bytes() as u64),
            ("server.batch_body", server.batch_body.bytes() as u64),
            ("server.batch_items", server.batch_items as u64),
            ("server.head_timeout", server.head_timeout.get().as_millis() as u64),
            ("server.body_timeout", server.body_timeout.get().as_millis() as u64),
            ("server.write_timeout", server.write_timeout.get().as_millis() as u64),
            ("server.keep_alive", server.keep_alive.get().as_millis() as u64),
            ("server.shutdown_timeout", server.shutdown_timeout.get().as_millis() as u64),
            ("budget.score", ms(&budget.score)),
            ("budget.batch", ms(&budget.batch)),
            ("budget.events", ms(&budget.events)),
            ("budget.query", ms(&budget.query)),
            ("budget.reserve", ms(&budget.reserve)),
            ("budget.most", ms(&budget.most)),
            ("cache.entries", cache.entries),
            ("cache.disk_entries", cache.disk_entries as u64),
            ("breaker.reads", breaker.reads as u64),
            ("model.check_memory", model.check_memory.bytes() as u64),
            ("model.check_cpu", model.check_cpu.get().as_millis() as u64),
            ("model.check_time", model.check_time.get().as_millis() as u64),
            ("log.segment", log.segment.bytes() as u64),
            ("log.retain_age", log.retain_age.get().as_millis() as u64),
            ("log.retain_size", log.retain_size.bytes() as u64),
            ("log.queue", log.queue.bytes() as u64),
            ("log.group", log.group.bytes() as u64),
            ("store.people", store.people as u64),
            ("store.events_per_person", store.events_per_person as u64),
            ("store.memory", store.memory.bytes() as u64),
            ("store.block_cache", store.block_cache.bytes() as u64),
            ("store.forget_after", store.forget_after.get().as_millis() as u64),
            ("kafka.round_records", kafka.round_records as u64),
            ("kafka.buffer_records", kafka.buffer_records as u64),
            ("kafka.lag_high", kafka.lag_high),
            ("kafka.lag_low", kafka.lag_low),
            ("kafka.ack_timeout", kafka.ack_timeout.get().as_millis() as u64),
            ("ledger.keep", ledger.keep.get().as_millis() as u64),
            ("ledger.entries", ledger.entries as u64),
            ("ledger.disk", ledger.disk.bytes() as u64),
            ("ledger.memory", ledger.memory.bytes() as u64),
            ("ledger.answer", ledger.answer.bytes() as u64),
            ("ledger.queue", ledger.queue.bytes() as u64),
            ("alerts.history", alerts.history as u64),
            ("alerts.queue", alerts.queue as u64),
            ("alerts.timeout", ms(&alerts.timeout)),
            ("server.drain", server.drain.get().as_millis() as u64),
            ("admission.delay", admission.delay.get().as_millis() as u64),
            ("admission.in_flight", admission.in_flight as u64),
            ("admission.pause", admission.pause.get().as_millis() as u64),
            ("limits.requests_per_second", u64::from(limits.requests_per_second)),
            ("limits.burst", u64::from(limits.burst)),
            ("limits.clients", limits.clients as u64),
        ]
    }
}
