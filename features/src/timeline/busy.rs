//! A busy person's log: rows in chunks, chunks in spans, spans under nodes, each with the summary of what is below.
//!
//! That is enough: 100,000 events are some 1,600 chunks under 25 nodes. A window's edge costs at most one chunk of rows, one span
//! of chunks and one node of spans, so applying and reading stay within microseconds whatever the person, however late the event,
//! however long the silence before, and a read at any `as_of` is a pure function of the state (F3).
//!
//! **Distinct counts.** A value is counted once in a window where it has no earlier occurrence inside: the number of rows in
//! (a, b] whose previous occurrence lies at or before a. Each row therefore carries the time of its previous
//! occurrence, nodes keep these sorted, and an index of occurrences finds the two rows that an insertion touches.

use std::collections::{HashMap, VecDeque};

use super::node::{CHUNK_ROWS, NODE_CHUNKS, Node, remove_sorted};
use super::rows::{self, Key, Layout, Rows};
use crate::streams::Streams;
use crate::window::Bounds;

/// The previous occurrence of a value that occurs for the first time: before every window.
const FIRST: i64 = i64::MIN;
/// The previous occurrence of a row that carries no value: inside no window.
const NOT_COUNTED: i64 = i64::MAX;

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: usize,
    pub(crate) chunk: usize,
    pub(crate) row: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Busy {
    nodes: Vec<Node>,
    /// For each distinct measure.
    occurrences: Vec<Occurrences>,
    len: usize,
}

/// Every value's occurrences in order.
#[derive(Debug, Clone, Default)]
struct Occurrences {
    by_value: HashMap<i64, VecDeque<Key>>,
}

impl Busy {
    pub(crate) fn from_rows<'a>(streams: &Streams, rows: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut busy =
            Self { nodes: Vec::new(), occurrences: vec![Occurrences::default(); streams.distinct.len()], len: 0 };
        for row in rows {
            busy.insert(streams, row);
        }
        busy
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn chunks(&self) -> impl DoubleEndedIterator<Item = &Rows> {
        self.nodes.iter().flat_map(|node| node.chunks.iter().map(|chunk| &chunk.rows))
    }

    pub(crate) fn oldest_rows(&self) -> &Rows {
        &self.nodes[0].chunks[0].rows
    }

    pub(crate) fn time_of(&self, streams: &Streams, mut index: usize) -> i64 {
        for rows in self.chunks() {
            let len = rows.len(&streams.layout);
            if index < len {
                return rows::time(rows.row(&streams.layout, index));
            }
            index -= len;
        }
        i64::MAX
    }

    /// Puts a row in its place; of two under one key the greater stays.
    pub(crate) fn insert(&mut self, streams: &Streams, row: &[u8]) -> super::Applied {
        let layout = &streams.layout;
        let key = rows::key(row);
        let mut place = self.place_for(layout, key);
        let mut applied = super::Applied::New;
        if let Some(standing) = self.row_at(layout, place).filter(|standing| rows::key(standing) == key) {
            match standing.cmp(row) {
                std::cmp::Ordering::Equal => return super::Applied::Duplicate,
                std::cmp::Ordering::Greater => return super::Applied::Conflict,
                std::cmp::Ordering::Less => {
                    self.remove(streams, place);
                    place = self.place_for(layout, key);
                    applied = super::Applied::Conflict;
                }
            }
        }
        self.insert_at(streams, place, row);
        applied
    }

    fn insert_at(&mut self, streams: &Streams, mut place: Place, row: &[u8]) {
        let previous: Vec<i64> = (0..streams.distinct.len()).map(|index| self.link(streams, index, row)).collect();
        self.len += 1;
        if self.is_behind_full_node(place) {
            // Events mostly come in order: what is full at the end is left full rather than split.
            self.nodes.push(Node::of(streams, Vec::new()));
            place = Place { node: self.nodes.len() - 1, chunk: 0, row: 0 };
        }
        let node = &mut self.nodes[place.node];
        node.insert(streams, place, row, &previous);
        if node.chunks.len() > NODE_CHUNKS {
            let tail = node.split_off(streams, NODE_CHUNKS / 2);
            self.nodes.insert(place.node + 1, tail);
        }
    }

    fn is_behind_full_node(&self, place: Place) -> bool {
        let full = (NODE_CHUNKS - 1, CHUNK_ROWS);
        self.nodes.is_empty() || (place.node + 1 == self.nodes.len() && (place.chunk, place.row) == full)
    }

    fn remove(&mut self, streams: &Streams, place: Place) {
        let row = self.row_at(&streams.layout, place).expect("only a standing row is removed").to_vec();
        for index in 0..streams.distinct.len() {
            self.unlink(streams, index, &row);
        }
        self.len -= 1;
        let node = &mut self.nodes[place.node];
        let chunk = &mut node.chunks[place.chunk];
        for (sorted, column) in node.previous.iter_mut().zip(&mut chunk.previous) {
            remove_sorted(sorted, column.by_row.remove(place.row));
        }
        let tail = chunk.rows.split_off(&streams.layout, place.row);
        tail.iter(&streams.layout).skip(1).for_each(|row| chunk.rows.push(row));
        if chunk.rows.is_empty() {
            node.chunks.remove(place.chunk);
        } else {
            chunk.summarise(streams);
        }
        if node.chunks.is_empty() {
            self.nodes.remove(place.node);
        } else {
            node.summarise(streams);
        }
    }

