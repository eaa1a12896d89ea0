//! What has left the log: evicted events, which lifetime features go on counting, and events merged by the hour.

use cauce_features::application::Application;
use cauce_features::event::Event;
use cauce_features::spec::{Aggregate, Window};
use cauce_features::time::Timestamp;
use cauce_features::timeline::{Applied, Timeline};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseResult;

use crate::calendar;
use crate::histories::{History, histories};
use crate::model::{Made, Model};
use crate::oracle;
use crate::specifications;
use crate::trial::{Trial, holds};

const DAY_MS: i64 = 86_400_000;

/// A history without conflicts, and an instant through which to evict: often that of an event, or a millisecond beside.
fn people(trial: &Trial) -> impl Strategy<Value = (History, i64)> + use<> {
    let model = &trial.model;
    let history = prop_oneof![5 => histories(model, 1..60), 1 => histories(model, 250..800)];
    (history, any::<Index>(), -1..=1_i64).prop_map(|(history, which, delta_ms)| {
        let history = history.without_conflicts();
        let event = &history.events[which.index(history.events.len())];
        let through_ms = event.time().millis() + delta_ms;
        (history, through_ms)
    })
}

fn trials() -> [Trial; 4] {
    let calendars = specifications::calendars(-300);
    [specifications::everything(), specifications::filters(), calendars, specifications::lifetimes()].map(Trial::of)
}

/// The lower edge of a feature's window; `None` for those that reach everything or nothing.
fn reach_ms(model: &Model, feature: usize, as_of_ms: i64) -> Option<i64> {
    match &model.features[feature].made {
        Made::Windowed(windowed) => oracle::reach_ms(model, &windowed.window, as_of_ms),
        Made::Derived(_) => None,
    }
}

/// Whether a feature's window, or that of any feature it is made of, needs nothing older than this instant.
fn needs_only_after(model: &Model, feature: usize, as_of_ms: i64, through_ms: i64) -> bool {
    match &model.features[feature].made {
        Made::Derived(_) => false,
        Made::Windowed(_) => reach_ms(model, feature, as_of_ms).is_none_or(|reach_ms| reach_ms > through_ms),
    }
}

fn evicted(trial: &Trial, events: &[Event], through_ms: i64) -> Timeline {
    let mut timeline = trial.timeline(events);
    timeline.evict(&trial.plan, Timestamp::from_millis(through_ms));
    timeline
}

/// The features that `expected` selects say what the oracle says of these events.
fn agree_where(
    trial: &Trial,
    timeline: &Timeline,
    (events, application, as_of_ms): (&[Event], &Application, i64),
    expected: impl Fn(usize) -> bool,
) -> TestCaseResult {
    let read = trial.read(timeline, application, as_of_ms).values;
    let truth = oracle::vector(&trial.model, events, application, as_of_ms);
    let mask = |values: Vec<f32>| -> Vec<f32> {
        values.into_iter().enumerate().map(|(at, value)| if expected(at) { value } else { 0.0 }).collect()
    };
    trial.same(&mask(read), &mask(truth), &format!("at {as_of_ms}, engine and oracle"))
}

#[test]
fn eviction_changes_no_read_that_is_a_horizon_or_more_behind_it() {
    for trial in trials() {
        let later = prop_oneof![Just(0), Just(1), 0..10_000_000_000_i64];
        holds(80, (people(&trial), later), |((history, through_ms), later_ms)| {
            let timeline = evicted(&trial, &history.events, through_ms);
            let as_of_ms = through_ms + trial.model.horizon_ms + later_ms;
            trial.same(
                &trial.read(&timeline, &history.application, as_of_ms).values,
                &oracle::vector(&trial.model, &history.events, &history.application, as_of_ms),
                "engine after eviction and oracle",
            )?;
            let facts = trial.read(&timeline, &history.application, as_of_ms).facts;
            prop_assert!(!facts.truncated, "no window reaches below the frontier");
            Ok(())
        });
    }
}

#[test]
fn a_window_over_what_was_evicted_holds_what_is_left_and_says_so_and_any_other_stays_exact() {
    for trial in trials() {
        // Later than the frontier: at it, the application's own event may itself be among the evicted.
        let later = prop_oneof![Just(1), 1..8_000_000_000_i64];
        holds(80, (people(&trial), later), |((history, through_ms), later_ms)| {
            let timeline = evicted(&trial, &history.events, through_ms);
            let as_of_ms = through_ms + later_ms;
            let read = (&history.events[..], &history.application, as_of_ms);
            agree_where(&trial, &timeline, read, |feature| {
                needs_only_after(&trial.model, feature, as_of_ms, through_ms)
            })?;
            let kept: Vec<_> =
                history.events.iter().filter(|event| event.time().millis() > through_ms).cloned().collect();
            agree_where(&trial, &timeline, (&kept, read.1, as_of_ms), |feature| {
                reach_ms(&trial.model, feature, as_of_ms).is_some()
            })?;
            let reaches = |feature| reach_ms(&trial.model, feature, as_of_ms).is_some_and(|reach| reach <= through_ms);
            let truncated = trial.read(&timeline, &history.application, as_of_ms).facts.truncated;
            prop_assert_eq!(truncated, (0..trial.plan.width()).any(reaches));
            Ok(())
        });
    }
}

