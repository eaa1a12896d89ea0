//! The sections of the configuration, each for the component that it is given to. What a key means, and its default, stands in `default.toml`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Duration, Size};

/// The HTTP edge and its bounds.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: String,
    pub workers: usize,
    pub clock: String,
    pub connections: usize,
    pub backlog: u32,
    pub body: Size,
    pub batch_body: Size,
    pub batch_items: usize,
    pub head_timeout: Duration,
    pub body_timeout: Duration,
    pub write_timeout: Duration,
    pub keep_alive: Duration,
    pub drain: Duration,
    pub shutdown_timeout: Duration,
}

/// How long answers may take.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    pub score: Duration,
    pub batch: Duration,
    pub events: Duration,
    pub query: Duration,
    pub reserve: Duration,
    pub least: Duration,
    pub most: Duration,
}

/// What may answer when not all is well.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    pub score: String,
    pub batch: String,
    pub predecir: String,
    pub products: String,
    pub refer: String,
    pub cached_age: Duration,
}

/// Scores that were given before.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    pub entries: u64,
    pub keep: Duration,
    pub disk_entries: usize,
    pub directory: PathBuf,
}

/// When a dependency is left alone for a while.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    pub window: Duration,
    pub calls: u32,
    pub failed_percent: u32,
    pub slow_percent: u32,
    pub model_slow: Duration,
    pub state_slow: Duration,
    pub log_slow: Duration,
    pub open: Duration,
    pub open_most: Duration,
    pub probes: u32,
    pub reads: usize,
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub bundle: PathBuf,
    pub check_memory: Size,
    pub check_cpu: Duration,
    pub check_time: Duration,
    pub watch: Duration,
}

/// The durable log of events and applications.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub directory: PathBuf,
    pub applications: Durability,
    pub segment: Size,
    pub segment_age: Duration,
    pub retain_age: Duration,
    pub retain_size: Size,
    pub queue: Size,
    pub group: Size,
    pub verify_at_start: Size,
    pub retry: Duration,
}

/// When the answer to a scored application may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// At once; the application is in the log a moment later.
    Relaxed,
    /// Once the application is in the log for good.
    Durable,
}

/// People's histories, in memory and on disk.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub directory: PathBuf,
    pub people: usize,
    pub events_per_person: usize,
    pub memory: Size,
    pub block_cache: Size,
    pub checkpoint_every: Duration,
    pub checkpoint_records: u64,
    pub forget_after: Duration,
    pub sweep: Duration,
}

/// Kafka as the log, in place of the embedded one, where brokers are named.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    pub brokers: String,
    pub group: String,
    pub instance: String,
    pub events: String,
    pub applications: String,
    pub scores: String,
    pub dead_letters: String,
    pub deferred: String,
    pub properties: PathBuf,
    pub transactions: bool,
    pub vectors: bool,
    pub round_records: usize,
    pub buffer_records: usize,
    pub settle: Duration,
    pub oldest_as_of: Duration,
    pub commit_every: Duration,
    pub session_timeout: Duration,
    pub transaction_timeout: Duration,
    pub lag_high: u64,
    pub lag_low: u64,
    pub when_down: WhenDown,
    pub outbox: PathBuf,
    pub ack_timeout: Duration,
}

/// What becomes of an event that is posted while no broker takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenDown {
    /// It is refused: 503, to be sent again.
    Refuse,
    /// It is kept in a log on this machine's disk and forwarded later.
    Forward,
}

/// Answers kept by idempotency key.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    pub directory: PathBuf,
    pub keep: Duration,
    pub entries: usize,
    pub disk: Size,
    pub memory: Size,
    pub answer: Size,
    pub queue: Size,
}

/// What the process says of itself, and how.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Logging {
    pub level: Level,
    pub format: LogFormat,
}

/// The least severe message that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// Which requests are recorded, and where their spans go.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tracing {
    pub otlp: String,
    pub headers: String,
    pub service: String,
    pub sample_percent: u32,
    pub queue: usize,
}

/// When somebody should know, and who.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    #[serde(rename = "for")]
    pub hold: Duration,
    pub clear_for: Duration,
    pub clear_percent: u32,
    pub samples: u64,
    pub degraded_percent: u32,
    pub lag: Duration,
    pub failed_events_percent: u32,
    pub log_growth_times: u32,
    pub log_growth_least: Size,
    pub drift_psi: f64,
    pub repeat: Duration,
    pub history: usize,
    pub file: PathBuf,
    pub webhooks: String,
    pub pagerduty_url: String,
    pub source: String,
    pub queue: usize,
    pub timeout: Duration,
    pub retry: Duration,
    pub retry_most: Duration,
}

/// When a worker has too much to do, and what it does then.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    pub delay: Duration,
    pub in_flight: usize,
    pub pause: Duration,
}

/// How much one client may ask for.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub requests_per_second: u32,
    pub burst: u32,
    pub clients: usize,
    pub key: String,
}

/// What is told of the service while it runs.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Kpi {
    pub window: Duration,
    pub live_clients: usize,
    pub products: String,
    pub segments: String,
    pub drift_rows: usize,
    pub drift_window: Duration,
    pub drift_samples: u64,
    pub latency_p95: Duration,
    pub error_percent: u32,
    pub throughput: u32,
    pub memory_percent: u32,
    pub cache_hit_percent: u32,
}
