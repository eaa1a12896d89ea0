//! What is watched: one table of rules, read by the engine, by `/metrics`, and by what writes the same rules for Prometheus.
//!
//! A rule reads the snapshot of a second and nothing else. What is not known, and a rate of too few, gives no reading: it makes no alert
//! fire and lets one resolve. A rule of several subjects, as the dependencies behind breakers, has an alert for each.

use std::sync::Arc;

use crate::breaker::STATES;
use crate::config;
use crate::kpi::Snapshot;
use crate::kpi::snapshot::Severity;

/// One row of the table.
#[derive(Debug)]
pub struct Rule {
    pub name: &'static str,
    pub severity: Severity,
    /// What is wrong: `{value}` and `{threshold}` in the rule's unit, `{subject}` where there are several.
    pub summary: &'static str,
    /// What to do about it.
    pub advice: &'static str,
    pub unit: Unit,
    /// What Prometheus says in place of the subject, where there are several.
    pub subject: Option<&'static str>,
    pub signal: fn(&Snapshot) -> Vec<Signal>,
    /// Above it the rule is broken.
    pub threshold: fn(&config::Alerts) -> f64,
    /// Fewer samples than this say nothing.
    pub least: fn(&config::Alerts) -> u64,
    /// The same for Prometheus. Where there are several, as a service has its log here or in Kafka, one of them is enough.
    pub expressions: &'static [Expression],
}

/// What a rule sees in a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    pub subject: Option<Arc<str>>,
    pub value: f64,
    /// Of how many it was made; 0 where it is of nothing counted.
    pub samples: u64,
}

/// What a value is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    /// From 0 to 1, told in percent.
    Share,
    /// A plain number.
    Number,
}

/// A signal as Prometheus sees it.
#[derive(Debug)]
pub struct Expression {
    pub value: &'static str,
    /// How many samples it is made of, where that matters.
    pub samples: Option<&'static str>,
}

/// A signal beside its threshold.
#[derive(Debug, Clone)]
pub struct Reading {
    pub rule: &'static Rule,
    pub subject: Option<Arc<str>>,
    pub value: f64,
    pub threshold: f64,
}

const fn gauge(value: &'static str) -> Expression {
    Expression { value, samples: None }
}

const fn rate(value: &'static str, samples: &'static str) -> Expression {
    Expression { value, samples: Some(samples) }
}

