//! A person's timeline: the set of their events within the horizon.
//!
//! Set semantics give the guarantees: applying twice changes nothing, arrival order does not matter, two copies merge by
//! union (F1). An event is identified by its time and id; should two differ in content under one identity, the greater
//! content wins whatever came first.
//!
//! **The structure, chosen from measured candidates.** Cost with many people is cache misses, so an ordinary person is one
//! contiguous, time-sorted run of packed rows and *nothing else*: no derived state to keep in step, expire or store, and a
//! read is one backward scan. A person of more than [`ORDINARY_EVENTS`] becomes [`busy`]: chunks of rows, each with its
//! summary, in spans and under nodes with theirs, so that the edges of a window cost a few chunks however many events lie between them
//! (F3). Reads never change a timeline. Cursors per window were measured faster for in-order events (0.3 µs) and a
//! thousand times slower after a month of silence; prefix sums made each late event rewrite all columns behind it. The
//! figures of this build are in `benches/engine.rs`.

mod bits;
pub(crate) mod busy;
mod codec;
pub(crate) mod cursor;
mod digest;
mod node;
pub(crate) mod rows;

use std::cmp::Ordering;

use crate::aggregate::{StreamTally, Summary};
use crate::event::Event;
use crate::plan::FeaturePlan;
use crate::streams::Streams;
use crate::time::Timestamp;

use busy::Busy;
pub use codec::{DecodeError, MAX_EVENTS};
use rows::{Key, MAX_STRIDE, Rows, USUAL_STRIDE};

/// Up to so many events a person is one run of rows: a scan of them costs less than a busy person's edges, and a busy person's
/// summaries and indexes cost memory.
pub const ORDINARY_EVENTS: usize = 256;

/// Milliseconds in the hours that capped events are merged by.
const HOUR_MS: i64 = 3_600_000;

/// What applying an event did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is part of the timeline from now on.
    New,
    /// It was there already; nothing changed.
    Duplicate,
    /// Another event stood under its time and id, and the greater by content stands there now: this one if it replaced the other.
    Conflict { replaced: bool },
    /// It lies at or before what has been evicted or coarsened; nothing changed.
    TooLate,
}

/// The set of a person's events, and the tallies of those that have left it.
#[derive(Debug, Clone)]
pub struct Timeline {
    log: Log,
    /// Events at or before this have left the log.
    frontier_ms: i64,
    past: Option<Box<Past>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Log {
    Ordinary(Rows),
    Busy(Box<Busy>),
}

/// What remains of events that have left the log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Past {
    /// Everything evicted, for lifetime features.
    pub(crate) lifetime: Summary,
    /// What the cap merged by hour, oldest first: still inside the horizon, exact in count and sum, not at its edges.
    pub(crate) coarse: Vec<Summary>,
    /// How many events the cap merged.
    pub(crate) coarsened: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { log: Log::Ordinary(Rows::default()), frontier_ms: i64::MIN, past: None }
    }
}

impl Timeline {
    /// Adds an event.
    pub fn apply(&mut self, plan: &FeaturePlan, event: &Event) -> Applied {
        if event.time().millis() <= self.frontier_ms {
            return Applied::TooLate;
        }
        with_row(plan, event, |row| self.insert(&plan.streams, row))
    }

    /// What applying an event would do.
    pub fn probe(&self, plan: &FeaturePlan, event: &Event) -> Applied {
        if event.time().millis() <= self.frontier_ms {
            return Applied::TooLate;
        }
        let standing = self.row_at(plan, (event.time().millis(), event.id().bits()));
        standing.map_or(Applied::New, |standing| with_row(plan, event, |row| Applied::beside(standing, row)))
    }

