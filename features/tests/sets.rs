//! A timeline is a set: arrival order, redelivery, batching, copies and snapshots change nothing (F1).

use cauce_features::event::Event;
use cauce_features::timeline::{Applied, Timeline};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::histories::{History, histories, tied_histories};
use crate::specifications;
use crate::trial::{Trial, holds};

/// A history and the same events in another order, some of them twice.
fn redelivered(history: impl Strategy<Value = History>) -> impl Strategy<Value = (History, Vec<Event>)> {
    history.prop_flat_map(|history| {
        let again = prop::sample::subsequence(history.events.clone(), 0..=history.events.len());
        let arrivals = again.prop_flat_map({
            let events = history.events.clone();
            move |again| Just([events.clone(), again].concat()).prop_shuffle()
        });
        (Just(history), arrivals)
    })
}

fn people(trial: &Trial) -> impl Strategy<Value = History> + use<> {
    let model = &trial.model;
    prop_oneof![4 => histories(model, 0..60), 2 => tied_histories(model, 0..60), 1 => histories(model, 250..800)]
}

fn trials() -> [Trial; 3] {
    [specifications::everything(), specifications::filters(), specifications::widths()].map(Trial::of)
}

#[test]
fn arrival_order_and_redelivery_change_nothing() {
    for trial in trials() {
        holds(60, redelivered(people(&trial)), |(history, arrivals)| {
            let history = History { events: trial.settled(&history.events), ..history };
            let in_order = trial.timeline(&history.events);
            let as_arrived = trial.timeline(&arrivals);
            prop_assert_eq!(as_arrived.len(&trial.plan), history.events.len());
            prop_assert!(as_arrived.encode(&trial.plan) == in_order.encode(&trial.plan), "snapshots differ");
            prop_assert_eq!(as_arrived.oldest(&trial.plan), history.events.iter().map(Event::time).min());
            trial.agrees(&as_arrived, &history)
        });
    }
}

#[test]
fn a_probe_says_what_applying_would_and_changes_nothing() {
    for trial in trials() {
        holds(60, redelivered(people(&trial)), |(_, arrivals)| {
            let mut timeline = Timeline::default();
            for event in &arrivals {
                let before = timeline.encode(&trial.plan);
                let probed = timeline.probe(&trial.plan, event);
                prop_assert!(timeline.encode(&trial.plan) == before);
                prop_assert_eq!(timeline.apply(&trial.plan, event), probed);
            }
            Ok(())
        });
    }
}

#[test]
fn an_event_is_new_once_and_a_duplicate_ever_after() {
    let trial = Trial::of(specifications::filters());
    holds(60, redelivered(people(&trial)), |(history, arrivals)| {
        let (history, mut timeline) = (history.without_conflicts(), Timeline::default());
        for event in &history.events {
            prop_assert_eq!(timeline.apply(&trial.plan, event), Applied::New);
        }
        for event in arrivals.iter().filter(|event| history.events.contains(event)) {
            prop_assert_eq!(timeline.apply(&trial.plan, event), Applied::Duplicate);
        }
        Ok(())
    });
}

#[test]
fn of_two_contents_of_one_identity_the_same_stands_whatever_came_first() {
    for trial in trials() {
        let clash = redelivered(tied_histories(&trial.model, 2..12));
        holds(100, clash, |(history, arrivals)| {
            let timeline = trial.timeline(&arrivals);
            let mut backwards = arrivals.clone();
            backwards.reverse();
            prop_assert!(timeline.encode(&trial.plan) == trial.timeline(&backwards).encode(&trial.plan));
            let settled = trial.settled(&arrivals);
            prop_assert_eq!(timeline.len(&trial.plan), settled.len());
            trial.agrees(&timeline, &History { events: settled, ..history })
        });
    }
}

#[test]
fn a_conflict_is_reported_and_the_greater_content_stands_in_busy_people_too() {
    let trial = Trial::of(specifications::everything());
    let clash = redelivered(tied_histories(&trial.model, 300..900));
    holds(10, clash, |(history, arrivals)| {
        let timeline = trial.timeline(&arrivals);
        let settled = trial.settled(&history.events);
        prop_assert_eq!(timeline.len(&trial.plan), settled.len());
        trial.agrees(&timeline, &History { events: settled, ..history })
    });
}

