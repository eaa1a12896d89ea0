//! What is counted of alerts, and the signals of their rules that are on the page for nobody else. [`ALERT_FAMILIES`] is its table of
//! names, as [`super::FAMILIES`] is of the rest.
//!
//! Labels are rules, hooks of the configuration and outcomes (S5). What cannot be said yet is `NaN`, which no threshold is below.

use metrics::{Counter, Gauge};

use super::Metrics;
use super::family::{Family, counter, gauge};
use crate::alerts::rules::RULES;
use crate::kpi::Snapshot;
use crate::kpi::snapshot::Alert;

const FIRING: &str = "cauce_alerts_firing";
const NOTICES: &str = "cauce_alert_notices_total";
const WAITING: &str = "cauce_alert_notices_waiting";
const MEMORY: &str = "cauce_memory_ratio";
const LOG_GROWTH: &str = "cauce_log_growth_ratio";
const SCORE_PSI: &str = "cauce_model_score_psi";
const FEATURE_PSI: &str = "cauce_model_feature_psi";

/// Every family there is of alerts, beside the others; the last two where there are webhooks.
pub const ALERT_FAMILIES: [Family; 7] = [
    gauge(FIRING, "Alerts that are firing, by rule.").by(&["rule"]),
    gauge(MEMORY, "Memory of the process, as a share of what it may use."),
    gauge(LOG_GROWTH, "How many times faster the log grew over the last minute than is usual."),
    gauge(SCORE_PSI, "Population stability index of scores against training; NaN while there are too few."),
    gauge(FEATURE_PSI, "The same of the feature that has drifted furthest."),
    counter(NOTICES, "Notices of alerts, by webhook and what became of them.").by(&["hook", "outcome"]),
    gauge(WAITING, "Notices that wait to be delivered, by webhook.").by(&["hook"]),
];

/// What becomes of a notice, or of an attempt to deliver it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Delivered,
    /// It will be tried again.
    Retried,
    /// The receiver does not want it.
    Refused,
    /// It was tried for too long.
    GivenUp,
    /// It is no longer true.
    Cancelled,
    /// Too many waited.
    Dropped,
}

/// A handle on every series that is always there.
pub struct AlertMetrics {
    firing: [Gauge; RULES.len()],
    signals: [Gauge; 4],
}

/// A handle on every series of one webhook.
pub struct HookMetrics {
    notices: [Counter; Told::ALL.len()],
    waiting: Gauge,
}

/// What rules see and no other metric shows.
pub struct Signals([Option<f64>; 4]);

impl Told {
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::Retried, Self::Refused, Self::GivenUp, Self::Cancelled, Self::Dropped];

    /// As it stands in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::Refused => "refused",
            Self::GivenUp => "given_up",
            Self::Cancelled => "cancelled",
            Self::Dropped => "dropped",
        }
    }
}

impl Signals {
    /// Those of a snapshot; drift of fewer samples says nothing.
    pub fn of(snapshot: &Snapshot, drift_samples: u64) -> Self {
        let (resources, model) = (&snapshot.resources, &snapshot.model);
        let scores = model.scores.psi.filter(|_| model.scores.samples >= drift_samples);
        let furthest = model.drift.iter().map(|one| one.psi).reduce(f64::max);
        let furthest = furthest.filter(|_| model.samples >= drift_samples);
        Self([Some(resources.memory_ratio), resources.log_growth_ratio, scores, furthest])
    }
}

impl AlertMetrics {
    /// All series, on the page of the others.
    pub fn new(metrics: &Metrics) -> Self {
        metrics.register(|| Self {
            firing: std::array::from_fn(|rule| metrics::gauge!(FIRING, "rule" => RULES[rule].name)),
            signals: [MEMORY, LOG_GROWTH, SCORE_PSI, FEATURE_PSI].map(|name| metrics::gauge!(name)),
        })
    }

    /// Shows the active alerts, and what the rules saw.
    pub fn show(&self, active: &[Alert], signals: &Signals) {
        for (gauge, rule) in self.firing.iter().zip(&RULES) {
            gauge.set(active.iter().filter(|alert| alert.rule == rule.name).count() as f64);
        }
        let signals = signals.0.map(|signal| signal.unwrap_or(f64::NAN));
        self.signals.iter().zip(signals).for_each(|(gauge, signal)| gauge.set(signal));
    }
}

impl HookMetrics {
    /// All series of a hook at zero.
    pub fn new(metrics: &Metrics, hook: &str) -> Self {
        metrics.register(|| Self {
            notices: Told::ALL
                .map(|told| metrics::counter!(NOTICES, "hook" => hook.to_owned(), "outcome" => told.as_str())),
            waiting: metrics::gauge!(WAITING, "hook" => hook.to_owned()),
        })
    }

    /// Counts what became of a notice.
    pub fn told(&self, told: Told) {
        self.notices[told as usize].increment(1);
    }

    /// How many wait.
    pub fn waiting(&self, notices: usize) {
        self.waiting.set(notices as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogStatus;
    use crate::metrics::Held;
    use crate::scoring::Guards;

    #[test]
    fn every_family_of_the_table_is_on_the_page_once_and_outcomes_stand_in_their_order() {
        let metrics = Metrics::new(&[], [("name", ""), ("version", ""), ("hash", "")]);
        let alerts = AlertMetrics::new(&metrics);
        HookMetrics::new(&metrics, "slack").told(Told::GivenUp);
        alerts.show(&[], &Signals::of(&Snapshot::default(), 500));
        let page = metrics.render(&Held::default(), &LogStatus::default(), &Guards::for_tests());
        for family in &ALERT_FAMILIES {
            let kind = format!("# TYPE {} {}\n", family.name, family.kind);
            assert_eq!(page.matches(&kind).count(), 1, "{}", family.name);
        }
        for line in [
            "cauce_alert_notices_total{hook=\"slack\",outcome=\"given_up\"} 1\n",
            "cauce_alerts_firing{rule=\"memory\"} 0\n",
            "cauce_model_score_psi NaN\n",
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
    }
}
