//! Properties of arrivals: how many, how far apart, and in which phase.

use proptest::prelude::*;

use super::*;

fn schedule(pace: Pace, seed: u64, phases: &[(f64, f64, u64)]) -> Schedule {
    let phase = |&(from, to, millis)| Phase { from, to, duration: Duration::from_millis(millis), is_warm_up: false };
    Schedule { phases: phases.iter().map(phase).collect(), pace, seed }
}

/// Those of each second.
fn by_second(schedule: &Schedule) -> Vec<u64> {
    let mut counts = vec![0; schedule.duration().as_secs() as usize];
    schedule.arrivals().for_each(|arrival| counts[arrival.due.as_secs() as usize] += 1);
    counts
}

#[test]
fn constant_pace_has_equal_gaps_and_the_whole_number_of_arrivals() {
    let schedule = schedule(Pace::Constant, 1, &[(250.0, 250.0, 4000)]);
    let due: Vec<_> = schedule.arrivals().map(|arrival| arrival.due).collect();
    assert_eq!((due.len(), due[0], due[999]), (1000, Duration::ZERO, Duration::from_millis(4 * 999)));
    assert!(due.windows(2).all(|two| (two[1] - two[0]).abs_diff(Duration::from_millis(4)) < Duration::from_nanos(10)));
}

/// Of a Poisson process gaps are exponential, and counts by the second have their mean as variance; bounds are of five standard deviations.
#[test]
fn poisson_pace_has_exponential_gaps_and_counts_that_vary_as_much_as_their_mean() {
    let (rate, seconds) = (100.0, 1000.0);
    let schedule = schedule(Pace::Poisson, 7, &[(rate, rate, 1_000_000)]);
    let due: Vec<f64> = schedule.arrivals().map(|arrival| arrival.due.as_secs_f64()).collect();
    let count = due.len() as f64;
    assert!((count - rate * seconds).abs() < 5.0 * (rate * seconds).sqrt(), "{count}");

    let gaps: Vec<f64> = due.windows(2).map(|two| (two[1] - two[0]) * rate).collect();
    for limit in [0.01_f64, 0.1, 0.5, 1.0, 2.0, 4.0] {
        let (expected, part) = (1.0 - (-limit).exp(), gaps.iter().filter(|gap| **gap < limit).count() as f64 / count);
        let deviation = (expected * (1.0 - expected) / count).sqrt();
        assert!((part - expected).abs() < 5.0 * deviation, "{part} of gaps below {limit} means, not {expected}");
    }
    let counts = by_second(&schedule);
    let mean = counts.iter().sum::<u64>() as f64 / seconds;
    let variance = counts.iter().map(|count| (*count as f64 - mean).powi(2)).sum::<f64>() / (seconds - 1.0);
    // The variance of an estimated variance is near 2 / n of its square.
    assert!((variance / mean - 1.0).abs() < 5.0 * (2.0 / seconds).sqrt(), "{variance} of {mean}");
}

#[test]
fn along_a_ramp_arrivals_of_a_second_are_those_of_its_rate() {
    let cases: [(f64, f64, [u64; 5]); 3] = [
        (0.0, 1000.0, [100, 300, 500, 700, 900]),
        (1000.0, 0.0, [900, 700, 500, 300, 100]),
        (400.0, 600.0, [420, 460, 500, 540, 580]),
    ];
    for (from, to, expected) in cases {
        let counts = by_second(&schedule(Pace::Constant, 1, &[(from, to, 5000)]));
        assert!(counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) <= 1), "{counts:?}");
    }
    for (second, count) in by_second(&schedule(Pace::Poisson, 3, &[(0.0, 10_000.0, 5000)])).into_iter().enumerate() {
        let expected = 1000.0 * (2 * second + 1) as f64;
        assert!((count as f64 - expected).abs() < 5.0 * expected.sqrt(), "second {second}: {count}");
    }
}

