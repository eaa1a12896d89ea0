//! Checkpoints: what is dirty goes to the state, and the state learns up to where in the log it goes. And eviction: who is clean
//! and was not looked at lately leaves memory.
//!
//! Applications are in memory a moment before they are in the log, and nothing may reach the disk that the log could still lose: so
//! a chunk is encoded, then the log is waited for, then the chunk is written. Chunks are durable one by one, and the last
//! thing written is the [`Checkpoint`]: one that is not finished has only brought the state ahead of the position that it names, and
//! applying events again changes nothing (F1, S2).
//!
//! A shard is locked for a few people at a time. An entry is clean from the moment it is encoded; should its chunk fail it is
//! dirty again, and should it change meanwhile it is dirty anew. Upkeep is done by one thread at a time, so nobody is evicted
//! between being encoded and being written.

use std::sync::atomic::Ordering;

use cauce_features::plan::FeaturePlan;
use cauce_features::time::Timestamp;
use parking_lot::Mutex;

use super::{Batch, Checkpoint, Entry, Positions, SHARDS, Shard, StateError, Store, bytes_of};
use crate::log::LogError;

/// How much is encoded before it is written.
const CHUNK_BYTES: usize = 4 << 20;

/// Events that are encoded under one hold of a shard's lock: some 50 µs. A busy person's are encoded in one go.
const EVENTS_PER_HOLD: usize = 192;

/// What a checkpoint wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    pub people: usize,
    pub removed: usize,
    /// Of encoded histories.
    pub bytes: usize,
}

/// Why a checkpoint was not finished. What was written harms nothing; the rest is dirty still.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckpointError {
    #[error("no checkpoint: {0}")]
    Log(#[from] LogError),
    #[error("no checkpoint: {0}")]
    State(#[from] StateError),
}

/// What is written together.
#[derive(Default)]
struct Chunk {
    batch: Batch,
    bytes: usize,
}

impl Store {
    /// Writes who is dirty, and that everything before `reached` is written. The caller has applied all of that before; `durable`
    /// returns once the log has everything that was in memory when it was called.
    pub fn checkpoint(
        &self,
        plan: &FeaturePlan,
        reached: impl Into<Positions>,
        at: Timestamp,
        durable: impl Fn() -> Result<(), LogError>,
    ) -> Result<Written, CheckpointError> {
        let _upkeep = self.upkeep.lock();
        let (mut written, mut chunk) = (Written::default(), Chunk::default());
        for shard in &self.shards {
            few_at_a_time(shard, dirty_people(shard), |shard, person| chunk.take(plan, shard, person));
            if chunk.bytes >= CHUNK_BYTES {
                self.write(plan, std::mem::take(&mut chunk), &durable, &mut written)?;
            }
        }
        self.write(plan, chunk, &durable, &mut written)?;
        let checkpoint = Some(Checkpoint { reached: reached.into(), at, specification: plan.specification().hash });
        self.state.write(&Batch { checkpoint, ..Batch::default() })?;
        self.checkpointed_ms.store(at.millis(), Ordering::Relaxed);
        Ok(written)
    }

    /// Evicts people until memory is within its bound, as far as they are clean and were not looked at since it last came by. Returns
    /// how many.
    pub fn shrink(&self, plan: &FeaturePlan) -> usize {
        let mut upkeep = self.upkeep.lock();
        let mut evicted = 0;
        // Everybody has a second chance, so it takes two rounds at most.
        for _ in 0..2 * SHARDS {
            if self.memory_bytes() <= self.bounds.memory_bytes {
                break;
            }
            evicted += self.evict(plan, &self.shards[upkeep.hand]);
            upkeep.hand = (upkeep.hand + 1) % SHARDS;
        }
        evicted
    }

    fn evict(&self, plan: &FeaturePlan, shard: &Mutex<Shard>) -> usize {
        let mut shard = shard.lock();
        let gone = shard.people.extract_if(|_, entry| {
            let goes = !entry.has(Entry::DIRTY | Entry::REFERENCED);
            entry.clear(Entry::REFERENCED);
            goes
        });
        let gone: Vec<_> = gone.collect();
        // Of whom nothing was there, nothing is in the state either.
        shard.cold += gone.iter().filter(|(_, entry)| entry.has(Entry::STORED)).count();
        shard.departures += 1;
        drop(shard);
        // Their memory is freed when nobody waits for the lock.
        self.resident.fetch_sub(gone.len(), Ordering::Relaxed);
        self.account(gone.iter().map(|(person, entry)| bytes_of(person, entry, plan)).sum(), 0);
        gone.len()
    }

    fn write(
        &self,
        plan: &FeaturePlan,
        chunk: Chunk,
        durable: &impl Fn() -> Result<(), LogError>,
        written: &mut Written,
    ) -> Result<(), CheckpointError> {
        let Chunk { batch, bytes } = chunk;
        if batch.put.is_empty() && batch.removed.is_empty() {
            return Ok(());
        }
        let done = durable().map_err(CheckpointError::from).and_then(|()| Ok(self.state.write(&batch)?));
        if let Err(error) = done {
            let people = batch.put.iter().map(|(person, _)| person).chain(&batch.removed);
            people.for_each(|person| self.shard(person).lock().set_dirty(person));
            return Err(error);
        }
        written.people += batch.put.len();
        written.removed += batch.removed.len();
        written.bytes += bytes;
        for person in &batch.removed {
            let mut shard = self.shard(person).lock();
            if shard.people.get(person).is_some_and(Entry::is_over) {
                self.release(&mut shard, plan, person);
            }
        }
        Ok(())
    }
}

impl Chunk {
    /// Takes a person in who is dirty still. Returns how many events that cost.
    fn take(&mut self, plan: &FeaturePlan, shard: &mut Shard, person: Box<str>) -> usize {
        let Some(entry) = shard.people.get_mut(&person).filter(|entry| entry.has(Entry::DIRTY)) else { return 0 };
        shard.dirty -= 1;
        entry.clear(Entry::DIRTY);
        entry.set(Entry::STORED);
        if entry.timeline.is_empty() {
            self.batch.removed.push(person);
            return 0;
        }
        let encoded = entry.timeline.encode(plan);
        self.bytes += encoded.len();
        self.batch.put.push((person, encoded));
        entry.timeline.len(plan)
    }
}

impl Shard {
    fn set_dirty(&mut self, person: &str) {
        if let Some(entry) = self.people.get_mut(person) {
            self.dirty += usize::from(entry.set(Entry::DIRTY));
        }
    }
}

/// Who is dirty in a shard.
fn dirty_people(shard: &Mutex<Shard>) -> Vec<Box<str>> {
    let shard = shard.lock();
    if shard.dirty == 0 {
        return Vec::new();
    }
    let dirty = shard.people.iter().filter(|(_, entry)| entry.has(Entry::DIRTY));
    dirty.map(|(person, _)| person.clone()).collect()
}

/// Visits people under a lock that is let go every so many events. `visit` returns how many it looked at.
pub(super) fn few_at_a_time(
    shard: &Mutex<Shard>,
    people: Vec<Box<str>>,
    mut visit: impl FnMut(&mut Shard, Box<str>) -> usize,
) {
    let mut people = people.into_iter().peekable();
    while people.peek().is_some() {
        let (mut shard, mut events) = (shard.lock(), 0);
        while events < EVENTS_PER_HOLD
            && let Some(person) = people.next()
        {
            events += 1 + visit(&mut shard, person);
        }
    }
}
