//! How the service is on the whole, and what to do about it: the KPIs held against the limits of `[kpi]`, in [`LIMITS`].
//!
//! A limit that is met exactly is kept. What cannot be said of nothing is no problem: no answers, no percentile, no lookups.

use super::snapshot::{Problem, ProblemKind, Snapshot, State};
use crate::config;

/// Lookups in the window below which their hit rate is not judged: above, it is known within three points, and a cache that has just been
/// begun is not blamed for its first requests.
const LOOKUPS_MIN: u64 = 1000;

/// What is a problem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Slower 95th percentiles are one.
    pub latency_p95_seconds: f64,
    /// Larger shares of errors.
    pub error_rate: f64,
    /// Fewer requests, where there are any.
    pub requests_per_second: f64,
    /// A larger share of the memory that may be used.
    pub memory_ratio: f64,
    /// A smaller share of lookups.
    pub cache_hit_rate: f64,
}

impl Limits {
    /// The limits as they are configured.
    pub fn new(settings: &config::Kpi) -> Self {
        let share = |percent| f64::from(percent) / 100.0;
        Self {
            latency_p95_seconds: settings.latency_p95.get().as_secs_f64(),
            error_rate: share(settings.error_percent),
            requests_per_second: f64::from(settings.throughput),
            memory_ratio: share(settings.memory_percent),
            cache_hit_rate: share(settings.cache_hit_percent),
        }
    }
}

/// Which limits are not kept, and how it is by their number: none, one, two or more.
pub fn assess(snapshot: &Snapshot, limits: &Limits) -> (State, Vec<Problem>) {
    let problems: Vec<_> = LIMITS.iter().filter_map(|rule| rule.broken(snapshot, limits)).collect();
    let state = match problems.len() {
        0 => State::Excellent,
        1 => State::Good,
        2 => State::Fair,
        _ => State::Critical,
    };
    (state, problems)
}

/// A limit, what it is of, and how to keep it.
struct Rule {
    kind: ProblemKind,
    value: fn(&Snapshot) -> Option<f64>,
    limit: fn(&Limits) -> f64,
    side: Side,
    /// Begins the detail, which goes on with value and limit.
    detail: &'static str,
    unit: Unit,
    setting: &'static str,
    recommendation: &'static str,
}

/// On which side of its limit a value is a problem.
#[derive(PartialEq)]
enum Side {
    Above,
    Below,
}

enum Unit {
    Seconds,
    Percent,
    PerSecond,
}

const LIMITS: [Rule; 5] = [
    Rule {
        kind: ProblemKind::Latency,
        value: |snapshot| snapshot.performance.response_seconds.p95,
        limit: |limits| limits.latency_p95_seconds,
        side: Side::Above,
        detail: "the 95th percentile of response times is",
        unit: Unit::Seconds,
        setting: "kpi.latency_p95",
        recommendation: "look in `performance.stages` and `cauce_score_stage_duration_seconds` for the stage that takes the time: `model` asks for \
                         more `server.workers` or a smaller model, `state` for more `store.memory`, `ledger` for a faster disk or \
                         `log.applications` relaxed; a lower `budget.score` answers sooner from a lower rung",
    },
    Rule {
        kind: ProblemKind::Errors,
        value: |snapshot| snapshot.quality.error_rate,
        limit: |limits| limits.error_rate,
        side: Side::Above,
        detail: "the share of requests that failed is",
        unit: Unit::Percent,
        setting: "kpi.error_percent",
        recommendation: "look in `quality.errors` for the code that is most frequent and in the log for its cause: `overloaded` asks for more \
                         `server.workers` or instances, anything of the log or state for their disks; `cauce_breaker_state` and \
                         `cauce_log_writable` tell what is out of order",
    },
    Rule {
        kind: ProblemKind::Throughput,
        value: |snapshot| (snapshot.quality.requests > 0).then_some(snapshot.performance.requests_per_second),
        limit: |limits| limits.requests_per_second,
        side: Side::Below,
        detail: "the number of requests answered is",
        unit: Unit::PerSecond,
        setting: "kpi.throughput",
        recommendation: "compare with what the front-ends send: if it is more, look at `resources.open_connections`, `server.connections` and \
                         `limits.requests_per_second`; if so few are expected, lower `kpi.throughput`, 0 expects none",
    },
    Rule {
        kind: ProblemKind::Memory,
        value: |snapshot| Some(snapshot.resources.memory_ratio),
        limit: |limits| limits.memory_ratio,
        side: Side::Above,
        detail: "the share of memory used is",
        unit: Unit::Percent,
        setting: "kpi.memory_percent",
        recommendation: "lower `store.memory` (people not seen lately then rest on disk), `cache.entries` or `log.queue`, or give the service more \
                         memory; `cauce_history_memory_bytes` and `cauce_cache_entries` tell who has it",
    },
    Rule {
        kind: ProblemKind::CacheHits,
        value: cache_hit_rate,
        limit: |limits| limits.cache_hit_rate,
        side: Side::Below,
        detail: "the share of lookups that found a score in a cache is",
        unit: Unit::Percent,
        setting: "kpi.cache_hit_percent",
        recommendation: "raise `cache.entries`, `cache.keep` or `cache.disk_entries` if applications come again, as `cauce_cache_lookups_total` \
                         tells by level; where each is asked about once, set `kpi.cache_hit_percent` to 0",
    },
];

impl Rule {
    fn broken(&self, snapshot: &Snapshot, limits: &Limits) -> Option<Problem> {
        let (value, limit) = ((self.value)(snapshot)?, (self.limit)(limits));
        let (is_broken, most) = match self.side {
            Side::Above => (value > limit, "most"),
            Side::Below => (value < limit, "least"),
        };
        is_broken.then(|| Problem {
            kind: self.kind,
            value,
            limit,
            detail: format!(
                "{} {}, and {} is the {most} that `{}` lets pass",
                self.detail,
                self.unit.write(value),
                self.unit.write(limit),
                self.setting
            ),
            recommendation: self.recommendation,
        })
    }
}

/// Every lookup begins at the first level that there is, which is asked most often.
fn cache_hit_rate(snapshot: &Snapshot) -> Option<f64> {
    let lookups = snapshot.quality.cache.iter().map(|level| level.hits + level.misses).max();
    snapshot.quality.cache_hit_rate.filter(|_| lookups >= Some(LOOKUPS_MIN))
}

impl Unit {
    fn write(&self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{} s", rounded(value, 1000.0)),
            Self::Percent => format!("{} %", rounded(value * 100.0, 100.0)),
            Self::PerSecond => format!("{} a second", rounded(value, 100.0)),
        }
    }
}

/// Without the zeros that a fixed number of decimals would have.
fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests;
