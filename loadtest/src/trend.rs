//! Whether a figure goes up and up: what tells a leak from noise, from a cache that fills and from what is dropped now and then.
//!
//! A figure grows if three things hold of its readings once it has settled. **It is no chance**: the Mann–Kendall test (H. B. Mann, 1945;
//! M. G. Kendall, 1975), which only asks of every two readings whether the later one is higher, so that outliers and the kind of noise do
//! not matter. **It is more than tolerated**: the Theil–Sen slope (P. K. Sen, 1968), the median of the slopes between every two
//! readings, over the time that was watched and relative to the level at its beginning. **It goes on**: the slope of the second half alone
//! would get there, too, at half the pace; what has risen and stands is full, not leaking.
//!
//! The test takes readings for independent, and only of such noise it errs as seldom as [`CHANCE_MOST`] says. Those of memory are not: one
//! second is much like the next, and what is dropped now and then rises in between. So long series are taken together to [`WINDOWS`]
//! medians first, which makes it err less often, and how often is not known; the other two conditions do the rest. What rises and falls back fewer than four times in the
//! watched span can still look like growth: watch for longer.

use std::fmt;

/// Readings that are needed to tell.
pub const READINGS_LEAST: usize = 8;
/// Windows that a series is taken together to.
const WINDOWS: usize = 24;
/// How seldom chance alone may look like this, where readings are independent of each other.
const CHANCE_MOST: f64 = 0.01;

/// What a series does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trend {
    /// Fewer readings after the settling than are needed to tell.
    TooShort { readings: usize },
    /// It does not grow, or no more than is tolerated.
    Steady,
    /// It grows, and by this over the watched time: 0.1 is a tenth of what it was.
    Grows { by: f64, chance: f64 },
}

impl Trend {
    /// Of points in order of time (seconds, value), those before `settled_s` left out; a growth by `tolerance` is none.
    pub fn of(points: &[(f64, f64)], settled_s: f64, tolerance: f64) -> Self {
        let watched: Vec<_> = points.iter().copied().filter(|(time, _)| *time >= settled_s).collect();
        if watched.len() < READINGS_LEAST {
            return Self::TooShort { readings: watched.len() };
        }
        let span = watched[watched.len() - 1].0 - watched[0].0;
        let windows = medians(&watched, WINDOWS);
        let level = median(windows[..windows.len().div_ceil(4)].iter().map(|(_, value)| *value).collect());
        let growth = |points: &[(f64, f64)]| relative(slope(points) * span, level);
        let (by, goes_on, chance) = (growth(&windows), growth(&windows[windows.len() / 2..]), chance(&windows));
        if chance < CHANCE_MOST && by > tolerance && goes_on > tolerance / 2.0 {
            Self::Grows { by, chance }
        } else {
            Self::Steady
        }
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { readings } => {
                write!(f, "too short to tell: {readings} readings since it settled, {READINGS_LEAST} are needed")
            }
            Self::Steady => f.write_str("steady"),
            Self::Grows { by, .. } if by.is_infinite() => f.write_str("grows from nothing"),
            Self::Grows { by, .. } => write!(f, "grows by {:.1} %", by * 100.0),
        }
    }
}

fn relative(growth: f64, level: f64) -> f64 {
    if growth == 0.0 { 0.0 } else { growth / level.abs() }
}

/// Windows of as many points each, as their medians.
fn medians(points: &[(f64, f64)], windows: usize) -> Vec<(f64, f64)> {
    let windows = windows.min(points.len());
    let window = |place: usize| &points[place * points.len() / windows..(place + 1) * points.len() / windows];
    let middle = |of: fn(&(f64, f64)) -> f64, place| median(window(place).iter().map(of).collect());
    (0..windows).map(|place| (middle(|point| point.0, place), middle(|point| point.1, place))).collect()
}

/// The Theil–Sen slope.
fn slope(points: &[(f64, f64)]) -> f64 {
    let slope_to = |(place, from): (usize, &(f64, f64))| {
        let from = *from;
        points[place + 1..].iter().filter(move |to| to.0 > from.0).map(move |to| (to.1 - from.1) / (to.0 - from.0))
    };
    median(points.iter().enumerate().flat_map(slope_to).collect())
}

/// The probability that values in no order at all go up as much as these: one side of the Mann–Kendall test, corrected for ties and for
/// the steps of its statistic.
fn chance(points: &[(f64, f64)]) -> f64 {
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    let sign = |from: f64, to: f64| f64::from(i8::from(to > from) - i8::from(to < from));
    let rises_of = |place: usize| values[place + 1..].iter().map(|to| sign(values[place], *to)).sum::<f64>();
    let rises: f64 = (0..values.len()).map(rises_of).sum();
    let pairs_squared = |count: f64| count * (count - 1.0) * (2.0 * count + 5.0);
    let variance = (pairs_squared(values.len() as f64) - ties(&values).map(pairs_squared).sum::<f64>()) / 18.0;
    if variance <= 0.0 {
        return 1.0;
    }
    upper_tail((rises - rises.signum()) / variance.sqrt())
}

