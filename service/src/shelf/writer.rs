//! The one thread that writes a shelf: what waits goes to disk in groups, with one sync for all that somebody waits for.
//!
//! A commit of the store can stall, and after a failed write the store refuses everything until it is opened anew: neither ever reaches a
//! caller. While it cannot be written, values are refused at once, what is there can still be read, and it is opened again under back-off.

use std::iter::Peekable;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use cauce_features::time::Timestamp;
use parking_lot::RwLock;

use super::generations::{Fill, Found, Generations, Turn, turn};
use super::queue::{Item, Queue, Work};
use super::{Bounds, OnDamage, ShelfError};

/// After how long at most what nobody waits for is synced.
const SYNC_AFTER: Duration = Duration::from_secs(1);
/// What is written at once: far less than a memtable, so that a commit never waits for a flush.
const GROUP_ITEMS: usize = 256;
const GROUP_BYTES: usize = 2 << 20;
const BACK_OFF_LEAST: Duration = Duration::from_secs(1);
const BACK_OFF_MOST: Duration = Duration::from_secs(30);

pub(super) struct Writer {
    pub(super) directory: PathBuf,
    pub(super) bounds: Bounds,
    pub(super) on_damage: OnDamage,
    pub(super) queue: Arc<Queue>,
    /// `None` while it is opened again.
    pub(super) open: Arc<RwLock<Option<Generations>>>,
    pub(super) fill: Fill,
    /// The latest instant that was heard of.
    pub(super) now: Timestamp,
    pub(super) unsynced_since: Option<Instant>,
    /// Told when the thread ends, since a join cannot be bounded.
    pub(super) ended: Sender<()>,
}

/// Refuses everything should the writer meet a defect.
struct Guard(Arc<Queue>);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.refuse(&ShelfError::Unavailable("its writer met a defect".into()));
        }
    }
}

impl Writer {
    /// Writes until the queue is closed.
    pub(super) fn run(mut self) {
        let _guard = Guard(self.queue.clone());
        loop {
            let sync_at = self.unsynced_since.map(|since| since + SYNC_AFTER);
            let done = match self.queue.take(sync_at) {
                Work::Write(items) => self.write(items),
                Work::Sync => self.sync(),
                Work::End => break,
            };
            if let Err(error) = done
                && self.recover(&error)
            {
                break;
            }
        }
        if let Err(error) = self.sync() {
            tracing::warn!(%error, "short-lived values were not synced once more at the end");
        }
        self.open.write().take();
        let _ = self.ended.send(());
    }

    fn write(&mut self, items: Vec<Item>) -> Result<(), ShelfError> {
        let mut items = items.into_iter().peekable();
        let mut waiters = Vec::new();
        let mut written = Ok(());
        while let (Ok(()), Some(next)) = (&written, items.peek()) {
            self.now = self.now.max(next.at);
            let room = match self.turn_if_due() {
                Ok(room) => room,
                Err(error) => {
                    written = Err(error);
                    break;
                }
            };
            let mut group = next_group(&mut items, room);
            written = self.write_group(&group);
            match &written {
                Ok(()) => {
                    self.queue.written(&group);
                    waiters.extend(group.iter_mut().filter_map(|item| item.waiter.take()));
                }
                Err(error) => self.queue.lost(group, error),
            }
        }
        if let Err(error) = &written {
            self.queue.lost(items.collect(), error);
        }
        self.unsynced_since.get_or_insert_with(Instant::now);
        let is_due = self.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_AFTER);
        let synced = if waiters.is_empty() && !is_due { Ok(()) } else { self.sync() };
        if let Err(error) = &synced {
            self.queue.refuse(error);
        }
        for waiter in waiters {
            let _ = waiter.send(synced.clone());
        }
        written.and(synced)
    }

    /// How many further items the current generation takes, which may be a new one: at least one.
    fn turn_if_due(&mut self) -> Result<usize, ShelfError> {
        let generations = self.generations()?;
        let due = turn(self.fill, generations.current.started, self.now, &self.bounds);
        if due != Turn::Stay {
            let turned = generations.turned(&self.directory, self.now)?;
            *self.open.write() = Some(turned);
            self.queue.turned(due == Turn::Early);
            self.fill = Fill::default();
        }
        Ok((self.bounds.entries / 2).saturating_sub(self.fill.entries).max(1))
    }

    fn write_group(&mut self, group: &[Item]) -> Result<(), ShelfError> {
        self.now = group.iter().map(|item| item.at).fold(self.now, Timestamp::max);
        self.generations()?.current.write(group)?;
        self.fill.entries += group.len();
        self.fill.bytes += group.iter().map(|item| item.value.len() as u64).sum::<u64>();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), ShelfError> {
        if self.unsynced_since.take().is_some() {
            self.generations()?.current.sync()?;
        }
        Ok(())
    }

    fn generations(&self) -> Result<Generations, ShelfError> {
        self.open.read().clone().ok_or_else(|| ShelfError::Unavailable("it is closed".into()))
    }

    /// Opens it again, sooner or later; whether it was closed before that.
    fn recover(&mut self, error: &ShelfError) -> bool {
        tracing::error!(%error, "short-lived values cannot be written: they are not kept until they can");
        self.queue.refuse(error);
        self.unsynced_since = None;
        let mut back_off = BACK_OFF_LEAST;
        loop {
            if self.queue.pause(back_off) {
                return true;
            }
            match self.reopen() {
                Ok(()) => {
                    tracing::info!("short-lived values are kept again");
                    return false;
                }
                Err(error) => tracing::debug!(%error, "short-lived values still cannot be written"),
            }
            back_off = (back_off * 2).min(BACK_OFF_MOST);
        }
    }

    fn reopen(&mut self) -> Result<(), ShelfError> {
        // Its lock goes with the last reader.
        self.open.write().take();
        let Found { generations, current, previous } = Generations::open(&self.directory, self.now, self.on_damage)?;
        // Whether it can be written shows only when it is.
        generations.current.write(&[])?;
        generations.current.sync()?;
        self.fill = Fill { entries: current.len(), bytes: generations.current.bytes() };
        *self.open.write() = Some(generations);
        self.queue.refill(&current, &previous);
        Ok(())
    }
}

/// As many items as are written at once, at least one and at most `room`.
fn next_group(items: &mut Peekable<impl Iterator<Item = Item>>, room: usize) -> Vec<Item> {
    let (mut group, mut bytes) = (Vec::new(), 0);
    let most = room.min(GROUP_ITEMS);
    while let Some(item) =
        items.next_if(|item| group.is_empty() || (group.len() < most && bytes + item.bytes() <= GROUP_BYTES))
    {
        bytes += item.bytes();
        group.push(item);
    }
    group
}
