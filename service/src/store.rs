//! People's histories: a map of timelines in shards, each behind its own lock, before a [`StateStore`] that keeps them for good.
//!
//! A request holds a lock for one read or one apply, a few microseconds, never across an await, an inference or the disk; with
//! thousands of shards two threads hardly ever meet. Whoever is not in memory is read from the state without a lock, and what
//! was read is thrown away if the shard has let go of somebody meanwhile. While memory holds everybody, an unknown person is
//! known to be unknown without asking the disk.
//!
//! An entry is *dirty* until a checkpoint has written it ([`checkpoint`]) and only then may leave memory; one whose timeline is empty
//! stands for somebody who is to be removed from the state. Events are idempotent, so the state may run ahead of its checkpoint, and
//! what was lost behind it is applied again from the log (F1, S2). Histories are bounded in people, in events a person and in
//! memory (S5, F3). A plain value: no runtime, no clock.

mod checkpoint;
mod digest;
mod embedded;
mod histories;
mod load;
#[cfg(test)]
mod memory;
mod state;
mod sweep;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use cauce_features::event::Event;
use cauce_features::plan::FeaturePlan;
use cauce_features::time::{Span, Timestamp};
use cauce_features::timeline::{Applied, Timeline};
use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::{Mutex, MutexGuard};

use crate::config;

pub use checkpoint::CheckpointError;
pub use digest::StateDigest;
pub use embedded::Embedded;
pub(crate) use embedded::{Unfit, check};
pub use histories::Histories;
pub use state::{Batch, Checkpoint, Cursor, Page, Positions, StateError, StateStore};

use load::decode;

/// Measured: a sweep visits a person in some 150 ns, so a shard of 2 M people / 4096 is locked for about 75 µs.
const SHARDS: usize = 4096;

/// A state that has grown by less is not worth writing anew.
const PURGE_FROM: u64 = 64 << 20;

/// What may change between two checkpoints however small the bound on memory is.
const MOST_DIRTY: usize = 64 << 20;

/// Memory of an entry besides its id's text and its timeline's heap; the map is two thirds full on average.
const ENTRY_BYTES: usize = size_of::<(Box<str>, Entry)>() * 3 / 2;

/// How much is held at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub people: usize,
    pub events_per_person: usize,
    /// What [`Store::shrink`] brings memory back to.
    pub memory_bytes: usize,
    /// Somebody of whom nothing newer is kept goes, lifetime tallies included. Not shorter than the horizon.
    pub forget_after: Span,
}

impl From<&config::Store> for Bounds {
    fn from(config: &config::Store) -> Self {
        let forget_after_ms = i64::try_from(config.forget_after.get().as_millis()).unwrap_or(i64::MAX);
        Self {
            people: config.people,
            events_per_person: config.events_per_person,
            memory_bytes: config.memory.bytes(),
            forget_after: Span::from_millis(forget_after_ms),
        }
    }
}

impl Bounds {
    /// A part's bounds, of so many that share these.
    pub fn shared_by(self, parts: usize) -> Self {
        Self { people: self.people.div_ceil(parts), memory_bytes: self.memory_bytes / parts, ..self }
    }
}

/// All people's histories. Every call is given the plan that the histories are kept under.
pub struct Store {
    bounds: Bounds,
    state: Arc<dyn StateStore>,
    hasher: DefaultHashBuilder,
    shards: Box<[Mutex<Shard>]>,
    /// People with a history, in memory or in the state alone.
    people: AtomicUsize,
    resident: AtomicUsize,
    memory_bytes: AtomicUsize,
    coarsened: AtomicU64,
    /// When the newest checkpoint was taken, in milliseconds; none was at [`i64::MIN`].
    checkpointed_ms: AtomicI64,
    /// What the state took after it was last purged.
    purged_bytes: AtomicU64,
    /// Whoever writes, evicts or walks the state holds this, so that no clean entry can be staler than the state.
    upkeep: Mutex<Upkeep>,
}