    fn insert(&mut self, streams: &Streams, row: &[u8]) -> Applied {
        let rows = match &mut self.log {
            Log::Busy(busy) => return busy.insert(streams, row),
            Log::Ordinary(rows) => rows,
        };
        let layout = &streams.layout;
        match rows.find(layout, rows::key(row)) {
            Err(index) => {
                rows.insert(layout, index, row);
                if rows.len(layout) > ORDINARY_EVENTS {
                    self.log = Log::Busy(Box::new(Busy::from_rows(streams, rows.iter(layout))));
                }
                Applied::New
            }
            Ok(index) => {
                let applied = Applied::beside(rows.row(layout, index), row);
                if applied == (Applied::Conflict { replaced: true }) {
                    rows.replace(layout, index, row);
                }
                applied
            }
        }
    }

    /// Takes in all events of another copy of the same person's timeline. Of two copies that have evicted, the tallies of
    /// the one that had seen more stand: copies of one log differ in how far they have read, not in what. What one copy had to
    /// merge by the hour is inside the horizon still, so the other merges it too.
    pub fn merge(&mut self, plan: &FeaturePlan, other: &Timeline) {
        let through = Timestamp::from_millis(self.frontier_ms.max(other.frontier_ms));
        let coarse = self.coarsened() + other.coarsened() > 0;
        let mut other = other.clone();
        for copy in [&mut *self, &mut other] {
            if coarse {
                copy.coarsen_through(&plan.streams, through.millis());
            } else {
                copy.evict(plan, through);
            }
        }
        let seen = |past: &Option<Box<Past>>| past.as_ref().map_or(0, |past| past.events());
        if seen(&other.past) > seen(&self.past) {
            self.past = other.past.take();
        }
        other.log.for_each(&plan.streams, |row| {
            self.insert(&plan.streams, row);
        });
    }

    /// Drops the events at or before `through` from the log; lifetime features go on counting them.
    pub fn evict(&mut self, plan: &FeaturePlan, through: Timestamp) {
        let (streams, through_ms) = (&plan.streams, through.millis());
        // Merged hours lie before the frontier already, and leave the horizon all the same.
        if let Some(past) = &mut self.past {
            past.forget(streams, through_ms);
        }
        self.past.take_if(|past| past.holds_nothing(streams));
        if through_ms <= self.frontier_ms {
            return;
        }
        self.frontier_ms = through_ms;
        let mut left = |row: &[u8]| {
            // What no lifetime feature looks at leaves no trace: neither memory nor a difference between copies.
            if streams.layout.mask(row) & streams.lifetime_mask != 0 {
                let past = self.past.get_or_insert_with(|| Box::new(Past::empty(streams)));
                past.lifetime.push_newer(streams, row);
            }
        };
        self.log.drop_through(streams, through_ms, &mut left);
        self.log.settle(streams);
    }

    /// Bounds a person's memory: beyond `cap` events the oldest are merged by the hour, a quarter of the cap at a time.
    /// Their counts, sums, minima and maxima survive; exact edges and distinct counts there do not. Returns how many were merged.
    pub fn coarsen(&mut self, plan: &FeaturePlan, cap: usize) -> usize {
        let streams = &plan.streams;
        let length = self.len(plan);
        if length <= cap {
            return 0;
        }
        let surplus = length - cap + cap / 4;
        self.coarsen_through(streams, self.log.time_of(streams, surplus.min(length) - 1))
    }

    fn coarsen_through(&mut self, streams: &Streams, through_ms: i64) -> usize {
        if through_ms <= self.frontier_ms {
            return 0;
        }
        let past = self.past.get_or_insert_with(|| Box::new(Past::empty(streams)));
        let mut merged = 0;
        self.log.drop_through(streams, through_ms, &mut |row| {
            past.coarsen(streams, row);
            merged += 1;
        });
        past.coarsened += merged as u64;
        self.frontier_ms = through_ms;
        self.log.settle(streams);
        merged
    }

    /// How many events the log holds.
    pub fn len(&self, plan: &FeaturePlan) -> usize {
        match &self.log {
            Log::Ordinary(rows) => rows.len(&plan.streams.layout),
            Log::Busy(busy) => busy.len(),
        }
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        matches!(&self.log, Log::Ordinary(rows) if rows.is_empty()) && self.past.is_none()
    }

