//! What stands where on the dashboard: the one table of its rows.

use super::panel::{Panel, Shows};
use Shows::{Ahead, By, Each, Firing, Highest, Quantiles, Share, Sum, Table};

/// Panels under a title.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) title: &'static str,
    /// A metric that no panel shows gets one in the row whose beginning fits its name best.
    pub(super) begins: &'static [&'static str],
    pub(super) panels: &'static [Panel],
}

const fn row(title: &'static str, begins: &'static [&'static str], panels: &'static [Panel]) -> Row {
    Row { title, begins, panels }
}

const fn panel(title: &'static str, shows: Shows) -> Panel {
    Panel { title, shows }
}

const REQUESTS: &str = "cauce_http_requests_total";
const REQUEST_SECONDS: &str = "cauce_http_request_duration_seconds";
const SCORES: &str = "cauce_scores_total";
const LOOKUPS: &str = "cauce_cache_lookups_total";

/// The rows from the top, the last for what fits no other.
pub(super) const ROWS: [Row; 14] = [
    row(
        "Latency",
        &["cauce_over_", "cauce_response_"],
        &[
            panel("A scored request", Quantiles(REQUEST_SECONDS, "route=\"/v1/score\"")),
            panel("p95 by route", By(REQUEST_SECONDS, &["route"])),
            panel("p95 by stage of scoring", By("cauce_score_stage_duration_seconds", &["stage"])),
            panel("Answers after their budget", By("cauce_over_budget_total", &["route"])),
        ],
    ),
    row(
        "Throughput",
        &["cauce_events_", "cauce_refused_events_"],
        &[
            panel("Requests by route", By(REQUESTS, &["route"])),
            panel("Scores by decision", By(SCORES, &["decision"])),
            panel("Events by outcome", By("cauce_events_total", &["outcome"])),
        ],
    ),
    row(
        "Errors",
        &["cauce_panics", "cauce_error_"],
        &[
            panel("Answers by status", By(REQUESTS, &["status"])),
            panel("Share of errors of the service", Share { of: REQUESTS, matching: "status=\"5xx\"", by: &[] }),
            panel("Defects", Each(&["cauce_panics_total"])),
        ],
    ),
    row(
        "Modes and reasons",
        &["cauce_scores_", "cauce_applications_", "cauce_degraded_"],
        &[
            panel("Scores by mode", By(SCORES, &["mode"])),
            panel("Share below full mode", Share { of: SCORES, matching: "mode!=\"full\"", by: &[] }),
            panel("Reasons", By("cauce_scores_degraded_total", &["reason"])),
            panel(
                "Model runs stopped, sessions replaced",
                Each(&["cauce_model_runs_stopped_total", "cauce_model_sessions_replaced_total"]),
            ),
        ],
    ),
    row(
        "Cache",
        &["cauce_cache_"],
        &[panel("Hits by level", Share { of: LOOKUPS, matching: "result=\"hit\"", by: &["level"] })],
    ),
    row(
        "Breakers",
        &["cauce_breaker_"],
        &[panel("State: 0 closed, 1 half-open, 2 open", Each(&["cauce_breaker_state"]))],
    ),
    row(
        "Log, state and checkpoints",
        &["cauce_log_", "cauce_state_", "cauce_people", "cauce_history_", "cauce_checkpoint_", "cauce_erasures_"],
        &[
            panel("Disk", Each(&["cauce_log_bytes", "cauce_state_disk_bytes"])),
            panel("Records since the checkpoint", Ahead("cauce_log_end_position", "cauce_checkpoint_position")),
            panel("People", Each(&["cauce_people", "cauce_people_in_memory"])),
        ],
    ),
    row(
        "Admission",
        &["cauce_requests_", "cauce_http_", "cauce_slow_", "cauce_refusal_", "cauce_event_loop_"],
        &[
            panel("Refused", By("cauce_requests_refused_total", &["class", "reason"])),
            panel("Probability of a refusal", Highest("cauce_refusal_probability")),
            panel("Event loop delay", Highest("cauce_event_loop_delay_seconds")),
            panel("Requests in flight", Sum("cauce_requests_in_flight")),
            panel("Open connections", Sum("cauce_http_connections")),
        ],
    ),
    row("Ledger", &["cauce_ledger_", "cauce_decisions_"], &[]),
    row("Kafka", &["cauce_kafka_"], &[panel("Lag by topic", By("cauce_kafka_lag_records", &["topic", "partition"]))]),
    row("Alerts", &["cauce_alert"], &[panel("Firing in Prometheus", Firing)]),
    row("Model", &["cauce_bundle_", "cauce_model_"], &[panel("Bundles in service", Table(&["cauce_bundle_info"]))]),
    row("Process", &["process_"], &[]),
    row(
        "Others",
        &[""],
        &[
            panel("Bounds of sizes", Table(&["cauce_bound_bytes"])),
            panel("Bounds of times", Table(&["cauce_bound_seconds"])),
            panel("Bounds of numbers", Table(&["cauce_bound_items"])),
        ],
    ),
];