/// Where upkeep goes on.
#[derive(Default)]
struct Upkeep {
    /// The shard that [`Store::shrink`] looks at next.
    hand: usize,
    /// Where [`Store::sweep_cold`] goes on.
    cold: Option<Cursor>,
    /// Where [`Store::warm`] goes on, and whether it is over.
    warm: Option<Cursor>,
    is_warm: bool,
}

#[derive(Default)]
struct Shard {
    people: HashMap<Box<str>, Entry>,
    dirty: usize,
    /// How many of its people are in the state alone.
    cold: usize,
    /// Goes up whenever somebody leaves memory: what was read from the state before may be older than what is there now.
    departures: u64,
}

struct Entry {
    timeline: Timeline,
    flags: u8,
}

impl Store {
    /// Where a person's history is looked at, `None` if there is none.
    pub fn read<R>(
        &self,
        plan: &FeaturePlan,
        person: &str,
        look: impl FnOnce(Option<&Timeline>) -> R,
    ) -> Result<R, StateError> {
        let mut shard = self.shard_with(plan, person)?;
        Ok(look(shard.people.get_mut(person).and_then(Entry::seen)))
    }

    /// The same without ever touching the disk: `None` where it would have to be asked. [`Store::bring`] makes that good.
    pub fn read_here<R>(&self, person: &str, look: impl FnOnce(Option<&Timeline>) -> R) -> Option<R> {
        let mut shard = self.shard(person).lock();
        shard.has(person).then(|| look(shard.people.get_mut(person).and_then(Entry::seen)))
    }

    /// Whether what there is of a person is in memory, if there is anything.
    pub fn is_here(&self, person: &str) -> bool {
        self.shard(person).lock().has(person)
    }

    /// Has what there is of a person in memory for a while. It may read the disk.
    pub fn bring(&self, plan: &FeaturePlan, person: &str) -> Result<(), StateError> {
        let mut shard = self.shard_with(plan, person)?;
        if let Some(entry) = shard.people.get_mut(person) {
            entry.set(Entry::REFERENCED);
        } else if shard.cold > 0 {
            // That there is nothing is worth remembering too: the disk is not asked again. It goes as anybody does when memory is short.
            let entry = Entry { timeline: Timeline::default(), flags: Entry::REFERENCED };
            self.admit(&mut shard, plan, person, entry);
        }
        Ok(())
    }

    /// Adds an event to the history of its person. Whether there is room for a new person was asked before ([`Store::has_room`]): what
    /// stands in the log is always applied.
    pub fn apply(&self, plan: &FeaturePlan, event: &Event) -> Result<Applied, StateError> {
        let person = event.person();
        let mut shard = self.shard_with(plan, person)?;
        if !shard.people.contains_key(person) {
            self.admit(&mut shard, plan, person, Entry { timeline: Timeline::default(), flags: 0 });
        }
        let shard = &mut *shard;
        let entry = shard.people.get_mut(person).expect("it is there or was just admitted");
        let (was_empty, before) = (entry.timeline.is_empty(), entry.timeline.heap_bytes(plan));
        let applied = entry.timeline.apply(plan, event);
        entry.set(Entry::REFERENCED);
        if !matches!(applied, Applied::New | Applied::Conflict { replaced: true }) {
            return Ok(applied);
        }
        let merged = entry.timeline.coarsen(plan, self.bounds.events_per_person);
        shard.dirty += usize::from(entry.set(Entry::DIRTY));
        self.people.fetch_add(usize::from(was_empty), Ordering::Relaxed);
        self.coarsened.fetch_add(merged as u64, Ordering::Relaxed);
        self.account(before, entry.timeline.heap_bytes(plan));
        Ok(applied)
    }

    /// What applying an event would do.
    pub fn probe(&self, plan: &FeaturePlan, event: &Event) -> Result<Applied, StateError> {
        self.read(plan, event.person(), |timeline| {
            timeline.map_or(Applied::New, |timeline| timeline.probe(plan, event))
        })
    }

