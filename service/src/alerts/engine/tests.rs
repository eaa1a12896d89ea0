//! The engine against tables of single cases, and against what its words say, recomputed from whole random series.

use super::*;
use crate::alerts::rules::RULES;

const SETTINGS: Settings = Settings {
    hold: Duration::from_secs(3),
    clear_hold: Duration::from_secs(2),
    clear_share: 0.5,
    repeat: Duration::ZERO,
    history: 3,
};

/// A reading of the memory rule, whose threshold is 10 here.
fn reading(value: f64) -> Reading {
    let rule = RULES.iter().find(|rule| rule.name == "memory").unwrap();
    Reading { rule, subject: None, value, threshold: 10.0 }
}

fn at(second: u64) -> Timestamp {
    Timestamp::parse(&format!("2026-06-20T12:{:02}:{:02}Z", second / 60 % 60, second % 60)).unwrap()
}

/// The seconds in which something was told, each with its state; a value that is negative is none.
fn told(settings: Settings, values: &[f64]) -> Vec<(u64, AlertState)> {
    let mut engine = Engine::new(settings);
    let mut told = Vec::new();
    for (second, value) in (0..).zip(values) {
        let readings = if *value < 0.0 { Vec::new() } else { vec![reading(*value)] };
        let notices = engine.step(Duration::from_secs(second), at(second), readings);
        told.extend(notices.iter().map(|notice| (second, notice.state)));
    }
    told
}

use AlertState::{Firing, Resolved};