/// How many values there are of each value.
fn ties(values: &[f64]) -> impl Iterator<Item = f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let counts: Vec<f64> = sorted.chunk_by(|one, other| one == other).map(|equal| equal.len() as f64).collect();
    counts.into_iter()
}

/// The probability of a normal variable above `z`; off by less than 1e-7 (M. Abramowitz and I. A. Stegun, 1964, formula 26.2.17).
fn upper_tail(z: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let polynomial = COEFFICIENTS.iter().rev().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    let tail = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial;
    if z < 0.0 { 1.0 - tail } else { tail }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match values.get(low).zip(values.get(high)) {
        Some((low, high)) => (low + high) / 2.0,
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::random;

    const READINGS: usize = 300;

    /// A name, whether it is growth, and the level at a part of the time.
    type Case = (&'static str, bool, fn(f64) -> f64);

    /// Readings once a second; `shape` is asked with the part of the time that is over and gives the level, to which noise of 1 % comes.
    fn trend(seed: u64, settled_s: f64, shape: impl Fn(f64) -> f64) -> Trend {
        let mut random = random::stream(seed, 9, 0);
        let noise = |random: &mut random::Random| (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        let point = |second: usize| {
            let level = shape(second as f64 / READINGS as f64);
            (second as f64, level * (1.0 + 0.01 * noise(&mut random)))
        };
        Trend::of(&(0..READINGS).map(point).collect::<Vec<_>>(), settled_s, 0.05)
    }

    fn grows(trend: Trend) -> bool {
        matches!(trend, Trend::Grows { .. })
    }

    #[test]
    fn what_grows_without_end_is_found_and_what_is_bounded_passes() {
        let cases: [Case; 11] = [
            ("flat", false, |_| 100.0),
            ("a leak of a tenth", true, |time| 100.0 + 10.0 * time),
            ("one that speeds up", true, |time| 100.0 + 30.0 * time * time),
            ("one that goes on ever slower", true, |time| 100.0 + 100.0 * time.sqrt()),
            ("growth that is tolerated", false, |time| 100.0 + 2.0 * time),
            ("a cache that is full before it has settled", false, |time| 100.0 + 100.0 * (time * 8.0).min(1.0)),
            ("one that fills exponentially", false, |time| 200.0 - 100.0 * (-time * 15.0).exp()),
            ("a log whose oldest segment is dropped", false, |time| 100.0 + 30.0 * (time * 9.0).fract()),
            ("such a log that grows all the same", true, |time| 100.0 + 10.0 * (time * 9.0).fract() + 40.0 * time),
            ("a table that has doubled once", false, |time| if time > 0.45 { 150.0 } else { 100.0 }),
            ("what shrinks", false, |time| 100.0 - 50.0 * time),
        ];
        for (name, expected, shape) in cases {
            for seed in 0..50 {
                let found = trend(seed, READINGS as f64 / 3.0, shape);
                assert_eq!(grows(found), expected, "{name}: {found:?}");
            }
        }
    }

    #[test]
    fn leak_by_steps_is_found() {
        // Memory that is taken by the page, or files that are opened one by one.
        assert!(grows(trend(1, 100.0, |time| 100.0 + 5.0 * (time * 8.0).floor())));
    }

    #[test]
    fn noise_alone_is_seldom_taken_for_growth() {
        let tolerates_nothing = |seed| {
            let mut random = random::stream(seed, 9, 1);
            let points: Vec<_> = (0..200).map(|second| (f64::from(second), random.random::<f64>())).collect();
            grows(Trend::of(&points, 60.0, 0.0))
        };
        let alarms = (0..1000).filter(|seed| tolerates_nothing(*seed)).count();
        assert!(alarms <= 20, "{alarms} of 1000");
    }

    #[test]
    fn few_readings_tell_nothing() {
        let rising: Vec<_> = (0..20).map(|second| (f64::from(second), f64::from(second))).collect();
        assert_eq!(Trend::of(&rising, 13.0, 0.05), Trend::TooShort { readings: 7 });
        assert!(grows(Trend::of(&rising, 12.0, 0.05)));
        assert_eq!(Trend::of(&[], 0.0, 0.05), Trend::TooShort { readings: 0 });
    }

    #[test]
    fn growth_from_nothing_is_growth() {
        let of = |value: fn(i32) -> f64| {
            Trend::of(&(0..100).map(|second| (f64::from(second), value(second))).collect::<Vec<_>>(), 0.0, 0.05)
        };
        assert_eq!(of(|_| 0.0), Trend::Steady);
        let grown = of(|second| f64::from(second - 25).max(0.0));
        assert!(matches!(grown, Trend::Grows { by, .. } if by.is_infinite()), "{grown:?}");
    }
}
