//! What each rule sees in a snapshot, and what it makes of too little.

use super::*;
use crate::kpi::snapshot::{BreakerKpis, FeatureDrift, KafkaKpis};

fn defaults() -> Vec<Limit> {
    limits(&Config::load(None, std::iter::empty(), Vec::new()).unwrap())
}

/// The ids of rules that are broken in a snapshot.
fn broken(of: impl FnOnce(&mut Snapshot)) -> Vec<String> {
    let mut snapshot = Snapshot::default();
    of(&mut snapshot);
    let readings = readings(&defaults(), &snapshot);
    readings.iter().filter(|one| one.value > one.threshold).map(|one| one.id().to_string()).collect()
}

#[test]
fn nothing_is_wrong_with_a_service_that_nobody_asks() {
    assert!(broken(|_| ()).is_empty());
}

#[test]
fn each_rule_sees_its_own_signal_above_its_threshold_only() {
    type Case = (&'static str, fn(&mut Snapshot, f64), f64);
    let cases: [Case; 10] = [
        (
            "latency",
            |of, value| {
                (of.performance.response_seconds.p95, of.performance.response_seconds.count) = (Some(value), 20);
            },
            3.0,
        ),
        ("errors", |of, value| (of.quality.error_rate, of.quality.requests) = (Some(value), 20), 0.05),
        (
            "degraded",
            |of, value| {
                of.quality.degraded_rate = Some(value);
                of.quality.modes = vec![crate::kpi::snapshot::Count { name: "full".into(), count: 20 }];
            },
            0.1,
        ),
        ("memory", |of, value| of.resources.memory_ratio = value, 0.85),
        (
            "lag",
            |of, value| {
                of.resources.kafka = Some(KafkaKpis { lag_seconds: value, ..KafkaKpis::default() });
            },
            30.0,
        ),
        ("failed_events", |of, value| (of.quality.events_refused_rate, of.quality.events) = (Some(value), 20), 0.01),
        ("log_growth", |of, value| of.resources.log_growth_ratio = Some(value), 5.0),
        ("score_drift", |of, value| of.model.scores.psi = Some(value), 0.25),
        (
            "feature_drift",
            |of, psi| {
                of.model.drift =
                    vec![FeatureDrift { feature: "age".into(), psi, missing: 0.0, missing_reference: 0.0 }];
            },
            0.25,
        ),
        (
            "breaker_open/log",
            |of, value| {
                let state = if value > 0.0 { "half_open" } else { "closed" };
                of.resources.breakers = vec![BreakerKpis { dependency: "log", state }];
            },
            0.0,
        ),
    ];
    assert_eq!(cases.len(), RULES.len());
    for (id, set, threshold) in cases {
        assert_eq!(broken(|snapshot| set(snapshot, threshold + 1e-6)), [id]);
        assert!(broken(|snapshot| set(snapshot, threshold)).is_empty(), "{id} at its threshold");
    }
}

#[test]
fn feature_that_has_drifted_furthest_is_told_of_and_no_other() {
    let drift =
        |feature: &str, psi| FeatureDrift { feature: feature.into(), psi, missing: 0.0, missing_reference: 0.0 };
    let mut snapshot = Snapshot::default();
    for (drifted, told) in [
        (
            vec![drift("age", 0.3), drift("income", 0.5)],
            "income is distributed unlike in training: PSI 0.5, more than 0.25",
        ),
        (
            vec![drift("age", 0.6), drift("income", 0.5)],
            "age is distributed unlike in training: PSI 0.6, more than 0.25",
        ),
    ] {
        snapshot.model.drift = drifted;
        let readings = readings(&defaults(), &snapshot);
        let told_of: Vec<_> = readings.iter().filter(|one| one.rule.name == "feature_drift").collect();
        assert_eq!((told_of.len(), &*told_of[0].id(), told_of[0].summary().as_str()), (1, "feature_drift", told));
    }
}

#[test]
fn rate_of_too_few_says_nothing() {
    for requests in [0, 19] {
        let few = |of: &mut Snapshot| (of.quality.error_rate, of.quality.requests) = (Some(1.0), requests);
        assert!(broken(few).is_empty());
    }
    assert!(broken(|of| of.resources.memory_ratio = f64::NAN).is_empty());
}

#[test]
fn values_are_told_in_their_unit() {
    for (unit, value, said) in [
        (Unit::Seconds, 0.0123, "12.3 ms"),
        (Unit::Seconds, 3.0, "3 s"),
        (Unit::Share, 0.12345, "12.35 %"),
        (Unit::Number, 0.25, "0.25"),
    ] {
        assert_eq!(unit.tell(value), said);
    }
}

#[test]
fn names_differ_and_summaries_have_the_places_that_they_need() {
    for (position, rule) in RULES.iter().enumerate() {
        assert!(RULES[..position].iter().all(|other| other.name != rule.name), "{}", rule.name);
        assert_eq!(rule.summary.contains("{subject}"), rule.about != About::Service, "{}", rule.name);
        assert!(!rule.advice.is_empty() && rule.gauge.starts_with("cauce_"), "{}", rule.name);
    }
}
