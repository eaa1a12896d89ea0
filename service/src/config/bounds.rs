//! What is bounded by which setting, and what bounds a setting has itself (S5).

use actix_web::http::header::HeaderName;
use cauce_features::timeline::MAX_EVENTS;
use ureq::http::uri::Authority;

use super::{Config, ConfigError, Duration, Size};
use crate::alerts::webhook;
use crate::degrade::Allowed;
use crate::kpi::groups::Declared;
use crate::outgoing;

const NOTHING_TO_TELL: &str = "they would be told nothing: `kpi.window` is 0s, which raises no alerts; it has to be from 10s to 1h, or no webhook be named";

impl Config {
    /// Bounds that the layout of files and histories sets to bounds.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let ladder = Allowed::parse(&self.ladder).err();
        if let Some((key, cause)) = ladder.or_else(|| Declared::parse(&self.kpi).err()) {
            return Err(ConfigError::Wrong { key, cause });
        }
        let is_silent = self.kpi.window.get().is_zero();
        let webhooks = webhook::parse(&self.alerts.webhooks);
        let wrong = webhooks.map(|named| (is_silent && !named.is_empty()).then(|| NOTHING_TO_TELL.to_owned()));
        if let Some(cause) = wrong.unwrap_or_else(Some) {
            return Err(ConfigError::Wrong { key: "alerts.webhooks", cause });
        }
        let ms = |duration: &Duration| duration.get().as_millis() as u64;
        let days = |duration: &Duration| duration.get().as_secs() / 86_400;
        // Without KPIs any window will do.
        let kpi_window = if is_silent { 10_000 } else { ms(&self.kpi.window) };
        let body = self.server.body.bytes().max(self.server.batch_body.bytes()) as u64;
        for (key, value, range, expected) in [
            ("server.batch_body", body, 1..=(15 << 20), "like `server.body` at most 15 MiB"),
            (
                "budget.least",
                ms(&self.budget.least),
                1..=ms(&self.budget.most),
                "at least 1ms and at most `budget.most`",
            ),
            ("budget.most", ms(&self.budget.most), 1..=600_000, "at most 10m"),
            ("cache.entries", self.cache.entries, 0..=100_000_000, "at most 100000000"),
            ("cache.disk_entries", self.cache.disk_entries as u64, 0..=1_000_000_000, "at most 1000000000"),
            ("breaker.window", ms(&self.breaker.window), 8..=3_600_000, "from 8ms to 1h"),
            ("breaker.calls", u64::from(self.breaker.calls), 1..=1_000_000, "from 1 to 1000000"),
            (
                "breaker.failed_percent",
                u64::from(self.breaker.failed_percent),
                1..=101,
                "from 1 to 100, or 101 for never",
            ),
            ("breaker.slow_percent", u64::from(self.breaker.slow_percent), 1..=101, "from 1 to 100, or 101 for never"),
            (
                "breaker.open",
                ms(&self.breaker.open),
                1..=ms(&self.breaker.open_most),
                "at least 1ms and at most `breaker.open_most`",
            ),
            ("breaker.probes", u64::from(self.breaker.probes), 1..=1_000, "from 1 to 1000"),
            ("breaker.reads", self.breaker.reads as u64, 1..=10_000, "from 1 to 10000"),
            (
                "model.check_memory",
                self.model.check_memory.bytes() as u64,
                (16 << 20)..=(1 << 50),
                "at least 16 MiB: ONNX Runtime itself needs that",
            ),
            ("model.check_cpu", ms(&self.model.check_cpu), 1..=3_600_000, "from 1 ms to 1 h"),
            ("model.check_time", ms(&self.model.check_time), 1..=3_600_000, "from 1 ms to 1 h"),
            ("log.segment", self.log.segment.bytes() as u64, 1..=(2 << 30), "at most 2 GiB"),
            ("log.group", self.log.group.bytes() as u64, 1..=(256 << 20), "from 1 B to 256 MiB"),
            ("log.retain_age", days(&self.log.retain_age), 0..=36_500, "at most 36500 days"),
            ("log.segment_age", days(&self.log.segment_age), 0..=36_500, "at most 36500 days"),
            ("store.forget_after", days(&self.store.forget_after), 0..=36_500, "at most 36500 days"),
            (
                "store.events_per_person",
                self.store.events_per_person as u64,
                1..=MAX_EVENTS as u64,
                "from 1 to 4194304",
            ),
            ("store.checkpoint_records", self.store.checkpoint_records, 1..=u64::MAX, "at least 1"),
            ("kafka.oldest_as_of", days(&self.kafka.oldest_as_of), 0..=36_500, "at most 36500 days"),
            ("kafka.applications", self.kafka.applications.len() as u64, 1..=90, "a name of 1 to 90 bytes"),
            ("kafka.round_records", self.kafka.round_records as u64, 1..=1_000_000, "from 1 to 1000000"),
            ("kafka.buffer_records", self.kafka.buffer_records as u64, 1..=10_000_000, "from 1 to 10000000"),
            ("kafka.lag_low", self.kafka.lag_low, 0..=self.kafka.lag_high, "at most `kafka.lag_high`"),
            ("ledger.keep", days(&self.ledger.keep), 0..=36_500, "at most 36500 days"),
            ("ledger.entries", self.ledger.entries as u64, 2..=100_000_000, "from 2 to 100000000"),
            ("ledger.answer", self.ledger.answer.bytes() as u64, 1..=(64 << 20), "from 1 B to 64 MiB"),
            ("alerts.clear_percent", u64::from(self.alerts.clear_percent), 0..=100, "from 0 to 100"),
            (
                "alerts.degraded_percent",
                u64::from(self.alerts.degraded_percent),
                0..=101,
                "from 0 to 100, or 101 for never",
            ),
            (
                "alerts.failed_events_percent",
                u64::from(self.alerts.failed_events_percent),
                0..=101,
                "from 0 to 100, or 101 for never",
            ),
            // Cast as Rust does it, what is no number is zero and what is negative too.
            (
                "alerts.drift_psi",
                (self.alerts.drift_psi * 1e3).ceil() as u64,
                1..=1_000_000,
                "above 0 and at most 1000",
            ),
            ("alerts.history", self.alerts.history as u64, 0..=10_000, "from 0 to 10000"),
            (
                "alerts.pagerduty_url",
                u64::from(is_address(&self.alerts.pagerduty_url)),
                1..=1,
                "an address as `https://events.pagerduty.com/v2/enqueue`, without a password and without `?`",
            ),
            ("alerts.queue", self.alerts.queue as u64, 1..=10_000, "from 1 to 10000"),
            ("alerts.timeout", ms(&self.alerts.timeout), 1..=60_000, "from 1ms to 1m"),
            (
                "alerts.retry",
                ms(&self.alerts.retry),
                1..=ms(&self.alerts.retry_most),
                "at least 1ms and at most `alerts.retry_most`",
            ),
            ("alerts.retry_most", ms(&self.alerts.retry_most), 1..=86_400_000, "at most 1d"),
            ("server.shutdown_timeout", ms(&self.server.shutdown_timeout), 1000..=u64::MAX, "at least `1s`"),
            ("server.write_timeout", ms(&self.server.write_timeout), 1..=u64::MAX, "at least `1ms`"),
            ("admission.in_flight", self.admission.in_flight as u64, 4..=1_000_000, "from 4 to 1000000"),
            ("admission.pause", ms(&self.admission.pause), 0..=1000, "at most `1s`"),
            (
                "tracing.otlp",
                u64::from(self.tracing.otlp.is_empty() || is_address(&self.tracing.otlp)),
                1..=1,
                "empty or an address as `http://host:4318/v1/traces`, without a password and without `?`",
            ),
            ("tracing.sample_percent", u64::from(self.tracing.sample_percent), 0..=100, "from 0 to 100"),
            ("tracing.queue", self.tracing.queue as u64, 1..=1_000_000, "from 1 to 1000000"),
            (
                "limits.requests_per_second",
                u64::from(self.limits.requests_per_second),
                0..=1_000_000,
                "at most 1000000",
            ),
            ("limits.burst", u64::from(self.limits.burst), 1..=1_000_000, "from 1 to 1000000"),
            ("limits.clients", self.limits.clients as u64, 1..=100_000_000, "from 1 to 100000000"),
            (
                "limits.key",
                u64::from(self.limits.key.parse::<HeaderName>().is_ok()),
                1..=1,
                "`address` or the name of a header",
            ),
            ("kpi.window", kpi_window, 10_000..=3_600_000, "0s, or from 10s to 1h"),
            ("kpi.live_clients", self.kpi.live_clients as u64, 1..=10_000, "from 1 to 10000"),
            ("kpi.drift_rows", self.kpi.drift_rows as u64, 0..=10_000, "at most 10000"),
            ("kpi.drift_window", ms(&self.kpi.drift_window), 60_000..=86_400_000, "from 1m to 1d"),
            ("kpi.drift_samples", self.kpi.drift_samples, 1..=1_000_000_000, "from 1 to 1000000000"),
            ("kpi.latency_p95", ms(&self.kpi.latency_p95), 1..=3_600_000, "from 1ms to 1h"),
            ("kpi.error_percent", u64::from(self.kpi.error_percent), 0..=100, "from 0 to 100, which is never passed"),
            ("kpi.throughput", u64::from(self.kpi.throughput), 0..=1_000_000, "at most 1000000"),
            ("kpi.memory_percent", u64::from(self.kpi.memory_percent), 1..=100, "from 1 to 100, which is never passed"),
            (
                "kpi.cache_hit_percent",
                u64::from(self.kpi.cache_hit_percent),
                0..=100,
                "from 0, which is always kept, to 100",
            ),
        ] {
            if !range.contains(&value) {
                let key = key.to_owned();
                return Err(ConfigError::WrongKind { origin: "configuration".into(), key, expected });
            }
        }
        Ok(())
    }

    /// Every bound by the name of its setting (S5).
    pub fn bounds(&self) -> Vec<(&'static str, Bound)> {
        let (size, time, count) =
            (|size: &Size| Bound::Bytes(size.bytes() as u64), |time: &Duration| Bound::Time(time.get()), Bound::Items);
        vec![
            ("server.workers", count(self.server.workers as u64)),
            ("server.connections", count(self.server.connections as u64)),
            ("server.backlog", count(u64::from(self.server.backlog))),
            ("server.body", size(&self.server.body)),
            ("server.batch_body", size(&self.server.batch_body)),
            ("server.batch_items", count(self.server.batch_items as u64)),
            ("server.head_timeout", time(&self.server.head_timeout)),
            ("server.body_timeout", time(&self.server.body_timeout)),
            ("server.write_timeout", time(&self.server.write_timeout)),
            ("server.keep_alive", time(&self.server.keep_alive)),
            ("server.shutdown_timeout", time(&self.server.shutdown_timeout)),
            ("budget.score", time(&self.budget.score)),
            ("budget.batch", time(&self.budget.batch)),
            ("budget.events", time(&self.budget.events)),
            ("budget.query", time(&self.budget.query)),
            ("budget.reserve", time(&self.budget.reserve)),
            ("budget.most", time(&self.budget.most)),
            ("cache.entries", count(self.cache.entries)),
            ("cache.disk_entries", count(self.cache.disk_entries as u64)),
            ("breaker.reads", count(self.breaker.reads as u64)),
            ("model.check_memory", size(&self.model.check_memory)),
            ("model.check_cpu", time(&self.model.check_cpu)),
            ("model.check_time", time(&self.model.check_time)),
            ("log.segment", size(&self.log.segment)),
            ("log.retain_age", time(&self.log.retain_age)),
            ("log.retain_size", size(&self.log.retain_size)),
            ("log.queue", size(&self.log.queue)),
            ("log.group", size(&self.log.group)),
            ("store.people", count(self.store.people as u64)),
            ("store.events_per_person", count(self.store.events_per_person as u64)),
            ("store.memory", size(&self.store.memory)),
            ("store.block_cache", size(&self.store.block_cache)),
            ("store.forget_after", time(&self.store.forget_after)),
            ("kafka.round_records", count(self.kafka.round_records as u64)),
            ("kafka.buffer_records", count(self.kafka.buffer_records as u64)),
            ("kafka.lag_high", count(self.kafka.lag_high)),
            ("kafka.lag_low", count(self.kafka.lag_low)),
            ("kafka.ack_timeout", time(&self.kafka.ack_timeout)),
            ("ledger.keep", time(&self.ledger.keep)),
            ("ledger.entries", count(self.ledger.entries as u64)),
            ("ledger.disk", size(&self.ledger.disk)),
            ("ledger.memory", size(&self.ledger.memory)),
            ("ledger.answer", size(&self.ledger.answer)),
            ("ledger.queue", size(&self.ledger.queue)),
            ("server.drain", time(&self.server.drain)),
            ("admission.delay", time(&self.admission.delay)),
            ("admission.in_flight", count(self.admission.in_flight as u64)),
            ("admission.pause", time(&self.admission.pause)),
            ("limits.requests_per_second", count(u64::from(self.limits.requests_per_second))),
            ("limits.burst", count(u64::from(self.limits.burst))),
            ("limits.clients", count(self.limits.clients as u64)),
            ("alerts.history", count(self.alerts.history as u64)),
            ("alerts.queue", count(self.alerts.queue as u64)),
            ("alerts.timeout", time(&self.alerts.timeout)),
            ("tracing.queue", count(self.tracing.queue as u64)),
            ("kpi.window", time(&self.kpi.window)),
            ("kpi.live_clients", count(self.kpi.live_clients as u64)),
            ("kpi.drift_rows", count(self.kpi.drift_rows as u64)),
            ("kpi.drift_window", time(&self.kpi.drift_window)),
        ]
    }
}

/// A bound in the kind of its setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    Bytes(u64),
    Time(std::time::Duration),
    Items(u64),
}

/// Whether something can be posted there. A password or a token in it would be a secret in a file, and in settings that are printed.
fn is_address(text: &str) -> bool {
    outgoing::address(text).is_some_and(|address| {
        let has_secret = |authority: &Authority| authority.as_str().contains('@');
        address.query().is_none() && !address.authority().is_some_and(has_secret)
    })
}
