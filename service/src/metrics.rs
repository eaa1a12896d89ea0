//! What the service counts, kept by the `metrics` crate and shown in the Prometheus text format.
//!
//! [`FAMILIES`] is the table of names of what all services have, [`all_families`] goes over it and those beside it: documentation, dashboard
//! and tests read them. Every series is registered before the first request, so that counting is an atomic on a handle, and no label is ever made of what a client sends (S5). The exporter
//! keeps a histogram's samples until they are added up: [`Metrics::add_up`] is called every few seconds, scraped or not.

pub mod alerts;
pub mod edge;
pub mod family;
pub mod kafka;
pub mod ledger;
pub mod process;
pub mod trace;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use cauce_features::application::Application;
use cauce_model::score::Decision;
use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;

pub use family::{Family, all_families};
use family::{counter, gauge, histogram};

use crate::cache;
use crate::config::Bound;
use crate::degrade::{MODES, REASONS, Reasons};
use crate::http::routes::{ROUTES, UNMATCHED};
use crate::ingest::{Refusal, Taken};
use crate::kpi::recorder::Answered;
use crate::log::LogStatus;
use crate::reload::Outcome;
use crate::scoring::{self, Guards, Stage};

const REQUESTS: &str = "cauce_http_requests_total";
const REQUEST_SECONDS: &str = "cauce_http_request_duration_seconds";
const STAGE_SECONDS: &str = "cauce_score_stage_duration_seconds";
const SCORES: &str = "cauce_scores_total";
const DEGRADED: &str = "cauce_scores_degraded_total";
const OVER_BUDGET: &str = "cauce_over_budget_total";
const STOPPED: &str = "cauce_model_runs_stopped_total";
const SESSIONS: &str = "cauce_model_sessions_replaced_total";
const BREAKER: &str = "cauce_breaker_state";
const BREAKER_OPENED: &str = "cauce_breaker_opened_total";
const CACHE: &str = "cauce_cache_lookups_total";
const CACHE_ENTRIES: &str = "cauce_cache_entries";
const UNRECORDED: &str = "cauce_applications_unrecorded_total";
const EVENTS: &str = "cauce_events_total";
const COARSENED: &str = "cauce_events_coarsened_total";
const PEOPLE: &str = "cauce_people";
const RESIDENT: &str = "cauce_people_in_memory";
const MEMORY: &str = "cauce_history_memory_bytes";
const STATE_BYTES: &str = "cauce_state_disk_bytes";
const LOG_BYTES: &str = "cauce_log_bytes";
const LOG_SEGMENTS: &str = "cauce_log_segments";
const LOG_END: &str = "cauce_log_end_position";
const LOG_WAITING: &str = "cauce_log_waiting_records";
const LOG_WAITING_BYTES: &str = "cauce_log_waiting_bytes";
const LOG_WRITABLE: &str = "cauce_log_writable";
const CHECKPOINT: &str = "cauce_checkpoint_position";
const ERASURES: &str = "cauce_erasures_pending";
const BOUND_BYTES: &str = "cauce_bound_bytes";
const BOUND_SECONDS: &str = "cauce_bound_seconds";
const BOUND_ITEMS: &str = "cauce_bound_items";
const BUNDLE: &str = "cauce_bundle_info";
const RELOADS: &str = "cauce_bundle_reloads_total";
const PANICS: &str = "cauce_panics_total";

