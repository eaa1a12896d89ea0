//! What the service counts, in the Prometheus text format.
//!
//! [`FAMILIES`] is the one table of names; documentation, dashboards and tests read it. Everything is registered before the
//! first request and is a few atomics: to count costs nanoseconds, allocates nothing and grows with nothing (S5). That is why no
//! metrics library stands here: the usual one buffers every sample of a histogram until it is scraped.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cauce_model::score::Decision;

use crate::http::routes::{ROUTES, UNMATCHED};
use crate::ingest::{Refusal, Taken};
use crate::scoring::{Mode, Stage};

/// A named group of series.
#[derive(Debug)]
pub struct Family {
    group: Group,
    pub name: &'static str,
    pub kind: &'static str,
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Group {
    Requests,
    RequestSeconds,
    StageSeconds,
    Scores,
    Events,
    Coarsened,
    People,
    Bound,
    Bundle,
    Panics,
}

const fn counter(group: Group, name: &'static str, help: &'static str) -> Family {
    Family { group, name, kind: "counter", help }
}

const fn gauge(group: Group, name: &'static str, help: &'static str) -> Family {
    Family { group, name, kind: "gauge", help }
}

const fn histogram(group: Group, name: &'static str, help: &'static str) -> Family {
    Family { group, name, kind: "histogram", help }
}

/// Every family there is.
pub const FAMILIES: [Family; 10] = [
    counter(Group::Requests, "cauce_http_requests_total", "Requests answered, by route and class of status."),
    histogram(
        Group::RequestSeconds,
        "cauce_http_request_duration_seconds",
        "Time from the head of a request to its answer, by route.",
    ),
    histogram(
        Group::StageSeconds,
        "cauce_score_stage_duration_seconds",
        "Time spent on an application, or on a batch of them, by stage.",
    ),
    counter(Group::Scores, "cauce_scores_total", "Applications scored, by mode and decision."),
    counter(Group::Events, "cauce_events_total", "Events received, by what became of them."),
    counter(Group::Coarsened, "cauce_events_coarsened_total", "Events merged by the hour to bound a person's memory."),
    gauge(Group::People, "cauce_people", "People whose history is held."),
    gauge(Group::Bound, "cauce_bound", "Configured bounds by setting, in bytes, milliseconds or items."),
    gauge(Group::Bundle, "cauce_bundle_info", "Always 1; the labels say which bundle is served."),
    counter(Group::Panics, "cauce_panics_total", "Requests that met a defect and were answered 500."),
];

const STATUSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
const STAGES: [(Stage, &str); 4] =
    [(Stage::Parse, "parse"), (Stage::Features, "features"), (Stage::Model, "model"), (Stage::Record, "record")];
const MODES: [(Mode, &str); 2] = [(Mode::Full, "full"), (Mode::Fallback, "fallback")];
const DECISIONS: [Decision; 3] = [Decision::Approve, Decision::Refer, Decision::Decline];
const OUTCOMES: [&str; 7] = ["new", "duplicate", "conflict", "too_late", "in_future", "store_full", "invalid"];

const ROUTE_LABELS: [&str; ROUTES.len() + 1] = {
    let mut labels = ["unmatched"; ROUTES.len() + 1];
    let mut route = 0;
    while route < UNMATCHED {
        labels[route] = ROUTES[route].path;
        route += 1;
    }
    labels
};

/// Upper edges of the histograms in nanoseconds; a scored request takes tens of microseconds.
const EDGES_NS: [u64; 16] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    50_000_000,
    250_000_000,
    1_000_000_000,
];

/// All counts.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: [[AtomicU64; STATUSES.len()]; ROUTE_LABELS.len()],
    request_ns: [Histogram; ROUTE_LABELS.len()],
    stage_ns: [Histogram; STAGES.len()],
    scores: [[AtomicU64; DECISIONS.len()]; MODES.len()],
    events: [AtomicU64; OUTCOMES.len()],
    panics: AtomicU64,
}

/// What is known elsewhere and read when metrics are asked for.
pub struct Readings<'a> {
    pub people: usize,
    pub coarsened: u64,
    pub bounds: &'a [(&'static str, u64)],
    pub bundle: [(&'static str, &'a str); 3],
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; EDGES_NS.len() + 1],
    sum_ns: AtomicU64,
}

impl Metrics {
    /// Counts an answer. `route` is an index into [`ROUTES`], or [`UNMATCHED`].
    pub fn answered(&self, route: usize, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(2, 5) - 2;
        add(&self.requests[route][class]);
        self.request_ns[route].observe(took);
    }

    /// Counts a stage of scoring.
    pub fn stage(&self, stage: Stage, took: Duration) {
        self.stage_ns[stage as usize].observe(took);
    }

    /// Counts a scored application.
    pub fn scored(&self, mode: Mode, decision: Decision) {
        add(&self.scores[mode as usize][decision as usize]);
    }

    /// Counts a valid event.
    pub fn event(&self, outcome: Result<Taken, Refusal>) {
        add(&self.events[match outcome {
            Ok(Taken::New) => 0,
            Ok(Taken::Duplicate) => 1,
            Ok(Taken::Conflict) => 2,
            Err(Refusal::TooLate) => 3,
            Err(Refusal::InFuture) => 4,
            Err(Refusal::StoreFull) => 5,
        }]);
    }