#[test]
fn arrival_belongs_to_the_phase_that_its_time_falls_in_and_nothing_is_due_at_rate_zero() {
    let phases = [(0.0, 0.0, 500), (100.0, 100.0, 1000), (0.0, 0.0, 1000), (50.0, 150.0, 2000), (10.0, 10.0, 0)];
    for pace in [Pace::Constant, Pace::Poisson] {
        let schedule = schedule(pace, 5, &phases);
        let borders = [0, 500, 1500, 2500, 4500, 4500].map(Duration::from_millis);
        let mut counts = [0; 5];
        for arrival in schedule.arrivals() {
            counts[arrival.phase] += 1;
            assert!((borders[arrival.phase]..=borders[arrival.phase + 1]).contains(&arrival.due), "{arrival:?}");
            assert_eq!(schedule.phase_at(arrival.due), arrival.phase, "{arrival:?}");
        }
        assert_eq!((counts[0], counts[2], counts[4]), (0, 0, 0));
        assert!((60..140).contains(&counts[1]) && (130..270).contains(&counts[3]), "{counts:?}");
    }
    assert_eq!(schedule(Pace::Poisson, 1, &[]).arrivals().count(), 0);
}

#[test]
fn measured_time_is_without_warm_up() {
    let mut schedule = schedule(Pace::Constant, 1, &[(1.0, 1.0, 2000), (1.0, 1.0, 3000), (1.0, 1.0, 4000)]);
    schedule.phases[0].is_warm_up = true;
    let seconds = Duration::from_secs;
    assert_eq!((schedule.duration(), schedule.measured()), (seconds(9), seconds(7)));
    for (end, measured) in [(0, 0), (2, 0), (3, 1), (5, 3), (6, 4), (9, 7), (99, 7)] {
        assert_eq!(schedule.measured_until(seconds(end)), seconds(measured), "{end}");
    }
    let warm: Vec<_> = (0..10).filter(|second| schedule.is_warm_up_at(seconds(*second))).collect();
    assert_eq!((warm, schedule.phase_at(seconds(99))), (vec![0, 1], 2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arrivals_are_numbered_in_order_of_time_and_the_same_for_the_same_seed(
        seed: u64,
        is_poisson: bool,
        phases in prop::collection::vec((0.0..500.0_f64, 0.0..500.0_f64, 0..3000_u64), 0..5),
    ) {
        let schedule = schedule(if is_poisson { Pace::Poisson } else { Pace::Constant }, seed, &phases);
        let all: Vec<_> = schedule.arrivals().collect();
        prop_assert!(all.iter().enumerate().all(|(place, arrival)| arrival.number == place as u64));
        prop_assert!(all.is_sorted_by_key(|arrival| (arrival.due, arrival.phase)));
        prop_assert!(all.iter().all(|arrival| arrival.due <= schedule.duration()));
        let expected: f64 = schedule.phases.iter().map(Phase::requests).sum();
        let allowed = if is_poisson { 6.0 * expected.sqrt() + 6.0 } else { 1.0 };
        prop_assert!((all.len() as f64 - expected).abs() <= allowed, "{} of {expected}", all.len());
        prop_assert_eq!(&all, &schedule.arrivals().collect::<Vec<_>>());
    }

    #[test]
    fn phases_that_only_divide_one_change_nothing(seed: u64, rate in 1.0..300.0_f64, cut in 1..2999_u64) {
        let whole = schedule(Pace::Poisson, seed, &[(rate, rate, 3000)]);
        let divided = schedule(Pace::Poisson, seed, &[(rate, rate, cut), (rate, rate, 3000 - cut)]);
        let (whole, divided): (Vec<_>, Vec<_>) = (whole.arrivals().collect(), divided.arrivals().collect());
        prop_assert_eq!(whole.len(), divided.len());
        for (one, other) in whole.iter().zip(&divided) {
            prop_assert!(one.due.abs_diff(other.due) < Duration::from_micros(1), "{one:?} {other:?}");
        }
    }
}