    /// When the oldest event happened that is inside the horizon still, one by one or merged.
    pub fn oldest(&self, plan: &FeaturePlan) -> Option<Timestamp> {
        let rows = match &self.log {
            Log::Ordinary(rows) => rows,
            Log::Busy(busy) => busy.oldest_rows(),
        };
        let merged = self.past.as_ref().and_then(|past| past.coarse.first()).map(|bucket| bucket.first_ms);
        merged.or_else(|| rows.first(&plan.streams.layout).map(rows::time)).map(Timestamp::from_millis)
    }

    /// When the newest event happened that anything is kept of: held one by one, merged, or counted for life.
    pub fn newest(&self, plan: &FeaturePlan) -> Option<Timestamp> {
        let rows = match &self.log {
            Log::Ordinary(rows) => rows,
            Log::Busy(busy) => busy.newest_rows(),
        };
        let past = || self.past.as_ref().and_then(|past| past.newest_ms(&plan.streams));
        rows.last(&plan.streams.layout).map(rows::time).or_else(past).map(Timestamp::from_millis)
    }

    /// How many events the cap has merged.
    pub fn coarsened(&self) -> u64 {
        self.past.as_ref().map_or(0, |past| past.coarsened)
    }

    /// Bytes on the heap that belong to this person alone: counted for ordinary people, estimated from their numbers for busy ones,
    /// since it is asked for after every event.
    pub fn heap_bytes(&self, plan: &FeaturePlan) -> usize {
        let log = match &self.log {
            Log::Ordinary(rows) => rows.heap_bytes(),
            Log::Busy(busy) => busy.heap_bytes(&plan.streams),
        };
        log + self.past.as_ref().map_or(0, |past| past.heap_bytes())
    }

    /// The type of the event that stands under a key.
    pub(crate) fn kind_at(&self, plan: &FeaturePlan, key: Key) -> Option<usize> {
        self.row_at(plan, key).map(rows::kind)
    }

    fn row_at(&self, plan: &FeaturePlan, key: Key) -> Option<&[u8]> {
        let layout = &plan.streams.layout;
        match &self.log {
            Log::Ordinary(rows) => rows.find(layout, key).ok().map(|index| rows.row(layout, index)),
            Log::Busy(busy) => busy.row_at(layout, busy.place_for(layout, key)).filter(|row| rows::key(row) == key),
        }
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn past(&self) -> Option<&Past> {
        self.past.as_deref()
    }

    pub(crate) fn frontier_ms(&self) -> i64 {
        self.frontier_ms
    }
}

/// Packs an event into a row and hands it over.
fn with_row<R>(plan: &FeaturePlan, event: &Event, take: impl FnOnce(&[u8]) -> R) -> R {
    // Clearing the widest row there can be would cost more than packing the usual one.
    let (mut usual, mut widest);
    let row = if plan.streams.layout.stride <= USUAL_STRIDE {
        usual = [0; USUAL_STRIDE];
        &mut usual[..plan.streams.layout.stride]
    } else {
        widest = [0; MAX_STRIDE];
        &mut widest[..plan.streams.layout.stride]
    };
    plan.streams.pack(event, row);
    take(row)
}

impl Applied {
    /// What becomes of a row whose key another one stands under.
    fn beside(standing: &[u8], row: &[u8]) -> Self {
        match standing.cmp(row) {
            Ordering::Equal => Self::Duplicate,
            Ordering::Greater => Self::Conflict { replaced: false },
            Ordering::Less => Self::Conflict { replaced: true },
        }
    }
}

impl Log {
    fn for_each(&self, streams: &Streams, mut take: impl FnMut(&[u8])) {
        match self {
            Log::Ordinary(rows) => rows.iter(&streams.layout).for_each(take),
            Log::Busy(busy) => busy.chunks().for_each(|rows| rows.iter(&streams.layout).for_each(&mut take)),
        }
    }

