//! What waits to be written, what can be read meanwhile, and which keys there are: all behind one lock that is held for a moment.
//!
//! Keys are remembered by eight of their bytes, in sets that have their final size from the start, since growing one of a million would hold
//! up every request. A chance equality costs one read of the disk, which compares all sixteen bytes.

use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cauce_features::time::Timestamp;
use hashbrown::{HashMap, HashSet};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{Bounds, ShelfError, Shelved};

/// How long values that nobody waits for gather, so that they are written together.
const GATHER: Duration = Duration::from_millis(10);
/// What an item takes beside its value: both its places here.
const ITEM_BYTES: usize = 128;

/// A value on its way to the disk.
pub(super) struct Item {
    pub(super) key: u128,
    pub(super) at: Timestamp,
    pub(super) value: Bytes,
    number: u64,
    /// Whoever waits until it is synced.
    pub(super) waiter: Option<oneshot::Sender<Result<(), ShelfError>>>,
}

impl Item {
    pub(super) fn bytes(&self) -> usize {
        ITEM_BYTES + self.value.len()
    }
}

/// What the writer does next.
pub(super) enum Work {
    Write(Vec<Item>),
    /// Nothing arrived while what was written last waited for its sync.
    Sync,
    End,
}

/// What is shared with the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    bounds: Bounds,
}

#[derive(Default)]
struct State {
    waiting: Vec<Item>,
    /// By key what is not on disk yet, with the number of its item: the last one counts.
    pending: HashMap<u128, (u64, Shelved)>,
    bytes: usize,
    number: u64,
    urgent: bool,
    closed: bool,
    refuses: Option<ShelfError>,
    dropped: u64,
    evicted_early: u64,
    current: Keys,
    previous: Keys,
}

#[derive(Default)]
struct Keys(HashSet<u64>);

impl Keys {
    fn new(most: usize, keys: &[u128]) -> Self {
        let mut set = HashSet::with_capacity(most.max(keys.len()));
        set.extend(keys.iter().map(|key| *key as u64));
        Self(set)
    }
}

/// How it stands.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Keys that are held.
    pub entries: usize,
    pub waiting_bytes: usize,
    /// Values that were not taken, or were lost with a write that failed.
    pub dropped: u64,
    /// Values that went before their time, since there were too many.
    pub evicted_early: u64,
    /// Why nothing is taken.
    pub refuses: Option<ShelfError>,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), bounds }
    }

    /// The keys of what is on disk, when it was opened.
    pub(super) fn refill(&self, current: &[u128], previous: &[u128]) {
        let most = self.bounds.entries / 2;
        let sets = (Keys::new(most, current), Keys::new(0, previous));
        let mut state = self.state.lock();
        let old = (mem::replace(&mut state.current, sets.0), mem::replace(&mut state.previous, sets.1));
        state.refuses = None;
        drop(state);
        drop(old);
    }

    /// Takes a value unless too much waits or nothing can be written.
    pub(super) fn push(
        &self,
        key: u128,
        value: Bytes,
        at: Timestamp,
        waiter: Option<oneshot::Sender<Result<(), ShelfError>>>,
    ) -> bool {
        let mut state = self.state.lock();
        let urgent = waiter.is_some() && !state.urgent;
        let item = Item { key, at, value, number: state.number, waiter };
        let is_full = state.bytes > 0 && state.bytes + item.bytes() > self.bounds.queue;
        if is_full || state.closed || state.refuses.is_some() {
            state.dropped += 1;
            return false;
        }
        let wakes = urgent || state.waiting.is_empty();
        state.number += 1;
        state.bytes += item.bytes();
        state.urgent |= urgent;
        state.current.0.insert(key as u64);
        state.pending.insert(key, (item.number, Shelved { at, value: item.value.clone() }));
        state.waiting.push(item);
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
        true
    }

    /// Whether there may be a value. Never reads the disk.
    pub(super) fn holds(&self, key: u128) -> bool {
        let state = self.state.lock();
        state.current.0.contains(&(key as u64)) || state.previous.0.contains(&(key as u64))
    }

    /// A value that is not on disk yet.
    pub(super) fn pending(&self, key: u128) -> Option<Shelved> {
        self.state.lock().pending.get(&key).map(|(_, shelved)| shelved.clone())
    }

    /// Waits for something to do; `sync_at` is when what was written has to be synced.
    pub(super) fn take(&self, sync_at: Option<Instant>) -> Work {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return Work::End;
            }
            match sync_at {
                None => self.arrived.wait(&mut state),
                Some(at) if self.arrived.wait_until(&mut state, at).timed_out() => return Work::Sync,
                Some(_) => {}
            }
        }
        let until = Instant::now() + GATHER;
        while !state.urgent && !state.closed && !self.arrived.wait_until(&mut state, until).timed_out() {}
        state.urgent = false;
        Work::Write(mem::take(&mut state.waiting))
    }

    /// These are on disk.
    pub(super) fn written(&self, items: &[Item]) {
        self.release(&mut self.state.lock(), items);
    }

    /// These are lost, and nothing is taken from now on; then whoever waits for one is told why.
    pub(super) fn lost(&self, items: Vec<Item>, error: &ShelfError) {
        let mut state = self.state.lock();
        state.refuses = Some(error.clone());
        self.release(&mut state, &items);
        state.dropped += items.len() as u64;
        drop(state);
        for waiter in items.into_iter().filter_map(|item| item.waiter) {
            let _ = waiter.send(Err(error.clone()));
        }
    }

    fn release(&self, state: &mut State, items: &[Item]) {
        for item in items {
            state.bytes -= item.bytes();
            if state.pending.get(&item.key).is_some_and(|(number, _)| *number == item.number) {
                state.pending.remove(&item.key);
            }
        }
    }

    /// The generations changed places.
    pub(super) fn turned(&self, early: bool) {
        let new = Keys::new(self.bounds.entries / 2, &[]);
        let mut state = self.state.lock();
        let State { current, previous, pending, evicted_early, .. } = &mut *state;
        let gone = mem::replace(previous, mem::replace(current, new));
        *evicted_early += if early { gone.0.len() as u64 } else { 0 };
        // What waits is written behind the turn.
        for key in pending.keys().map(|key| *key as u64) {
            previous.0.remove(&key);
            current.0.insert(key);
        }
        drop(state);
        drop(gone);
    }

    /// Refuses everything from now on; what waits is lost.
    pub(super) fn refuse(&self, error: &ShelfError) {
        let waiting = mem::take(&mut self.state.lock().waiting);
        self.lost(waiting, error);
    }

    /// Sleeps, or less if it is closed; whether it is.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.closed {
            self.arrived.wait_for(&mut state, time);
        }
        state.closed
    }

    /// Lets the writer finish what waits, and end.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
    }

    pub(super) fn status(&self) -> Status {
        let state = self.state.lock();
        Status {
            entries: state.current.0.len() + state.previous.0.len(),
            waiting_bytes: state.bytes,
            dropped: state.dropped,
            evicted_early: state.evicted_early,
            refuses: state.refuses.clone(),
        }
    }
}
