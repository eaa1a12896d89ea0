//! What is counted of alerts, and the signals of their rules. [`ALERT_FAMILIES`] is its table of names, as [`super::FAMILIES`] is of the
//! rest.
//!
//! Each signal is a gauge of what the rule itself has read, so who compares it with the threshold elsewhere comes to the same alerts.
//! Labels are rules, hooks of the configuration and outcomes (S5). What cannot be said yet is `NaN`, which is above no threshold.

use metrics::{Counter, Gauge};

use super::Metrics;
use super::family::{Family, counter, gauge};
use crate::alerts::rules::{RULES, Reading, Rule};
use crate::kpi::snapshot::Alert;

const FIRING: &str = "cauce_alerts_firing";
const NOTICES: &str = "cauce_alert_notices_total";
const WAITING: &str = "cauce_alert_notices_waiting";

/// Every family there is of alerts, beside the others; the last two where there are webhooks. The signal of open breakers is theirs.
pub const ALERT_FAMILIES: [Family; 12] = [
    gauge(FIRING, "Alerts that are firing, by rule.").by(&["rule"]),
    gauge(
        "cauce_response_p95_seconds",
        "What answers 95 % of scores in time, in the window of KPIs; NaN while there are too few.",
    ),
    gauge(
        "cauce_error_ratio",
        "The share of requests that failed, in the window of KPIs; NaN while there are too few.",
    ),
    gauge(
        "cauce_degraded_ratio",
        "The share of scores that were degraded, in the window of KPIs; NaN while there are too few.",
    ),
    gauge(
        "cauce_refused_events_ratio",
        "The share of events that were refused, in the window of KPIs; NaN while there are too few.",
    ),
    gauge(
        "cauce_lag_seconds",
        "How long the oldest record that is not worked off has waited; NaN where Kafka is not the log.",
    ),
    gauge("cauce_memory_ratio", "Memory of the process, as a share of what it may use."),
    gauge("cauce_log_growth_ratio", "How many times faster the log grew over the last minute than is usual."),
    gauge(
        "cauce_model_score_psi",
        "Population stability index of scores against training; NaN while there are too few.",
    ),
    gauge("cauce_model_feature_psi", "The same of the feature that has drifted furthest."),
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
    /// It is no longer true.
    Cancelled,
    /// Too many waited.
    Dropped,
}

/// A handle on every series that is always there.
pub struct AlertMetrics {
    firing: [Gauge; RULES.len()],
    /// None where another table has it.
    signals: [Option<Gauge>; RULES.len()],
}

/// A handle on every series of one webhook.
pub struct HookMetrics {
    notices: [Counter; Told::ALL.len()],
    waiting: Gauge,
}

impl Told {
    pub const ALL: [Self; 5] = [Self::Delivered, Self::Retried, Self::Refused, Self::Cancelled, Self::Dropped];

    /// As it stands in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Dropped => "dropped",
        }
    }
}

impl AlertMetrics {
    /// All series, on the page of the others; no rule has read anything yet.
    pub fn new(metrics: &Metrics) -> Self {
        let signal = |rule: &Rule| {
            let is_here = ALERT_FAMILIES.iter().any(|family| family.name == rule.gauge);
            is_here.then(|| metrics::gauge!(rule.gauge))
        };
        let all = metrics.register(|| Self {
            firing: RULES.each_ref().map(|rule| metrics::gauge!(FIRING, "rule" => rule.name)),
            signals: RULES.each_ref().map(signal),
        });
        all.show(&[], &[]);
        all
    }

    /// Shows the active alerts, and what the rules read.
    pub fn show(&self, active: &[Alert], readings: &[Reading]) {
        for ((rule, firing), signal) in RULES.iter().zip(&self.firing).zip(&self.signals) {
            firing.set(active.iter().filter(|alert| alert.rule == rule.name).count() as f64);
            let value = readings.iter().find(|reading| reading.rule.name == rule.name).map(|reading| reading.value);
            if let Some(signal) = signal {
                signal.set(value.unwrap_or(f64::NAN));
            }
        }
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
        HookMetrics::new(&metrics, "slack").told(Told::Dropped);
        let memory = RULES.iter().find(|rule| rule.name == "memory").unwrap();
        let read = Reading { rule: memory, subject: None, value: 0.5, threshold: 0.85 };
        let render = || metrics.render(&Held::default(), &LogStatus::default(), &Guards::for_tests());
        let before = render();
        alerts.show(&[], &[read]);
        let page = render();
        for family in &ALERT_FAMILIES {
            let kind = format!("# TYPE {} {}\n", family.name, family.kind);
            assert_eq!(page.matches(&kind).count(), 1, "{}", family.name);
        }
        for line in [
            "cauce_alert_notices_total{hook=\"slack\",outcome=\"dropped\"} 1\n",
            "cauce_alerts_firing{rule=\"memory\"} 0\n",
            "cauce_model_score_psi NaN\n",
            "cauce_memory_ratio 0.5\n",
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
        // Before anything is read too, and for good where no KPIs are kept.
        for rule in RULES.iter().filter(|rule| rule.name != "breaker_open") {
            assert!(before.contains(&format!("{} NaN\n", rule.gauge)), "{} in {before}", rule.gauge);
        }
    }
}
