//! How far percentiles are off: samples go the way that answers go, through the recorders of several threads and the window, and what is told of
//! them is held against the sorted samples themselves. For a test, and for the figure of a benchmark.

use std::time::{Duration, Instant};

use super::decisions::Bands;
use super::groups::Groups;
use super::interval::{Extent, Interval};
use super::percentiles::Times;
use super::recorder::{Answered, Recorders, Scheme};
use super::window::Window;

const RECORDERS: usize = 4;
const SECONDS: usize = 10;
const EXTENT: Extent = Extent { routes: 1, groups: 1, rows: 0, width: 0 };

/// A distribution of times, in nanoseconds.
type Draw = fn(&mut Random) -> f64;

/// As times of services are: around one value, spread evenly, and most of them fast but some by a slow way with a long tail.
const DISTRIBUTIONS: [(&str, Draw); 3] = [
    ("log-normal", |random| (11.5 + 0.9 * random.normal()).exp()),
    ("uniform", |random| 1_000.0 + 5e6 * random.uniform()),
    ("bimodal", |random| match random.uniform() < 0.93 {
        true => 80_000.0 + 9_000.0 * random.normal().abs(),
        // Pareto, with an index of 1.2.
        false => (4e6 * random.uniform().max(1e-12).powf(-1.0 / 1.2)).min(3e12),
    }),
];

/// The largest relative error of any percentile that is told, of any distribution, over so many samples of each.
pub fn percentile_error_max(samples: usize) -> f64 {
    DISTRIBUTIONS
        .iter()
        .flat_map(|distribution| errors(distribution, samples))
        .fold(0.0, |most, (_, error)| error.max(most))
}

/// The relative error of each percentile, by its name.
fn errors((name, draw): &(&'static str, Draw), samples: usize) -> Vec<(String, f64)> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let scheme = Scheme { extent: EXTENT, counted: vec![true], groups: Groups::default(), bands: Bands::default() };
    let recorders = Recorders::new(scheme);
    let open: Vec<_> = (0..RECORDERS).map(|_| recorders.open()).collect();
    let mut window = Window::new(Duration::from_secs(SECONDS as u64), EXTENT);
    let mut second = Interval::new(EXTENT);
    let mut exact = Vec::with_capacity(samples);
    // What is in the first half of the seconds has expired in the end, and is slower.
    for number in 0..2 * SECONDS {
        let slower = if number < SECONDS { 3.0 } else { 1.0 };
        for sample in 0..samples / SECONDS {
            let ns = (draw(&mut random) * slower).max(1.0) as u64;
            let took = Some(Duration::from_nanos(ns));
            open[sample % RECORDERS].answered(&Answered { route: 0, status: 200, code: None, took, budget: None });
            exact.extend((number >= SECONDS).then_some(ns));
        }
        second.clear();
        recorders.take(&mut second, Instant::now());
        window.push(&second, Duration::from_secs(1));
    }
    exact.sort_unstable();
    let told = window.total().routes[0].as_ref().map_or_else(Times::default, |route| route.times.clone()).percentiles();
    assert_eq!(told.count, exact.len() as u64, "{name}");
    let at = |share: f64| exact[((share * exact.len() as f64).ceil() as usize).clamp(1, exact.len()) - 1] as f64 / 1e9;
    let compared = [
        ("p50", told.p50, at(0.5)),
        ("p90", told.p90, at(0.9)),
        ("p95", told.p95, at(0.95)),
        ("p99", told.p99, at(0.99)),
        ("p99.9", told.p999, at(0.999)),
        ("max", told.max, at(1.0)),
        ("mean", told.mean, exact.iter().map(|ns| *ns as f64).sum::<f64>() / exact.len() as f64 / 1e9),
    ];
    let error = |(what, told, exact): (&str, Option<f64>, f64)| {
        (format!("{what} of {name}"), (told.unwrap_or(f64::INFINITY) - exact).abs() / exact)
    };
    compared.map(error).into()
}

/// Xorshift64* (Vigna 2016): the same samples in every run.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.uniform().max(1e-300), self.uniform());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_million_samples_are_within_one_percent_of_the_exact_ones() {
        for distribution in &DISTRIBUTIONS {
            for (what, error) in errors(distribution, 1_000_000) {
                assert!(error <= 0.01, "{what} is off by {error}");
            }
        }
    }
}
