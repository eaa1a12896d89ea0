//! The log of what was accepted: events and applications, in one order, for good.
//!
//! A record is acknowledged once it is durable here (S2), and only what is durable becomes state: the log hands records to
//! `ingest` after their sync, and a replay hands over the same records again. It keeps the very bytes that were accepted, so that
//! no later version or specification has lost anything. [`EventLog`] is what the service knows of it; [`embedded`] is the one for
//! a single machine with nothing else installed.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cauce_features::event::Event;
use cauce_features::time::Timestamp;
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::ingest::{Refusal, Taken};

pub mod embedded;
mod index;
pub(crate) mod manifest;
mod record;
mod recovery;
mod rewrite;
mod sealed;
mod segment;
mod segments;
#[cfg(test)]
mod tests;
mod writer;

/// How long a thread waits for the writer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a record stands: dense, from 0 on, in the order of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// `body` is the event as it was posted.
    Event = 1,
    /// `body` is the application as it was posted, with its envelope.
    Application = 2,
    /// `body` is the application's fields alone, from a client with another envelope.
    Fields = 3,
    /// A person was erased: whatever stands before it of them is gone. `body` is a keyed hash of who.
    Erasure = 4,
    /// What was here was erased with its person; only the position is left.
    Erased = 5,
    /// What was here was damaged, and its loss was accepted.
    Lost = 6,
}

/// A record as it is read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub position: Position,
    pub kind: Kind,
    /// When it was accepted; an application's `as_of`.
    pub arrived_at: Timestamp,
    /// The same for all records of a person.
    pub person_hash: u32,
    /// Of [`Kind::Fields`] only: the others have it in their body.
    pub person: Box<str>,
    /// Of applications: the id under which they are known, given or made.
    pub id: Box<str>,
    pub body: Bytes,
}

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Entry {
    pub kind: Kind,
    pub arrived_at: Timestamp,
    /// As in [`Record`].
    pub person: Box<str>,
    pub id: Box<str>,
    pub body: Bytes,
    /// What becomes state once the entry is durable.
    pub change: Change,
}

/// What a durable entry does to the state.
#[derive(Debug, Clone)]
pub enum Change {
    Apply(Event),
    /// Erase the person of this id.
    Erase(String),
}

impl Entry {
    /// Bytes that it takes in the log.
    pub(crate) fn bytes(&self) -> usize {
        record::HEAD + self.person.len() + self.id.len() + self.body.len()
    }
}

/// What became of an entry that is durable: where it stands and what applying it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Of a record in Kafka, its offset in its partition.
    pub position: Position,
    pub stored: Stored,
    pub outcome: Result<Taken, Refusal>,
}

/// Where a durable record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// In the log of this machine.
    Log,
    /// In a partition of Kafka's topic of events.
    Kafka { partition: usize },
    /// On this machine's disk, on its way to Kafka.
    Outbox,
}

impl Stored {
    /// As it stands in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Kafka { .. } => "kafka",
            Self::Outbox => "outbox",
        }
    }

    /// Where there are partitions and it is known which.
    pub fn partition(self) -> Option<usize> {
        match self {
            Self::Kafka { partition } => Some(partition),
            Self::Log | Self::Outbox => None,
        }
    }
}

/// What became of entries, each on its own; or why of none of them.
pub type Settled = Result<Vec<Result<Accepted, LogError>>, LogError>;

/// Why the log does not take or give a record. Nothing was acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// More waits to be written than may.
    #[error("too much waits to be written to the log")]
    Busy,
    #[error("the disk of the log is full")]
    Full,
    /// A write or a sync failed; it is tried again with new files, never as if it had succeeded.
    #[error("the log cannot be written: {0}")]
    Unavailable(String),
    #[error("the log cannot be read: {0}")]
    Unreadable(String),
}

/// What is read of a log, by whoever serves it or looks at it.
pub trait ReadLog: Send + Sync {
    /// The oldest position that is still held, and the one behind the newest durable record.
    fn range(&self) -> std::ops::Range<Position>;

    /// The position of the first record that arrived at or after an instant; the end if there is none.
    fn position_at(&self, instant: Timestamp) -> Result<Position, LogError>;

    /// Hands over records from a position on, in order, in batches, until `take` says stop or the durable end is reached.
    fn read(&self, from: Position, take: &mut dyn FnMut(Vec<Record>) -> ControlFlow<()>) -> Result<(), LogError>;