    /// Whether an event of this person may be accepted. Events accepted side by side may pass the bound together, by as many as
    /// there are.
    pub fn has_room(&self, plan: &FeaturePlan, person: &str) -> Result<bool, StateError> {
        Ok(self.people() < self.bounds.people || self.read(plan, person, |timeline| timeline.is_some())?)
    }

    /// Lets go of a person and returns what was there. The next checkpoint removes them from the state, and [`Store::purge`] then leaves no
    /// byte of them.
    pub fn erase(&self, plan: &FeaturePlan, person: &str) -> Result<Option<Timeline>, StateError> {
        let mut shard = self.shard_with(plan, person)?;
        let is_known = shard.people.get(person).is_some_and(|entry| !entry.timeline.is_empty());
        Ok(is_known.then(|| self.bury(&mut shard, plan, person)))
    }

    /// Lets go of everybody whose id is chosen, as [`Store::erase`] does: how many.
    pub fn erase_where(&self, plan: &FeaturePlan, chosen: &dyn Fn(&str) -> bool) -> Result<usize, StateError> {
        let mut people: Vec<Box<str>> = Vec::new();
        let mut cold = 0;
        for shard in &self.shards {
            let shard = shard.lock();
            people.extend(shard.people.keys().filter(|person| chosen(person)).cloned());
            cold += shard.cold;
        }
        if cold > 0 {
            self.each_page(|page| {
                people.extend(page.into_iter().map(|(person, _)| person).filter(|person| chosen(person)));
                Ok(())
            })?;
        }
        let mut erased = 0;
        for person in people {
            erased += usize::from(self.erase(plan, &person)?.is_some());
        }
        Ok(erased)
    }

    /// Leaves no byte of those who were erased before the last checkpoint.
    pub fn purge(&self) -> Result<(), StateError> {
        let _upkeep = self.upkeep.lock();
        self.state.purge()
    }

