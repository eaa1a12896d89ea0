//! Configuration: embedded `default.toml` < file < `CAUCE__SECTION__KEY` environment < flags.
//!
//! `default.toml` is the one table of what can be set: a key that is not in it is refused with the nearest one that is,
//! and a value from the environment or a flag is read as the kind of value that the default has. Every component
//! receives only its own section (S5: each bound of the service is a key here).

mod bounds;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use cauce_features::nearest::nearest;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use bounds::Bound;
pub use values::{Duration, Size};

const DEFAULTS: &str = include_str!("default.toml");
const ENVIRONMENT_PREFIX: &str = "CAUCE__";

/// The effective configuration.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub budget: Budget,
    pub ladder: Ladder,
    pub cache: Cache,
    pub breaker: Breaker,
    pub model: Model,
    pub log: Log,
    pub store: Store,
    pub kafka: Kafka,
    pub ledger: Ledger,
    pub logging: Logging,
    pub tracing: Tracing,
    pub alerts: Alerts,
    pub admission: Admission,
    pub limits: Limits,
    pub kpi: Kpi,
}

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

/// One setting by its dotted path, as typed on the command line or in the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub path: String,
    pub value: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read `{path}`: {cause}")]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{origin}: {cause}")]
    Malformed { origin: String, cause: toml::de::Error },
    #[error("{origin}: unknown setting `{key}`{}", values::did_you_mean(.nearest))]
    Unknown { origin: String, key: String, nearest: Option<String> },
    #[error("{origin}: `{key}` must be {expected}")]
    WrongKind { origin: String, key: String, expected: &'static str },
    #[error("configuration: `{key}`: {cause}")]
    Wrong { key: &'static str, cause: String },
    #[error("a setting is written `section.key=value`, not `{0}`")]
    NotASetting(String),
}

impl Override {
    /// Reads `section.key=value`.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let (path, value) = text.split_once('=').ok_or_else(|| ConfigError::NotASetting(text.to_owned()))?;
        Ok(Self { path: path.trim().to_owned(), value: value.trim().to_owned() })
    }
}

impl Config {
    /// Merges all layers, the last given wins.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: Vec<Override>,
    ) -> Result<Self, ConfigError> {
        let mut effective: Table = DEFAULTS.parse().expect("the embedded defaults are valid TOML");
        if let Some(path) = file {
            let origin = path.display().to_string();
            let text =
                fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.into(), cause })?;
            let table =
                text.parse::<Table>().map_err(|cause| ConfigError::Malformed { origin: origin.clone(), cause })?;
            merge(&mut effective, table, &origin, "")?;
        }
        let mut environment: Vec<_> = environment.filter_map(from_environment).collect();
        environment.sort_by(|a, b| a.path.cmp(&b.path));
        for (origin, overrides) in [("environment", environment), ("command line", flags)] {
            for one in overrides {
                set(&mut effective, &one, origin)?;
            }
        }
        let config: Self = Value::Table(effective)
            .try_into()
            .map_err(|cause| ConfigError::Malformed { origin: "configuration".into(), cause })?;
        config.check()?;
        Ok(config)
    }

    /// The effective configuration in the form of a configuration file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is tables of plain values")
    }
}

fn from_environment((name, value): (String, String)) -> Option<Override> {
    let path = name.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase().replace("__", ".");
    Some(Override { path, value })
}

/// Lays `over` on `base`, whose keys are all there are.
fn merge(base: &mut Table, over: Table, origin: &str, prefix: &str) -> Result<(), ConfigError> {
    for (key, value) in over {
        let path = format!("{prefix}{key}");
        let Some(place) = base.get_mut(&key) else {
            return Err(unknown(base, origin, prefix, &key));
        };
        match (place, value) {
            (Value::Table(inner), Value::Table(value)) => merge(inner, value, origin, &format!("{path}."))?,
            (place, value) if place.same_type(&value) => *place = value,
            (place @ Value::Float(_), Value::Integer(whole)) => *place = Value::Float(whole as f64),
            (place, _) => return Err(wrong_kind(place, origin, path)),
        }
    }
    Ok(())
}

fn set(base: &mut Table, one: &Override, origin: &str) -> Result<(), ConfigError> {
    let (section, key) = one.path.split_once('.').unwrap_or((&one.path, ""));
    let Some(Value::Table(table)) = base.get_mut(section) else {
        return Err(unknown(base, origin, "", section));
    };
    let Some(place) = table.get_mut(key) else {
        return Err(unknown(table, origin, &format!("{section}."), key));
    };
    let value = match place {
        Value::Integer(_) => one.value.parse().ok().map(Value::Integer),
        Value::Float(_) => one.value.parse().ok().map(Value::Float),
        Value::Boolean(_) => one.value.parse().ok().map(Value::Boolean),
        _ => Some(Value::String(one.value.clone())),
    };
    *place = value.ok_or_else(|| wrong_kind(place, origin, one.path.clone()))?;
    Ok(())
}

fn unknown(known: &Table, origin: &str, prefix: &str, key: &str) -> ConfigError {
    let nearest = nearest(key, known.keys().map(String::as_str)).map(|near| format!("{prefix}{near}"));
    ConfigError::Unknown { origin: origin.into(), key: format!("{prefix}{key}"), nearest }
}

fn wrong_kind(place: &Value, origin: &str, key: String) -> ConfigError {
    let expected = match place {
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Table(_) => "a section",
        _ => "text",
    };
    ConfigError::WrongKind { origin: origin.into(), key, expected }
}

#[cfg(test)]
mod tests;
