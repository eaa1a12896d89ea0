//! The state on this machine's disk: one fjall database (an LSM tree with a journal), nothing else to install.
//!
//! What was read in fjall 3.1 and lsm-tree 3.1, and what it means here:
//!
//! - Every block carries a 128-bit hash that is compared whenever it is read from disk, and so does every batch in the journal: a
//!   value needs no checksum of its own.
//! - A journal that cannot be parsed to its end is cut off at the damage *without an error*. So nothing that a checkpoint covers rests
//!   on it (S2): histories are flushed into tables before the checkpoint that covers them is written, and that is a file of its own.
//! - A missing `version`, `current` or journal is taken for a database that is new, and what is there is overwritten or deleted; the hash
//!   of a manifest is kept but not compared. So [`check`] looks before fjall does, and a database is made under another name and
//!   renamed when it is whole: what has its name was whole once.
//! - After a failed write or a dead worker every further write is refused until the database is opened anew ([`StateStore::reopen`]), while
//!   `commit` and the library's own wait for a flush would sleep for ever: [`Open::settle`] and [`Open::flush`] look after each nap.
//! - With two workers one of them spins while the other compacts: there is one.
//! - The journal is cut only beyond 64 MB, and keeps what was removed until then: [`StateStore::purge`] empties it while the
//!   database is closed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode};
use parking_lot::RwLock;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{Batch, Checkpoint, Cursor, Page, StateError, StateStore};

/// The database within the directory of the state.
const NAME: &str = "people";
/// The same until it is whole.
const NEW_NAME: &str = "people.new";
/// Beside the files of the database, so that both are there or neither is.
const CHECKPOINT: &str = "checkpoint";
const MEMTABLE_BYTES: u64 = 32 << 20;
const NAP: Duration = Duration::from_millis(1);
/// From four sealed memtables or thirty runs on, `commit` waits without looking up.
const SEALED_MEMTABLES: usize = 2;
const YOUNGEST_TABLES: usize = 20;

/// The state in a directory of this machine.
pub struct Embedded {
    directory: PathBuf,
    /// How many databases share the memory that one may take.
    shared_by: u64,
    /// What all of them keep of blocks that were read.
    cache_bytes: u64,
    /// `None` after it was closed and could not be opened again.
    open: RwLock<Option<Open>>,
}

struct Open {
    database: Database,
    people: Keyspace,
}

impl Embedded {
    /// Bytes for blocks of cold people where no requests wait for them. Everybody else is in memory.
    pub const BLOCK_CACHE: u64 = 32 << 20;

