//! One generation of a shelf: a fjall database in a directory that is named after its number and the instant it began at.
//!
//! A generation goes as a whole, with its journal, by removing its directory: nothing is ever deleted from a database, no compaction
//! waits for that, and no byte outlives it. Both facts that must survive a restart are in the name, which is there at once or not at all.
//! What fjall does after a failure or to a damaged directory is in the notes of `store/embedded.rs`; the same care is taken here. Values
//! are kept apart from keys, so that compaction rewrites keys alone and reading all keys reads no value.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use cauce_features::time::Timestamp;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, LsmError, PersistMode};

use super::queue::Item;
use super::{ShelfError, Shelved};
use crate::store::{Unfit, check};

const NAME: &str = "values";
/// The suffix of a generation that is not whole yet.
const NEW: &str = ".new";
/// The suffix of one that is on its way out.
const GONE: &str = ".gone";
/// What a generation is read through; values themselves are cached by whoever asks.
const CACHE_BYTES: u64 = 4 << 20;
const MEMTABLE_BYTES: u64 = 16 << 20;
/// Values from this size on are kept apart from keys.
const APART_FROM_BYTES: u32 = 128;
/// Before a value: when it was put.
const INSTANT_BYTES: usize = 8;
/// From so many on, `commit` would wait without looking up.
const SEALED_MEMTABLES: usize = 2;
const YOUNGEST_TABLES: usize = 20;
const NAP: Duration = Duration::from_millis(1);

/// One database.
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) started: Timestamp,
    path: PathBuf,
    database: Database,
    values: Keyspace,
}

impl Generation {
    /// Makes one under another name, and gives it its own when it is whole.
    pub(super) fn create(directory: &Path, number: u64, started: Timestamp) -> Result<Self, ShelfError> {
        let path = directory.join(format!("{number}-{}", started.millis()));
        let new = directory.join(format!("{number}{NEW}"));
        let create = || {
            fs::create_dir_all(directory)?;
            remove(&new)?;
            let database = Database::builder(&new).worker_threads(1).open()?;
            let apart = KvSeparationOptions::default().separation_threshold(APART_FROM_BYTES);
            let options = KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
            drop(database.keyspace(NAME, || options.with_kv_separation(Some(apart)))?);
            drop(database);
            fs::rename(&new, &path)?;
            Ok(File::open(directory)?.sync_all()?)
        };
        create().map_err(|error| explain(&path, error))?;
        Self::open(&path, number, started)
    }

