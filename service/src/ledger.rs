//! Decisions by idempotency key: the same request again gets the answer that it got.
//!
//! A request reserves its key, and gives it up with its answer or, if it fails, without one. What is kept is in memory for a while and on a
//! [`Shelf`] for as long as configured. Which keys there are is known in memory, so a new request never touches the disk; a repetition that
//! needs it says so ([`Begin::OnDisk`]), and the caller chooses the thread. Answers are kept sealed (see `entry`).
//!
//! Keeps S1: when the disk fails, requests are answered as if they were new, and counted. Keeps S5: answers are bounded in size, number,
//! time, on disk and in memory; keys are reserved by requests that have a connection or a record in the log's queue. Neither HTTP nor a clock here.

mod entry;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cauce_features::time::Timestamp;
use hashbrown::HashSet;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::config::{self, Durability};
use crate::shelf::{Bounds, OnDamage, Receipt, Shelf, ShelfError, Shelved, Status, is_kept};

use entry::Opened;
pub use entry::{Asked, Key, Stored};

/// What an answer takes in memory beside its bytes.
const FRONT_BYTES: usize = 200;

/// Answers that were given.
pub struct Ledger {
    settings: config::Ledger,
    durability: Durability,
    shelf: Shelf,
    /// What was kept or repeated last. Sealed, as on the shelf.
    front: Cache<u128, Shelved>,
    /// Keys of requests under way. Held for a moment.
    reserved: Mutex<HashSet<u128>>,
    counts: Counts,
}

/// What became of requests that have a key.
#[derive(Default)]
struct Counts {
    replayed: AtomicU64,
    too_large: AtomicU64,
    unreadable: AtomicU64,
}

/// How the ledger stands.
#[derive(Debug, Clone, Default)]
pub struct LedgerStatus {
    pub shelf: Status,
    pub memory_bytes: u64,
    pub replayed: u64,
    /// Answers that were not kept for their size.
    pub too_large: u64,
    /// Repetitions that were taken for new, since the disk could not be read.
    pub unreadable: u64,
}

/// What a request with a key meets.
pub enum Begin {
    /// It was not answered before; until this is dropped it is the only one with its key.
    Fresh(Reservation),
    /// It was answered before: so.
    Replay(Stored),
    /// The key was another request's.
    Mismatch,
    /// The same key is being answered.
    InFlight,
    /// It may have been answered before: the disk has to be read.
    OnDisk(Fetch),
}

/// The right to answer a key. Dropped without an answer, the key is free again.
pub struct Reservation {
    ledger: Arc<Ledger>,
    asked: Asked,
    now: Timestamp,
}

/// A look at the disk that is to be taken.
pub struct Fetch {
    ledger: Arc<Ledger>,
    asked: Asked,
    /// Where it is noted that people of the request were erased, if they were.
    erased: Vec<u128>,
    now: Timestamp,
}

impl Ledger {
    /// Opens the ledger of a directory, or begins one. `durability` says whether an answer waits for the disk.
    pub fn open(
        settings: &config::Ledger,
        durability: Durability,
        on_damage: OnDamage,
        now: Timestamp,
    ) -> Result<Self, ShelfError> {
        let bounds = Bounds {
            entries: settings.entries,
            bytes: settings.disk.bytes() as u64,
            keep: settings.keep.get(),
            queue: settings.queue.bytes(),
        };
        let weigh = |_: &u128, shelved: &Shelved| u32::try_from(shelved.value.len() + FRONT_BYTES).unwrap_or(u32::MAX);
        Ok(Self {
            shelf: Shelf::open(&settings.directory, bounds, on_damage, now)?,
            // The newest are repeated most: how often one was asked for before says nothing.
            front: Cache::builder()
                .max_capacity(settings.memory.bytes() as u64)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            settings: settings.clone(),
            durability,
            reserved: Mutex::default(),
            counts: Counts::default(),
        })
    }

