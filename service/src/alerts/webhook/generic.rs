//! The format of our own: the alert as `/v1/alerts` shows it, and who tells it.

use serde_json::{Value, json};

use crate::kpi::snapshot::Alert;

/// `state` is `firing` or `resolved`; an episode has one `id` and one `since`.
pub fn document(alert: &Alert, source: &str) -> Value {
    let mut document = json!(alert);
    document["service"] = "cauce".into();
    document["source"] = source.into();
    document
}
