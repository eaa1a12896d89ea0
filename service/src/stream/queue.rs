//! Records of a lane, in hand until their turn.

use std::collections::VecDeque;

use bytes::Bytes;
use cauce_features::time::Timestamp;

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    /// When it arrived: given by the broker, rising within a partition.
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    /// `None` erases the person.
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// A name, and what stands under it.
pub type Header = (Box<str>, Bytes);

/// What there is to see of a queue.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When the record arrived that is the next in turn.
    pub oldest: Option<Timestamp>,
    /// As of [`Queue`].
    pub is_at_end: bool,
}

/// Records of a lane that wait for their turn.
#[derive(Debug, Default)]
pub struct Queue {
    pub(super) records: VecDeque<Record>,
    bytes: usize,
    /// The first offset that is not worked off.
    pub(super) next: i64,
    /// What stands before it was answered for in an earlier life: it makes state, and nothing else.
    pub state_only_before: i64,
    /// Whether nothing was left to be read when that was last asked, after everything in hand had been read.
    pub is_at_end: bool,
}

impl Queue {
    /// A queue that begins at an offset.
    pub(super) fn at(next: i64) -> Self {
        Self { next, ..Self::default() }
    }

    /// Takes a record that was read.
    pub fn push(&mut self, record: Record) {
        self.bytes += record.bytes();
        self.records.push_back(record);
    }

    /// How many records wait, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        (self.records.len(), self.bytes)
    }

    /// What there is to see of it.
    pub fn seen(&self) -> Seen {
        Seen { oldest: self.records.front().map(|record| record.timestamp), is_at_end: self.is_at_end }
    }

    /// The offset behind the newest record that was read and was not passed over.
    pub fn read_to(&self) -> i64 {
        self.records.back().map_or(self.next, |record| record.offset + 1)
    }

    /// Passes over what a lane holds besides records, such as the marks of transactions.
    pub fn pass_to(&mut self, position: i64) {
        if self.records.is_empty() {
            self.next = self.next.max(position);
        }
    }

    pub(super) fn take(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.bytes -= record.bytes();
        Some(record)
    }

    pub(super) fn put_back(&mut self, record: Record) {
        self.bytes += record.bytes();
        self.records.push_front(record);
    }
}

impl Record {
    /// What stands under a header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The instant under a header, in milliseconds since 1970.
    pub fn instant(&self, name: &str) -> Option<Timestamp> {
        let instant = Timestamp::from_millis(self.header(name)?.parse().ok()?);
        (Timestamp::MIN..=Timestamp::MAX).contains(&instant).then_some(instant)
    }

    fn bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| size_of::<Header>() + name.len() + value.len()).sum();
        let of = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        size_of::<Self>() + of(&self.key) + of(&self.value) + headers
    }
}