/// Every family there is.
pub const FAMILIES: [Family; 33] = [
    counter(REQUESTS, "Requests answered, by route and class of status.").by(&["route", "status"]),
    histogram(REQUEST_SECONDS, "Time from the head of a request to its answer, by route.").by(&["route"]),
    histogram(STAGE_SECONDS, "Time spent on an application, or on a batch of them, by stage.").by(&["stage"]),
    counter(SCORES, "Applications scored, by mode and decision.").by(&["mode", "decision"]),
    counter(
        DEGRADED,
        "Reasons why applications were not scored in full mode on fresh history, or are not known to be durable.",
    )
    .by(&["reason"]),
    counter(OVER_BUDGET, "Answers with a budget that left after it was used up, by route.").by(&["route"]),
    counter(STOPPED, "Runs of the model that were stopped since they took too long."),
    counter(SESSIONS, "Sessions of the model that were replaced since they went on failing."),
    gauge(BREAKER, "How each circuit breaker stands: 0 closed, 1 half-open, 2 open.").by(&["dependency"]),
    counter(BREAKER_OPENED, "How often each circuit breaker has opened.").by(&["dependency"]),
    counter(CACHE, "Looks for the score of a vector that was given before, by level and result.")
        .by(&["level", "result"]),
    gauge(CACHE_ENTRIES, "Scores kept in process."),
    counter(
        UNRECORDED,
        "Applications of a named person that were scored and are not in the history: the log or the store took no more.",
    ),
    counter(EVENTS, "Events received, by what became of them.").by(&["outcome"]),
    counter(COARSENED, "Events merged by the hour to bound a person's memory."),
    gauge(PEOPLE, "People whose history is held."),
    gauge(RESIDENT, "People whose history is in memory; the others come from disk on demand."),
    gauge(MEMORY, "Memory of histories."),
    gauge(STATE_BYTES, "Disk that the state occupies."),
    gauge(LOG_BYTES, "Disk that the log occupies."),
    gauge(LOG_SEGMENTS, "Segments of the log."),
    gauge(LOG_END, "Position behind the newest durable record."),
    gauge(LOG_WAITING, "Records that wait to be written to the log."),
    gauge(LOG_WAITING_BYTES, "Bytes that wait to be written to the log."),
    gauge(LOG_WRITABLE, "1 while the log takes records, 0 while it cannot be written."),
    gauge(CHECKPOINT, "Position of the newest checkpoint: a start applies the log from here on."),
    gauge(ERASURES, "Erased people whose records are still in a file."),
    gauge(BOUND_BYTES, "Configured bounds of sizes, by setting.").by(&["setting"]),
    gauge(BOUND_SECONDS, "Configured bounds of times, by setting.").by(&["setting"]),
    gauge(BOUND_ITEMS, "Configured bounds of numbers, by setting.").by(&["setting"]),
    gauge(BUNDLE, "Always 1; the labels say which bundle is served.").by(&["name", "version", "hash"]),
    counter(RELOADS, "Reloads of the bundle and ways back, by what became of them.").by(&["outcome"]),
    counter(PANICS, "Requests that met a defect and were answered 500."),
];

const STATUSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// Stages of an application's way, in order, with their names.
pub const STAGES: [(Stage, &str); 8] = [
    (Stage::Receive, "receive"),
    (Stage::Validate, "validate"),
    (Stage::State, "state"),
    (Stage::Features, "features"),
    (Stage::Cache, "cache"),
    (Stage::Model, "model"),
    (Stage::Ledger, "ledger"),
    (Stage::Reply, "reply"),
];
const DECISIONS: [Decision; 3] = [Decision::Approve, Decision::Refer, Decision::Decline];
/// What may become of an event.
pub const OUTCOMES: [&str; 8] =
    ["new", "duplicate", "conflict", "too_late", "in_future", "store_full", "invalid", "accepted"];
/// Those by which it is not taken.
pub const REFUSED: std::ops::Range<usize> = 3..7;
/// What was sent as an event and is none.
pub const INVALID: usize = 6;

const ROUTE_LABELS: [&str; ROUTES.len() + 1] = {
    let mut labels = ["unmatched"; ROUTES.len() + 1];
    let mut route = 0;
    while route < UNMATCHED {
        labels[route] = ROUTES[route].path;
        route += 1;
    }
    labels
};

/// Upper edges of the histograms in seconds; a scored request takes tens of microseconds, and 3 s is where the rule for latency fires. No
/// quantile is said to be above the last.
const EDGES: [f64; 18] =
    [1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0, 3.0, 10.0];

