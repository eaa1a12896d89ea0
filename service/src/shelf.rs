//! A shelf: small values that live for a while, under keys of 128 bits, on this machine's disk.
//!
//! Nobody who puts a value ever waits for the disk: a thread of its own writes. Time and number are bounded by two generations that
//! change places instead of by sweeps: a value lives at least as long as asked, unless there are too many, and at most twice that. Which
//! keys there are is known in memory, so a key that was never put costs no read. No clock is read here: time comes with each value, and a
//! shelf to which nobody puts keeps its files until somebody does.
//!
//! Keeps S5: entries, bytes, time and what waits to be written are bounded, and what a bound cost is counted. When the disk fails the
//! shelf says so and takes nothing until it was opened again, which it tries by itself.

mod generation;
mod generations;
mod queue;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use cauce_features::time::Timestamp;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use generations::{Fill, Found, Generations};
use queue::Queue;
use writer::Writer;

pub use queue::Status;

/// How long a stop waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// Values on disk.
pub struct Shelf {
    queue: Arc<Queue>,
    /// Held for the time of a clone. `None` while it is opened again.
    open: Arc<RwLock<Option<Generations>>>,
    keep: Duration,
    writer: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
}

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub entries: usize,
    /// Of all values together.
    pub bytes: u64,
    pub keep: Duration,
    /// Bytes that wait to be written.
    pub queue: usize,
}

/// What a damaged directory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDamage {
    /// Somebody has to look at it.
    Refuse,
    /// What was there can be lost: it is removed.
    StartAnew,
}

/// A value and when it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    pub at: Timestamp,
    pub value: Bytes,
}

/// A promise that a value will be on disk for good.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Result<(), ShelfError>>);

/// Why values are not kept or not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShelfError {
    #[error("`{0}` is in use by another process")]
    InUse(String),
    #[error("the disk of `{0}` is full")]
    Full(String),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it cannot be used for now: {0}")]
    Unavailable(String),
}

impl Shelf {
    /// Opens the shelf of a directory, or begins one.
    pub fn open(directory: &Path, bounds: Bounds, on_damage: OnDamage, now: Timestamp) -> Result<Self, ShelfError> {
        let Found { generations, current, previous } = Generations::open(directory, now, on_damage)?;
        let queue = Arc::new(Queue::new(bounds));
        queue.refill(&current, &previous);
        let fill = Fill { entries: current.len(), bytes: generations.current.bytes() };
        let open = Arc::new(RwLock::new(Some(generations)));
        let (ended, end) = mpsc::channel();
        let writer = Writer {
            directory: directory.to_owned(),
            bounds,
            on_damage,
            queue: queue.clone(),
            open: open.clone(),
            fill,
            now,
            unsynced_since: None,
            ended,
        };
        let thread = thread::Builder::new().name("cauce-shelf".into()).spawn(|| writer.run());
        let thread = thread.map_err(|error| ShelfError::Unavailable(error.to_string()))?;
        Ok(Self { queue, open, keep: bounds.keep, writer: Mutex::new(Some((thread, end))) })
    }

    /// Hands a value to the writer; whether it was taken. Never waits.
    pub fn put(&self, key: u128, value: Bytes, now: Timestamp) -> bool {
        self.queue.push(key, value, now, None)
    }

    /// The same with a receipt, if it was taken, for once it is synced.
    pub fn put_durable(&self, key: u128, value: Bytes, now: Timestamp) -> Option<Receipt> {
        let (waiter, receipt) = oneshot::channel();
        self.queue.push(key, value, now, Some(waiter)).then_some(Receipt(receipt))
    }

    /// Whether there may be a value under a key. Never reads the disk.
    pub fn holds(&self, key: u128) -> bool {
        self.queue.holds(key)
    }

    /// The value under a key, unless it is too old. May read the disk.
    pub fn get(&self, key: u128, now: Timestamp) -> Result<Option<Shelved>, ShelfError> {
        let found = match self.queue.pending(key) {
            None if !self.holds(key) => None,
            None => match self.open.read().clone() {
                Some(generations) => generations.get(key)?,
                None => return Err(ShelfError::Unavailable("it is opened again".into())),
            },
            found => found,
        };
        Ok(found.filter(|shelved| is_kept(shelved.at, now, self.keep)))
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        self.queue.status()
    }

    /// Writes and syncs what waits and ends; a disk that does not answer is not waited for.
    pub fn stop(&self) {
        let Some((thread, end)) = self.writer.lock().take() else { return };
        self.queue.close();
        match end.recv_timeout(PATIENCE) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                tracing::error!("the disk does not answer: short-lived values that still wait are lost");
            }
            _ => drop(thread.join()),
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Receipt {
    /// Waits until the value is on disk for good, or will not be.
    pub async fn stored(self) -> Result<(), ShelfError> {
        self.0.await.unwrap_or_else(|_| Err(ShelfError::Unavailable("its writer ended".into())))
    }
}

impl Bounds {
    fn keep_ms(&self) -> i64 {
        i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Whether what was put at an instant is still kept.
pub fn is_kept(at: Timestamp, now: Timestamp, keep: Duration) -> bool {
    now.millis().saturating_sub(at.millis()) < i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)
}
