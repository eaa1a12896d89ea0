//! What a read says, at any instant, of any set of events.

use std::ops::Range;

use cauce_features::application::Application;
use cauce_features::event::Event;
use cauce_features::fixed::MISSING;
use cauce_features::plan::{FeaturePlan, PlanError};
use cauce_features::spec::Specification;
use cauce_features::time::Timestamp;
use proptest::prelude::*;

use crate::any::any_specification;
use crate::histories::{History, event_id, histories, tied_histories};
use crate::model::Model;
use crate::specifications;
use crate::trial::{Trial, holds};

/// Reads of generated people of so many events agree with the oracle.
fn reads_agree(model: Model, cases: u32, size: Range<usize>) {
    let trial = Trial::of(model);
    holds(cases, histories(&trial.model, size), |history| {
        let history = history.without_conflicts();
        trial.agrees(&trial.timeline(&history.events), &history)
    });
}

#[test]
fn every_aggregate_under_every_window_is_exact() {
    reads_agree(specifications::everything(), 300, 0..60);
}

#[test]
fn every_aggregate_under_every_window_is_exact_for_busier_people() {
    reads_agree(specifications::everything(), 25, 250..1_200);
}

#[test]
fn filters_and_derived_features_are_exact() {
    reads_agree(specifications::filters(), 250, 0..60);
    reads_agree(specifications::filters(), 25, 250..1_200);
}

#[test]
fn sessions_are_exact() {
    reads_agree(specifications::sessions(), 250, 0..60);
    reads_agree(specifications::sessions(), 25, 250..1_200);
}

#[test]
fn fields_of_every_width_are_exact() {
    reads_agree(specifications::widths(), 150, 0..60);
    reads_agree(specifications::widths(), 15, 250..1_200);
}

#[test]
fn calendar_periods_begin_at_local_midnight_whatever_the_offset() {
    for offset_minutes in [0, -300, 330, 840, -719, 1] {
        reads_agree(specifications::calendars(offset_minutes), 50, 0..60);
        reads_agree(specifications::calendars(offset_minutes), 5, 250..1_200);
    }
}

#[test]
fn a_single_count_and_lifetimes_alone_are_exact() {
    reads_agree(specifications::smallest(), 100, 0..60);
    reads_agree(specifications::smallest(), 10, 250..1_200);
    reads_agree(specifications::lifetimes(), 100, 0..60);
}

#[test]
fn as_many_filters_as_a_row_has_bits_are_exact_and_one_more_is_refused() {
    for filters in [7, 8, 9, 16, 17, 63, 64] {
        reads_agree(specifications::streams(filters), 15, 0..40);
        reads_agree(specifications::streams(filters), 2, 250..600);
    }
    let text = specifications::streams(65).toml();
    let specification = Specification::parse("features.toml", &text).expect("valid in itself");
    assert!(matches!(FeaturePlan::compile(specification), Err(PlanError::TooManyStreams(65))));
}

#[test]
fn any_specification_is_exact() {
    let people = any_specification().prop_flat_map(|model| {
        let history = prop_oneof![6 => histories(&model, 0..60), 1 => histories(&model, 250..600)];
        (Just(model), history)
    });
    holds(300, people, |(model, history)| {
        let (trial, history) = (Trial::of(model), history.without_conflicts());
        trial.agrees(&trial.timeline(&history.events), &history)
    });
}

#[test]
fn many_events_of_one_instant_keep_one_order() {
    for model in [specifications::everything(), specifications::filters(), specifications::sessions()] {
        let trial = Trial::of(model);
        let sizes = prop_oneof![5 => tied_histories(&trial.model, 2..60), 1 => tied_histories(&trial.model, 250..800)];
        holds(60, sizes, |history| {
            let history = history.without_conflicts();
            trial.agrees(&trial.timeline(&history.events), &history)
        });
    }
}

#[test]
fn a_read_never_counts_the_applications_own_event() {
    for model in [specifications::filters(), specifications::everything()] {
        let trial = Trial::of(model);
        let crowd = || tied_histories(&trial.model, 0..40);
        let people =
            prop_oneof![3 => histories(&trial.model, 0..40), 2 => crowd(), 1 => histories(&trial.model, 250..500)];
        holds(150, people, |history| {
            let History { mut events, application, reads_ms } = history.without_conflicts();
            let as_of_ms = reads_ms[0];
            let is_own = |event: &Event| event.time().millis() == as_of_ms && event.id() == application.id();
            events.retain(|event| !is_own(event));
            let without = trial.read(&trial.timeline(&events), &application, as_of_ms);
            let own = application.as_event(trial.plan.specification(), Timestamp::from_millis(as_of_ms));
            events.insert(events.len() / 2, own);
            let timeline = trial.timeline(&events);
            let with = trial.read(&timeline, &application, as_of_ms);
            trial.same(&with.values, &without.values, "with and without its own event")?;
            prop_assert_eq!(with.facts, without.facts);
            let other = Application::new("p", event_id("another"), application.values().to_vec());
            trial.agrees(&timeline, &History { events, application: other, reads_ms })
        });
    }
}

#[test]
fn an_event_of_another_type_under_the_applications_id_is_seen() {
    let trial = Trial::of(specifications::everything());
    let as_of = Timestamp::from_millis(1_750_000_000_000);
    let application = Application::new("p", event_id("7"), vec![30, MISSING, MISSING, 0, MISSING, MISSING]);
    let payment = Event::new("p", event_id("7"), as_of, 0, vec![1_050, 0, 0, 0, 0]);
    let agrees =
        trial.agrees_at(&trial.timeline([&payment]), std::slice::from_ref(&payment), &application, as_of.millis());
    agrees.expect("only an event of type `application` can be the application's own");
}

#[test]
fn somebody_without_history_has_features() {
    let trial = Trial::of(specifications::filters());
    holds(20, histories(&trial.model, 0..1), |history| {
        let history = History { events: Vec::new(), ..history };
        trial.agrees(&trial.timeline(&[]), &history)
    });
}

/// How many logins the minute before `as_of` holds, told without the oracle.
fn logins_of_the_last_minute(before_as_of_ms: &[i64]) -> f32 {
    let trial = Trial::of(specifications::smallest());
    let as_of_ms = 1_750_000_000_000;
    let login = |(index, before_ms): (usize, &i64)| {
        Event::new("p", event_id(&index.to_string()), Timestamp::from_millis(as_of_ms - before_ms), 0, Vec::new())
    };
    let logins: Vec<_> = before_as_of_ms.iter().enumerate().map(login).collect();
    let application = Application::new("p", event_id("a"), vec![40]);
    trial.read(&trial.timeline(&logins), &application, as_of_ms).values[0]
}

#[test]
fn an_event_at_the_lower_edge_is_outside_and_one_at_as_of_inside() {
    assert_eq!(logins_of_the_last_minute(&[60_000]), 0.0);
    assert_eq!(logins_of_the_last_minute(&[59_999]), 1.0);
    assert_eq!(logins_of_the_last_minute(&[0]), 1.0);
    assert_eq!(logins_of_the_last_minute(&[-1]), 0.0);
    assert_eq!(logins_of_the_last_minute(&[-1, 0, 1, 59_999, 60_000, 60_001]), 3.0);
}