    /// Opens the state in a directory, or begins one.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        Self::open_slice(directory, 1, Self::BLOCK_CACHE)
    }

    /// Opens or begins one of so many states that share the memory of one, and so many bytes for blocks that were read.
    pub fn open_slice(directory: &Path, slices: usize, cache_bytes: u64) -> Result<Self, StateError> {
        let embedded = Self { shared_by: slices as u64, cache_bytes, ..Self::at(directory) };
        if !embedded.path().try_exists().map_err(|error| embedded.io(&error))? {
            embedded.create().map_err(|error| embedded.explain(error))?;
        }
        *embedded.open.write() = Some(embedded.open_database()?);
        Ok(embedded)
    }

    /// Opens the state in a directory, where there has to be one.
    pub fn open_existing(directory: &Path) -> Result<Self, StateError> {
        let embedded = Self::at(directory);
        match embedded.path().try_exists() {
            Ok(true) => Self::open(directory),
            Ok(false) => Err(StateError::Unavailable { cause: format!("there is none at `{}`", directory.display()) }),
            Err(error) => Err(embedded.io(&error)),
        }
    }

    /// Removes the state of a directory, and nothing else that may be in it: what `--rebuild-state` begins with.
    pub fn remove(directory: &Path) -> Result<(), StateError> {
        let embedded = Self::at(directory);
        if let Ok(lock) = File::open(embedded.path().join("lock"))
            && let Err(fs::TryLockError::WouldBlock) = lock.try_lock()
        {
            return Err(embedded.explain(fjall::Error::Locked));
        }
        for name in [NAME, NEW_NAME] {
            match fs::remove_dir_all(directory.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(embedded.io(&error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), shared_by: 1, cache_bytes: Self::BLOCK_CACHE, open: RwLock::new(None) }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    fn create(&self) -> Result<(), fjall::Error> {
        fs::create_dir_all(&self.directory)?;
        let new = self.directory.join(NEW_NAME);
        if new.try_exists()? {
            fs::remove_dir_all(&new)?;
        }
        let database = Database::builder(&new).worker_threads(1).open()?;
        drop(
            database.keyspace(NAME, || {
                KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES / self.shared_by)
            })?,
        );
        drop(database);
        fs::rename(&new, self.path())?;
        Ok(File::open(&self.directory)?.sync_all()?)
    }

    fn open_database(&self) -> Result<Open, StateError> {
        check(&self.path()).map_err(|unfit| match unfit {
            Unfit::Damaged(what) => StateError::Damaged { what },
            Unfit::Unreadable(error) => self.io(&error),
        })?;
        // Some damage makes fjall panic rather than fail.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder(self.path())
                .worker_threads(1)
                .cache_size(self.cache_bytes / self.shared_by)
                .open()?;
            let known = database.keyspace_exists(NAME);
            let people = database.keyspace(NAME, KeyspaceCreateOptions::default)?;
            if known { Ok(Open { database, people }) } else { Err(fjall::Error::Unrecoverable) }
        }));
        opened.unwrap_or(Err(fjall::Error::Unrecoverable)).map_err(|error| self.explain(error))
    }

    fn with<R>(&self, act: impl FnOnce(&Open) -> Result<R, fjall::Error>) -> Result<R, StateError> {
        match &*self.open.read() {
            Some(open) => act(open).map_err(|error| self.explain(error)),
            None => Err(closed()),
        }
    }

    fn explain(&self, error: fjall::Error) -> StateError {
        use fjall::Error::{Io, Locked, Poisoned, Storage};
        match error {
            Io(error) | Storage(LsmError::Io(error)) => self.io(&error),
            Locked => StateError::Locked { place: self.directory.display().to_string() },
            Poisoned => StateError::Unavailable { cause: "an earlier write to its disk failed".into() },
            Storage(error) => self.damaged(&error),
            error => self.damaged(&error),
        }
    }

    fn io(&self, error: &io::Error) -> StateError {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                StateError::Full { place: self.directory.display().to_string() }
            }
            // Files are there and as long as they were written, or they were tampered with.
            ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData => self.damaged(error),
            _ => StateError::Unavailable { cause: format!("`{}`: {error}", self.directory.display()) },
        }
    }

    fn damaged(&self, error: &dyn std::fmt::Debug) -> StateError {
        StateError::Damaged { what: format!("`{}` cannot be read ({error:?})", self.path().display()) }
    }
}

impl StateStore for Embedded {
    fn get(&self, person: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.with(|open| Ok(open.people.get(person)?.map(|value| value.to_vec())))
    }

    fn page(&self, after: Option<&Cursor>, bytes: usize) -> Result<Page, StateError> {
        let after = after.map_or(Bound::Unbounded, |cursor| Bound::Excluded(cursor.0.as_bytes()));
        self.with(|open| {
            let (mut page, mut taken) = (Page::default(), 0);
            for pair in open.people.range::<&[u8], _>((after, Bound::Unbounded)) {
                let (person, value) = pair.into_inner()?;
                let person: Box<str> = std::str::from_utf8(&person).map_err(LsmError::Utf8)?.into();
                taken += person.len() + value.len();
                page.people.push((person.clone(), value.to_vec()));
                if taken >= bytes {
                    page.next = Some(Cursor(person));
                    break;
                }
            }
            Ok(page)
        })
    }

