//! How the service did, as it is told to whoever asks: the one document behind `/v1/kpis`, the live stream, the dashboard, alerts and the
//! routes of Ahorro Valle. Times are in seconds, sizes in bytes, shares from 0 to 1; what cannot be said of nothing is `null`.

use std::sync::Arc;

use cauce_features::time::Timestamp;
use serde::{Serialize, Serializer};

/// The KPIs of one second and of the window that ends with it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    #[serde(serialize_with = "instant")]
    pub timestamp: Timestamp,
    pub uptime_seconds: f64,
    /// How much time the window covers: less than configured at first.
    pub window_seconds: f64,
    pub state: State,
    /// Why the state is not `excellent`, and what to do about it.
    pub problems: Vec<Problem>,
    pub performance: Performance,
    pub quality: Quality,
    pub resources: Resources,
    pub business: Business,
    pub model: Model,
    /// Active ones, the newest first.
    pub alerts: Vec<Alert>,
    /// The second that ended last.
    pub point: Point,
}

/// How it is on the whole: by the number of problems, none, one, two or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    #[default]
    Excellent,
    Good,
    Fair,
    Critical,
}

/// A limit of `[kpi]` that is not kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    pub kind: ProblemKind,
    pub value: f64,
    pub limit: f64,
    pub detail: String,
    pub recommendation: &'static str,
}

/// What a problem is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    Latency,
    Errors,
    Throughput,
    Memory,
    CacheHits,
}

/// How fast answers are, over the window.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Performance {
    /// Of all routes but health, metrics, documentation and KPIs.
    pub requests_per_second: f64,
    pub scores_per_second: f64,
    /// Of the routes that score one application.
    pub response_seconds: Percentiles,
    pub over_budget: u64,
    /// Of the answers that had a budget.
    pub over_budget_rate: Option<f64>,
    /// Those that were asked.
    pub routes: Vec<RouteKpis>,
    pub stages: Vec<StageKpis>,
}

/// How long something took, within one percent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

/// One route of the table.
#[derive(Debug, Clone, Serialize)]
pub struct RouteKpis {
    pub method: &'static str,
    pub route: &'static str,
    pub per_second: f64,
    pub over_budget: u64,
    pub seconds: Percentiles,
}

/// One stage of scoring.
#[derive(Debug, Clone, Serialize)]
pub struct StageKpis {
    pub stage: &'static str,
    pub seconds: Percentiles,
}

/// How good answers are, over the window: of the same routes as `requests_per_second`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Quality {
    pub requests: u64,
    /// Answered below 400.
    pub success_rate: Option<f64>,
    /// Answered 500 and above, refusals for overload included.
    pub error_rate: Option<f64>,
    /// Answered 400 to 499.
    pub client_error_rate: Option<f64>,
    /// Late, or ended by a timeout.
    pub timeout_rate: Option<f64>,
    /// By code, those that occurred.
    pub errors: Vec<Count>,
    /// Of the scores: made on a lower rung than `full`, or with a reason.
    pub degraded_rate: Option<f64>,
    pub modes: Vec<Count>,
    /// Those that occurred.
    pub reasons: Vec<Count>,
    pub cache: Vec<CacheKpis>,
    /// Of the applications that were looked for: the share whose score, for the very vector, was found on any level.
    pub cache_hit_rate: Option<f64>,
    /// Events received, each once, by whoever takes it or not; and the share that was refused.
    pub events: u64,
    pub events_refused_rate: Option<f64>,
}

/// How often something occurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    pub name: Arc<str>,
    pub count: u64,
}

/// One level of the cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CacheKpis {
    pub level: &'static str,
    pub hits: u64,
    pub misses: u64,
    pub hit_rate: Option<f64>,
}

/// What the service uses, now.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Resources {
    /// Of all cores that it may use.
    pub cpu_ratio: f64,
    pub memory_bytes: u64,
    /// Of the container, or else of the machine.
    pub memory_limit_bytes: u64,
    pub memory_ratio: f64,
    pub open_connections: u64,
    pub in_flight: u64,
    /// What waits to be written to the log, and for how long the oldest of it has.
    pub queue_records: u64,
    pub queue_bytes: u64,
    pub queue_age_seconds: f64,
    /// The longest of any worker within the second.
    pub event_loop_delay_seconds: f64,
    pub people: u64,
    pub history_memory_bytes: u64,
    pub log_bytes: u64,
    /// How many times faster it grew over the last minute than is usual.
    pub log_growth_ratio: Option<f64>,
    pub state_bytes: u64,
    pub checkpoint_age_seconds: Option<f64>,
    /// Where Kafka is the log.
    pub kafka: Option<KafkaKpis>,
    pub breakers: Vec<BreakerKpis>,
}

