//! Which rates are tried, and what is found, with a service that is a formula.

use super::*;
use crate::outcome::Answers;
use crate::traffic::Verdict;

const MS: Duration = Duration::from_millis(1);
const GOAL: Goal = Goal { p99: Some(Duration::from_millis(5)), error_rate: 0.0 };

/// Rates, and whether they held.
type Tried<'a> = &'a [(f64, bool)];

/// What a run of a second at a rate comes to: so many good answers that took so long, by a generator that was so late.
fn outcome(due: u64, good: u64, took: Duration, lag: Duration) -> Outcome {
    let mut outcome = Outcome::new(vec!["score".to_owned()], Duration::from_secs(1));
    let mut answers = Answers::default();
    (0..good).for_each(|_| answers.from_due.record(took));
    (0..due).for_each(|_| outcome.lag.record(lag));
    outcome.answered.insert((0, Verdict::Good, 200), answers);
    (outcome.due, outcome.sent, outcome.good_meanwhile) = (due, due, good);
    outcome
}

/// A service that answers 1,000 a second in a millisecond, and above that lets them wait.
fn service(rate: f64) -> Outcome {
    let took = if rate <= 1000.0 { MS } else { MS * 50 };
    outcome(rate as u64, rate.min(1000.0) as u64, took, MS / 10)
}

