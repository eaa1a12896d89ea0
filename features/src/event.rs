//! An event of a person's financial life: raw record to valid value, parsed once at the edge.

use crate::time::Timestamp;

/// What tells two events of one person at one instant apart: 48 bits.
///
/// A decimal number below 2^47 stands for itself; any other id is a 47-bit hash with the top bit set. Numbers that rise
/// with time, as banks' own do, then cost two or three bytes in a snapshot instead of six. Two different texts are taken for one
/// only if they also carry the same person and millisecond: one pair in 1.4 × 10^14 of those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u64);

impl EventId {
    /// Its 48 bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// A valid event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    person: String,
    id: EventId,
    time: Timestamp,
    kind: usize,
    values: Vec<i64>,
}

impl Event {
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
        &self.person
    }

    /// What identifies it among the person's events of the same instant.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// When it happened.
    pub fn time(&self) -> Timestamp {
        self.time
    }
}
