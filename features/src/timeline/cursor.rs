//! Walks a timeline from newest to oldest, by whole nodes and chunks where a window takes all of them.

use super::busy::{Busy, Place};
use super::node::SPAN_CHUNKS;
use super::rows::{self, Key, Rows};
use super::{Log, Past, Timeline};
use crate::aggregate::Summary;
use crate::streams::Streams;
use crate::time::Span;
use crate::window::Bounds;

/// What takes in the events of a window, newest first.
pub(crate) trait Taker {
    /// Sorted rows.
    fn rows(&mut self, streams: &Streams, rows: &[u8]);
    /// A whole run of events.
    fn run(&mut self, streams: &Streams, summary: &Summary);
}

/// Stands behind the events not taken yet.
pub(crate) struct Cursor<'a> {
    streams: &'a Streams,
    log: Position<'a>,
    past: Option<&'a Past>,
    /// Hours of the capped past not taken yet.
    coarse_left: usize,
    lifetime_left: bool,
}

enum Position<'a> {
    Ordinary { rows: &'a Rows, left: usize },
    Busy { busy: &'a Busy, place: Option<Place> },
}

impl<'a> Cursor<'a> {
    /// Behind the last event at or before `through_ms`.
    pub(crate) fn at(streams: &'a Streams, timeline: &'a Timeline, through_ms: i64) -> Self {
        let log = match timeline.log() {
            Log::Ordinary(rows) => Position::Ordinary { rows, left: rows.count_through(&streams.layout, through_ms) },
            Log::Busy(busy) => Position::Busy { busy, place: busy_end(streams, busy, (through_ms, u64::MAX)) },
        };
        let past = timeline.past();
        Self {
            streams,
            log,
            past,
            coarse_left: past.map_or(0, |past| past.coarse.partition_point(|hour| hour.first_ms <= through_ms)),
            lifetime_left: past.is_some(),
        }
    }

    /// Where the next event stands: the newest not taken yet.
    pub(crate) fn next_key(&self) -> Option<Key> {
        let layout = &self.streams.layout;
        let in_log = match &self.log {
            Position::Ordinary { rows, left } => left.checked_sub(1).map(|index| rows.row(layout, index)),
            Position::Busy { busy, place } => {
                place.and_then(|place| busy.row_at(layout, Place { row: place.row - 1, ..place }))
            }
        };
        let coarse = || self.past?.coarse.get(self.coarse_left.checked_sub(1)?);
        in_log.map(rows::key).or_else(|| coarse().map(|bucket| (bucket.last_ms, 0)))
    }

    /// Takes the events behind `own` and passes over the one at it, where it stands next to the cursor's instant.
    pub(crate) fn pass_over(&mut self, own: Key, taker: &mut impl Taker) {
        let (streams, layout) = (self.streams, &self.streams.layout);
        match &mut self.log {
            Position::Ordinary { rows, left } => {
                // Only an ordinary timeline's last few rows can share the instant.
                let Ok(index) = rows.find(layout, own) else { return };
                if index < *left {
                    taker.rows(streams, rows.slice(layout, index + 1..*left));
                    *left = index;
                }
            }
            Position::Busy { busy, place } => {
                let own_place = busy.place_for(layout, own);
                if busy.row_at(layout, own_place).is_none_or(|row| rows::key(row) != own) {
                    return;
                }
                while let Some(at) = *place {
                    let index = Place { row: at.row - 1, ..at };
                    *place = before(busy, streams, index);
                    if index == own_place {
                        break;
                    }
                    if let Some(row) = busy.row_at(layout, index) {
                        taker.rows(streams, row);
                    }
                }
            }
        }
    }

    /// Takes every event later than `after_ms` that is left.
    pub(crate) fn take_after(&mut self, after_ms: i64, taker: &mut impl Taker) {
        let (streams, layout) = (self.streams, &self.streams.layout);
        match &mut self.log {
            Position::Ordinary { rows, left } => {
                let start = rows.start_after(layout, after_ms, *left);
                taker.rows(streams, rows.slice(layout, start..*left));
                *left = start;
                if start > 0 {
                    return;
                }
            }
            Position::Busy { busy, place } => {
                while let Some(at) = *place {
                    let left = take_run(streams, busy, at, after_ms, taker);
                    *place = before(busy, streams, left);
                    if left.row > 0 {
                        return;
                    }
                }
            }
        }
        self.take_past(after_ms, taker);
    }

    fn take_past(&mut self, after_ms: i64, taker: &mut impl Taker) {
        let Some(past) = self.past else { return };
        while let Some(bucket) = self.coarse_left.checked_sub(1).map(|index| &past.coarse[index]) {
            if bucket.last_ms <= after_ms {
                return;
            }
            taker.run(self.streams, bucket);
            self.coarse_left -= 1;
        }
        if after_ms == i64::MIN && std::mem::take(&mut self.lifetime_left) {
            taker.run(self.streams, &past.lifetime);
        }
    }

    /// The instant of the first event of the session that is open at the end of the bounds, in one stream.
    pub(crate) fn session_start(mut self, stream: usize, gap: Span, bounds: &Bounds, own: Key) -> Option<i64> {
        let (edge_ms, after_ms) = (bounds.through_ms, bounds.after_ms);
        let mut walk = SessionWalk { stream, gap_ms: gap.millis(), edge_ms, start_ms: None, open: true };
        self.pass_over(own, &mut walk);
        while walk.open {
            match &mut self.log {
                Position::Ordinary { rows, left } => {
                    let Some(index) = left.checked_sub(1) else { break };
                    let row = rows.row(&self.streams.layout, index);
                    walk.open &= rows::time(row) > after_ms;
                    walk.rows(self.streams, row);
                    *left = index;
                }
                Position::Busy { busy, place } => {
                    let Some(at) = *place else { break };
                    *place = walk.step(self.streams, busy, at, after_ms);
                }
            }
        }
        walk.start_ms
    }
}

/// Takes what lies inside of the node, span or chunk that ends at the place, as one where it lies inside whole. Returns where the
/// rest ends; with no row left, the run is taken.
fn take_run(streams: &Streams, busy: &Busy, at: Place, after_ms: i64, taker: &mut impl Taker) -> Place {
    let node = &busy.nodes()[at.node];
    let chunk = &node.chunks[at.chunk];
    let ends_chunk = at.row == chunk.rows.len(&streams.layout);
    if ends_chunk && at.chunk + 1 == node.chunks.len() && node.summary.first_ms > after_ms {
        taker.run(streams, &node.summary);
        return Place { chunk: 0, row: 0, ..at };
    }
    let span = &node.spans[at.chunk / SPAN_CHUNKS];
    let ends_span = ends_chunk && (at.chunk + 1 == node.chunks.len() || (at.chunk + 1).is_multiple_of(SPAN_CHUNKS));
    if ends_span && span.first_ms > after_ms {
        taker.run(streams, span);
        return Place { chunk: at.chunk / SPAN_CHUNKS * SPAN_CHUNKS, row: 0, ..at };
    }
    if ends_chunk && chunk.summary.first_ms > after_ms {
        taker.run(streams, &chunk.summary);
        return Place { row: 0, ..at };
    }
    let start = chunk.rows.start_after(&streams.layout, after_ms, at.row);
    taker.rows(streams, chunk.rows.slice(&streams.layout, start..at.row));
    Place { row: start, ..at }
}

/// The end place at or before `at`: a place whose row number is how many rows of its chunk are left, never zero.
fn before(busy: &Busy, streams: &Streams, at: Place) -> Option<Place> {
    if at.row > 0 {
        return Some(at);
    }
    let (node, chunk) = match (at.node, at.chunk) {
        (0, 0) => return None,
        (node, 0) => (node - 1, busy.nodes()[node - 1].chunks.len() - 1),
        (node, chunk) => (node, chunk - 1),
    };
    Some(Place { node, chunk, row: busy.nodes()[node].chunks[chunk].rows.len(&streams.layout) })
}

fn busy_end(streams: &Streams, busy: &Busy, key: Key) -> Option<Place> {
    before(busy, streams, busy.place_for(&streams.layout, key))
}

/// Looks for the first event of an open session, newest first.
struct SessionWalk {
    stream: usize,
    gap_ms: i64,
    /// The earliest event of the session so far; first of all, `as_of`.
    edge_ms: i64,
    start_ms: Option<i64>,
    open: bool,
}

impl Taker for SessionWalk {
    fn rows(&mut self, streams: &Streams, rows: &[u8]) {
        for row in rows.rchunks_exact(streams.layout.stride) {
            if self.open && streams.layout.mask(row) >> self.stream & 1 == 1 {
                self.extend(rows::time(row), rows::time(row));
            }
        }
    }

    fn run(&mut self, _: &Streams, summary: &Summary) {
        let stream = &summary.streams[self.stream];
        if stream.count > 0 {
            self.extend(stream.last_ms, stream.first_ms);
        }
    }
}

impl SessionWalk {
    fn extend(&mut self, last_ms: i64, first_ms: i64) {
        self.open &= self.edge_ms - last_ms <= self.gap_ms;
        if self.open {
            (self.edge_ms, self.start_ms) = (first_ms, Some(first_ms));
        }
    }

    /// Passes a whole node or chunk where the session runs through all of it or none of it is in the stream.
    fn step(&mut self, streams: &Streams, busy: &Busy, at: Place, after_ms: i64) -> Option<Place> {
        let layout = &streams.layout;
        let node = &busy.nodes()[at.node];
        let chunk = &node.chunks[at.chunk];
        let ends_chunk = at.row == chunk.rows.len(layout);
        let whole_node = ends_chunk && at.chunk + 1 == node.chunks.len();
        let runs = [
            (whole_node, &node.summary, Place { chunk: 0, row: 0, ..at }),
            (ends_chunk, &chunk.summary, Place { row: 0, ..at }),
        ];
        for (ends, summary, next) in runs {
            if ends && summary.streams[self.stream].widest_gap_ms <= self.gap_ms {
                self.run(streams, summary);
                return before(busy, streams, next);
            }
        }
        let row = chunk.rows.row(layout, at.row - 1);
        self.open &= rows::time(row) > after_ms;
        self.rows(streams, row);
        before(busy, streams, Place { row: at.row - 1, ..at })
    }
}
