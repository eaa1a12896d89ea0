//! What a set of events adds up to: tallies that grow by one event at either end, join end to end, and finish as features.
//!
//! Everything kept is an integer, and an exact one: counts, sums and sums of products in `i128`, instants in milliseconds.
//! Joining is associative, so a window may be summed event by event, chunk by chunk or node by node and gives the same bits (F1).
//! Floating point appears once, in [`Finish::value`], in one fixed order of operations.

use crate::plan::Emission;
use crate::spec::Aggregate;
use crate::streams::{Measure, Streams};
use crate::timeline::rows;

/// Milliseconds in a day: trends and rates are per day.
const DAY_MS: f64 = 86_400_000.0;

/// The events of one stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StreamTally {
    pub(crate) count: u64,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    /// The widest distance of two neighbours: whether a session runs through all of it.
    pub(crate) widest_gap_ms: i64,
}

/// The given values of one field in one stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) sum: i128,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// When the first value was given: what a rate without a length of its own counts from.
    pub(crate) first_ms: i64,
}

/// Sums of products, kept only for the fields that a stddev or a trend reads.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Moments {
    pub(crate) squares: i128,
    pub(crate) t: i128,
    pub(crate) tt: i128,
    pub(crate) tx: i128,
}

const NO_STREAM: StreamTally = StreamTally { count: 0, first_ms: 0, last_ms: 0, widest_gap_ms: 0 };
const NO_VALUES: Tally = Tally { count: 0, sum: 0, min: i64::MAX, max: i64::MIN, first: 0, last: 0, first_ms: 0 };

/// The tallies of all streams and fields over one run of events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    /// The instants of the oldest and newest event, whatever streams they are in; the first later than the last: no event.
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) streams: Box<[StreamTally]>,
    pub(crate) tallies: Box<[Tally]>,
    pub(crate) moments: Box<[Moments]>,
}

impl Summary {
    /// The summary of no events.
    pub(crate) fn empty(streams: &Streams) -> Self {
        Self {
            first_ms: i64::MAX,
            last_ms: i64::MIN,
            streams: vec![NO_STREAM; streams.count()].into(),
            tallies: vec![NO_VALUES; streams.measures.len()].into(),
            moments: vec![Moments::default(); streams.moments].into(),
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.first_ms, self.last_ms) = (i64::MAX, i64::MIN);
        self.streams.fill(NO_STREAM);
        self.tallies.fill(NO_VALUES);
        self.moments.fill(Moments::default());
    }

    /// Adds sorted rows that stand behind (are newer than) all so far.
    pub(crate) fn push_newer(&mut self, streams: &Streams, rows: &[u8]) {
        self.push::<true>(streams, rows);
    }

    /// Adds sorted rows that stand before (are older than) all so far.
    pub(crate) fn push_older(&mut self, streams: &Streams, rows: &[u8]) {
        self.push::<false>(streams, rows);
    }

    /// Stream by stream rather than row by row: each tally then stays in registers while its rows go by, which was measured
    /// three times as fast.
    fn push<const NEWER: bool>(&mut self, streams: &Streams, rows: &[u8]) {
        let layout = streams.layout;
        let Some(last) = rows.len().checked_sub(layout.stride) else { return };
        self.first_ms = self.first_ms.min(rows::time(rows));
        self.last_ms = self.last_ms.max(rows::time(&rows[last..]));
        let mut present = rows.chunks_exact(layout.stride).fold(0, |present, row| present | layout.mask(row));
        while present != 0 {
            let stream = present.trailing_zeros() as usize;
            present &= present - 1;
            let mine = 1_u64 << stream;
            let mut tally = self.streams[stream];
            each::<NEWER>(rows, layout.stride, |row| {
                if layout.mask(row) & mine != 0 {
                    tally.push::<NEWER>(rows::time(row));
                }
            });
            self.streams[stream] = tally;
            for index in streams.measures_of(stream) {
                self.push_measure::<NEWER>(streams, index, mine, rows);
            }
        }
    }

