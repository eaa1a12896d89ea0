//! The digest of a timeline: one for all copies that have taken in the same events, however they came by them (F1), and another one as
//! soon as an event differs.

use cauce_features::event::Event;
use cauce_features::time::Timestamp;
use cauce_features::timeline::Timeline;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::histories::{History, histories, tied_histories};
use crate::specifications;
use crate::trial::{Trial, holds};

fn people(trial: &Trial) -> impl Strategy<Value = History> + use<> {
    let model = &trial.model;
    prop_oneof![4 => histories(model, 1..60), 2 => tied_histories(model, 1..60), 1 => histories(model, 250..600)]
}

fn trials() -> [Trial; 3] {
    [specifications::everything(), specifications::filters(), specifications::lifetimes()].map(Trial::of)
}

/// The digest as of an instant: of a copy that is evicted through the horizon.
fn digest(trial: &Trial, timeline: &Timeline, through_ms: i64) -> Option<u128> {
    let mut copy = timeline.clone();
    copy.evict(&trial.plan, Timestamp::from_millis(through_ms));
    (!copy.is_empty()).then(|| copy.digest(&trial.plan))
}

/// What happens between two arrivals: nothing, a sweep so long before the last one, or a restart.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    Sweep { before_ms: i64 },
    Restart,
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        6 => Just(Between::Nothing),
        1 => prop_oneof![Just(0), 0..20_000_000_000_i64].prop_map(|before_ms| Between::Sweep { before_ms }),
        1 => Just(Between::Restart),
    ]
}

#[test]
fn order_redelivery_sweeps_and_restarts_leave_the_digest_as_it_is() {
    for trial in trials() {
        let history = people(&trial).prop_flat_map(|history| {
            let history = history.without_conflicts();
            let twice = [history.events.clone(), history.events.clone()].concat();
            let shuffled = Just(twice).prop_shuffle();
            let between = prop::collection::vec(between(), 2 * history.events.len());
            (Just(history), shuffled, between, any::<Index>())
        });
        holds(60, history, |(history, arrivals, between, which)| {
            let through_ms = history.events[which.index(history.events.len())].time().millis();
            let mut timeline = Timeline::default();
            for (at, (event, between)) in arrivals.iter().zip(between).enumerate() {
                timeline.apply(&trial.plan, event);
                match between {
                    Between::Nothing => {}
                    Between::Sweep { before_ms } => {
                        // Sweeps stay behind what is still to arrive: the door refuses what they have passed.
                        let is_to_come = |event: &&Event| !arrivals[..=at].contains(event);
                        let to_come = arrivals[at..].iter().filter(is_to_come).map(|event| event.time().millis()).min();
                        let sweep_ms = to_come.map_or(through_ms, |first_ms| through_ms.min(first_ms - 1)) - before_ms;
                        timeline.evict(&trial.plan, Timestamp::from_millis(sweep_ms));
                    }
                    Between::Restart => {
                        timeline = Timeline::decode(&trial.plan, &timeline.encode(&trial.plan)).expect("its own bytes");
                    }
                }
            }
            let straight = trial.timeline(&history.events);
            prop_assert_eq!(digest(&trial, &timeline, through_ms), digest(&trial, &straight, through_ms));
            Ok(())
        });
    }
}

#[test]
fn sweeps_at_other_instants_after_all_arrivals_leave_the_digest_as_it_is() {
    for trial in trials() {
        let steps = prop::collection::vec(0..4_000_000_000_i64, 0..5);
        holds(60, (people(&trial), steps, any::<Index>()), |(history, mut steps, which)| {
            let through_ms = history.events[which.index(history.events.len())].time().millis();
            let mut swept = trial.timeline(&history.events);
            let straight = swept.clone();
            steps.sort_unstable();
            for before_ms in steps.into_iter().rev() {
                swept.evict(&trial.plan, Timestamp::from_millis(through_ms - before_ms));
                swept = Timeline::decode(&trial.plan, &swept.encode(&trial.plan)).expect("its own bytes");
            }
            prop_assert_eq!(digest(&trial, &swept, through_ms), digest(&trial, &straight, through_ms));
            Ok(())
        });
    }
}

#[test]
fn an_event_more_less_or_other_is_another_digest() {
    for trial in trials() {
        holds(80, (people(&trial), any::<Index>()), |(history, which)| {
            let history = history.without_conflicts();
            let which = which.index(history.events.len());
            let whole = trial.timeline(&history.events);
            let mut fewer = history.events.clone();
            let event = fewer.remove(which);
            prop_assert_ne!(whole.digest(&trial.plan), trial.timeline(&fewer).digest(&trial.plan));
            let id = crate::histories::event_id("another id than any");
            fewer.push(Event::new(event.person(), id, event.time(), event.kind(), event.values().to_vec()));
            prop_assert_ne!(whole.digest(&trial.plan), trial.timeline(&fewer).digest(&trial.plan));
            Ok(())
        });
    }
}

#[test]
fn a_lifetime_goes_on_counting_in_the_digest_what_has_left_the_horizon() {
    let trial = Trial::of(specifications::lifetimes());
    holds(60, people(&trial), |history| {
        let through_ms = history.events.iter().map(|event| event.time().millis()).max().expect("someone with events");
        let whole = trial.timeline(&history.events);
        let mut evicted = whole.clone();
        evicted.evict(&trial.plan, Timestamp::from_millis(through_ms));
        prop_assert_eq!(evicted.len(&trial.plan), 0);
        match evicted.newest(&trial.plan) {
            // Events of streams without a lifetime leave nothing.
            None => prop_assert!(evicted.is_empty()),
            Some(newest) => prop_assert!(newest <= whole.newest(&trial.plan).expect("someone with events")),
        }
        Ok(())
    });
}