#[test]
fn fires_after_its_time_above_and_resolves_after_its_time_below_the_clear_level() {
    type Case = (&'static str, &'static [f64], &'static [(u64, AlertState)]);
    let cases: [Case; 8] = [
        ("at the threshold is not above it", &[10.0, 10.0, 10.0, 10.0, 10.0], &[]),
        ("long enough above", &[11.0, 11.0, 11.0, 11.0, 11.0], &[(3, Firing)]),
        ("a break begins anew", &[11.0, 11.0, 9.0, 11.0, 11.0, 11.0, 11.0], &[(6, Firing)]),
        ("below the threshold is not clear", &[11.0, 11.0, 11.0, 11.0, 9.0, 9.0, 9.0, 9.0], &[(3, Firing)]),
        ("the clear level is clear", &[11.0, 11.0, 11.0, 11.0, 5.0, 5.0, 5.0], &[(3, Firing), (6, Resolved)]),
        ("clear has to last", &[11.0, 11.0, 11.0, 11.0, 5.0, 5.0, 6.0, 5.0, 5.0, 5.0], &[(3, Firing), (9, Resolved)]),
        ("nothing known is clear", &[11.0, 11.0, 11.0, 11.0, -1.0, -1.0, -1.0], &[(3, Firing), (6, Resolved)]),
        (
            "the next episode is told again",
            &[11.0, 11.0, 11.0, 11.0, 0.0, 0.0, 0.0, 11.0, 11.0, 11.0, 11.0],
            &[(3, Firing), (6, Resolved), (10, Firing)],
        ),
    ];
    for (name, values, expected) in cases {
        assert_eq!(told(SETTINGS, values), expected, "{name}");
    }
}

#[test]
fn without_patience_it_fires_and_resolves_at_once() {
    let settings = Settings { hold: Duration::ZERO, clear_hold: Duration::ZERO, ..SETTINGS };
    assert_eq!(told(settings, &[11.0, 0.0, 11.0]), [(0, Firing), (1, Resolved), (2, Firing)]);
}

#[test]
fn firing_alert_is_told_again_where_that_is_asked_for() {
    let settings = Settings { hold: Duration::ZERO, repeat: Duration::from_secs(2), ..SETTINGS };
    let expected = [(0, Firing), (2, Firing), (4, Firing), (6, Resolved)];
    assert_eq!(told(settings, &[11.0, 11.0, 11.0, 11.0, 0.0, 0.0, 0.0]), expected);
}

#[test]
fn alert_from_before_the_start_is_not_told_again_but_told_to_be_over() {
    let mut before = Engine::new(Settings { hold: Duration::ZERO, ..SETTINGS });
    let fired = before.step(Duration::ZERO, at(0), vec![reading(11.0)]).remove(0);
    let mut engine = Engine::new(SETTINGS);
    engine.restore(fired.clone());
    assert_eq!(engine.active(), [fired]);
    let mut told = Vec::new();
    for (second, value) in (0..).zip([11.0, 11.0, 11.0, 11.0, 11.0, 0.0, 0.0, 0.0]) {
        let notices = engine.step(Duration::from_secs(second), at(100 + second), vec![reading(value)]);
        told.extend(notices.iter().map(|notice| (second, notice.state, notice.since)));
    }
    assert_eq!(told, [(7, Resolved, at(0))]);
}

#[test]
fn what_is_past_is_bounded_and_the_newest_comes_first() {
    let settings = Settings { hold: Duration::ZERO, clear_hold: Duration::ZERO, ..SETTINGS };
    let mut engine = Engine::new(settings);
    for second in 0..20 {
        engine.step(Duration::from_secs(second), at(second), vec![reading(if second % 2 == 0 { 11.0 } else { 0.0 })]);
    }
    let past: Vec<_> = engine.past().map(|alert| (alert.since, alert.resolved)).collect();
    assert_eq!(past, [18, 16, 14].map(|second| (at(second), Some(at(second + 1)))));
    assert!(engine.active().is_empty() && engine.tracks.is_empty());
}

#[test]
fn subjects_have_alerts_of_their_own() {
    let rule = RULES.iter().find(|rule| rule.name == "breaker_open").unwrap();
    let of = |subject: &str, value| Reading { rule, subject: Some(subject.into()), value, threshold: 0.0 };
    let mut engine = Engine::new(Settings { hold: Duration::ZERO, clear_hold: Duration::ZERO, ..SETTINGS });
    engine.step(Duration::ZERO, at(0), vec![of("log", 2.0), of("model", 0.0)]);
    let told = engine.step(Duration::from_secs(1), at(1), vec![of("log", 0.0), of("model", 1.0)]);
    let told: Vec<_> = told.iter().map(|alert| (&*alert.id, alert.state)).collect();
    assert_eq!(told, [("breaker_open/model", Firing), ("breaker_open/log", Resolved)]);
    assert_eq!(engine.active()[0].summary, "model fails or is slow, and is left alone");
}

/// What the words at the top of the engine say, asked of the whole series: slow, and without a state machine.
fn oracle(settings: &Settings, times: &[u64], values: &[f64]) -> Vec<(u64, AlertState)> {
    let all = |from: usize, to: usize, of: &dyn Fn(f64) -> bool| (from..=to).all(|place| of(values[place]));
    let lasts = |to: usize, from_least: usize, hold: Duration, of: &dyn Fn(f64) -> bool| {
        (from_least..=to).any(|from| times[to] - times[from] >= hold.as_secs() && all(from, to, of))
    };
    let (mut told, mut since, mut is_firing) = (Vec::new(), 0, false);
    for (place, time) in times.iter().enumerate() {
        let turns = match is_firing {
            false => lasts(place, since, settings.hold, &|value| value > 10.0),
            true => lasts(place, since, settings.clear_hold, &|value| value <= 10.0 * settings.clear_share),
        };
        if turns {
            is_firing = !is_firing;
            since = place + 1;
            told.push((*time, if is_firing { Firing } else { Resolved }));
        }
    }
    told
}

#[test]
fn random_series_give_what_the_words_say() {
    let mut seed = 1_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut episodes = 0;
    for _ in 0..2_000 {
        let settings = Settings {
            hold: Duration::from_secs(random(5)),
            clear_hold: Duration::from_secs(random(5)),
            clear_share: [0.5, 0.9, 1.0][random(3) as usize],
            ..SETTINGS
        };
        // Seconds may be left out, and values stay for a while where they are.
        let (mut time, mut value) = (0, 0.0);
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for _ in 0..60 {
            time += 1 + random(2);
            if random(3) == 0 {
                value = [0.0, 5.0, 5.1, 9.0, 9.5, 10.0, 10.1, 50.0][random(8) as usize];
            }
            times.push(time);
            values.push(value);
        }
        let mut engine = Engine::new(settings);
        let mut told = Vec::new();
        for (time, value) in times.iter().zip(&values) {
            let notices = engine.step(Duration::from_secs(*time), at(*time), vec![reading(*value)]);
            told.extend(notices.iter().map(|notice| (*time, notice.state)));
            let is_firing = told.last().is_some_and(|(_, state)| *state == Firing);
            assert_eq!(engine.active().len(), usize::from(is_firing));
        }
        assert_eq!(told, oracle(&settings, &times, &values), "{settings:?} {times:?} {values:?}");
        episodes += told.len();
    }
    assert!(episodes > 2_000, "the series hardly ever fire: {episodes}");
}