    fn push_measure<const NEWER: bool>(&mut self, streams: &Streams, index: usize, mine: u64, rows: &[u8]) {
        let (layout, measure) = (streams.layout, &streams.measures[index]);
        if !measure.tallied {
            return;
        }
        let column = measure.column;
        let value = |row: &[u8]| if layout.mask(row) & mine != 0 { column.load(row) } else { None };
        let mut tally = self.tallies[index];
        each::<NEWER>(rows, layout.stride, |row| {
            if let Some(value) = value(row) {
                tally.push::<NEWER>(rows::time(row), value);
            }
        });
        self.tallies[index] = tally;
        if let Some(moments) = measure.moments {
            each::<NEWER>(rows, layout.stride, |row| {
                if let Some(value) = value(row) {
                    self.moments[moments].add(rows::time(row), value);
                }
            });
        }
    }

    /// Adds a run of events that stands before all so far.
    pub(crate) fn join_older(&mut self, streams: &Streams, older: &Summary) {
        self.first_ms = self.first_ms.min(older.first_ms);
        self.last_ms = self.last_ms.max(older.last_ms);
        for (newer, older) in self.streams.iter_mut().zip(&older.streams) {
            newer.join_older(older);
        }
        for (newer, older) in self.tallies.iter_mut().zip(&older.tallies) {
            newer.join_older(older);
        }
        if streams.moments > 0 {
            for (newer, older) in self.moments.iter_mut().zip(&older.moments) {
                newer.join(older);
            }
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.streams) + size_of_val(&*self.tallies) + size_of_val(&*self.moments)
    }
}

#[inline(always)]
fn each<const FORWARD: bool>(rows: &[u8], stride: usize, take: impl FnMut(&[u8])) {
    if FORWARD { rows.chunks_exact(stride).for_each(take) } else { rows.rchunks_exact(stride).for_each(take) }
}

impl StreamTally {
    #[inline(always)]
    fn push<const NEWER: bool>(&mut self, time: i64) {
        if self.count == 0 {
            (self.first_ms, self.last_ms) = (time, time);
        } else if NEWER {
            self.widest_gap_ms = self.widest_gap_ms.max(time - self.last_ms);
            self.last_ms = time;
        } else {
            self.widest_gap_ms = self.widest_gap_ms.max(self.first_ms - time);
            self.first_ms = time;
        }
        self.count += 1;
    }

    fn join_older(&mut self, older: &StreamTally) {
        if older.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *older;
            return;
        }
        self.widest_gap_ms = self.widest_gap_ms.max(older.widest_gap_ms).max(self.first_ms - older.last_ms);
        self.first_ms = older.first_ms;
        self.count += older.count;
    }
}

impl Tally {
    #[inline(always)]
    fn push<const NEWER: bool>(&mut self, time: i64, value: i64) {
        if self.count == 0 {
            (self.first, self.last, self.first_ms) = (value, value, time);
        } else if NEWER {
            self.last = value;
        } else {
            (self.first, self.first_ms) = (value, time);
        }
        self.count += 1;
        // Text is only ever counted, but its hash may be anything: wrapping keeps the unused sum from mattering.
        self.sum = self.sum.wrapping_add(i128::from(value));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn join_older(&mut self, older: &Tally) {
        if older.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *older;
            return;
        }
        self.count += older.count;
        self.sum = self.sum.wrapping_add(older.sum);
        self.min = self.min.min(older.min);
        self.max = self.max.max(older.max);
        (self.first, self.first_ms) = (older.first, older.first_ms);
    }
}

impl Moments {
    #[inline(always)]
    fn add(&mut self, time: i64, value: i64) {
        let (t, x) = (i128::from(time), i128::from(value));
        self.squares = self.squares.wrapping_add(x.wrapping_mul(x));
        self.t = self.t.wrapping_add(t);
        self.tt = self.tt.wrapping_add(t * t);
        self.tx = self.tx.wrapping_add(t.wrapping_mul(x));
    }

    fn join(&mut self, other: &Moments) {
        self.squares = self.squares.wrapping_add(other.squares);
        self.t = self.t.wrapping_add(other.t);
        self.tt = self.tt.wrapping_add(other.tt);
        self.tx = self.tx.wrapping_add(other.tx);
    }
}

/// What a finished feature needs besides the tallies.
pub(crate) struct Finish<'a> {
    pub(crate) summary: &'a Summary,
    pub(crate) measures: &'a [Measure],
    pub(crate) as_of_ms: i64,
    /// The length that rates divide by; `None` where it runs from the first event.
    pub(crate) length_ms: Option<i64>,
}

