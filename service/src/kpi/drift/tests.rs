//! Drift against what is computed anew from the rows themselves.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::ingest::tests::bundle;

const SECOND: Duration = Duration::from_secs(1);

/// A comparison whose slots last a second, with a distribution for each feature and one for the scores.
fn comparison(trained: &[Distribution], samples_min: u64) -> Comparison {
    let mut settings = Config::load(None, std::iter::empty(), vec![]).unwrap().kpi;
    settings.drift_window = String::from("60s").try_into().unwrap();
    settings.drift_samples = samples_min;
    let mut comparison = Comparison::new(&settings);
    let names: Vec<_> = (0..trained.len() - 1).map(|place| format!("f{place}")).collect();
    comparison.begin(names.iter().map(String::as_str), trained.iter().cloned());
    comparison
}

fn distribution(edges: &[f64], shares: &[f64], missing: f64) -> Distribution {
    Distribution { edges: edges.to_vec(), shares: shares.to_vec(), missing }
}

/// Scores that all are in one bin.
fn any_score() -> Distribution {
    distribution(&[], &[1.0], 0.0)
}

/// Bin by bin and row by row.
fn recomputed(trained: &Distribution, values: &[f32]) -> f64 {
    let mut bins = vec![(f64::NEG_INFINITY, f64::INFINITY)];
    for edge in &trained.edges {
        bins.last_mut().unwrap().1 = *edge;
        bins.push((*edge, f64::INFINITY));
    }
    let share = |counts: &dyn Fn(f64) -> bool| {
        let count = values.iter().filter(|value| counts(f64::from(**value))).count();
        (count as f64 / values.len() as f64).max(1e-4)
    };
    let mut psi = 0.0;
    for ((from, below), expected) in bins.iter().zip(&trained.shares) {
        let is_last = *below == f64::INFINITY;
        let actual = share(&|value| value >= *from && (value < *below || is_last && value == *below));
        let expected = expected.max(1e-4);
        psi += (actual - expected) * (actual / expected).ln();
    }
    let (actual, expected) = (share(&f64::is_nan), trained.missing.max(1e-4));
    psi + (actual - expected) * (actual / expected).ln()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

fn any_distribution() -> impl Strategy<Value = Distribution> {
    (vec(-3_i32..4, 0..6), vec(0_u32..5, 7), 0_u32..3).prop_map(|(mut edges, weights, missing)| {
        edges.sort_unstable();
        edges.dedup();
        let weights = &weights[..=edges.len()];
        let whole = f64::from(weights.iter().sum::<u32>() + missing).max(1.0);
        Distribution {
            edges: edges.into_iter().map(f64::from).collect(),
            shares: weights.iter().map(|weight| f64::from(*weight) / whole).collect(),
            missing: f64::from(missing) / whole,
        }
    })
}

/// On the edges, between them and beyond, and missing.
fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => (-8_i32..9).prop_map(|half| half as f32 / 2.0),
        1 => Just(f32::NAN),
        1 => prop_oneof![Just(f32::INFINITY), Just(f32::NEG_INFINITY)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_window_is_what_the_rows_in_it_say(
        trained in vec(any_distribution(), 3),
        rows in vec(((any_value(), any_value()), proptest::option::of(0_f32..1.0), 0_u64..4000), 1..200),
    ) {
        let mut comparison = comparison(&trained, 1);
        let mut now = 0;
        let mut kept: Vec<(u64, [f32; 2], Option<f32>)> = Vec::new();
        for ((a, b), probability, waited_ms) in rows {
            comparison.advance(Duration::from_millis(waited_ms));
            now += waited_ms;
            comparison.add(&[a, b], probability);
            kept.push((now / 1000, [a, b], probability));
            kept.retain(|(second, ..)| second + 60 > now / 1000);
        }
        prop_assert_eq!(comparison.samples(), kept.len() as u64);
        let column = |place: usize| kept.iter().map(|(_, row, _)| row[place]).collect::<Vec<_>>();
        let drift = comparison.features();
        prop_assert!(drift.is_sorted_by(|a, b| a.psi >= b.psi));
        for (place, trained) in trained[..2].iter().enumerate() {
            let values = column(place);
            let found = drift.iter().find(|drift| *drift.feature == format!("f{place}")).unwrap();
            prop_assert!(close(found.psi, recomputed(trained, &values)), "{} {}", found.psi, recomputed(trained, &values));
            let missing = values.iter().filter(|value| value.is_nan()).count() as f64 / values.len() as f64;
            prop_assert_eq!((found.missing, found.missing_reference), (missing, trained.missing));
        }
        let values: Vec<_> = kept.iter().filter_map(|(_, _, probability)| *probability).collect();
        let scores = comparison.scores();
        prop_assert_eq!(scores.samples, values.len() as u64);
        prop_assert_eq!(scores.psi.is_some(), !values.is_empty());
        prop_assert!(scores.psi.is_none_or(|psi| close(psi, recomputed(&trained[2], &values))));
    }

    #[test]
    fn rows_of_the_training_itself_drift_no_further_than_chance(seed in 1_u64.., missing in 0_u32..4) {
        const ROWS: usize = 20_000;
        let missing = f64::from(missing) / 10.0;
        let edges: Vec<f64> = (1..10).map(f64::from).collect();
        let trained = distribution(&edges, &[(1.0 - missing) / 10.0; 10], missing);
        let mut comparison = comparison(&[trained, any_score()], 500);
        let mut state = seed;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        for _ in 0..ROWS {
            let value = if uniform() < missing { f32::NAN } else { (uniform() * 10.0) as f32 };
            comparison.add(&[value], None);
        }
        // Ten degrees of freedom: five times the mean is beyond one in ten million.
        let chance = 10.0 / ROWS as f64;
        prop_assert!(comparison.features()[0].psi < 5.0 * chance, "{}", comparison.features()[0].psi);
    }
}

#[test]
fn the_index_is_that_of_the_book() {
    let trained = distribution(&[1.0, 2.0], &[0.5, 0.3, 0.2], 0.0);
    let mut comparison = comparison(&[trained.clone(), trained], 4);
    for value in [0.5, 1.0, 2.0, 7.0] {
        comparison.add(&[value], Some(value));
    }
    // -0.25 ln 0.5 - 0.05 ln (0.25 / 0.3) + 0.3 ln 2.5
    let (psi, expected) = (comparison.scores().psi.unwrap(), 0.457_290_093);
    assert!((psi - expected).abs() < 1e-6, "{psi}");
    assert_eq!(comparison.features()[0].psi, psi);
    let below = |edge, reference, live| Bin { below: edge, reference, live };
    let bins = [below(Some(1.0), 0.5, 0.25), below(Some(2.0), 0.3, 0.25), below(None, 0.2, 0.5)];
    assert_eq!(comparison.scores().bins, bins);
}

#[test]
fn a_bin_that_one_side_has_alone_counts_and_is_finite() {
    for (reference, value) in [([1.0, 0.0], 1.5), ([0.0, 1.0], 0.5)] {
        let mut comparison = comparison(&[distribution(&[1.0], &reference, 0.0), any_score()], 1);
        comparison.add(&[value], None);
        let psi = comparison.features()[0].psi;
        assert!(psi > 10.0 && psi.is_finite(), "{psi}");
    }
}

#[test]
fn too_few_rows_say_nothing() {
    let mut comparison = comparison(&[any_score(), any_score()], 3);
    for rows in 1..=3 {
        comparison.add(&[0.0], Some(0.5));
        let is_told = rows == 3;
        assert_eq!((comparison.samples(), comparison.features().len()), (rows, usize::from(is_told)));
        assert_eq!((comparison.scores().samples, comparison.scores().psi.is_some()), (rows, is_told));
    }
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    for (waits, left) in [(vec![59], 1), (vec![60], 0), (vec![30, 29], 1), (vec![30, 30], 0), (vec![1_000_000], 0)] {
        let mut comparison = comparison(&[any_score(), any_score()], 1);
        comparison.add(&[0.0], Some(0.5));
        waits.iter().for_each(|wait| comparison.advance(*wait * SECOND));
        assert_eq!((comparison.samples(), comparison.scores().samples), (left, left), "{waits:?}");
        assert!(comparison.slots.len() <= SLOTS);
    }
}

#[test]
fn only_the_ten_that_moved_furthest_are_told_of() {
    let trained = distribution(&[1.0], &[0.5, 0.5], 0.0);
    let mut comparison = comparison(&[vec![trained; 12], vec![any_score()]].concat(), 1);
    for row in 0..24 {
        // The later the feature, the more of its rows are above the edge.
        let vector: Vec<_> = (0..12).map(|place| if row < 12 + place { 1.0 } else { 0.0 }).collect();
        comparison.add(&vector, None);
    }
    let names: Vec<_> = comparison.features().iter().map(|drift| drift.feature.to_string()).collect();
    assert_eq!(names, (2..12).rev().map(|place| format!("f{place}")).collect::<Vec<_>>());
}

#[test]
fn another_bundle_begins_anew_and_its_rows_are_its_own() {
    let (first, second) = (bundle("ahorro-valle"), bundle("taiwan"));
    let mut comparison = comparison(&[any_score()], 1);
    let golden = |bundle: &Bundle| bundle.reference().golden.clone();
    comparison.follow(&first);
    let shown = golden(&first).len() as u64;
    for row in golden(&first).iter().chain(&golden(&second)) {
        comparison.add(&row.vector, Some(row.probability));
    }
    assert_eq!((comparison.samples(), comparison.scores().samples), (shown, shown));
    comparison.follow(&first);
    assert_eq!(comparison.samples(), shown);
    let drift = comparison.features();
    assert!(drift.len() == 10 && drift.iter().all(|drift| drift.psi.is_finite()));
    comparison.follow(&second);
    assert_eq!((comparison.samples(), comparison.scores().bins.len()), (0, 10));
}

#[test]
fn nothing_is_compared_before_there_is_a_bundle() {
    let mut comparison = Comparison::new(&Config::load(None, std::iter::empty(), vec![]).unwrap().kpi);
    comparison.advance(SECOND);
    comparison.add(&[], Some(0.5));
    comparison.add(&[1.0], None);
    assert_eq!((comparison.samples(), comparison.scores().samples, comparison.features().len()), (0, 0, 0));
}
