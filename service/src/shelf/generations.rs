//! The two generations of a shelf, and when they change places.
//!
//! Writes go to the current one and reads ask it first, so that a value lives as long as `keep` and at most twice that, without any
//! sweep. When the current one is full before its time, the bound wins: what is younger and still goes is counted.

use std::path::Path;
use std::sync::Arc;

use cauce_features::time::Timestamp;

use super::generation::{Generation, remove};
use super::{Bounds, OnDamage, ShelfError, Shelved};

/// What reads and writes go to. Cheap to clone: a reader keeps its own while the writer turns them.
#[derive(Clone)]
pub(super) struct Generations {
    pub(super) current: Arc<Generation>,
    pub(super) previous: Option<Arc<Generation>>,
}

/// What was found at open: the generations and the keys of each.
pub(super) struct Found {
    pub(super) generations: Generations,
    pub(super) current: Vec<u128>,
    pub(super) previous: Vec<u128>,
}

/// How far the current generation is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fill {
    pub(super) entries: usize,
    pub(super) bytes: u64,
}

/// What becomes of the generations before the next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The current one takes more.
    Stay,
    /// The previous one goes, all of it older than `keep`.
    Due,
    /// The previous one goes, though some of it is younger than `keep`.
    Early,
}

/// Decides whether the generations change places.
pub(super) fn turn(fill: Fill, started: Timestamp, now: Timestamp, bounds: &Bounds) -> Turn {
    let is_full = fill.entries >= bounds.entries / 2 || fill.bytes >= bounds.bytes / 2;
    // Everything in the previous generation was put before the current one began.
    let is_old = now.millis().saturating_sub(started.millis()) >= bounds.keep_ms();
    match (is_old, is_full && fill.entries > 0) {
        (true, _) => Turn::Due,
        (false, true) => Turn::Early,
        (false, false) => Turn::Stay,
    }
}

impl Generations {
    /// Opens what a directory holds, or begins there.
    pub(super) fn open(directory: &Path, now: Timestamp, on_damage: OnDamage) -> Result<Found, ShelfError> {
        match (Self::open_found(directory, now), on_damage) {
            (Err(ShelfError::Damaged(what)), OnDamage::StartAnew) => {
                tracing::warn!(what, "a store of short-lived values is damaged and begun anew");
                for (.., path) in Generation::list(directory)? {
                    remove(&path).map_err(|error| ShelfError::Unavailable(error.to_string()))?;
                }
                Self::open_found(directory, now)
            }
            (opened, _) => opened,
        }
    }

    fn open_found(directory: &Path, now: Timestamp) -> Result<Found, ShelfError> {
        Generation::clean(directory)?;
        let mut listed = Generation::list(directory)?;
        let newest = listed.pop();
        let before = listed.pop();
        // The process ended between the beginning of one and the removal of another.
        for (.., path) in listed {
            remove(&path).map_err(|error| ShelfError::Unavailable(error.to_string()))?;
        }
        let open = |(number, started, path): (u64, Timestamp, _)| Generation::open(Path::new(&path), number, started);
        let previous = before.map(open).transpose()?.map(Arc::new);
        let current = match newest {
            Some(newest) => open(newest)?,
            None => Generation::create(directory, 1, now)?,
        };
        let keys = (current.keys()?, previous.as_ref().map_or(Ok(Vec::new()), |previous| previous.keys())?);
        Ok(Found { generations: Self { current: Arc::new(current), previous }, current: keys.0, previous: keys.1 })
    }

    /// Begins a generation; what was the current one is the previous, and what was that one goes.
    pub(super) fn turned(&self, directory: &Path, now: Timestamp) -> Result<Self, ShelfError> {
        self.current.sync()?;
        let current = Generation::create(directory, self.current.number + 1, now)?;
        if let Some(gone) = &self.previous
            && let Err(error) = gone.discard()
        {
            tracing::warn!(%error, "files of values that are too old are still there; the next start removes them");
        }
        Ok(Self { current: Arc::new(current), previous: Some(self.current.clone()) })
    }

    /// What was put last under a key. May read the disk.
    pub(super) fn get(&self, key: u128) -> Result<Option<Shelved>, ShelfError> {
        match (self.current.get(key)?, &self.previous) {
            // One that went while it was read has nothing that is still kept.
            (None, Some(previous)) => {
                previous.get(key).or_else(|error| if previous.is_there() { Err(error) } else { Ok(None) })
            }
            (found, _) => Ok(found),
        }
    }
}
