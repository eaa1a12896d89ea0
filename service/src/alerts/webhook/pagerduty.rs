//! PagerDuty's Events API v2: <https://developer.pagerduty.com/docs/send-alert-event>. An alert of an instance is one incident
//! (`dedup_key`), however often it is told, and its end resolves it.

use serde_json::{Value, json};

use crate::kpi::snapshot::{Alert, AlertState, Severity};

/// The most characters that PagerDuty takes of a summary and of a key.
const SUMMARY_MOST: usize = 1024;
const KEY_MOST: usize = 255;

/// A trigger, or the resolution of one.
pub fn document(alert: &Alert, source: &str, routing_key: &str) -> Value {
    let dedup_key = first(&format!("cauce/{source}/{}", alert.id), KEY_MOST);
    if alert.state == AlertState::Resolved {
        return json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key });
    }
    let severity = match alert.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "Cauce",
        "payload": {
            "summary": first(&alert.summary, SUMMARY_MOST),
            "source": source,
            "severity": severity,
            "timestamp": alert.since.to_string(),
            "component": "cauce",
            "class": alert.rule,
            "custom_details": {
                "id": alert.id, "advice": alert.advice, "value": alert.value, "threshold": alert.threshold,
            },
        },
    })
}

fn first(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
