//! Times by buckets of about equal relative width: an HDR histogram, so those of many threads and seconds add up, and what has expired is
//! taken off again.
//!
//! With two significant digits a bucket is at most 1/128 of its value wide, so no percentile is off by more than 0.8 %. Percentiles are
//! never taken of sorted samples: [`Times`] has 4,608 buckets and 18 KiB whatever was recorded (S5), and recording is an addition.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::snapshot::Percentiles;

const DIGITS: u8 = 2;
/// What took longer counts as this long.
const MOST_NS: u64 = 3_600_000_000_000;
/// Those that are told.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// Times of one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Times(Histogram<u32>);

/// The same, of one second, in four bytes a bucket that has any: a few hundred buckets where thousands of requests are alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SparseTimes(Box<[(u16, u16)]>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MOST_NS, DIGITS).expect("the bounds are in order"))
    }
}

impl Times {
    /// Adds one.
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(MOST_NS).min(MOST_NS));
    }

    /// Adds what others have.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// Takes off what was added before.
    pub fn subtract(&mut self, other: &Self) {
        self.0.subtract(&other.0).expect("what is taken off was added before");
    }

    /// Begins anew, in the same memory.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Only the buckets that have any.
    pub fn sparse(&self) -> SparseTimes {
        let buckets = self.0.iter_recorded().flat_map(|bucket| {
            let key = key_of(self.0.lowest_equivalent(bucket.value_iterated_to()));
            let (whole, rest) = (bucket.count_at_value() / u32::from(u16::MAX), bucket.count_at_value() % 0xffff);
            let whole = std::iter::repeat_n((key, u16::MAX), whole as usize);
            whole.chain((rest > 0).then_some((key, rest as u16)))
        });
        SparseTimes(buckets.collect())
    }

    /// All of them again.
    pub fn restore(&mut self, sparse: &SparseTimes) {
        self.clear();
        for &(key, count) in &sparse.0 {
            self.0.saturating_record_n(value_of(key), u32::from(count));
        }
    }

    /// What is told of them, in seconds.
    pub fn percentiles(&self) -> Percentiles {
        if self.0.is_empty() {
            return Percentiles::default();
        }
        let seconds = |ns: u64| Some(ns as f64 / 1e9);
        let mut quantiles = self.0.value_at_quantiles(QUANTILES).map(seconds);
        let [p50, p90, p95, p99, p999] = QUANTILES.map(|_| quantiles.next().flatten());
        let (mean, max) = (Some(self.0.mean() / 1e9), seconds(self.0.max()));
        Percentiles { count: self.count(), mean, p50, p90, p95, p99, p999, max }
    }
}

/// The lowest value of a bucket has at most eight significant bits: the upper half of it as an `f32` holds all of them.
fn key_of(lowest: u64) -> u16 {
    ((lowest as f32).to_bits() >> 16) as u16
}

fn value_of(key: u16) -> u64 {
    f32::from_bits(u32::from(key) << 16) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_copy_holds_the_same_counts() {
        let mut times = Times::default();
        for exponent in 0..42 {
            for offset in [0, 1, 3, 77] {
                times.record(Duration::from_nanos((1 << exponent) + offset));
            }
        }
        times.record(Duration::from_secs(100_000));
        (0..70_000).for_each(|_| times.record(Duration::from_micros(20)));
        let mut again = Times::default();
        again.restore(&times.sparse());
        assert_eq!(again.sparse(), times.sparse());
        assert_eq!((again.count(), again.percentiles()), (times.count(), times.percentiles()));
        again.subtract(&times);
        assert_eq!(again.count(), 0);
        assert_eq!(again.percentiles(), Percentiles::default());
    }

    #[test]
    fn every_bucket_has_a_key_of_its_own() {
        let times = Times::default();
        let mut value = 0;
        while value < MOST_NS {
            assert_eq!(value_of(key_of(value)), value);
            value = times.0.next_non_equivalent(value);
        }
    }
}
