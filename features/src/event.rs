//! An event of a person's financial life: raw record to valid value, parsed once at the edge.
//!
//! What an [`Event`] holds has been checked against its specification: the timeline and the plan never look back at
//! JSON. Identity is event time and event id (F1), so redelivery needs no table of what was seen.

use crate::record::{Envelope, EnvelopeKind, IdError, RecordErrors};
use crate::spec::Specification;
use crate::time::Timestamp;

/// What tells two events of one person at one instant apart: 48 bits.
///
/// A decimal number below 2^47 stands for itself; any other id is a 47-bit hash with the top bit set. Numbers that rise
/// with time, as banks' own do, then cost two or three bytes in a snapshot instead of six. Two different texts are taken for one
/// only if they also carry the same person and millisecond: one pair in 1.4 × 10^14 of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u64);

impl EventId {
    /// The most bytes of an id's text.
    pub const MAX_BYTES: usize = 128;

    const HASHED: u64 = 1 << 47;

    /// The id that a text stands for. `007` is another id than `7`: only a number's own spelling stands for it.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        crate::record::check_id(text)?;
        Ok(match canonical_number(text) {
            Some(number) if number < Self::HASHED => Self(number),
            _ => Self(xxhash_rust::xxh3::xxh3_64(text.as_bytes()) & (Self::HASHED - 1) | Self::HASHED),
        })
    }

    /// The id with these 48 bits; any higher bits are dropped.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & (Self::HASHED << 1).wrapping_sub(1))
    }

    /// Its 48 bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

fn canonical_number(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_number { text.parse().ok() } else { None }
}

/// A valid event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The person's id and, behind it, the event's: one allocation for both.
    ids: String,
    person_bytes: usize,
    id: EventId,
    time: Timestamp,
    arrived_at: Option<Timestamp>,
    kind: usize,
    values: Vec<i64>,
}

impl Event {
    /// Reads `{"person_id", "event_id", "type", "time", "data"}`: valid, or every wrong field at once.
    pub fn from_json(specification: &Specification, json: &[u8]) -> Result<Self, RecordErrors> {
        Self::read(specification, json, EnvelopeKind::Event)
    }

    /// The same as a line of a history file, where `arrived_at` may say when the event became known.
    pub fn from_history(specification: &Specification, json: &[u8]) -> Result<Self, RecordErrors> {
        Self::read(specification, json, EnvelopeKind::HistoricEvent)
    }

    /// An event whose parts are already valid: `values` in the declared order of `kind`, [`crate::fixed::MISSING`] where
    /// not given.
    pub fn new(person: &str, id: EventId, time: Timestamp, kind: usize, values: Vec<i64>) -> Self {
        Self::with_ids(person.to_owned(), person.len(), id, time, kind, values)
    }

    pub(crate) fn with_ids(
        ids: String,
        person_bytes: usize,
        id: EventId,
        time: Timestamp,
        kind: usize,
        values: Vec<i64>,
    ) -> Self {
        Self { ids, person_bytes, id, time, arrived_at: None, kind, values }
    }

    fn read(specification: &Specification, json: &[u8], kind: EnvelopeKind) -> Result<Self, RecordErrors> {
        let Envelope { ids, person_bytes, id, time, arrived_at, event_type, values, .. } =
            Envelope::read(specification, json, kind, "")?;
        let time = time.expect("an event without a time is refused");
        Ok(Self { ids, person_bytes, id, time, arrived_at, kind: event_type, values })
    }

    /// Index into [`crate::spec::Specification::events`].
    pub fn kind(&self) -> usize {
        self.kind
    }

    /// Its raw values in declared order, [`crate::fixed::MISSING`] where not given.
    pub fn values(&self) -> &[i64] {
        &self.values
    }

    /// Whose event it is.
    pub fn person(&self) -> &str {
        &self.ids[..self.person_bytes]
    }

    /// What identifies it among the person's events of the same instant.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Its id as it was given; empty for an event that was not read from a record.
    pub fn id_text(&self) -> &str {
        &self.ids[self.person_bytes..]
    }

    /// When it happened.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// When it became known, if a history file says so; otherwise it counts as known at its time.
    pub fn arrived_at(&self) -> Option<Timestamp> {
        self.arrived_at
    }
}
