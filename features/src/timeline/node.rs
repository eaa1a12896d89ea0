//! The parts of a busy person's log: chunks of rows, and nodes of chunks.
//!
//! A part keeps the summary of what is below it, and for every distinct measure the previous occurrences of its rows' values: row
//! by row in a chunk, sorted in a node.

use super::busy::Place;
use super::rows::{Layout, Rows};
use crate::aggregate::Summary;
use crate::streams::Streams;
use crate::window::Bounds;

/// Rows in a full chunk.
pub(crate) const CHUNK_ROWS: usize = 64;
/// Chunks in a full node.
pub(crate) const NODE_CHUNKS: usize = 64;
/// Chunks whose summaries are kept added up: an edge inside a node then joins a dozen summaries instead of 64.
pub(crate) const SPAN_CHUNKS: usize = 8;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) chunks: Vec<Chunk>,
    /// Of every [`SPAN_CHUNKS`] chunks.
    pub(crate) spans: Vec<Summary>,
    pub(crate) summary: Summary,
    /// For each distinct measure, the previous occurrences of all rows below, sorted.
    pub(super) previous: Vec<Vec<i64>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) rows: Rows,
    pub(crate) summary: Summary,
    /// For each distinct measure.
    pub(super) previous: Vec<Previous>,
}

/// The previous occurrences of a chunk's values.
#[derive(Debug, Clone)]
pub(super) struct Previous {
    pub(super) by_row: Vec<i64>,
    /// None is earlier: a window that begins before it counts nothing here, as is usual where values recur.
    earliest: i64,
}

impl Node {
    pub(super) fn of(streams: &Streams, chunks: Vec<Chunk>) -> Self {
        let column = |index: usize| {
            let mut all: Vec<i64> =
                chunks.iter().flat_map(|chunk| chunk.previous[index].by_row.iter().copied()).collect();
            all.sort();
            all
        };
        let previous = (0..streams.distinct.len()).map(column).collect();
        let mut node = Self { summary: Summary::empty(streams), spans: Vec::new(), previous, chunks };
        node.summarise(streams);
        node
    }

    /// How many rows inside the bounds carry a value for the first time since they begin.
    pub(super) fn distinct(&self, layout: &Layout, index: usize, bounds: Bounds) -> usize {
        let Bounds { after_ms, through_ms, .. } = bounds;
        if !overlaps(&self.summary, bounds) {
            return 0;
        }
        if self.summary.first_ms > after_ms && self.summary.last_ms <= through_ms {
            return self.previous[index].partition_point(|&previous| previous <= after_ms);
        }
        let in_chunk = |chunk: &Chunk| {
            let low = chunk.rows.count_through(layout, after_ms);
            let high = chunk.rows.count_through(layout, through_ms).max(low);
            chunk.previous[index].by_row[low..high].iter().filter(|&&previous| previous <= after_ms).count()
        };
        let counts = |chunk: &&Chunk| overlaps(&chunk.summary, bounds) && chunk.previous[index].earliest <= after_ms;
        self.chunks.iter().filter(counts).map(in_chunk).sum()
    }

    /// Notes another previous occurrence for the row at the place.
    pub(super) fn set_previous(&mut self, index: usize, place: Place, previous_ms: i64) {
        let old = self.chunks[place.chunk].previous[index].replace(place.row, previous_ms);
        remove_sorted(&mut self.previous[index], old);
        insert_sorted(&mut self.previous[index], previous_ms);
    }

    pub(super) fn insert(&mut self, streams: &Streams, place: Place, row: &[u8], previous: &[i64]) {
        let layout = &streams.layout;
        for (sorted, &time) in self.previous.iter_mut().zip(previous) {
            insert_sorted(sorted, time);
        }
        let last_rows = self.chunks.last().map_or(CHUNK_ROWS, |chunk| chunk.rows.len(layout));
        let appends = place.chunk + 1 >= self.chunks.len() && (self.chunks.is_empty() || place.row == last_rows);
        if appends && last_rows == CHUNK_ROWS {
            self.chunks.push(Chunk::empty(streams));
        }
        let index = if appends { self.chunks.len() - 1 } else { place.chunk };
        let chunk = &mut self.chunks[index];
        let at = if appends { chunk.rows.len(layout) } else { place.row };
        chunk.rows.insert(layout, at, row);
        for (column, &time) in chunk.previous.iter_mut().zip(previous) {
            column.insert(at, time);
        }
        if appends {
            chunk.summary.push_newer(streams, row);
            self.push_newer(streams, row);
            return;
        }
        chunk.summarise(streams);
        if chunk.rows.len(layout) > CHUNK_ROWS {
            let tail = chunk.split_off(streams, CHUNK_ROWS / 2);
            self.chunks.insert(index + 1, tail);
            self.summarise(streams);
        } else {
            self.summarise_span(streams, index / SPAN_CHUNKS);
            self.add_up(streams);
        }
    }