    fn time_of(&self, streams: &Streams, index: usize) -> i64 {
        match self {
            Log::Ordinary(rows) => rows::time(rows.row(&streams.layout, index)),
            Log::Busy(busy) => busy.time_of(streams, index),
        }
    }

    fn drop_through(&mut self, streams: &Streams, through_ms: i64, left: &mut dyn FnMut(&[u8])) {
        match self {
            Log::Busy(busy) => busy.drop_through(streams, through_ms, left),
            Log::Ordinary(rows) => {
                let gone = rows.count_through(&streams.layout, through_ms);
                rows.iter(&streams.layout).take(gone).for_each(left);
                if gone > 0 {
                    rows.drop_first(&streams.layout, gone);
                }
            }
        }
    }

    /// A busy person who has become ordinary again; half the limit, so that nobody swings to and fro.
    fn settle(&mut self, streams: &Streams) {
        if let Log::Busy(busy) = self
            && busy.len() <= ORDINARY_EVENTS / 2
        {
            let mut rows = Rows::with_capacity(&streams.layout, busy.len());
            busy.chunks().flat_map(|chunk| chunk.iter(&streams.layout)).for_each(|row| rows.push(row));
            *self = Log::Ordinary(rows);
        }
    }
}

impl Past {
    pub(crate) fn empty(streams: &Streams) -> Self {
        Self { lifetime: Summary::empty(streams), coarse: Vec::new(), coarsened: 0 }
    }

    /// Merges an event, newer than all merged so far, into its hour.
    fn coarsen(&mut self, streams: &Streams, row: &[u8]) {
        let hour = |time_ms: i64| time_ms.div_euclid(HOUR_MS);
        if self.coarse.last().is_none_or(|bucket| hour(bucket.last_ms) != hour(rows::time(row))) {
            self.coarse.push(Summary::empty(streams));
        }
        if let Some(bucket) = self.coarse.last_mut() {
            bucket.push_newer(streams, row);
        }
    }

    /// Moves the hours that have left the horizon to the lifetime tallies.
    fn forget(&mut self, streams: &Streams, through_ms: i64) {
        let count = self.coarse.iter().take_while(|bucket| bucket.last_ms <= through_ms).count();
        for bucket in self.coarse.drain(..count) {
            let mut newer = bucket;
            newer.join_older(streams, &self.lifetime);
            self.lifetime = newer;
        }
    }

    /// Whether neither a window nor a lifetime has anything of it.
    fn holds_nothing(&self, streams: &Streams) -> bool {
        self.coarse.is_empty() && self.of_life(streams).all(|(_, stream)| stream.count == 0)
    }

    /// The streams that a lifetime feature looks at. Events of others are tallied on the way past and mean nothing.
    fn of_life(&self, streams: &Streams) -> impl Iterator<Item = (usize, &StreamTally)> {
        let mask = streams.lifetime_mask;
        self.lifetime.streams.iter().enumerate().filter(move |(stream, _)| mask >> stream & 1 == 1)
    }

    fn newest_ms(&self, streams: &Streams) -> Option<i64> {
        let of_life = || self.of_life(streams).filter(|(_, stream)| stream.count > 0).map(|(_, stream)| stream.last_ms);
        self.coarse.last().map(|bucket| bucket.last_ms).or_else(|| of_life().max())
    }

    fn events(&self) -> u64 {
        let of = |summary: &Summary| summary.streams.iter().map(|stream| stream.count).sum::<u64>();
        of(&self.lifetime) + self.coarse.iter().map(of).sum::<u64>()
    }

    fn heap_bytes(&self) -> usize {
        // All summaries of a plan are of one size.
        size_of::<Self>()
            + self.lifetime.heap_bytes()
            + self.coarse.len() * (self.lifetime.heap_bytes() + size_of::<Summary>())
    }
}