#[test]
fn a_read_before_the_frontier_says_that_it_is_truncated() {
    for trial in trials() {
        holds(40, people(&trial), |(history, through_ms)| {
            let timeline = evicted(&trial, &history.events, through_ms);
            let before = trial.read(&timeline, &history.application, through_ms - 1);
            prop_assert!(before.facts.truncated);
            Ok(())
        });
    }
}

#[test]
fn an_event_behind_the_frontier_is_too_late_and_changes_nothing() {
    for trial in trials() {
        holds(60, people(&trial), |(history, through_ms)| {
            let mut timeline = evicted(&trial, &history.events, through_ms);
            let before = timeline.encode(&trial.plan);
            for event in &history.events {
                let late = event.time().millis() <= through_ms;
                let expected = if late { Applied::TooLate } else { Applied::Duplicate };
                prop_assert_eq!(timeline.apply(&trial.plan, event), expected);
            }
            prop_assert!(timeline.encode(&trial.plan) == before);
            let kept = history.events.iter().filter(|event| event.time().millis() > through_ms);
            prop_assert_eq!(timeline.len(&trial.plan), kept.clone().count());
            prop_assert_eq!(timeline.oldest(&trial.plan), kept.map(Event::time).min());
            Ok(())
        });
    }
}

#[test]
fn eviction_amid_arrivals_loses_what_comes_too_late_and_nothing_else() {
    for trial in trials() {
        holds(60, (people(&trial), any::<Index>()), |((history, through_ms), before)| {
            let (before, after) = history.events.split_at(before.index(history.events.len() + 1));
            let mut timeline = evicted(&trial, before, through_ms);
            after.iter().for_each(|event| {
                timeline.apply(&trial.plan, event);
            });
            let in_time = after.iter().filter(|event| event.time().millis() > through_ms);
            let known: Vec<_> = before.iter().chain(in_time).cloned().collect();
            prop_assert!(timeline.encode(&trial.plan) == evicted(&trial, &known, through_ms).encode(&trial.plan));
            let read = (&known[..], &history.application, through_ms + trial.model.horizon_ms);
            agree_where(&trial, &timeline, read, |_| true)
        });
    }
}

#[test]
fn evicting_step_by_step_in_any_copy_is_evicting_at_once() {
    for trial in trials() {
        let steps = prop::collection::vec(0..2_000_000_000_i64, 0..4);
        holds(60, (people(&trial), steps, any::<bool>()), |((history, through_ms), mut steps, restart)| {
            steps.sort_unstable();
            let mut timeline = trial.timeline(history.events.iter().rev());
            for before_ms in steps.into_iter().rev() {
                timeline.evict(&trial.plan, Timestamp::from_millis(through_ms - before_ms));
                if restart {
                    timeline = Timeline::decode(&trial.plan, &timeline.encode(&trial.plan)).expect("its own snapshot");
                }
            }
            timeline.evict(&trial.plan, Timestamp::from_millis(through_ms));
            let at_once = evicted(&trial, &history.events, through_ms);
            prop_assert!(timeline.encode(&trial.plan) == at_once.encode(&trial.plan));
            Ok(())
        });
    }
}

#[test]
fn a_copy_that_has_read_less_or_evicted_less_merges_into_the_same() {
    for trial in trials() {
        holds(60, (people(&trial), any::<Index>(), any::<Index>()), |((history, through_ms), read, behind)| {
            let read = read.index(history.events.len() + 1);
            let earlier_ms = through_ms - behind.index(10_000_000) as i64 * 1_000;
            let whole = evicted(&trial, &history.events, through_ms);
            let less = trial.timeline(&history.events[..read]);
            let evicted_less = evicted(&trial, &history.events, earlier_ms);
            let read_less = evicted(&trial, &history.events[..read], earlier_ms);
            for (which, copy) in [less, evicted_less, read_less].into_iter().enumerate() {
                let (mut there, mut back) = (whole.clone(), copy.clone());
                there.merge(&trial.plan, &copy);
                back.merge(&trial.plan, &whole);
                prop_assert!(there.encode(&trial.plan) == whole.encode(&trial.plan), "copy {which} into the whole");
                prop_assert!(back.encode(&trial.plan) == whole.encode(&trial.plan), "the whole into copy {which}");
            }
            Ok(())
        });
    }
}