    pub(super) fn summarise(&mut self, streams: &Streams) {
        self.spans.resize_with(self.chunks.len().div_ceil(SPAN_CHUNKS), || Summary::empty(streams));
        (0..self.spans.len()).for_each(|span| self.summarise_span(streams, span));
        self.add_up(streams);
    }

    fn summarise_span(&mut self, streams: &Streams, span: usize) {
        let chunks = self.chunks.iter().skip(span * SPAN_CHUNKS).take(SPAN_CHUNKS);
        self.spans[span].clear();
        chunks.rev().for_each(|chunk| self.spans[span].join_older(streams, &chunk.summary));
    }

    fn add_up(&mut self, streams: &Streams) {
        self.summary.clear();
        self.spans.iter().rev().for_each(|span| self.summary.join_older(streams, span));
    }

    /// Takes note of a row that its last chunk now ends with.
    fn push_newer(&mut self, streams: &Streams, row: &[u8]) {
        if self.spans.len() < self.chunks.len().div_ceil(SPAN_CHUNKS) {
            self.spans.push(Summary::empty(streams));
        }
        if let Some(span) = self.spans.last_mut() {
            span.push_newer(streams, row);
        }
        self.summary.push_newer(streams, row);
    }

    pub(super) fn split_off(&mut self, streams: &Streams, keep: usize) -> Node {
        let tail = self.chunks.split_off(keep);
        *self = Node::of(streams, std::mem::take(&mut self.chunks));
        Node::of(streams, tail)
    }
}

impl Chunk {
    fn empty(streams: &Streams) -> Self {
        Self {
            rows: Rows::default(),
            summary: Summary::empty(streams),
            previous: vec![Previous::of(Vec::new()); streams.distinct.len()],
        }
    }

    pub(super) fn summarise(&mut self, streams: &Streams) {
        self.summary.clear();
        let all = 0..self.rows.len(&streams.layout);
        self.summary.push_older(streams, self.rows.slice(&streams.layout, all));
    }

    pub(super) fn split_off(&mut self, streams: &Streams, at: usize) -> Chunk {
        let rows = self.rows.split_off(&streams.layout, at);
        let previous = self.previous.iter_mut().map(|column| column.split_off(at)).collect();
        let mut tail = Chunk { rows, summary: Summary::empty(streams), previous };
        tail.summarise(streams);
        self.summarise(streams);
        tail
    }
}

impl Previous {
    fn of(by_row: Vec<i64>) -> Self {
        let earliest = by_row.iter().copied().min().unwrap_or(i64::MAX);
        Self { by_row, earliest }
    }

    fn insert(&mut self, row: usize, time_ms: i64) {
        self.by_row.insert(row, time_ms);
        self.earliest = self.earliest.min(time_ms);
    }

    fn replace(&mut self, row: usize, time_ms: i64) -> i64 {
        self.earliest = self.earliest.min(time_ms);
        std::mem::replace(&mut self.by_row[row], time_ms)
    }

    fn split_off(&mut self, at: usize) -> Self {
        let tail = self.by_row.split_off(at);
        *self = Self::of(std::mem::take(&mut self.by_row));
        Self::of(tail)
    }
}

fn insert_sorted(sorted: &mut Vec<i64>, value: i64) {
    sorted.insert(sorted.partition_point(|&known| known < value), value);
}

pub(super) fn remove_sorted(sorted: &mut Vec<i64>, value: i64) {
    sorted.remove(sorted.partition_point(|&known| known < value));
}

fn overlaps(part: &Summary, bounds: Bounds) -> bool {
    part.last_ms > bounds.after_ms && part.first_ms <= bounds.through_ms
}