    /// Has the state let go of what was overwritten once it takes twice the room that it took after it last did.
    pub fn purge_if_grown(&self) -> Result<(), StateError> {
        let purged = self.purged_bytes.load(Ordering::Relaxed);
        if self.state.disk_bytes() > 2 * purged + PURGE_FROM {
            self.purge()?;
            self.purged_bytes.store(self.state.disk_bytes(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Tries to make the state usable again after it was [`StateError::Unavailable`] or [`StateError::Full`].
    pub fn reopen(&self) -> Result<(), StateError> {
        let _upkeep = self.upkeep.lock();
        self.state.reopen()
    }

    /// How many people it knows.
    pub fn people(&self) -> usize {
        self.people.load(Ordering::Relaxed)
    }

    /// How many of them are in memory; for a moment also some who are about to be removed.
    pub fn resident(&self) -> usize {
        self.resident.load(Ordering::Relaxed)
    }

    /// Memory of those who are in it.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    /// Whether memory is over its bound: [`Store::shrink`] brings it back as far as a checkpoint allows.
    pub fn is_over_budget(&self) -> bool {
        self.memory_bytes() > self.bounds.memory_bytes
    }

    /// Whether memory is at twice its bound and more, as checkpoints do not get ahead: nothing new is to be taken.
    pub fn is_far_over_budget(&self) -> bool {
        self.memory_bytes() > self.bounds.memory_bytes.saturating_mul(2).saturating_add(MOST_DIRTY)
    }

    /// How many events the bound on a person's events has merged by the hour.
    pub fn coarsened(&self) -> u64 {
        self.coarsened.load(Ordering::Relaxed)
    }

    /// When the newest checkpoint was taken, if any was.
    pub fn checkpointed_at(&self) -> Option<Timestamp> {
        let ms = self.checkpointed_ms.load(Ordering::Relaxed);
        (ms > i64::MIN).then(|| Timestamp::from_millis(ms))
    }

    /// How much the state occupies.
    pub fn disk_bytes(&self) -> u64 {
        self.state.disk_bytes()
    }

    /// The lock of a person's shard, with the person in it if there is any history of theirs.
    fn shard_with(&self, plan: &FeaturePlan, person: &str) -> Result<MutexGuard<'_, Shard>, StateError> {
        let place = self.shard(person);
        let mut read: Option<(u64, Option<Timeline>)> = None;
        loop {
            let mut shard = place.lock();
            if shard.has(person) {
                return Ok(shard);
            }
            match read.take() {
                Some((departures, timeline)) if departures == shard.departures => {
                    if let Some(timeline) = timeline {
                        shard.cold -= 1;
                        self.admit(&mut shard, plan, person, Entry { timeline, flags: Entry::STORED });
                    }
                    return Ok(shard);
                }
                _ => {
                    let departures = shard.departures;
                    drop(shard);
                    let bytes = self.state.get(person)?;
                    let timeline = bytes.map(|bytes| decode(plan, &bytes)).transpose();
                    read = Some((departures, timeline.map_err(|error| load::damaged(error, 1))?));
                }
            }
        }
    }

    fn admit(&self, shard: &mut Shard, plan: &FeaturePlan, person: &str, entry: Entry) {
        self.resident.fetch_add(1, Ordering::Relaxed);
        self.account(0, bytes_of(person, &entry, plan));
        shard.people.insert(person.into(), entry);
    }

    /// Takes somebody out of the map.
    fn release(&self, shard: &mut Shard, plan: &FeaturePlan, person: &str) {
        let Some((person, entry)) = shard.people.remove_entry(person) else { return };
        shard.dirty -= usize::from(entry.has(Entry::DIRTY));
        shard.departures += 1;
        self.resident.fetch_sub(1, Ordering::Relaxed);
        self.account(bytes_of(&person, &entry, plan), 0);
    }

    /// Takes a person's timeline out. The empty entry stands for a removal until it is written, if there may be anything to remove.
    fn bury(&self, shard: &mut Shard, plan: &FeaturePlan, person: &str) -> Timeline {
        let entry = shard.people.get_mut(person).expect("only somebody in memory is taken out");
        let taken = std::mem::take(&mut entry.timeline);
        self.people.fetch_sub(1, Ordering::Relaxed);
        self.account(taken.heap_bytes(plan), 0);
        shard.dirty += usize::from(entry.set(Entry::DIRTY));
        if entry.is_over() {
            self.release(shard, plan, person);
        }
        taken
    }

    /// Wraps around on the way down, which adds up to the same.
    fn account(&self, before: usize, after: usize) {
        if before != after {
            self.memory_bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    fn shard(&self, person: &str) -> &Mutex<Shard> {
        // The map inside takes the low and the top bits of a hash; the shard takes others.
        let hash = self.hasher.hash_one(person);
        &self.shards[(hash >> 24) as usize % SHARDS]
    }
}

impl Shard {
    /// Whether what there is of a person is in memory, if there is anything.
    fn has(&self, person: &str) -> bool {
        self.cold == 0 || self.people.contains_key(person)
    }
}

impl Entry {
    /// The state does not have it as it is.
    const DIRTY: u8 = 1;
    /// It was looked at since [`Store::shrink`] last came by.
    const REFERENCED: u8 = 2;
    /// The state may have something of this person.
    const STORED: u8 = 4;

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether the flag is new.
    fn set(&mut self, flag: u8) -> bool {
        let new = !self.has(flag);
        self.flags |= flag;
        new
    }

    fn clear(&mut self, flag: u8) {
        self.flags &= !flag;
    }

    /// The history, noted as looked at.
    fn seen(&mut self) -> Option<&Timeline> {
        self.set(Self::REFERENCED);
        (!self.timeline.is_empty()).then_some(&self.timeline)
    }

    /// Whether it is empty and nothing of it has to be removed from the state.
    fn is_over(&self) -> bool {
        self.timeline.is_empty() && (!self.has(Self::STORED) || !self.has(Self::DIRTY))
    }
}

fn bytes_of(person: &str, entry: &Entry, plan: &FeaturePlan) -> usize {
    ENTRY_BYTES + person.len() + entry.timeline.heap_bytes(plan)
}