/// A handle on every series.
pub struct Metrics {
    /// What later series are registered with.
    recorder: Arc<PrometheusRecorder>,
    exporter: PrometheusHandle,
    requests: Vec<[Counter; STATUSES.len()]>,
    request_seconds: Vec<Histogram>,
    stage_seconds: [Histogram; STAGES.len()],
    scores: [[Counter; DECISIONS.len()]; MODES.len()],
    degraded: [Counter; REASONS.len()],
    over_budget: Vec<Counter>,
    unrecorded: Counter,
    events: [Counter; OUTCOMES.len()],
    coarsened: Counter,
    held: [Gauge; HELD.len()],
    reloads: [Counter; Outcome::ALL.len()],
    /// The family of the bundle's labels as it stands on the page. The exporter forgets no series, and one for each bundle that was ever
    /// served would be without bound (S5).
    bundle: Mutex<String>,
    panics: Counter,
}

/// What is held, as it is when somebody asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    pub people: usize,
    pub resident: usize,
    pub memory_bytes: usize,
    pub state_bytes: u64,
    pub coarsened: u64,
    pub checkpoint: u64,
    pub log_end: u64,
}

/// The gauges that are set when somebody asks, in the order of [`Metrics::render`].
const HELD: [&str; 12] = [
    PEOPLE,
    RESIDENT,
    MEMORY,
    STATE_BYTES,
    LOG_BYTES,
    LOG_SEGMENTS,
    LOG_END,
    LOG_WAITING,
    LOG_WAITING_BYTES,
    LOG_WRITABLE,
    CHECKPOINT,
    ERASURES,
];