/// How far the stream is behind.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct KafkaKpis {
    pub lag_records: u64,
    /// For how long the oldest record has waited that is not worked off, at most: also while brokers do not say whether there is one.
    pub lag_seconds: f64,
    /// From when the newest event or application of the stream happened until its history had it; `null` where the last minute had none.
    pub freshness_seconds: Option<f64>,
}

/// A circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BreakerKpis {
    pub dependency: &'static str,
    pub state: &'static str,
}

/// What was decided.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Business {
    /// Since midnight (UTC) or the start, whichever was later.
    pub today: Decisions,
    #[serde(serialize_with = "instant")]
    pub today_since: Timestamp,
    pub window: Decisions,
    /// By declared product, over the window; what is not declared is `other`.
    pub products: Vec<Group>,
    /// By declared segment, over the window.
    pub segments: Vec<Segment>,
}

/// A number of decisions.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Decisions {
    pub decisions: u64,
    pub approved: u64,
    pub referred: u64,
    pub declined: u64,
    /// The share whose probability of default is at least one half.
    pub predicted_default_share: Option<f64>,
    pub mean_probability: Option<f64>,
    pub mean_confidence: Option<f64>,
    pub bands: Vec<Count>,
}

/// Decisions of one product, or of one value of a segment.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    pub name: Arc<str>,
    #[serde(flatten)]
    pub decisions: Decisions,
}

/// A way to tell applications apart.
#[derive(Debug, Clone, Serialize)]
pub struct Segment {
    pub field: Arc<str>,
    pub groups: Vec<Group>,
}

/// What the model saw and gave, held against its training.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Model {
    pub name: Arc<str>,
    pub version: Arc<str>,
    pub hash: Arc<str>,
    pub scores: ScoreDrift,
    /// The features that have drifted furthest, at most ten.
    pub drift: Vec<FeatureDrift>,
    /// The rows that features were compared by.
    pub samples: u64,
}

/// The distribution of scores against that of training.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScoreDrift {
    /// Population stability index.
    pub psi: Option<f64>,
    pub samples: u64,
    pub bins: Vec<Bin>,
}

/// The share of scores below an edge and not below the one before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// `null` above the last edge.
    pub below: Option<f64>,
    pub reference: f64,
    pub live: f64,
}

/// How far a feature is from its training.
#[derive(Debug, Clone, Serialize)]
pub struct FeatureDrift {
    pub feature: Arc<str>,
    pub psi: f64,
    pub missing: f64,
    pub missing_reference: f64,
}

/// An alert, active or past.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// The rule, and the subject where each has an alert of its own: `breaker_open/model`.
    pub id: Arc<str>,
    pub rule: &'static str,
    /// What it is about, if not the service as a whole: a dependency, or the feature that has drifted furthest.
    pub subject: Option<Arc<str>>,
    pub severity: Severity,
    pub state: AlertState,
    pub summary: String,
    pub advice: &'static str,
    pub value: f64,
    pub threshold: f64,
    #[serde(serialize_with = "instant")]
    pub since: Timestamp,
    #[serde(serialize_with = "maybe_instant")]
    pub resolved: Option<Timestamp>,
}

#[cfg(test)]
impl Alert {
    /// One in which nothing is left open.
    pub fn for_tests(id: &str, rule: &'static str, state: AlertState) -> Self {
        Self {
            id: id.into(),
            rule,
            subject: None,
            severity: Severity::Critical,
            state,
            summary: String::new(),
            advice: "",
            value: 1.0,
            threshold: 0.5,
            since: Timestamp::default(),
            resolved: None,
        }
    }
}

/// How soon somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    Firing,
    Resolved,
}

/// One second.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Point {
    #[serde(serialize_with = "instant")]
    pub timestamp: Timestamp,
    /// How long it really was, which counts are to be divided by; 0 for the first, before which there was none.
    pub seconds: f64,
    pub requests: u64,
    pub scores: u64,
    pub errors: u64,
    pub degraded: u64,
    /// Of the routes that score one application.
    pub response_seconds: Percentiles,
    /// Scores by mode, in the order of the ladder: full, cached, fallback, refer.
    pub modes: [u64; 4],
    pub cache_hit_rate: Option<f64>,
    pub mean_confidence: Option<f64>,
    pub cpu_ratio: f64,
    pub memory_ratio: f64,
    pub open_connections: u64,
    pub in_flight: u64,
    pub queue_records: u64,
    pub event_loop_delay_seconds: f64,
    pub lag_seconds: Option<f64>,
}

impl Point {
    /// How many of a count that is a second: none where there was none.
    pub fn per_second(&self, count: u64) -> f64 {
        if self.seconds > 0.0 { count as f64 / self.seconds } else { 0.0 }
    }
}

fn instant<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(instant)
}

fn maybe_instant<S: Serializer>(instant: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match instant {
        Some(instant) => serializer.collect_str(instant),
        None => serializer.serialize_none(),
    }
}
