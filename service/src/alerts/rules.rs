//! What is watched: one table of rules, read by the engine, by `/metrics`, and by what writes the same rules for Prometheus.
//!
//! A rule reads the snapshot of a second and nothing else. What is not known, and a rate of too few, gives no reading: it makes no alert
//! fire and lets one resolve. Of several subjects each has an alert of its own, as the dependencies behind breakers, or the worst is told, as
//! of features.

use std::sync::Arc;

use crate::breaker::STATES;
use crate::config::Config;
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
    pub about: About,
    /// What shows the signal to Prometheus: `NaN` where the rule sees none, and a label tells the subject where each has an alert.
    pub gauge: &'static str,
    pub signal: fn(&Snapshot) -> Vec<Signal>,
    /// Above it the rule is broken.
    pub threshold: fn(&Config) -> f64,
    /// Fewer samples than this say nothing.
    pub least: fn(&Config) -> u64,
}

/// What an alert is about. Where there are several subjects, with what Prometheus says in place of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Service,
    /// The subject that stands worst: the alert goes on when another takes its place.
    Worst(&'static str),
    /// A subject: each has an alert of its own.
    Each(&'static str),
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

/// What a rule is held against.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub rule: &'static Rule,
    pub threshold: f64,
    pub least: u64,
}

/// A signal beside its threshold.
#[derive(Debug, Clone)]
pub struct Reading {
    pub rule: &'static Rule,
    pub subject: Option<Arc<str>>,
    pub value: f64,
    pub threshold: f64,
}

/// Every rule there is.
pub static RULES: [Rule; 10] = [
    Rule {
        name: "latency",
        severity: Severity::Warning,
        summary: "95 % of scores take up to {value}, more than {threshold}",
        advice: "look at the stages: a slow model, a slow disk, or more requests than this machine answers",
        unit: Unit::Seconds,
        about: About::Service,
        gauge: "cauce_response_p95_seconds",
        signal: |of| one(of.performance.response_seconds.p95, of.performance.response_seconds.count),
        threshold: |config| config.kpi.latency_p95.get().as_secs_f64(),
        least: |config| config.alerts.samples,
    },
    Rule {
        name: "errors",
        severity: Severity::Critical,
        summary: "{value} of requests fail, more than {threshold}",
        advice: "look at the codes of the errors: `overloaded` wants more instances, the others say what is broken",
        unit: Unit::Share,
        about: About::Service,
        gauge: "cauce_error_ratio",
        signal: |of| one(of.quality.error_rate, of.quality.requests),
        threshold: |config| share(config.kpi.error_percent),
        least: |config| config.alerts.samples,
    },
    Rule {
        name: "degraded",
        severity: Severity::Warning,
        summary: "{value} of scores are degraded, more than {threshold}",
        advice: "look at the reasons: each names what is slow or broken",
        unit: Unit::Share,
        about: About::Service,
        gauge: "cauce_degraded_ratio",
        signal: |of| one(of.quality.degraded_rate, of.quality.modes.iter().map(|mode| mode.count).sum()),
        threshold: |config| share(config.alerts.degraded_percent),
        least: |config| config.alerts.samples,
    },
    Rule {
        name: "memory",
        severity: Severity::Critical,
        summary: "{value} of the memory is used, more than {threshold}",
        advice: "lower `store.memory`, or give the service more: beyond its limit the system ends it",
        unit: Unit::Share,
        about: About::Service,
        gauge: "cauce_memory_ratio",
        signal: |of| one(Some(of.resources.memory_ratio), 0),
        threshold: |config| share(config.kpi.memory_percent),
        least: |_| 0,
    },
    Rule {
        name: "lag",
        severity: Severity::Warning,
        summary: "the stream is {value} behind, more than {threshold}",
        advice: "`cauce lag` tells how fast it catches up and what the trouble is; more instances share the partitions",
        unit: Unit::Seconds,
        about: About::Service,
        gauge: "cauce_lag_seconds",
        signal: |of| one(of.resources.kafka.map(|kafka| kafka.lag_seconds), 0),
        threshold: |config| config.alerts.lag.get().as_secs_f64(),
        least: |_| 0,
    },
    Rule {
        name: "failed_events",
        severity: Severity::Warning,
        summary: "{value} of events are refused, more than {threshold}",
        advice: "look at their outcomes, or at `cauce dead-letters`: what is refused is in no history",
        unit: Unit::Share,
        about: About::Service,
        gauge: "cauce_refused_events_ratio",
        signal: |of| one(of.quality.events_refused_rate, of.quality.events),
        threshold: |config| share(config.alerts.failed_events_percent),
        least: |config| config.alerts.samples,
    },
    Rule {
        name: "log_growth",
        severity: Severity::Warning,
        summary: "the log grows {value} times as fast as is usual, more than {threshold} times",
        advice: "find who sends so much; `log.retain_size` and the disk bound how long that can go on",
        unit: Unit::Number,
        about: About::Service,
        gauge: "cauce_log_growth_ratio",
        signal: |of| one(of.resources.log_growth_ratio, 0),
        threshold: |config| f64::from(config.alerts.log_growth_times),
        least: |_| 0,
    },
    Rule {
        name: "score_drift",
        severity: Severity::Warning,
        summary: "scores are distributed unlike those of training: PSI {value}, more than {threshold}",
        advice: "look at the features that drifted; train anew if applicants have changed",
        unit: Unit::Number,
        about: About::Service,
        gauge: "cauce_model_score_psi",
        signal: |of| one(of.model.scores.psi, 0),
        threshold: |config| config.alerts.drift_psi,
        least: |_| 0,
    },
    Rule {
        name: "feature_drift",
        severity: Severity::Warning,
        summary: "{subject} is distributed unlike in training: PSI {value}, more than {threshold}",
        advice: "look at where the feature comes from; train anew if applicants have changed",
        unit: Unit::Number,
        about: About::Worst("a feature"),
        gauge: "cauce_model_feature_psi",
        signal: |of| {
            let furthest = of.model.drift.iter().max_by(|a, b| a.psi.total_cmp(&b.psi));
            let signal = furthest.map(|one| Signal { subject: Some(one.feature.clone()), value: one.psi, samples: 0 });
            signal.into_iter().collect()
        },
        threshold: |config| config.alerts.drift_psi,
        least: |_| 0,
    },
    Rule {
        name: "breaker_open",
        severity: Severity::Critical,
        summary: "{subject} fails or is slow, and is left alone",
        advice: "mend what is behind it: it is tried again by itself, and answers are degraded until then",
        unit: Unit::Number,
        about: About::Each("{{ $labels.dependency }}"),
        gauge: "cauce_breaker_state",
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
    },
];

/// What all rules see, but for what cannot be said.
pub fn readings(limits: &[Limit], snapshot: &Snapshot) -> Vec<Reading> {
    let of = |&Limit { rule, threshold, least }: &Limit| {
        let known = move |signal: &Signal| signal.value.is_finite() && signal.samples >= least;
        let signals = (rule.signal)(snapshot).into_iter().filter(known);
        signals.map(move |Signal { subject, value, .. }| Reading { rule, subject, value, threshold })
    };
    limits.iter().flat_map(of).collect()
}

/// What all rules are held against, as it is configured.
pub fn limits(config: &Config) -> Vec<Limit> {
    let of = |rule: &'static Rule| Limit { rule, threshold: (rule.threshold)(config), least: (rule.least)(config) };
    RULES.iter().map(of).collect()
}

impl Reading {
    /// The rule, and the subject where each has an alert of its own.
    pub fn id(&self) -> Arc<str> {
        match (&self.subject, self.rule.about) {
            (Some(subject), About::Each(_)) => format!("{}/{subject}", self.rule.name).into(),
            _ => self.rule.name.into(),
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

impl About {
    /// What stands for the subject where it is not known.
    pub fn placeholder(self) -> Option<&'static str> {
        match self {
            Self::Service => None,
            Self::Worst(word) | Self::Each(word) => Some(word),
        }
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
