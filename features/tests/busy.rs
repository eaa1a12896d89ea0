//! Busy people: thousands of events in chunks under nodes, whose edges no small history reaches.

use cauce_features::application::Application;
use cauce_features::event::{Event, EventId};
use cauce_features::fixed::MISSING;
use cauce_features::time::Timestamp;
use cauce_features::timeline::{Applied, Timeline};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::histories::event_id;
use crate::model::{FieldKind, Model};
use crate::specifications;
use crate::trial::{Trial, holds};

/// 2025-01-01T00:00:00Z.
const START_MS: i64 = 1_735_689_600_000;
const DAY_MS: i64 = 86_400_000;

/// Random numbers, cheap and the same on every machine.
struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: i64) -> i64 {
        (self.next() % end as u64) as i64
    }

    fn one_in(&mut self, chances: i64) -> bool {
        self.below(chances) == 0
    }
}

/// So many events, in order of arrival over so many days, one in twenty late by up to thirty days.
fn crowd(model: &Model, seed: u64, count: usize, days: i64) -> Vec<Event> {
    let mut dice = Dice(seed);
    let step_ms = 2 * days * DAY_MS / count as i64;
    let mut now_ms = START_MS;
    let mut event = |index: usize| {
        // One in four shares the instant of the one before.
        if !dice.one_in(4) {
            now_ms += dice.below(step_ms.max(1) * 4 / 3);
        }
        let late_ms = if dice.one_in(20) { dice.below(30 * DAY_MS) } else { 0 };
        let kind = if dice.one_in(3) { dice.below(model.application_kind() as i64 + 1) as usize } else { 0 };
        let values = model.fields(kind).into_iter().map(|field| {
            let raw = match field.kind {
                FieldKind::Integer { min, max } | FieldKind::Decimal { min, max, .. } => {
                    (dice.below(200_000) - 50_000).clamp(min, max)
                }
                FieldKind::Category { values } => dice.below(values as i64),
                FieldKind::Boolean => dice.below(2),
                FieldKind::Text => dice.below(500),
            };
            if !field.required && dice.one_in(5) { MISSING } else { raw }
        });
        let values = values.collect();
        Event::new("p", EventId::from_bits(index as u64), Timestamp::from_millis(now_ms - late_ms), kind, values)
    };
    (0..count).map(&mut event).collect()
}

fn applicant(model: &Model) -> Application {
    let values = model.application.iter().map(|field| match field.kind {
        FieldKind::Integer { min, .. } => min,
        _ => 1,
    });
    Application::new("p", event_id("application"), values.collect())
}

/// Reads at the end, at and beside earlier events, at windows' edges, and after a month of silence agree with the oracle.
fn reads_agree(trial: &Trial, timeline: &Timeline, events: &[Event], seed: u64) -> TestCaseResult {
    let mut dice = Dice(seed);
    let newest_ms = events.iter().map(|event| event.time().millis()).max().expect("a crowd");
    let lengths = trial.model.lengths_ms();
    let mut any_time_ms = || events[dice.below(events.len() as i64) as usize].time().millis();
    let (past_ms, edge_ms) = (any_time_ms(), any_time_ms() + lengths[dice.below(lengths.len() as i64) as usize]);
    for as_of_ms in [newest_ms, past_ms, past_ms - 1, edge_ms, newest_ms + 29 * DAY_MS] {
        trial.agrees_at(timeline, events, &applicant(&trial.model), as_of_ms)?;
    }
    Ok(())
}

fn thousands_agree(model: Model, cases: u32) {
    let trial = Trial::of(model);
    let (seeds, counts) = (any::<u64>(), 3_000..10_000_usize);
    holds(cases, (seeds, counts, prop_oneof![Just(1), Just(200), Just(3_000)]), |(seed, count, days)| {
        let events = crowd(&trial.model, seed, count, days);
        let timeline = trial.timeline(&events);
        reads_agree(&trial, &timeline, &events, seed)?;
        let bytes = timeline.encode(&trial.plan);
        let restored = Timeline::decode(&trial.plan, &bytes).expect("its own snapshot");
        prop_assert!(restored.encode(&trial.plan) == bytes, "a snapshot of a snapshot differs");
        prop_assert!(trial.timeline(events.iter().rev()).encode(&trial.plan) == bytes, "arrival order left a trace");
        reads_agree(&trial, &restored, &events, seed ^ 1)
    });
}

#[test]
fn thousands_of_events_are_exact_under_every_aggregate_and_window() {
    thousands_agree(specifications::everything(), 4);
}

#[test]
fn thousands_of_events_are_exact_behind_filters() {
    thousands_agree(specifications::filters(), 4);
}

#[test]
fn sessions_of_thousands_of_events_are_exact() {
    thousands_agree(specifications::sessions(), 6);
}