    /// Drops the rows at or before `through_ms`. Rows behind them keep pointing at dropped ones.
    pub(crate) fn drop_through(&mut self, streams: &Streams, through_ms: i64, left: &mut dyn FnMut(&[u8])) {
        let layout = &streams.layout;
        let mut kept = Vec::new();
        for node in std::mem::take(&mut self.nodes) {
            if node.summary.first_ms > through_ms {
                kept.push(node);
                continue;
            }
            let mut chunks = Vec::new();
            for mut chunk in node.chunks {
                let gone = chunk.rows.count_through(layout, through_ms);
                for row in chunk.rows.iter(layout).take(gone) {
                    left(row);
                    self.occurrences.iter_mut().enumerate().for_each(|(i, known)| known.forget_oldest(streams, i, row));
                }
                self.len -= gone;
                if gone < chunk.rows.len(layout) {
                    if gone > 0 {
                        chunk = chunk.split_off(streams, gone);
                    }
                    chunks.push(chunk);
                }
            }
            if !chunks.is_empty() {
                kept.push(Node::of(streams, chunks));
            }
        }
        self.nodes = kept;
    }

    /// How many different values the rows inside the bounds carry, without the row at `own`. The bounds reach no further back
    /// than what was dropped.
    pub(crate) fn distinct(&self, streams: &Streams, index: usize, bounds: Bounds, own: Key) -> usize {
        let count: usize = self.nodes.iter().map(|node| node.distinct(&streams.layout, index, bounds)).sum();
        count - usize::from(self.counts_alone(streams, index, own, bounds))
    }

    /// Whether the row at `own` is inside the bounds and the only one there with its value.
    fn counts_alone(&self, streams: &Streams, index: usize, own: Key, bounds: Bounds) -> bool {
        let inside = |key: &Key| bounds.after_ms < key.0 && key.0 <= bounds.through_ms;
        if !inside(&own) {
            return false;
        }
        let standing = self.row_at(&streams.layout, self.place_for(&streams.layout, own));
        let Some(row) = standing.filter(|row| rows::key(row) == own) else { return false };
        let Some(value) = streams.distinct_value(index, row) else { return false };
        let keys = &self.occurrences[index].by_value[&value];
        let at = keys.partition_point(|known| *known < own);
        let alone = |neighbour: Option<usize>| neighbour.and_then(|at| keys.get(at)).is_none_or(|key| !inside(key));
        alone(at.checked_sub(1)) && alone(Some(at + 1))
    }

    /// The place of the key, or where it would stand: behind the last row of the chunk before it rather than at the head of the next.
    pub(crate) fn place_for(&self, layout: &Layout, key: Key) -> Place {
        let before = |rows: &Rows| rows.first(layout).is_some_and(|first| rows::key(first) <= key);
        let node = self.nodes.partition_point(|node| before(&node.chunks[0].rows)).saturating_sub(1);
        let Some(chunks) = self.nodes.get(node).map(|node| &node.chunks) else {
            return Place { node: 0, chunk: 0, row: 0 };
        };
        let chunk = chunks.partition_point(|chunk| before(&chunk.rows)).saturating_sub(1);
        let row = chunks[chunk].rows.find(layout, key).unwrap_or_else(|row| row);
        Place { node, chunk, row }
    }

    pub(crate) fn row_at(&self, layout: &Layout, place: Place) -> Option<&[u8]> {
        let rows = &self.nodes.get(place.node)?.chunks.get(place.chunk)?.rows;
        (place.row < rows.len(layout)).then(|| rows.row(layout, place.row))
    }

    /// Notes an occurrence and tells the next one of it. Returns the time of the one before.
    fn link(&mut self, streams: &Streams, index: usize, row: &[u8]) -> i64 {
        let Some(value) = streams.distinct_value(index, row) else { return NOT_COUNTED };
        let key = rows::key(row);
        let keys = self.occurrences[index].by_value.entry(value).or_default();
        let at = keys.partition_point(|known| *known < key);
        let previous = at.checked_sub(1).map_or(FIRST, |before| keys[before].0);
        let next = keys.get(at).copied();
        keys.insert(at, key);
        if let Some(next) = next {
            self.set_previous(streams, index, next, key.0);
        }
        previous
    }

    fn unlink(&mut self, streams: &Streams, index: usize, row: &[u8]) {
        let Some(value) = streams.distinct_value(index, row) else { return };
        let key = rows::key(row);
        let Some(keys) = self.occurrences[index].by_value.get_mut(&value) else { return };
        let at = keys.partition_point(|known| *known < key);
        keys.remove(at);
        if keys.is_empty() {
            self.occurrences[index].by_value.remove(&value);
            return;
        }
        let previous = at.checked_sub(1).map_or(FIRST, |before| keys[before].0);
        if let Some(next) = keys.get(at).copied() {
            self.set_previous(streams, index, next, previous);
        }
    }

    fn set_previous(&mut self, streams: &Streams, index: usize, of: Key, previous_ms: i64) {
        let place = self.place_for(&streams.layout, of);
        self.nodes[place.node].set_previous(index, place, previous_ms);
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let occurrences = self.occurrences.iter().flat_map(|known| known.by_value.values());
        size_of::<Self>()
            + self.nodes.iter().map(|node| size_of::<Node>() + node.heap_bytes()).sum::<usize>()
            + occurrences.map(|keys| 40 + size_of::<Key>() * keys.capacity()).sum::<usize>()
    }
}

impl Occurrences {
    fn forget_oldest(&mut self, streams: &Streams, index: usize, row: &[u8]) {
        let Some(value) = streams.distinct_value(index, row) else { return };
        if let Some(keys) = self.by_value.get_mut(&value) {
            // Rows leave oldest first, and so do their occurrences.
            keys.pop_front();
            if keys.is_empty() {
                self.by_value.remove(&value);
            }
        }
    }
}