impl Finish<'_> {
    /// The feature's value in its own unit; NaN when it is missing. `distinct` is counted elsewhere.
    pub(crate) fn value(&self, emission: &Emission) -> f64 {
        let stream = &self.summary.streams[emission.stream];
        let Some(measure) = emission.measure else { return self.of_stream(stream, emission.aggregate) };
        let tally = &self.summary.tallies[measure];
        let unit = emission.unit;
        match emission.aggregate {
            Aggregate::Sum => float(tally.sum) / unit,
            Aggregate::Rate => self.per_day(float(tally.sum) / unit, tally.count, tally.first_ms),
            _ if tally.count == 0 => f64::NAN,
            Aggregate::Mean => float(tally.sum) / (tally.count as f64 * unit),
            Aggregate::Min => tally.min as f64 / unit,
            Aggregate::Max => tally.max as f64 / unit,
            Aggregate::First => tally.first as f64 / unit,
            Aggregate::Last => tally.last as f64 / unit,
            Aggregate::Stddev => self.moments(measure).stddev(tally) / unit,
            Aggregate::Trend => self.moments(measure).slope(tally) * DAY_MS / unit,
            _ => f64::NAN,
        }
    }

    fn of_stream(&self, stream: &StreamTally, aggregate: Aggregate) -> f64 {
        match aggregate {
            Aggregate::Count => stream.count as f64,
            Aggregate::Rate => self.per_day(stream.count as f64, stream.count, stream.first_ms),
            _ if stream.count == 0 => f64::NAN,
            Aggregate::TimeSinceFirst => (self.as_of_ms - stream.first_ms) as f64 / 1000.0,
            Aggregate::TimeSinceLast => (self.as_of_ms - stream.last_ms) as f64 / 1000.0,
            _ => f64::NAN,
        }
    }

    fn per_day(&self, amount: f64, count: u64, first_ms: i64) -> f64 {
        let since_first = || if count == 0 { 0 } else { self.as_of_ms - first_ms };
        match self.length_ms.unwrap_or_else(since_first) {
            length if length > 0 => amount / (length as f64 / DAY_MS),
            _ => 0.0,
        }
    }

    fn moments(&self, measure: usize) -> &Moments {
        let index = self.measures[measure].moments.expect("the plan keeps moments for every stddev and trend");
        &self.summary.moments[index]
    }
}

impl Moments {
    /// The sample standard deviation of the raw values.
    fn stddev(&self, tally: &Tally) -> f64 {
        if tally.count < 2 {
            return f64::NAN;
        }
        let (n, count) = (i128::from(tally.count), tally.count as f64);
        let spread = difference_of_products(n, self.squares, tally.sum, tally.sum);
        (spread / (count * (count - 1.0))).sqrt()
    }

    /// The least-squares slope of raw value over milliseconds.
    fn slope(&self, tally: &Tally) -> f64 {
        let n = i128::from(tally.count);
        let spread = difference_of_products(n, self.tt, self.t, self.t);
        if tally.count < 2 || spread == 0.0 {
            return f64::NAN;
        }
        difference_of_products(n, self.tx, self.t, tally.sum) / spread
    }
}

/// The nearest `f64`. Nearly every sum fits 64 bits, which the processor converts at once.
fn float(exact: i128) -> f64 {
    i64::try_from(exact).map_or_else(|_| wide(exact), |exact| exact as f64)
}

/// Kept out of line: the conversion is a library call, which the compiler would otherwise make every time.
#[cold]
#[inline(never)]
fn wide(exact: i128) -> f64 {
    exact as f64
}

/// `a·b − c·d`, exactly where it fits in 127 bits (all but absurd amounts), and never below zero through rounding where it
/// does.
fn difference_of_products(a: i128, b: i128, c: i128, d: i128) -> f64 {
    match (a.checked_mul(b), c.checked_mul(d)) {
        (Some(left), Some(right)) => match left.checked_sub(right) {
            Some(exact) => float(exact),
            None => left as f64 - right as f64,
        },
        _ => a as f64 * b as f64 - c as f64 * d as f64,
    }
}