    /// Begins a request about these people. Never touches the disk.
    pub fn begin<'a>(
        self: &Arc<Self>,
        asked: Asked,
        people: impl IntoIterator<Item = &'a str>,
        now: Timestamp,
    ) -> Begin {
        if !self.knows(asked.key) {
            match self.reserve(asked.key) {
                false => return Begin::InFlight,
                // Its answer may have been kept between the two looks.
                true if self.knows(asked.key) => self.free(asked.key),
                true => return self.fresh(asked, now),
            }
        } else if self.reserved.lock().contains(&asked.key) {
            // What is in memory may still be on its way to the disk that its answer waits for.
            return Begin::InFlight;
        }
        let erased = people.into_iter().map(Key::erased).filter(|erased| self.shelf.holds(*erased)).collect();
        let fetch = Fetch { ledger: self.clone(), asked, erased, now };
        match self.front(fetch.asked.key, now) {
            Some(shelved) if fetch.erased.is_empty() => fetch.settle(Some(shelved)),
            _ => Begin::OnDisk(fetch),
        }
    }

    /// Whether answers wait until they are kept.
    pub fn waits(&self) -> bool {
        self.durability == Durability::Durable
    }

    /// Notes that a person was erased: what was answered until now is not repeated.
    pub fn forget(&self, person: &str, now: Timestamp) -> Option<Receipt> {
        self.shelf.put_durable(Key::erased(person), Bytes::new(), now)
    }

    /// How it stands.
    pub fn status(&self) -> LedgerStatus {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LedgerStatus {
            shelf: self.shelf.status(),
            memory_bytes: self.front.weighted_size(),
            replayed: count(&self.counts.replayed),
            too_large: count(&self.counts.too_large),
            unreadable: count(&self.counts.unreadable),
        }
    }

    /// Writes what waits and ends.
    pub fn stop(&self) {
        self.shelf.stop();
    }

    fn knows(&self, key: u128) -> bool {
        self.front.contains_key(&key) || self.shelf.holds(key)
    }

    fn front(&self, key: u128, now: Timestamp) -> Option<Shelved> {
        self.front.get(&key).filter(|shelved| is_kept(shelved.at, now, self.settings.keep.get()))
    }

    fn reserve(&self, key: u128) -> bool {
        self.reserved.lock().insert(key)
    }

    fn free(&self, key: u128) {
        self.reserved.lock().remove(&key);
    }

    /// For a key that is reserved.
    fn fresh(self: &Arc<Self>, asked: Asked, now: Timestamp) -> Begin {
        Begin::Fresh(Reservation { ledger: self.clone(), asked, now })
    }
}

impl Fetch {
    /// Reads the disk; never [`Begin::OnDisk`] again.
    pub fn read(self) -> Begin {
        let found = self.find().unwrap_or_else(|error| {
            tracing::error!(%error, "an answer that was given before cannot be read: its request is taken for new");
            self.ledger.counts.unreadable.fetch_add(1, Ordering::Relaxed);
            None
        });
        self.settle(found)
    }

    /// What was answered, unless it was before one of its people was erased.
    fn find(&self) -> Result<Option<Shelved>, ShelfError> {
        let Self { ledger, asked, erased, now } = self;
        let found = match ledger.front(asked.key, *now) {
            None => ledger.shelf.get(asked.key, *now)?,
            found => found,
        };
        let Some(shelved) = found else { return Ok(None) };
        for erased in erased {
            if ledger.shelf.get(*erased, *now)?.is_some_and(|erasure| erasure.at >= shelved.at) {
                return Ok(None);
            }
        }
        ledger.front.insert(asked.key, shelved.clone());
        Ok(Some(shelved))
    }

    fn settle(self, found: Option<Shelved>) -> Begin {
        let Self { ledger, asked, erased, now } = self;
        match found.map(|Shelved { at, value }| asked.open(&value, at)) {
            Some(Opened::Answer(stored)) => {
                ledger.counts.replayed.fetch_add(1, Ordering::Relaxed);
                Begin::Replay(stored)
            }
            Some(Opened::OtherRequest) => Begin::Mismatch,
            opened @ (Some(Opened::Unknown) | None) if ledger.reserve(asked.key) => {
                // It may have been answered while the disk was read.
                let answered = ledger.front(asked.key, now).filter(|_| opened.is_none() && erased.is_empty());
                match answered {
                    None => ledger.fresh(asked, now),
                    answered => {
                        ledger.free(asked.key);
                        Self { ledger, asked, erased, now }.settle(answered)
                    }
                }
            }
            Some(Opened::Unknown) | None => Begin::InFlight,
        }
    }
}

impl Reservation {
    /// Keeps the answer, unless it is too large. With a receipt, it is to be given once that is fulfilled.
    pub fn keep(&self, answer: Stored) -> Option<Receipt> {
        let Self { ledger, asked, now } = self;
        if answer.body.len() > ledger.settings.answer.bytes() {
            ledger.counts.too_large.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let sealed = asked.seal(&answer, *now);
        ledger.front.insert(asked.key, Shelved { at: *now, value: sealed.clone() });
        match ledger.durability {
            Durability::Durable => ledger.shelf.put_durable(asked.key, sealed, *now),
            Durability::Relaxed => {
                ledger.shelf.put(asked.key, sealed, *now);
                None
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ledger.free(self.asked.key);
    }
}