/// Whether coarsening leaves this feature alone: its window holds all merged events or none of them.
fn survives(model: &Model, feature: usize, as_of_ms: i64, (oldest_ms, newest_ms): (i64, i64)) -> bool {
    let Made::Windowed(windowed) = &model.features[feature].made else { return false };
    if needs_only_after(model, feature, as_of_ms, newest_ms) && windowed.window != Window::Lifetime {
        return true;
    }
    if let Window::Calendar { unit, previous: true } = windowed.window
        && calendar::start(as_of_ms, unit, model.utc_offset_minutes, 0) <= oldest_ms
    {
        // Over before the first merged event.
        return true;
    }
    let exact = matches!(windowed.aggregate, Aggregate::Count | Aggregate::Sum | Aggregate::Min | Aggregate::Max);
    let holds_all = match windowed.window {
        Window::Session { .. } => false,
        Window::Calendar { unit, previous: true } => {
            let start = |back| calendar::start(as_of_ms, unit, model.utc_offset_minutes, back);
            start(1) <= oldest_ms && newest_ms < start(0)
        }
        _ => reach_ms(model, feature, as_of_ms).is_none_or(|reach| reach <= oldest_ms),
    };
    exact && holds_all
}

#[test]
fn coarsening_keeps_counts_sums_minima_and_maxima_and_says_how_many_it_merged() {
    for trial in trials() {
        let later = prop_oneof![Just(0), 0..DAY_MS, 0..100 * DAY_MS];
        holds(80, (people(&trial), 0..400_usize, later), |((history, _), cap, later_ms)| {
            let mut timeline = trial.timeline(&history.events);
            let merged = timeline.coarsen(&trial.plan, cap);
            prop_assert_eq!(merged > 0, history.events.len() > cap);
            prop_assert_eq!(timeline.coarsened(), merged as u64);
            prop_assert_eq!(timeline.len(&trial.plan), history.events.len() - merged);
            prop_assert!(timeline.len(&trial.plan) <= cap);
            let mut times: Vec<_> = history.events.iter().map(|event| event.time().millis()).collect();
            times.sort_unstable();
            let as_of_ms = times[times.len() - 1] + later_ms;
            let read = (&history.events[..], &history.application, as_of_ms);
            prop_assert_eq!(trial.read(&timeline, &history.application, as_of_ms).facts.coarse, merged > 0);
            let Some(last) = merged.checked_sub(1) else { return trial.agrees(&timeline, &history) };
            let merged_event = history.events.iter().find(|event| event.time().millis() == times[last]);
            let late = merged_event.expect("one of the merged");
            prop_assert_eq!(timeline.apply(&trial.plan, late), Applied::TooLate);
            let survives = |feature| survives(&trial.model, feature, as_of_ms, (times[0], times[last]));
            agree_where(&trial, &timeline, read, survives)?;
            let restored = Timeline::decode(&trial.plan, &timeline.encode(&trial.plan)).expect("its own snapshot");
            prop_assert!(restored.encode(&trial.plan) == timeline.encode(&trial.plan));
            prop_assert_eq!(restored.coarsened(), merged as u64);
            agree_where(&trial, &restored, read, survives)
        });
    }
}

#[test]
fn a_coarsened_copy_and_a_whole_one_merge_into_the_same_counts() {
    for trial in trials() {
        holds(60, (people(&trial), 0..200_usize), |((history, _), cap)| {
            let whole = trial.timeline(&history.events);
            let mut coarse = whole.clone();
            let Some(last) = coarse.coarsen(&trial.plan, cap).checked_sub(1) else { return Ok(()) };
            let mut times: Vec<_> = history.events.iter().map(|event| event.time().millis()).collect();
            times.sort_unstable();
            let as_of_ms = times[times.len() - 1];
            let read = (&history.events[..], &history.application, as_of_ms);
            for (mut into, from) in [(whole.clone(), &coarse), (coarse.clone(), &whole), (coarse.clone(), &coarse)] {
                into.merge(&trial.plan, from);
                prop_assert_eq!(into.len(&trial.plan), history.events.len() - last - 1);
                prop_assert_eq!(into.coarsened(), last as u64 + 1);
                agree_where(&trial, &into, read, |feature| {
                    survives(&trial.model, feature, as_of_ms, (times[0], times[last]))
                })?;
            }
            Ok(())
        });
    }
}

#[test]
fn coarsened_events_go_on_counting_for_life_once_they_are_evicted() {
    let trial = Trial::of(specifications::everything());
    holds(60, (people(&trial), 0..100_usize), |((history, through_ms), cap)| {
        let mut timeline = trial.timeline(&history.events);
        timeline.coarsen(&trial.plan, cap);
        timeline.evict(&trial.plan, Timestamp::from_millis(through_ms));
        let newest_ms = history.events.iter().map(|event| event.time().millis()).max().expect("someone with events");
        let as_of_ms = newest_ms.max(through_ms + trial.model.horizon_ms);
        let of_life = |feature: usize| match &trial.model.features[feature].made {
            Made::Windowed(windowed) => {
                let exact = [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max];
                windowed.window == Window::Lifetime && exact.contains(&windowed.aggregate)
            }
            Made::Derived(_) => false,
        };
        agree_where(&trial, &timeline, (&history.events, &history.application, as_of_ms), of_life)
    });
}
