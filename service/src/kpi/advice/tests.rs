//! Limits at their edges, and advice that names what there is.

use super::*;
use crate::config::Config;
use crate::kpi::snapshot::{CacheKpis, Percentiles};
use crate::metrics::FAMILIES;

type Change = fn(&mut Snapshot);

fn defaults() -> Config {
    Config::load(None, std::iter::empty(), Vec::new()).unwrap()
}

/// A snapshot that meets each limit exactly.
fn at_the_limits() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.performance.response_seconds = Percentiles { p95: Some(3.0), ..Percentiles::default() };
    snapshot.performance.requests_per_second = 1.0;
    snapshot.quality.requests = 300;
    snapshot.quality.error_rate = Some(0.05);
    snapshot.quality.cache_hit_rate = Some(0.3);
    snapshot.quality.cache = vec![
        CacheKpis { level: "l1", hits: 200, misses: 800, hit_rate: Some(0.2) },
        CacheKpis { level: "l2", hits: 100, misses: 700, hit_rate: Some(0.125) },
    ];
    snapshot.resources.memory_ratio = 0.85;
    snapshot
}

fn assessed(changes: &[Change]) -> (State, Vec<ProblemKind>) {
    let mut snapshot = at_the_limits();
    changes.iter().for_each(|change| change(&mut snapshot));
    let (state, problems) = assess(&snapshot, &Limits::new(&defaults().kpi));
    (state, problems.iter().map(|problem| problem.kind).collect())
}

const SLOW: Change = |snapshot| snapshot.performance.response_seconds.p95 = Some(3.0_f64.next_up());
const FAILING: Change = |snapshot| snapshot.quality.error_rate = Some(0.05_f64.next_up());
const IDLE: Change = |snapshot| snapshot.performance.requests_per_second = 1.0_f64.next_down();
const FULL: Change = |snapshot| snapshot.resources.memory_ratio = 0.85_f64.next_up();
const MISSING: Change = |snapshot| snapshot.quality.cache_hit_rate = Some(0.3_f64.next_down());

#[test]
fn a_limit_is_kept_when_it_is_met_and_broken_beyond() {
    use ProblemKind::{CacheHits, Errors, Latency, Memory, Throughput};
    let cases: [(&[Change], State, &[ProblemKind]); 13] = [
        (&[], State::Excellent, &[]),
        (&[SLOW], State::Good, &[Latency]),
        (&[FAILING], State::Good, &[Errors]),
        (&[IDLE], State::Good, &[Throughput]),
        (&[FULL], State::Good, &[Memory]),
        (&[MISSING], State::Good, &[CacheHits]),
        (&[FULL, SLOW], State::Fair, &[Latency, Memory]),
        (&[FULL, SLOW, FAILING], State::Critical, &[Latency, Errors, Memory]),
        (&[MISSING, FULL, IDLE, FAILING, SLOW], State::Critical, &[Latency, Errors, Throughput, Memory, CacheHits]),
        // Of nothing, nothing can be said.
        (&[IDLE, |snapshot| snapshot.quality.requests = 0], State::Excellent, &[]),
        (&[SLOW, |snapshot| snapshot.performance.response_seconds.p95 = None], State::Excellent, &[]),
        (&[MISSING, |snapshot| snapshot.quality.cache[0].misses = 799], State::Excellent, &[]),
        (&[MISSING, |snapshot| snapshot.quality.cache.clear()], State::Excellent, &[]),
    ];
    for (place, (changes, state, kinds)) in cases.into_iter().enumerate() {
        assert_eq!(assessed(changes), (state, kinds.to_vec()), "case {place}");
    }
    let limits = Limits::new(&defaults().kpi);
    assert_eq!(assess(&Snapshot::default(), &limits), (State::Excellent, Vec::new()));
}

#[test]
fn limits_at_their_ends_are_never_broken() {
    let kpi = config::Kpi { error_percent: 100, throughput: 0, cache_hit_percent: 0, ..defaults().kpi };
    let mut snapshot = at_the_limits();
    snapshot.quality.error_rate = Some(1.0);
    snapshot.performance.requests_per_second = 0.01;
    snapshot.quality.cache_hit_rate = Some(0.0);
    assert_eq!(assess(&snapshot, &Limits::new(&kpi)).0, State::Excellent);
}

#[test]
fn a_problem_says_what_is_measured_and_what_was_expected() {
    let mut snapshot = at_the_limits();
    snapshot.performance.response_seconds.p95 = Some(3.25);
    snapshot.quality.error_rate = Some(0.0712);
    snapshot.performance.requests_per_second = 0.25;
    let (_, problems) = assess(&snapshot, &Limits::new(&defaults().kpi));
    let said: Vec<_> = problems.iter().map(|problem| (problem.value, problem.limit, problem.detail.as_str())).collect();
    let latency =
        "the 95th percentile of response times is 3.25 s, and 3 s is the most that `kpi.latency_p95` lets pass";
    let errors = "the share of requests that failed is 7.12 %, and 5 % is the most that `kpi.error_percent` lets pass";
    let throughput =
        "the number of requests answered is 0.25 a second, and 1 a second is the least that `kpi.throughput` lets pass";
    assert_eq!(said, [(3.25, 3.0, latency), (0.0712, 0.05, errors), (0.25, 1.0, throughput)]);
}

#[test]
fn advice_names_only_what_there_is() {
    let settings: toml::Table = defaults().to_toml().parse().unwrap();
    let document = serde_json::to_value(Snapshot::default()).unwrap();
    for rule in &LIMITS {
        let names = rule.recommendation.split('`').skip(1).step_by(2).chain([rule.setting]);
        for name in names.filter(|name| name.starts_with("cauce_") || name.contains('.')) {
            let is_known = match name.split_once('.') {
                None => FAMILIES.iter().any(|family| family.name == name),
                Some((section, key)) => {
                    let is_setting = settings.get(section).is_some_and(|section| section.get(key).is_some());
                    is_setting || document[section].get(key).is_some()
                }
            };
            assert!(is_known, "`{name}`");
        }
    }
}