/// Every rule there is.
pub static RULES: [Rule; 10] = [
    Rule {
        name: "latency",
        severity: Severity::Warning,
        summary: "95 % of scores take up to {value}, more than {threshold}",
        advice: "look at the stages: a slow model, a slow disk, or more requests than this machine answers",
        unit: Unit::Seconds,
        subject: None,
        signal: |of| one(of.performance.response_seconds.p95, of.performance.response_seconds.count),
        threshold: |settings| settings.latency_p95.get().as_secs_f64(),
        least: |settings| settings.samples,
        expressions: &[rate(
            r#"histogram_quantile(0.95, sum by (job, instance, le) (rate(cauce_http_request_duration_seconds_bucket{route=~"/v1/score|/predecir"}[5m])))"#,
            r#"sum by (job, instance) (increase(cauce_http_request_duration_seconds_count{route=~"/v1/score|/predecir"}[5m]))"#,
        )],
    },
    Rule {
        name: "errors",
        severity: Severity::Critical,
        summary: "{value} of requests fail, more than {threshold}",
        advice: "look at the codes of the errors: `overloaded` wants more instances, the others say what is broken",
        unit: Unit::Share,
        subject: None,
        signal: |of| one(of.quality.error_rate, of.quality.requests),
        threshold: |settings| share(settings.errors_percent),
        least: |settings| settings.samples,
        expressions: &[rate(
            r#"sum by (job, instance) (rate(cauce_http_requests_total{status="5xx", route=~"/v1/(score|events|people).*|/predecir"}[5m])) / sum by (job, instance) (rate(cauce_http_requests_total{route=~"/v1/(score|events|people).*|/predecir"}[5m]))"#,
            r#"sum by (job, instance) (increase(cauce_http_requests_total{route=~"/v1/(score|events|people).*|/predecir"}[5m]))"#,
        )],
    },
    Rule {
        name: "degraded",
        severity: Severity::Warning,
        summary: "{value} of scores are degraded, more than {threshold}",
        advice: "look at the reasons: each names what is slow or broken",
        unit: Unit::Share,
        subject: None,
        signal: |of| one(of.quality.degraded_rate, of.quality.modes.iter().map(|mode| mode.count).sum()),
        threshold: |settings| share(settings.degraded_percent),
        least: |settings| settings.samples,
        expressions: &[rate(
            r#"sum by (job, instance) (rate(cauce_scores_total{mode!="full"}[5m])) / sum by (job, instance) (rate(cauce_scores_total[5m]))"#,
            "sum by (job, instance) (increase(cauce_scores_total[5m]))",
        )],
    },
    Rule {
        name: "memory",
        severity: Severity::Critical,
        summary: "{value} of the memory is used, more than {threshold}",
        advice: "lower `store.memory`, or give the service more: beyond its limit the system ends it",
        unit: Unit::Share,
        subject: None,
        signal: |of| one(Some(of.resources.memory_ratio), 0),
        threshold: |settings| share(settings.memory_percent),
        least: |_| 0,
        expressions: &[gauge("cauce_memory_ratio")],
    },
    Rule {
        name: "lag",
        severity: Severity::Warning,
        summary: "the stream is {value} behind, more than {threshold}",
        advice: "`cauce lag` tells how fast it catches up and what the trouble is; more instances share the partitions",
        unit: Unit::Seconds,
        subject: None,
        signal: |of| one(of.resources.kafka.map(|kafka| kafka.lag_seconds), 0),
        threshold: |settings| settings.lag.get().as_secs_f64(),
        least: |_| 0,
        expressions: &[gauge("max by (job, instance) (cauce_kafka_lag_seconds)")],
    },
    Rule {
        name: "failed_events",
        severity: Severity::Warning,
        summary: "{value} of events are refused, more than {threshold}",
        advice: "look at their outcomes, or at `cauce dead-letters`: what is refused is in no history",
        unit: Unit::Share,
        subject: None,
        signal: |of| one(of.quality.events_refused_rate, of.quality.events),
        threshold: |settings| share(settings.failed_events_percent),
        least: |settings| settings.samples,
        expressions: &[
            rate(
                r#"sum by (job, instance) (rate(cauce_events_total{outcome=~"too_late|in_future|store_full|invalid"}[5m])) / sum by (job, instance) (rate(cauce_events_total[5m]))"#,
                "sum by (job, instance) (increase(cauce_events_total[5m]))",
            ),
            rate(
                "sum by (job, instance) (rate(cauce_kafka_dead_letters_total[5m])) / sum by (job, instance) (rate(cauce_kafka_records_total[5m]))",
                "sum by (job, instance) (increase(cauce_kafka_records_total[5m]))",
            ),
        ],
    },
    Rule {
        name: "log_growth",
        severity: Severity::Warning,
        summary: "the log grows {value} times as fast as is usual, more than {threshold} times",
        advice: "find who sends so much; `log.retain_size` and the disk bound how long that can go on",
        unit: Unit::Number,
        subject: None,
        signal: |of| one(of.resources.log_growth_ratio, 0),
        threshold: |settings| f64::from(settings.log_growth_times),
        least: |_| 0,
        expressions: &[gauge("cauce_log_growth_ratio")],
    },
    Rule {
        name: "score_drift",
        severity: Severity::Warning,
        summary: "scores are distributed unlike those of training: PSI {value}, more than {threshold}",
        advice: "look at the features that drifted; train anew if applicants have changed",
        unit: Unit::Number,
        subject: None,
        signal: |of| one(of.model.scores.psi, of.model.scores.samples),
        threshold: |settings| settings.drift_psi,
        least: |settings| settings.drift_samples,
        expressions: &[gauge("cauce_model_score_psi")],
    },
    Rule {
        name: "feature_drift",
        severity: Severity::Warning,
        summary: "{subject} is distributed unlike in training: PSI {value}, more than {threshold}",
        advice: "look at where the feature comes from; train anew if applicants have changed",
        unit: Unit::Number,
        subject: Some("a feature"),
        signal: |of| {
            let samples = of.model.samples;
            let drift = of.model.drift.iter();
            drift.map(|one| Signal { subject: Some(one.feature.clone()), value: one.psi, samples }).collect()
        },
        threshold: |settings| settings.drift_psi,
        least: |settings| settings.drift_samples,
        // Which feature it is stands in `/v1/alerts`: a series for each would come and go with the ten that drifted furthest.
        expressions: &[gauge("cauce_model_feature_psi")],
    },
    Rule {
        name: "breaker_open",
        severity: Severity::Critical,
        summary: "{subject} fails or is slow, and is left alone",
        advice: "mend what is behind it: it is tried again by itself, and answers are degraded until then",
        unit: Unit::Number,
        subject: Some("{{ $labels.dependency }}"),
        signal: |of| {
            let state = |name: &str| STATES.iter().position(|(_, state)| *state == name).unwrap_or_default();
            let breakers = of.resources.breakers.iter();
            breakers
                .map(|one| Signal { subject: Some(one.dependency.into()), value: state(one.state) as f64, samples: 0 })
                .collect()
        },
        // Half-open is not closed: it goes on being broken until the probes have gone well.
        threshold: |_| 0.0,
        least: |_| 0,
        expressions: &[gauge("cauce_breaker_state")],
    },
];