#[test]
fn merging_two_copies_is_their_union() {
    for trial in trials() {
        let split = people(&trial).prop_flat_map(|history| {
            let size = history.events.len();
            (Just(history), prop::collection::vec(1..=3_u8, size))
        });
        holds(60, split, |(history, sides)| {
            let copy = |side: u8| {
                trial.timeline(
                    history.events.iter().zip(&sides).filter(|(_, on)| *on & side != 0).map(|(event, _)| event),
                )
            };
            let merged = |into: &Timeline, from: &Timeline| {
                let mut merged = into.clone();
                merged.merge(&trial.plan, from);
                merged
            };
            let (left, right, whole) = (copy(1), copy(2), copy(3));
            let bytes = whole.encode(&trial.plan);
            prop_assert!(merged(&left, &right).encode(&trial.plan) == bytes, "left with right is not the union");
            prop_assert!(merged(&right, &left).encode(&trial.plan) == bytes, "right with left is not the union");
            prop_assert!(merged(&whole, &left).encode(&trial.plan) == bytes, "merging again changed something");
            let settled = History { events: trial.settled(&history.events), ..history.clone() };
            trial.agrees(&merged(&left, &right), &settled)
        });
    }
}

#[test]
fn a_snapshot_reads_and_writes_as_what_it_was_taken_of() {
    for trial in trials() {
        holds(80, (people(&trial), any::<Index>()), |(history, cut)| {
            let history = history.without_conflicts();
            let taken = cut.index(history.events.len() + 1);
            let before = trial.timeline(&history.events[..taken]);
            let bytes = before.encode(&trial.plan);
            let mut restored = Timeline::decode(&trial.plan, &bytes).expect("its own snapshot");
            prop_assert!(restored.encode(&trial.plan) == bytes, "a snapshot of a snapshot differs");
            let early = History { events: history.events[..taken].to_vec(), ..history.clone() };
            trial.agrees(&restored, &early)?;
            for event in &history.events[taken..] {
                prop_assert_eq!(restored.apply(&trial.plan, event), Applied::New);
            }
            let whole = trial.timeline(&history.events);
            prop_assert!(restored.encode(&trial.plan) == whole.encode(&trial.plan), "a restart left a trace");
            trial.agrees(&restored, &history)
        });
    }
}

#[test]
fn a_snapshot_cut_short_or_of_another_specification_is_refused() {
    let (trial, other) = (Trial::of(specifications::filters()), Trial::of(specifications::everything()));
    holds(40, (people(&trial), any::<Index>()), |(history, cut)| {
        let bytes = trial.timeline(&history.events).encode(&trial.plan);
        prop_assert!(Timeline::decode(&other.plan, &bytes).is_err(), "another specification's snapshot was taken");
        let short = &bytes[..cut.index(bytes.len())];
        prop_assert!(Timeline::decode(&trial.plan, short).is_err(), "a cut snapshot was taken");
        Ok(())
    });
}

#[test]
fn a_damaged_snapshot_is_refused_or_is_a_timeline_like_any_other() {
    let trial = Trial::of(specifications::filters());
    holds(150, (people(&trial), any::<Index>(), 1..=255_u8), |(history, at, damage)| {
        let mut bytes = trial.timeline(&history.events).encode(&trial.plan);
        let at = at.index(bytes.len());
        bytes[at] ^= damage;
        if let Ok(mut timeline) = Timeline::decode(&trial.plan, &bytes) {
            let again = Timeline::decode(&trial.plan, &timeline.encode(&trial.plan)).expect("its own snapshot");
            prop_assert!(timeline.encode(&trial.plan) == again.encode(&trial.plan));
            for &as_of_ms in &history.reads_ms {
                trial.read(&timeline, &history.application, as_of_ms);
            }
            history.events.iter().for_each(|event| {
                timeline.apply(&trial.plan, event);
            });
        }
        Ok(())
    });
}