    fn write(&self, batch: &Batch) -> Result<(), StateError> {
        self.with(|open| {
            open.settle()?;
            let mut people = open.database.batch().durability(Some(PersistMode::SyncAll));
            for (person, bytes) in &batch.put {
                people.insert(&open.people, &**person, bytes.as_slice());
            }
            for person in &batch.removed {
                people.remove(&open.people, &**person);
            }
            people.commit()?;
            if let Some(checkpoint) = batch.checkpoint {
                open.flush()?;
                write_checkpoint(&self.path(), checkpoint)?;
            }
            Ok(())
        })
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, StateError> {
        let file = self.path().join(CHECKPOINT);
        let bytes = match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| self.io(&error))?,
        };
        let checkpoint = bytes.split_last_chunk().and_then(|(checkpoint, hash)| {
            let is_whole = xxh3_64(checkpoint) == u64::from_le_bytes(*hash);
            Checkpoint::from_bytes(checkpoint).filter(|_| is_whole)
        });
        let what = || format!("`{}` is not as it was written", file.display());
        checkpoint.map(Some).ok_or_else(|| StateError::Damaged { what: what() })
    }

    fn purge(&self) -> Result<(), StateError> {
        self.with(|open| {
            open.flush()?;
            open.people.major_compact()
        })?;
        let mut open = self.open.write();
        let closing = open.take().ok_or_else(closed)?;
        closing.flush().map_err(|error| self.explain(error))?;
        drop(closing);
        empty_journals(&self.path()).map_err(|error| self.io(&error))?;
        *open = Some(self.open_database()?);
        Ok(())
    }

    fn reopen(&self) -> Result<(), StateError> {
        let mut open = self.open.write();
        drop(open.take());
        *open = Some(self.open_database()?);
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        occupied(&self.path())
    }
}

impl Open {
    /// Waits until `commit` would not.
    fn settle(&self) -> Result<(), fjall::Error> {
        while self.people.sealed_memtable_count() >= SEALED_MEMTABLES || self.people.l0_table_count() >= YOUNGEST_TABLES
        {
            self.nap()?;
        }
        Ok(())
    }

    /// Puts all that was written into tables.
    fn flush(&self) -> Result<(), fjall::Error> {
        self.people.rotate_memtable()?;
        while self.people.sealed_memtable_count() > 0 {
            self.nap()?;
        }
        Ok(())
    }

    /// Sleeps, unless there is nobody left to wait for.
    fn nap(&self) -> Result<(), fjall::Error> {
        thread::sleep(NAP);
        self.database.persist(PersistMode::Buffer)
    }
}

fn closed() -> StateError {
    StateError::Unavailable { cause: "it was closed after an error".into() }
}

/// Puts a checkpoint in the place of the one before, whole or not at all.
fn write_checkpoint(path: &Path, checkpoint: Checkpoint) -> Result<(), io::Error> {
    let mut bytes = checkpoint.to_bytes();
    bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
    let new = path.join("checkpoint.new");
    let mut file = File::create(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(new, path.join(CHECKPOINT))?;
    File::open(path)?.sync_all()
}

/// Why a database is not opened.
pub(crate) enum Unfit {
    Damaged(String),
    Unreadable(io::Error),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// Whether what fjall would silently do without is there and whole: its marker, a journal, and both trees' manifests.
pub(crate) fn check(path: &Path) -> Result<(), Unfit> {
    let missing = |file: &Path| Unfit::Damaged(format!("`{}` is missing", file.display()));
    let whole = |file: PathBuf| if file.try_exists()? { Ok(file) } else { Err(missing(&file)) };
    for file in ["version", "lock"] {
        whole(path.join(file))?;
    }
    if journals(path)?.is_empty() {
        return Err(missing(&path.join("*.jnl")));
    }
    for tree in ["keyspaces/0", "keyspaces/1"] {
        let current = fs::read(whole(path.join(tree).join("current"))?)?;
        // The number of the manifest, and its hash.
        let parts = current.split_first_chunk().and_then(|(number, rest)| Some((number, rest.first_chunk()?)));
        let broken = || {
            Unfit::Damaged(format!("`{}/current` or its manifest is not as it was written", path.join(tree).display()))
        };
        let (number, hash) = parts.ok_or_else(broken)?;
        let manifest = whole(path.join(tree).join(format!("v{}", u64::from_le_bytes(*number))))?;
        if xxh3_128(&fs::read(manifest)?) != u128::from_le_bytes(*hash) {
            return Err(broken());
        }
    }
    Ok(())
}

fn journals(path: &Path) -> Result<Vec<PathBuf>, io::Error> {
    let files = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
    files.filter(|file| file.as_ref().map_or(true, |file| file.extension() == Some(OsStr::new("jnl")))).collect()
}

/// Empties the journals of a database that is closed and has everything in tables. They stay, since without one fjall would number
/// its writes from the beginning.
fn empty_journals(path: &Path) -> Result<(), io::Error> {
    for journal in journals(path)? {
        let file = File::options().write(true).open(journal)?;
        file.set_len(0)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Bytes on disk; a journal is allocated far beyond its end, so lengths say too much.
fn occupied(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => occupied(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

#[cfg(test)]
mod tests;