#[test]
fn rates_grow_until_one_misses_and_then_what_is_between_is_halved() {
    let by_factor = Steps { from: 100.0, growth: Growth::Factor(2.0), up_to: 1000.0, halvings: 2, tries: 1 };
    let by = Steps { growth: Growth::By(300.0), ..by_factor };
    let cases: [(Steps, Tried<'_>, Option<f64>); 11] = [
        (by_factor, &[], Some(100.0)),
        (by_factor, &[(100.0, true)], Some(200.0)),
        (by, &[(100.0, true)], Some(400.0)),
        (by_factor, &[(100.0, true), (800.0, true)], Some(1000.0)),
        (by_factor, &[(100.0, true), (1000.0, true)], None),
        (by_factor, &[(100.0, true), (200.0, false)], Some(150.0)),
        (by_factor, &[(100.0, true), (200.0, false), (150.0, true)], Some(175.0)),
        (by_factor, &[(100.0, true), (200.0, false), (150.0, false)], Some(125.0)),
        (by_factor, &[(100.0, true), (200.0, false), (150.0, true), (175.0, true)], None),
        (by_factor, &[(100.0, false)], Some(50.0)),
        (Steps { growth: Growth::Factor(1.0), ..by_factor }, &[(100.0, true)], None),
    ];
    for (steps, tried, expected) in cases {
        assert_eq!(steps.next(tried), expected, "{tried:?}");
    }
}

#[test]
fn highest_rate_is_found_between_the_last_step_that_held_and_the_first_that_missed() {
    let steps = Steps { from: 100.0, growth: Growth::Factor(2.0), up_to: 1e6, halvings: 6, tries: 1 };
    let search = Search::by_steps(&steps, &GOAL, |rate| Ok(service(rate))).unwrap();
    let highest = search.highest.unwrap();
    assert!((980.0..=1000.0).contains(&highest), "{highest}");
    assert!(!search.limited_by_generator && search.steps.len() == 5 + 6);
}

#[test]
fn step_holds_where_all_that_is_asked_of_it_does() {
    let lag = MS / 10;
    let slack = Goal { error_rate: 0.2, ..GOAL };
    let (any, errors) = (Goal { p99: None, ..GOAL }, Goal { p99: None, error_rate: 0.5 });
    let unsent_late = |mut outcome: Outcome| {
        outcome.good_meanwhile /= 2;
        outcome
    };
    let cases = [
        (outcome(100, 100, MS, lag), GOAL, true),
        (outcome(100, 100, MS * 6, lag), GOAL, false),
        (outcome(100, 100, MS * 6, lag), any, true),
        (outcome(100, 99, MS, lag), GOAL, false),
        (outcome(100, 85, MS, lag), slack, true),
        (outcome(100, 75, MS, lag), slack, false),
        (unsent_late(outcome(100, 100, MS, lag)), any, false),
        (outcome(100, 0, MS, lag), GOAL, false),
        (outcome(100, 0, MS, lag), errors, false),
    ];
    for (number, (outcome, goal, holds)) in cases.into_iter().enumerate() {
        let step = Step::of(&outcome, &goal);
        assert_eq!((step.holds, step.not_driven), (holds, None), "case {number}");
    }
}

#[test]
fn step_that_the_generator_could_not_drive_ends_the_search_and_says_so() {
    let steps = Steps { from: 100.0, growth: Growth::Factor(2.0), up_to: 1e6, halvings: 6, tries: 1 };
    let times = |rate: f64| if rate > 300.0 { (MS * 6, MS) } else { (MS * 2, MS / 10) };
    let run = |rate: f64, (took, lag)| Ok(outcome(rate as u64, rate as u64, took, lag));
    let search = Search::by_steps(&steps, &GOAL, |rate| run(rate, times(rate))).unwrap();
    assert_eq!((search.highest, search.limited_by_generator, search.steps.len()), (Some(200.0), true, 3));
    assert!(matches!(search.steps[2].not_driven, Some(NotDriven::Late { .. })), "{:?}", search.steps[2]);
}

#[test]
fn goal_that_is_kept_to_with_the_generators_own_lateness_is_kept_to_by_the_service() {
    let late = Step::of(&outcome(100, 100, MS * 4, MS), &GOAL);
    assert!(late.holds && late.not_driven.is_none() && late.p99.is_err(), "{late:?}");
    // Of two tenths of a goal that is missed by more, nobody knows what they brought about.
    let missed = Step::of(&outcome(100, 100, MS * 40, MS), &GOAL);
    assert!(!missed.holds && missed.not_driven.is_some() && missed.p99.is_ok(), "{missed:?}");
    // What the service refused or failed is not the generator's, however late it was.
    let steps = Steps { from: 100.0, growth: Growth::Factor(2.0), up_to: 200.0, halvings: 0, tries: 1 };
    let failing = |rate: f64| Ok(outcome(rate as u64, if rate > 150.0 { 150 } else { 100 }, MS * 4, MS));
    let search = Search::by_steps(&steps, &GOAL, failing).unwrap();
    assert_eq!((search.highest, search.limited_by_generator), (Some(100.0), false));
}

/// The tries of a rate, in order, each as what came of it, and what the search then says.
#[test]
fn rate_that_does_not_hold_is_tried_again_and_a_pause_of_the_generator_fails_no_search() {
    let (good, slow, late) = ((MS, MS / 10), (MS * 9, MS / 10), (MS * 9, MS * 5));
    let steps = Steps { from: 100.0, growth: Growth::Factor(2.0), up_to: 400.0, halvings: 1, tries: 2 };
    let cases: [(&[_], Option<f64>, bool, usize); 6] = [
        (&[good, slow, good, good], Some(400.0), false, 3),
        (&[good, late, good, good], Some(400.0), false, 3),
        (&[good, late, late], Some(100.0), true, 2),
        (&[good, late, slow, good], Some(150.0), false, 3),
        (&[good, slow, late, good], Some(150.0), false, 3),
        (&[good, slow, slow, late, late], Some(100.0), false, 3),
    ];
    for (number, (tries, highest, is_limited, told)) in cases.into_iter().enumerate() {
        let mut tries = tries.iter();
        let drive = |rate: f64| {
            let (took, lag) = *tries.next().unwrap_or_else(|| panic!("case {number}: {rate}"));
            Ok(outcome(rate as u64, rate as u64, took, lag))
        };
        let search = Search::by_steps(&steps, &GOAL, drive).unwrap();
        let found = (search.highest, search.limited_by_generator, search.steps.len());
        assert_eq!(found, (highest, is_limited, told), "case {number}");
        assert_eq!(tries.next(), None, "case {number}");
    }
}

#[test]
fn search_that_is_interrupted_says_what_was_found() {
    let steps = Steps { from: 100.0, growth: Growth::Factor(2.0), up_to: 1e6, halvings: 6, tries: 2 };
    let stopped = |rate| if rate > 300.0 { Err(ErrorKind::Interrupted.into()) } else { Ok(service(rate)) };
    let search = Search::by_steps(&steps, &GOAL, stopped).unwrap();
    assert_eq!((search.highest, search.limited_by_generator, search.steps.len()), (Some(200.0), false, 2));
}

#[test]
fn drive_that_fails_ends_the_search_with_its_error() {
    let steps = Steps { from: 100.0, growth: Growth::Factor(2.0), up_to: 1e6, halvings: 6, tries: 1 };
    assert!(Search::by_steps(&steps, &GOAL, |_| Err(io::Error::other("gone"))).is_err());
}

/// Seconds with growing rates, of which these take too long.
fn ramp(slow: &[usize], lag_p99: Duration) -> Outcome {
    let mut ramp = outcome(1, 1, MS, MS / 10);
    ramp.seconds = (0..10)
        .map(|number| {
            let due = 100 * (number as u64 + 1);
            let p99 = if slow.contains(&number) { MS * 9 } else { MS };
            Second { due, good: due, came_in: due, p50: MS, p99, max: p99, lag_p99, ..Second::default() }
        })
        .collect();
    ramp
}

#[test]
fn ramp_ends_where_three_seconds_in_a_row_miss() {
    let cases: [(&[usize], Option<f64>, usize); 4] =
        [(&[], Some(1000.0), 10), (&[2, 3, 6, 7, 8], Some(600.0), 9), (&[9], Some(900.0), 10), (&[0, 1, 2], None, 3)];
    for (slow, highest, looked_at) in cases {
        let search = Search::along_ramp(&ramp(slow, MS / 10), &GOAL);
        assert_eq!(
            (search.highest, search.steps.len(), search.limited_by_generator),
            (highest, looked_at, false),
            "{slow:?}"
        );
    }
}

#[test]
fn ramp_goes_on_over_seconds_of_which_the_generator_leaves_nothing_to_be_told() {
    // A late generator leaves nothing to be told of seconds that miss.
    let cases: [(&[usize], Option<f64>, bool, usize); 3] =
        [(&[0, 3, 4], Some(1000.0), false, 10), (&[0, 1, 2], None, true, 3), (&[4, 5, 6, 7], Some(400.0), true, 7)];
    for (slow, highest, is_limited, looked_at) in cases {
        let search = Search::along_ramp(&ramp(slow, MS * 2), &GOAL);
        let found = (search.highest, search.limited_by_generator, search.steps.len());
        assert_eq!(found, (highest, is_limited, looked_at), "{slow:?}");
    }
    let mut outcome = ramp(&[5, 7, 8], MS / 10);
    outcome.seconds[6].lag_p99 = MS * 200;
    outcome.seconds[6].came_in = 0;
    let search = Search::along_ramp(&outcome, &GOAL);
    assert_eq!((search.highest, search.limited_by_generator, search.steps.len()), (Some(500.0), false, 9));
}

/// A service that answers everything, 500 of it a second: only what comes in a second says that a queue grows.
#[test]
fn ramp_without_a_limit_of_latency_ends_where_a_queue_begins_to_grow() {
    let mut outcome = ramp(&[], MS / 10);
    outcome.seconds.iter_mut().for_each(|second| second.came_in = second.due.min(500));
    let search = Search::along_ramp(&outcome, &Goal { p99: None, error_rate: 0.0 });
    assert_eq!((search.highest, search.limited_by_generator, search.steps.len()), (Some(500.0), false, 8));
}

#[test]
fn breach_is_lasting_once_the_p99_is_over_its_limit_for_three_seconds_on_end() {
    let breach = Breach::of(GOAL);
    let look = |tenths: u64, p99: Duration| {
        let elapsed = MS * 100 * tenths as u32;
        breach.is_lasting(&Progress { elapsed, due: tenths, latency_p99: p99, ..Progress::default() })
    };
    assert!((0..20).all(|tenths| !look(tenths, MS * 6)));
    assert!(!look(20, MS));
    assert!((21..51).all(|tenths| !look(tenths, MS * 6)));
    assert!(look(51, MS * 6));
    assert!(!look(52, MS) && (53..83).all(|tenths| !look(tenths, Duration::ZERO)) && look(83, Duration::ZERO));
    // Warm-up may be slow, and where nothing is due nothing comes.
    for (is_warm_up, due, p99) in [(true, 1, MS * 6), (false, 0, Duration::ZERO)] {
        let breach = Breach::of(GOAL);
        let look = |tenths: u64| Progress {
            elapsed: MS * 100 * tenths as u32,
            due: due * tenths,
            latency_p99: p99,
            is_warm_up,
            ..Progress::default()
        };
        assert!(!(0..60).any(|tenths| breach.is_lasting(&look(tenths))));
    }
    assert!(!Breach::of(Goal::default()).is_lasting(&Progress { due: 9, ..Progress::default() }));
}