    /// Hands over what is held of a person, oldest first, until `take` says stop.
    fn of_person(&self, person: &str, take: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<(), LogError>;

    /// Everything held of a person, oldest first.
    fn all_of_person(&self, person: &str) -> Result<Vec<Record>, LogError> {
        let mut records = Vec::new();
        self.of_person(person, &mut |record| {
            records.push(record);
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }

    /// Whether a person's records are found without reading everybody's.
    fn has_index(&self) -> bool {
        true
    }

    /// Who was erased, and where: a replay leaves out what stands before.
    fn erasures(&self) -> Erasures;
}

/// The durable, ordered log of what was accepted.
pub trait EventLog: Send + Sync {
    /// What is in it.
    fn reading(&self) -> &dyn ReadLog;

    /// Where a person's records go.
    fn home(&self, person: &str) -> Stored;

    /// Takes entries, in order, side by side. They are state once they are durable; the receipt says when.
    fn submit(&self, entries: Vec<Entry>, promise: Promise<'_>) -> Result<Receipt, LogError>;

    /// The entry that erases a person from state, and from then on from the log.
    fn erasure(&self, person: &str, now: Timestamp) -> Entry;

    /// Erasures that have left something in a file, state or log.
    fn pending(&self) -> Vec<Pending>;

    /// Seals, rewrites and drops segments: what these erasures left, and what is older or more than is kept and covered by a
    /// checkpoint at `covered`.
    fn maintain(&self, erasures: &[Pending], covered: Position, now: Timestamp) -> Result<Maintained, LogError>;

    /// What health and metrics show.
    fn status(&self) -> LogStatus;
}

/// Where somebody was erased, and a keyed hash of whom.
pub type Pending = (Position, u128);

/// Who was erased and where, without their names.
pub struct Erasures {
    /// Where each was erased last.
    last: HashMap<u128, Position>,
    hash: Box<dyn Fn(&str) -> u128 + Send + Sync>,
}

impl Erasures {
    pub(crate) fn new(all: Vec<(Position, u128)>, hash: Box<dyn Fn(&str) -> u128 + Send + Sync>) -> Self {
        let mut last = HashMap::new();
        for (position, of) in all {
            let known: &mut Position = last.entry(of).or_default();
            *known = position.max(*known);
        }
        Self { last, hash }
    }

    /// Whether what stands of a person at a position was erased later.
    pub fn cover(&self, person: &str, position: Position) -> bool {
        !self.last.is_empty() && self.last.get(&(self.hash)(person)).is_some_and(|erased| *erased > position)
    }

    /// Whether a person was erased at or behind a position.
    pub fn since(&self, position: Position, person: &str) -> bool {
        self.last.get(&(self.hash)(person)).is_some_and(|erased| *erased >= position)
    }

    /// Whether anybody was erased at or behind a position.
    pub fn any_since(&self, position: Position) -> bool {
        self.last.values().any(|erased| *erased >= position)
    }
}

/// What [`EventLog::maintain`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    pub segments_dropped: usize,
    pub segments_rewritten: usize,
    pub records_erased: u64,
}

/// What is promised of entries that are taken.
#[derive(Clone, Copy)]
pub enum Promise<'a> {
    /// Nothing until the receipt says so.
    Durable,
    /// That they are kept until they can be written. They are handed over at once, before anything that is taken later can be
    /// state: an erasure that comes behind them finds them.
    Relaxed(&'a dyn Fn(&Entry)),
}

/// How the log is.
#[derive(Debug, Clone, Default)]
pub struct LogStatus {
    pub bytes: u64,
    pub segments: usize,
    pub waiting_records: usize,
    pub waiting_bytes: usize,
    /// Since when the oldest of them has. Not known of what waits for brokers, which is not longer than `kafka.ack_timeout`.
    pub waiting_since: Option<Instant>,
    /// Erasures whose records are still in a segment.
    pub erasures_pending: usize,
    /// Why writes are refused, if they are.
    pub refuses: Option<LogError>,
    /// Of a log that brokers keep.
    pub brokers: Option<Brokers>,
}

/// What is known of the brokers that keep a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Brokers {
    pub reachable: bool,
    /// Records in the outbox that no broker has yet.
    pub outbox_records: u64,
}

/// Fulfilled when entries are durable and applied.
pub struct Receipt(pub(crate) oneshot::Receiver<Settled>);

impl Receipt {
    /// Waits, without holding a thread.
    pub async fn accepted(self) -> Settled {
        self.0.await.unwrap_or_else(|_| Err(LogError::Unavailable("the writer stopped".into())))
    }

    /// Waits on a thread that may wait, but not for ever: the writer may itself be waiting for what this thread does.
    pub fn wait(mut self) -> Settled {
        let started = Instant::now();
        loop {
            match self.0.try_recv() {
                Ok(accepted) => return accepted,
                Err(TryRecvError::Closed) => return Err(LogError::Unavailable("the writer stopped".into())),
                Err(TryRecvError::Empty) if started.elapsed() > PATIENCE => return Err(LogError::Busy),
                Err(TryRecvError::Empty) => thread::sleep(Duration::from_micros(200)),
            }
        }
    }
}