    /// Counts what was sent as an event and is none.
    pub fn invalid_event(&self) {
        add(&self.events[6]);
    }

    /// Counts a defect.
    pub fn panicked(&self) {
        add(&self.panics);
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self, readings: &Readings<'_>) -> String {
        let mut page = Page(String::with_capacity(64 << 10));
        for family in &FAMILIES {
            page.family(family);
            self.samples(family, readings, &mut page);
        }
        page.0
    }

    fn samples(&self, family: &Family, readings: &Readings<'_>, page: &mut Page) {
        let mut sample = |labels: &[(&str, &str)], value: u64| page.sample(family, "", labels, value);
        match family.group {
            Group::Requests => {
                for (route, counts) in ROUTE_LABELS.iter().zip(&self.requests) {
                    for (status, count) in STATUSES.iter().zip(counts) {
                        sample(&[("route", route), ("status", status)], get(count));
                    }
                }
            }
            Group::RequestSeconds => {
                for (route, histogram) in ROUTE_LABELS.iter().zip(&self.request_ns) {
                    page.histogram(family, ("route", route), histogram);
                }
            }
            Group::StageSeconds => {
                for ((_, stage), histogram) in STAGES.iter().zip(&self.stage_ns) {
                    page.histogram(family, ("stage", stage), histogram);
                }
            }
            Group::Scores => {
                for ((_, mode), counts) in MODES.iter().zip(&self.scores) {
                    for (decision, count) in DECISIONS.iter().zip(counts) {
                        sample(&[("mode", mode), ("decision", decision.as_str())], get(count));
                    }
                }
            }
            Group::Events => {
                let outcomes = OUTCOMES.iter().zip(&self.events);
                outcomes.for_each(|(outcome, count)| sample(&[("outcome", outcome)], get(count)));
            }
            Group::Coarsened => sample(&[], readings.coarsened),
            Group::People => sample(&[], readings.people as u64),
            Group::Bound => readings.bounds.iter().for_each(|(name, bound)| sample(&[("setting", name)], *bound)),
            Group::Bundle => sample(&readings.bundle, 1),
            Group::Panics => sample(&[], get(&self.panics)),
        }
    }
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        add(&self.buckets[EDGES_NS.partition_point(|&edge| edge < ns)]);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }
}

/// A page under way. Writing to a `String` cannot fail.
struct Page(String);

impl Page {
    fn family(&mut self, family: &Family) {
        let Family { name, kind, help, .. } = family;
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, family: &Family, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.0, "{}{suffix}", family.name);
        for (position, (name, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{name}=\"{value}\"", if position == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn histogram(&mut self, family: &Family, label: (&str, &str), histogram: &Histogram) {
        let mut count = 0;
        for (position, bucket) in histogram.buckets.iter().enumerate() {
            count += get(bucket);
            let edge = EDGES_NS.get(position).map_or("+Inf".into(), |&ns| (ns as f64 / 1e9).to_string());
            self.sample(family, "_bucket", &[label, ("le", &edge)], count);
        }
        self.sample(family, "_sum", &[label], get(&histogram.sum_ns) as f64 / 1e9);
        self.sample(family, "_count", &[label], count);
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(metrics: &Metrics) -> String {
        let bundle = [("name", "a \"b\""), ("version", "1"), ("hash", "00")];
        metrics.render(&Readings { people: 3, coarsened: 0, bounds: &[("store.people", 9)], bundle })
    }

    #[test]
    fn every_family_of_the_table_is_on_the_page_once() {
        let page = page(&Metrics::default());
        for family in &FAMILIES {
            assert_eq!(
                page.matches(&format!("# TYPE {} {}\n", family.name, family.kind)).count(),
                1,
                "{}",
                family.name
            );
        }
        assert_eq!(page.matches("# TYPE").count(), FAMILIES.len());
    }

    #[test]
    fn buckets_add_up_and_hold_their_upper_edge() {
        let metrics = Metrics::default();
        for nanos in [1_000, 1_001, 2_000_000_000] {
            metrics.stage(Stage::Model, Duration::from_nanos(nanos));
        }
        let page = page(&metrics);
        let bucket = |edge| format!("cauce_score_stage_duration_seconds_bucket{{stage=\"model\",le=\"{edge}\"}}");
        for (edge, count) in [("0.000001", 1), ("0.0000025", 2), ("1", 2), ("+Inf", 3)] {
            assert!(page.contains(&format!("{} {count}\n", bucket(edge))), "{edge}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        assert!(page(&Metrics::default()).contains(r#"cauce_bundle_info{name="a \"b\"",version="1",hash="00"} 1"#));
    }

    #[test]
    fn positions_in_the_tables_are_those_of_the_enums() {
        assert!(STAGES.iter().enumerate().all(|(position, (stage, _))| *stage as usize == position));
        assert!(MODES.iter().enumerate().all(|(position, (mode, _))| *mode as usize == position));
        assert!(DECISIONS.iter().enumerate().all(|(position, decision)| *decision as usize == position));
    }
}