    /// Opens one that is whole, or says what is wrong with it.
    pub(super) fn open(path: &Path, number: u64, started: Timestamp) -> Result<Self, ShelfError> {
        check(path).map_err(|unfit| match unfit {
            Unfit::Damaged(what) => ShelfError::Damaged(what),
            Unfit::Unreadable(error) => io_error(path, &error),
        })?;
        // Some damage makes fjall panic rather than fail.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder(path).worker_threads(1).cache_size(CACHE_BYTES).open()?;
            let known = database.keyspace_exists(NAME);
            let values = database.keyspace(NAME, KeyspaceCreateOptions::default)?;
            if known { Ok((database, values)) } else { Err(fjall::Error::Unrecoverable) }
        }));
        let (database, values) =
            opened.unwrap_or(Err(fjall::Error::Unrecoverable)).map_err(|error| explain(path, error))?;
        Ok(Self { number, started, path: path.to_owned(), database, values })
    }

    /// Number and beginning of every whole generation in a directory, the oldest first.
    pub(super) fn list(directory: &Path) -> Result<Vec<(u64, Timestamp, PathBuf)>, ShelfError> {
        let mut found = Vec::new();
        for entry in entries(directory)? {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let parts =
                name.split_once('-').and_then(|(number, millis)| Some((number.parse().ok()?, millis.parse().ok()?)));
            if let Some((number, millis)) = parts {
                found.push((number, Timestamp::from_millis(millis), entry));
            }
        }
        found.sort_unstable_by_key(|(number, ..)| *number);
        Ok(found)
    }

    /// Removes what never became whole, and what should be gone.
    pub(super) fn clean(directory: &Path) -> Result<(), ShelfError> {
        let is_left = |name: &str| name.ends_with(NEW) || name.ends_with(GONE);
        for entry in entries(directory)?.iter().filter(|entry| is_left(&entry.to_string_lossy())) {
            remove(entry).map_err(|error| io_error(entry, &error))?;
        }
        Ok(())
    }

    /// What was put under a key. May read the disk.
    pub(super) fn get(&self, key: u128) -> Result<Option<Shelved>, ShelfError> {
        let found = self.values.get(key.to_be_bytes()).map_err(|error| explain(&self.path, error))?;
        let Some(bytes) = found else { return Ok(None) };
        let (millis, value) = bytes.split_first_chunk::<INSTANT_BYTES>().ok_or_else(|| {
            ShelfError::Damaged(format!("`{}` holds a value that was not written here", self.path.display()))
        })?;
        let at = Timestamp::from_millis(i64::from_le_bytes(*millis));
        Ok(Some(Shelved { at, value: Bytes::copy_from_slice(value) }))
    }

    /// Hands items to the system, so that they outlive this process.
    pub(super) fn write(&self, items: &[Item]) -> Result<(), ShelfError> {
        let write = || {
            self.settle()?;
            let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
            for Item { key, at, value, .. } in items {
                let bytes = [&at.millis().to_le_bytes(), &**value].concat();
                batch.insert(&self.values, key.to_be_bytes(), bytes);
            }
            batch.commit()
        };
        write().map_err(|error| explain(&self.path, error))
    }

    /// Has what was written outlive the machine's next power cut.
    pub(super) fn sync(&self) -> Result<(), ShelfError> {
        self.database.persist(PersistMode::SyncData).map_err(|error| explain(&self.path, error))
    }

    /// All keys.
    pub(super) fn keys(&self) -> Result<Vec<u128>, ShelfError> {
        let damaged =
            || ShelfError::Damaged(format!("`{}` holds a key that was not written here", self.path.display()));
        let mut keys = Vec::new();
        for pair in self.values.iter() {
            let key = pair.key().map_err(|error| explain(&self.path, error))?;
            keys.push(u128::from_be_bytes(key[..].try_into().map_err(|_| damaged())?));
        }
        Ok(keys)
    }

    /// Bytes of its tables and values; what is still in memory and in the journal comes to it.
    pub(super) fn bytes(&self) -> u64 {
        self.values.disk_space()
    }

    /// Takes its files away: out of sight at once, off the disk beside whoever writes.
    pub(super) fn discard(&self) -> Result<(), ShelfError> {
        let gone = self.path.with_extension(&GONE[1..]);
        let discard = || {
            fs::rename(&self.path, &gone)?;
            thread::Builder::new().name("cauce-discard".into()).spawn({
                let gone = gone.clone();
                move || {
                    if let Err(error) = remove(&gone) {
                        tracing::warn!(%error, "values that are too old are still on disk; the next start removes them");
                    }
                }
            })
        };
        discard().map(drop).map_err(|error| io_error(&self.path, &error))
    }

    /// Whether it was not discarded.
    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Waits until `commit` would not; fails where nobody is left to wait for.
    fn settle(&self) -> Result<(), fjall::Error> {
        while self.values.sealed_memtable_count() >= SEALED_MEMTABLES || self.values.l0_table_count() >= YOUNGEST_TABLES
        {
            thread::sleep(NAP);
            self.database.persist(PersistMode::Buffer)?;
        }
        Ok(())
    }
}

/// Removes a directory, which may be gone already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, ShelfError> {
    let read = || fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect();
    match read() {
        Err(error) if io::Error::kind(&error) == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| io_error(directory, &error)),
    }
}

fn explain(path: &Path, error: fjall::Error) -> ShelfError {
    use fjall::Error::{Io, Locked, Poisoned, Storage};
    match error {
        Io(error) | Storage(LsmError::Io(error)) => io_error(path, &error),
        Locked => ShelfError::InUse(path.display().to_string()),
        Poisoned => ShelfError::Unavailable("an earlier write to its disk failed".into()),
        error => ShelfError::Damaged(format!("`{}` cannot be read ({error:?})", path.display())),
    }
}

fn io_error(path: &Path, error: &io::Error) -> ShelfError {
    let place = path.display();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ShelfError::Full(place.to_string()),
        // Files are there and as long as they were written, or they were tampered with.
        ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData => {
            ShelfError::Damaged(format!("`{place}` cannot be read ({error})"))
        }
        _ => ShelfError::Unavailable(format!("`{place}`: {error}")),
    }
}