#[test]
fn copies_of_thousands_of_events_merge_into_their_union() {
    let trial = Trial::of(specifications::filters());
    holds(4, any::<u64>(), |seed| {
        let events = crowd(&trial.model, seed, 6_000, 100);
        let mut dice = Dice(seed);
        let mut copies = [Timeline::default(), Timeline::default()];
        for event in &events {
            let sides = dice.below(3);
            if sides != 0 {
                copies[0].apply(&trial.plan, event);
            }
            if sides != 1 {
                copies[1].apply(&trial.plan, event);
            }
        }
        let [mut merged, other] = copies;
        merged.merge(&trial.plan, &other);
        prop_assert!(merged.encode(&trial.plan) == trial.timeline(&events).encode(&trial.plan));
        reads_agree(&trial, &merged, &events, seed)
    });
}

#[test]
fn evicting_among_thousands_of_events_leaves_later_reads_as_they_were() {
    let trial = Trial::of(specifications::everything());
    holds(6, (any::<u64>(), 0..400_i64), |(seed, day)| {
        let events = crowd(&trial.model, seed, 7_000, 300);
        let through_ms = START_MS + day * DAY_MS;
        let mut timeline = trial.timeline(&events);
        timeline.evict(&trial.plan, Timestamp::from_millis(through_ms));
        let kept: Vec<_> = events.iter().filter(|event| event.time().millis() > through_ms).cloned().collect();
        prop_assert_eq!(timeline.len(&trial.plan), kept.len());
        prop_assert_eq!(timeline.oldest(&trial.plan), kept.iter().map(Event::time).min());
        let application = applicant(&trial.model);
        let as_of_ms = through_ms + trial.model.horizon_ms;
        let whole = trial.timeline(&events);
        let read = |timeline: &Timeline| trial.read(timeline, &application, as_of_ms).values;
        trial.same(&read(&timeline), &read(&whole), "after and before eviction")?;
        for event in &events {
            let late = event.time().millis() <= through_ms;
            let expected = if late { Applied::TooLate } else { Applied::Duplicate };
            prop_assert_eq!(timeline.apply(&trial.plan, event), expected);
        }
        Ok(())
    });
}

#[test]
fn a_hundred_thousand_events_of_one_person_are_exact_at_any_instant() {
    let trial = Trial::of(specifications::everything());
    let events = crowd(&trial.model, 7, 100_000, 400);
    let timeline = trial.timeline(&events);
    assert_eq!(timeline.len(&trial.plan), events.len());
    reads_agree(&trial, &timeline, &events, 7).expect("exact");
    let restored = Timeline::decode(&trial.plan, &timeline.encode(&trial.plan)).expect("its own snapshot");
    reads_agree(&trial, &restored, &events, 11).expect("exact after a restart");
}

#[test]
fn sums_of_absurd_amounts_neither_wrap_nor_lose_their_meaning() {
    let trial = Trial::of(specifications::everything());
    let largest = 1_i64 << 53;
    let count = 6_000;
    let event = |index: i64| {
        let amount = if index % 2 == 0 { largest } else { -largest };
        let at = Timestamp::from_millis(START_MS + index * 1_000);
        Event::new("p", EventId::from_bits(index as u64), at, 0, vec![amount, 0, 0, 0, 0])
    };
    let events: Vec<_> = (0..count).map(event).collect();
    let read = trial.read(&trial.timeline(&events), &applicant(&trial.model), START_MS + count * 1_000).values;
    let deviation = largest as f64 / 100.0 * (count as f64 / (count - 1) as f64).sqrt();
    for (value, name) in read.iter().zip(trial.plan.names()).filter(|(value, _)| !value.is_nan()) {
        if name.starts_with("stddev") {
            assert!((f64::from(*value) / deviation - 1.0).abs() < 2e-3, "`{name}` is {value}");
        }
        assert!(!name.starts_with("sum") || value.abs() <= 2.0 * largest as f32 / 100.0, "`{name}` is {value}");
    }
}

#[test]
fn events_in_even_steps_of_even_content_come_back_from_a_snapshot_however_many_they_are() {
    // Such a row costs no bit, so a snapshot of many is hardly longer than one of few.
    let trial = Trial::of(specifications::everything());
    let fields = trial.plan.specification().events[0].record.fields.len();
    for count in [2, 200, 5_000] {
        let mut timeline = Timeline::default();
        for n in 0..count {
            let time = Timestamp::from_millis(1_700_000_000_000 + n as i64 * 10_000);
            timeline.apply(&trial.plan, &Event::new("p", EventId::from_bits(n), time, 0, vec![1; fields]));
        }
        let bytes = timeline.encode(&trial.plan);
        let restored = Timeline::decode(&trial.plan, &bytes).expect("its own snapshot");
        assert_eq!(
            restored.digest(&trial.plan),
            timeline.digest(&trial.plan),
            "{count} events in {} bytes",
            bytes.len()
        );
    }
}