impl Metrics {
    /// All series at zero. The configured bounds and the bundle's labels are known from the start.
    pub fn new(bounds: &[(&'static str, Bound)], bundle: [(&'static str, &str); 3]) -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&EDGES).expect("there are edges");
        let recorder = Arc::new(builder.build_recorder());
        // Registered with a recorder of its own: two services in one process do not count for each other.
        metrics::with_local_recorder(&*recorder, || {
            all_families().for_each(Family::describe);
            bounds.iter().for_each(|(setting, bound)| show_bound(setting, *bound));
            let status = |route: &'static str| {
                STATUSES.map(|status| metrics::counter!(REQUESTS, "route" => route, "status" => status))
            };
            let route = |route: &&'static str| metrics::histogram!(REQUEST_SECONDS, "route" => *route);
            let decision = |mode: &'static str| {
                DECISIONS.map(|of| metrics::counter!(SCORES, "mode" => mode, "decision" => of.as_str()))
            };
            Self {
                recorder: recorder.clone(),
                exporter: recorder.handle(),
                requests: ROUTE_LABELS.iter().map(|route| status(route)).collect(),
                request_seconds: ROUTE_LABELS.iter().map(route).collect(),
                stage_seconds: STAGES.map(|(_, stage)| metrics::histogram!(STAGE_SECONDS, "stage" => stage)),
                scores: MODES.map(|(_, mode)| decision(mode)),
                degraded: REASONS.map(|(_, reason)| metrics::counter!(DEGRADED, "reason" => reason)),
                over_budget: ROUTE_LABELS.iter().map(|of| metrics::counter!(OVER_BUDGET, "route" => *of)).collect(),
                unrecorded: metrics::counter!(UNRECORDED),
                events: OUTCOMES.map(|outcome| metrics::counter!(EVENTS, "outcome" => outcome)),
                coarsened: metrics::counter!(COARSENED),
                held: HELD.map(|name| metrics::gauge!(name)),
                reloads: Outcome::ALL.map(|of| metrics::counter!(RELOADS, "outcome" => of.as_str())),
                bundle: Mutex::new(bundle_info(bundle)),
                panics: metrics::counter!(PANICS),
            }
        })
    }

    /// Registers further series on the same page.
    fn register<R>(&self, series: impl FnOnce() -> R) -> R {
        metrics::with_local_recorder(&*self.recorder, series)
    }

    /// Counts an answer. Its route is an index into [`ROUTES`], or [`UNMATCHED`].
    pub fn answered(&self, answered: &Answered) {
        let route = answered.route;
        self.requests[route][usize::from(answered.status / 100).clamp(2, 5) - 2].increment(1);
        if let Some(took) = answered.took {
            self.request_seconds[route].record(took);
        }
        if answered.is_late() {
            self.over_budget[route].increment(1);
        }
    }

    /// Counts how long each stage of a request took, those that it had.
    pub fn stages(&self, took: &[Option<Duration>; STAGES.len()]) {
        for (histogram, took) in self.stage_seconds.iter().zip(took) {
            if let Some(took) = took {
                histogram.record(*took);
            }
        }
    }

    /// Counts a scored application.
    pub fn scored(&self, application: &Application, scored: &scoring::Decision<'_>) {
        let decision = scored.score.map_or(Decision::Refer, |score| score.decision);
        self.scores[scored.made.mode as usize][decision as usize].increment(1);
        self.degraded(scored.made.reasons, 1);
        if !scored.recorded && !application.person().is_empty() {
            self.unrecorded.increment(1);
        }
    }

    /// Counts reasons for which so many scores are less than they should be.
    pub fn degraded(&self, reasons: Reasons, scores: u64) {
        reasons.places().for_each(|place| self.degraded[place].increment(scores));
    }

    /// Counts an event by what became of it, a place in [`OUTCOMES`].
    pub fn event(&self, outcome: usize) {
        self.events[outcome].increment(1);
    }

    /// Counts a reload, or a way back.
    pub fn reloaded(&self, outcome: Outcome) {
        self.reloads[outcome as usize].increment(1);
    }

    /// Another bundle is served.
    pub fn serves(&self, bundle: [(&'static str, &str); 3]) {
        *self.bundle.lock() = bundle_info(bundle);
    }

    /// Counts a defect.
    pub fn panicked(&self) {
        self.panics.increment(1);
    }

    /// Adds up the samples of histograms, which would otherwise be held until somebody scrapes.
    pub fn add_up(&self) {
        self.exporter.run_upkeep();
    }

    /// Everything in the Prometheus text format, with what store and log hold.
    pub fn render(&self, held: &Held, log: &LogStatus, guards: &Guards) -> String {
        self.register(|| observe(guards));
        let values = [
            held.people as f64,
            held.resident as f64,
            held.memory_bytes as f64,
            held.state_bytes as f64,
            log.bytes as f64,
            log.segments as f64,
            held.log_end as f64,
            log.waiting_records as f64,
            log.waiting_bytes as f64,
            f64::from(u8::from(log.refuses.is_none())),
            held.checkpoint as f64,
            log.erasures_pending as f64,
        ];
        self.held.iter().zip(values).for_each(|(gauge, value)| gauge.set(value));
        self.coarsened.absolute(held.coarsened);
        self.exporter.render() + &self.bundle.lock() + "\n" + &process::page()
    }
}

fn show_bound(setting: &'static str, bound: Bound) {
    let (family, value) = match bound {
        Bound::Bytes(bytes) => (BOUND_BYTES, bytes as f64),
        Bound::Time(time) => (BOUND_SECONDS, time.as_secs_f64()),
        Bound::Items(items) => (BOUND_ITEMS, items as f64),
    };
    metrics::gauge!(family, "setting" => setting).set(value);
}

/// The place of what became of a valid event in [`OUTCOMES`].
pub fn outcome(of: Result<Taken, Refusal>) -> usize {
    match of {
        Ok(Taken::New) => 0,
        Ok(Taken::Duplicate) => 1,
        Ok(Taken::Conflict) => 2,
        Err(Refusal::TooLate) => 3,
        Err(Refusal::InFuture) => 4,
        Err(Refusal::StoreFull) => 5,
        Ok(Taken::Accepted) => 7,
    }
}

/// Sets what the guards count for themselves.
fn observe(guards: &Guards) {
    let now = std::time::Instant::now();
    for one in guards.breakers() {
        let (state, opened) = one.state(now);
        metrics::gauge!(BREAKER, "dependency" => one.name).set(f64::from(state as u8));
        metrics::counter!(BREAKER_OPENED, "dependency" => one.name).absolute(opened);
    }
    let cache = guards.cache.status();
    for (level, name) in cache::LEVELS.into_iter().enumerate() {
        for (result, count) in [("hit", cache.hits[level]), ("miss", cache.misses[level])] {
            metrics::counter!(CACHE, "level" => name, "result" => result).absolute(count);
        }
    }
    metrics::gauge!(CACHE_ENTRIES).set(cache.l1_entries as f64);
    metrics::counter!(STOPPED).absolute(guards.watchdog.stopped());
    metrics::counter!(SESSIONS).absolute(guards.sessions_replaced.load(std::sync::atomic::Ordering::Relaxed));
}

fn bundle_info(labels: [(&'static str, &str); 3]) -> String {
    let family = FAMILIES.iter().find(|family| family.name == BUNDLE).expect("it stands in the table");
    let mut text = family.head() + BUNDLE + "{";
    for (place, (name, value)) in labels.into_iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        write!(text, "{comma}{name}=\"{value}\"").expect("a String takes all text");
    }
    text + "} 1\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(
            &[
                ("store.people", Bound::Items(9)),
                ("server.body", Bound::Bytes(2)),
                ("server.drain", Bound::Time(Duration::ZERO)),
            ],
            [("name", "a \"b\""), ("version", "1"), ("hash", "00")],
        )
    }

    fn guards() -> Guards {
        Guards::for_tests()
    }

    #[test]
    fn every_family_of_the_table_is_on_the_page_once() {
        let page = metrics().render(&Held::default(), &LogStatus::default(), &guards());
        for family in FAMILIES.iter().chain(&process::PROCESS_FAMILIES) {
            let kind = format!("# TYPE {} {}\n", family.name, family.kind);
            assert_eq!(page.matches(&kind).count(), 1, "{}", family.name);
            assert!(page.contains(&format!("# HELP {} {}\n", family.name, family.help)), "{}", family.name);
        }
        assert_eq!(page.matches("# TYPE").count(), FAMILIES.len() + process::PROCESS_FAMILIES.len());
    }

    #[test]
    fn buckets_add_up_and_hold_their_upper_edge() {
        let metrics = metrics();
        for nanos in [1_000, 1_001, 2_000_000_000] {
            let mut took = [None; STAGES.len()];
            took[Stage::Model as usize] = Some(Duration::from_nanos(nanos));
            metrics.stages(&took);
        }
        metrics.add_up();
        let page = metrics.render(&Held::default(), &LogStatus::default(), &guards());
        let bucket = |edge| format!("cauce_score_stage_duration_seconds_bucket{{stage=\"model\",le=\"{edge}\"}}");
        for (edge, count) in [("0.000001", 1), ("0.0000025", 2), ("1", 2), ("+Inf", 3)] {
            assert!(page.contains(&format!("{} {count}\n", bucket(edge))), "{edge} in {page}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        let page = metrics().render(&Held::default(), &LogStatus::default(), &guards());
        assert!(page.contains(r#"name="a \"b\"""#), "{page}");
    }

    #[test]
    fn positions_in_the_tables_are_those_of_the_enums() {
        assert!(STAGES.iter().enumerate().all(|(position, (stage, _))| *stage as usize == position));
        assert!(Outcome::ALL.iter().enumerate().all(|(position, outcome)| *outcome as usize == position));
        assert!(DECISIONS.iter().enumerate().all(|(position, decision)| *decision as usize == position));
    }
}