/// What all rules see, but for what cannot be said.
pub fn readings(settings: &config::Alerts, snapshot: &Snapshot) -> Vec<Reading> {
    let of = |rule: &'static Rule| {
        let (threshold, least) = ((rule.threshold)(settings), (rule.least)(settings));
        let known = move |signal: &Signal| signal.value.is_finite() && signal.samples >= least;
        let signals = (rule.signal)(snapshot).into_iter().filter(known);
        signals.map(move |Signal { subject, value, .. }| Reading { rule, subject, value, threshold })
    };
    RULES.iter().flat_map(of).collect()
}

impl Reading {
    /// The rule, and the subject where there are several.
    pub fn id(&self) -> Arc<str> {
        match &self.subject {
            Some(subject) => format!("{}/{subject}", self.rule.name).into(),
            None => self.rule.name.into(),
        }
    }

    /// What is wrong, in words.
    pub fn summary(&self) -> String {
        let unit = self.rule.unit;
        self.rule.summarize(&unit.tell(self.value), &unit.tell(self.threshold), self.subject.as_deref())
    }
}

impl Rule {
    /// The summary with these words in the places for them.
    pub fn summarize(&self, value: &str, threshold: &str, subject: Option<&str>) -> String {
        let text = self.summary.replace("{value}", value).replace("{threshold}", threshold);
        text.replace("{subject}", subject.unwrap_or_default())
    }
}

impl Unit {
    /// A value in words.
    pub fn tell(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 1.0 => format!("{} ms", rounded(value * 1e3)),
            Self::Seconds => format!("{} s", rounded(value)),
            Self::Share => format!("{} %", rounded(value * 100.0)),
            Self::Number => rounded(value).to_string(),
        }
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn one(value: Option<f64>, samples: u64) -> Vec<Signal> {
    value.map(|value| Signal { subject: None, value, samples }).into_iter().collect()
}

fn share(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

#[cfg(test)]
mod tests;
