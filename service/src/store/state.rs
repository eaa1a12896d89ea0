//! Where encoded histories rest outside memory, and up to where in the log they go.
//!
//! [`StateStore`] knows people by their id and histories as bytes; nothing in it assumes one machine. It is a cache of the log with
//! a position: what is lost after a checkpoint is applied again from the log, and applying again changes nothing (F1), so
//! a store has to be whole only up to the [`Checkpoint`] that it names (S2).

use cauce_features::time::Timestamp;

use crate::log::Position;

/// How far a log has been applied: the first records that may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Positions {
    /// In the log, or in a partition of the events topic.
    pub log: Position,
    /// In the same partition of the applications topic; zero where the log is one.
    pub applications: Position,
}

impl From<Position> for Positions {
    fn from(log: Position) -> Self {
        Self { log, applications: Position(0) }
    }
}

/// Everything before `reached` is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    pub reached: Positions,
    /// When it was taken.
    pub at: Timestamp,
    /// Hash of the specification that the histories are encoded under.
    pub specification: [u8; 32],
}

/// Changes that are written together.
#[derive(Debug, Default)]
pub struct Batch {
    pub put: Vec<(Box<str>, Vec<u8>)>,
    pub removed: Vec<Box<str>>,
    /// Durable no earlier than everything else in this batch and all before it.
    pub checkpoint: Option<Checkpoint>,
}

/// People, in the store's own order.
#[derive(Debug, Default)]
pub struct Page {
    pub people: Vec<(Box<str>, Vec<u8>)>,
    /// Where the next page begins; `None` behind the last one.
    pub next: Option<Cursor>,
}

/// A place between two people. Only the store that made it can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub(super) Box<str>);

/// Keeps encoded histories.
pub trait StateStore: Send + Sync {
    /// A person's history as it was last written.
    fn get(&self, person: &str) -> Result<Option<Vec<u8>>, StateError>;

    /// At least one person behind the cursor, if there is any, and about as many as fit in `bytes`. Somebody written or removed
    /// between two pages may be in them or not; all others are in exactly one.
    fn page(&self, after: Option<&Cursor>, bytes: usize) -> Result<Page, StateError>;

    /// Writes a batch, durable once this returns. After an error any part of it may have been written, but never its checkpoint
    /// without the rest.
    fn write(&self, batch: &Batch) -> Result<(), StateError>;

    /// The newest checkpoint, if there ever was one.
    fn checkpoint(&self) -> Result<Option<Checkpoint>, StateError>;

    /// Leaves no byte of what was removed or overwritten, wherever the store keeps copies. Costs as much as writing everything anew.
    fn purge(&self) -> Result<(), StateError>;

    /// Tries to become usable after [`StateError::Unavailable`] or [`StateError::Full`]. The caller waits longer after each failure.
    fn reopen(&self) -> Result<(), StateError>;

    /// How much it occupies.
    fn disk_bytes(&self) -> u64;
}

/// Why histories cannot be read or written. Nothing acknowledged is lost: it is in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error(
        "the state is damaged: {what}; start once with `--rebuild-state`, which removes it and applies the log again"
    )]
    Damaged { what: String },
    #[error("the disk of the state is full: `{place}`; free some space, and writing goes on by itself")]
    Full { place: String },
    #[error("the state cannot be used for now: {cause}")]
    Unavailable { cause: String },
    #[error(
        "the state was written under another specification; start once with `--rebuild-state`, which removes it and applies the log \
         again under this one"
    )]
    OtherSpecification,
    #[error(
        "the state at `{place}` is in use by another process; stop that one, or give this one its own `store.directory`"
    )]
    Locked { place: String },
    #[error("the person's history is kept by another instance")]
    Elsewhere,
}

impl Checkpoint {
    /// The layout below.
    const VERSION: u8 = 2;

    /// As bytes, for stores that keep bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION];
        bytes.extend_from_slice(&self.reached.log.0.to_le_bytes());
        bytes.extend_from_slice(&self.reached.applications.0.to_le_bytes());
        bytes.extend_from_slice(&self.at.millis().to_le_bytes());
        bytes.extend_from_slice(&self.specification);
        bytes
    }

    /// The checkpoint that was written.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (&log, rest) = rest.split_first_chunk()?;
        // The first version knew one log alone.
        let (applications, rest) = match version {
            1 => ([0; 8], rest),
            &Self::VERSION => rest.split_first_chunk().map(|(applications, rest)| (*applications, rest))?,
            _ => return None,
        };
        let (&at, specification) = rest.split_first_chunk()?;
        Some(Self {
            reached: Positions {
                log: Position(u64::from_le_bytes(log)),
                applications: Position(u64::from_le_bytes(applications)),
            },
            at: Timestamp::from_millis(i64::from_le_bytes(at)),
            specification: specification.try_into().ok()?,
        })
    }
}
