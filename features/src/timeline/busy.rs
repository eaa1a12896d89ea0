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

use super::Applied;
use super::node::{CHUNK_ROWS, Chunk, NODE_CHUNKS, Node, SPAN_CHUNKS, remove_sorted};
use super::rows::{self, Key, Layout, Rows};
use crate::aggregate::Summary;
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

    pub(crate) fn newest_rows(&self) -> &Rows {
        let chunks = self.nodes.last().map(|node| &node.chunks);
        &chunks.and_then(|chunks| chunks.last()).expect("a busy person has events").rows
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
    pub(crate) fn insert(&mut self, streams: &Streams, row: &[u8]) -> Applied {
        let layout = &streams.layout;
        let key = rows::key(row);
        let mut place = self.place_for(layout, key);
        let standing = self.row_at(layout, place).filter(|standing| rows::key(standing) == key);
        let applied = standing.map_or(Applied::New, |standing| Applied::beside(standing, row));
        match applied {
            Applied::New => {}
            Applied::Conflict { replaced: true } => {
                self.remove(streams, place);
                place = self.place_for(layout, key);
            }
            unchanged => return unchanged,
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

    /// An estimate in constant time: what chunks, nodes and indexes of so many rows usually take.
    pub(crate) fn heap_bytes(&self, streams: &Streams) -> usize {
        let distinct = streams.distinct.len();
        let summary = size_of::<Summary>() + self.nodes.first().map_or(0, |node| node.summary.heap_bytes());
        // Chunks that were split are half full, those at the end were filled.
        let chunks = self.len * 4 / 3 / CHUNK_ROWS + 1;
        let per_chunk = size_of::<Chunk>() + summary + summary / SPAN_CHUNKS + distinct * size_of::<Vec<i64>>();
        // In a chunk, in its node and among the occurrences of its value; a queue begins with four places.
        let per_row = streams.layout.stride + streams.layout.stride / 10 + distinct * (8 + 8 + size_of::<Key>());
        let values: usize = self.occurrences.iter().map(|known| known.by_value.len()).sum();
        let per_value = size_of::<(i64, VecDeque<Key>)>() * 3 / 2 + 3 * size_of::<Key>();
        size_of::<Self>() + chunks * per_chunk + self.len * per_row + values * per_value
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

#[cfg(test)]
mod tests {
    use crate::event::{Event, EventId};
    use crate::plan::FeaturePlan;
    use crate::spec::Specification;
    use crate::time::Timestamp;
    use crate::timeline::node::Previous;
    use crate::timeline::{Log, Timeline};

    use super::*;

    /// Every allocation, one by one.
    fn walk(busy: &Busy) -> usize {
        let column = |column: &Previous| size_of::<Previous>() + 8 * column.by_row.capacity();
        let chunk = |chunk: &Chunk| {
            let previous: usize = chunk.previous.iter().map(column).sum();
            size_of::<Chunk>() + chunk.rows.heap_bytes() + chunk.summary.heap_bytes() + previous
        };
        let node = |node: &Node| {
            let spans = node.spans.iter().map(|span| size_of::<Summary>() + span.heap_bytes());
            let sorted = node.previous.iter().map(|sorted| size_of::<Vec<i64>>() + 8 * sorted.capacity());
            let chunks: usize = node.chunks.iter().map(chunk).sum();
            size_of::<Node>() + node.summary.heap_bytes() + spans.sum::<usize>() + sorted.sum::<usize>() + chunks
        };
        let slot = size_of::<(i64, VecDeque<Key>)>() + 1;
        let index = |known: &Occurrences| {
            let queues = known.by_value.values().map(|keys| size_of::<Key>() * keys.capacity());
            known.by_value.capacity() * 8 / 7 * slot + queues.sum::<usize>()
        };
        size_of::<Busy>()
            + busy.nodes.iter().map(node).sum::<usize>()
            + busy.occurrences.iter().map(index).sum::<usize>()
    }

    #[test]
    fn memory_is_estimated_near_what_is_held_whatever_the_order_and_the_values() {
        let text = r#"
            name = "busy"
            horizon = "90d"
            [application.fields]
            [events.payment.fields]
            amount = { type = "integer" }
            payee = { type = "text" }
            [[features]]
            name = "paid"
            from = "payment"
            aggregate = "stddev"
            field = "amount"
            window = { sliding = "90d" }
            [[features]]
            name = "payees"
            from = "payment"
            aggregate = "distinct"
            field = "payee"
            window = { sliding = "30d" }
        "#;
        let plan = FeaturePlan::compile(Specification::parse("features.toml", text).unwrap()).unwrap();
        for (events, different, shuffled) in [(300, 300, false), (20_000, 20_000, true), (20_000, 5, false)] {
            let mut timeline = Timeline::default();
            for index in 0..events {
                let index = if shuffled { index * 7_919 % events } else { index };
                let (id, time) = (EventId::from_bits(index as u64), Timestamp::from_millis(index * 60_000));
                timeline.apply(&plan, &Event::new("p", id, time, 0, vec![index, index % different]));
            }
            let Log::Busy(busy) = timeline.log() else { panic!("{events} events are a busy person's") };
            let ratio = busy.heap_bytes(&plan.streams) as f64 / walk(busy) as f64;
            assert!((0.7..1.4).contains(&ratio), "{events} events of {different} values: {ratio}");
        }
    }
}
