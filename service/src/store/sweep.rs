//! Sweeps: what no window reaches any more goes, and with it people of whom nothing is left or nothing new was heard for long.
//!
//! Somebody who goes leaves an empty entry behind until a checkpoint has removed them from the state too. A sweep that only lets go of
//! events leaves an entry clean: the state then holds more than memory, which reads and digests cannot tell (F1), and a
//! sweep of the state catches up with it in its own time.

use std::sync::atomic::Ordering;

use cauce_features::plan::FeaturePlan;
use cauce_features::time::{Span, Timestamp};
use cauce_features::timeline::Timeline;

use super::load::{PAGE_BYTES, damaged, decode};
use super::{Batch, Bounds, Entry, StateError, Store};

/// How long an event that was accepted at the edge of the horizon may wait for the disk before it is applied: until then a sweep leaves
/// the edge alone, or it would be too late.
const WAITS_AT_MOST: Span = Span::from_millis(600_000);

/// What one step of a sweep of the state did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColdSweep {
    /// People who were looked at.
    pub visited: usize,
    /// Those who go with the next checkpoint.
    pub removed: usize,
    /// Whether this was the last step of a round.
    pub round_over: bool,
}

/// What is over at an instant.
pub(super) struct Passing {
    /// At or before it, no window needs an event.
    horizon: Timestamp,
    /// Whose newest event is at or before it is forgotten. Not later than the horizon.
    forgotten: Timestamp,
}

impl Store {
    /// How many shards [`Store::sweep`] has to visit.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Lets go of what is over in one shard. Not while the log is still being applied again: what it holds would be too late.
    pub fn sweep(&self, plan: &FeaturePlan, shard: usize, now: Timestamp) {
        let passing = Passing::at(plan, &self.bounds, before(now, WAITS_AT_MOST));
        let mut shard = self.shards[shard].lock();
        let mut over = Vec::new();
        for (person, entry) in shard.people.iter_mut().filter(|(_, entry)| !entry.timeline.is_empty()) {
            let before = entry.timeline.heap_bytes(plan);
            if !passing.leaves(plan, &mut entry.timeline) {
                over.push(person.clone());
            }
            self.account(before, entry.timeline.heap_bytes(plan));
        }
        for person in over {
            self.bury(&mut shard, plan, &person);
        }
    }

    /// Looks through the next people of the state who are not in memory: those who are over go with the next checkpoint, and of the
    /// others what is over goes at once.
    pub fn sweep_cold(&self, plan: &FeaturePlan, now: Timestamp) -> Result<ColdSweep, StateError> {
        let mut upkeep = self.upkeep.lock();
        if self.people() <= self.resident() {
            upkeep.cold = None;
            return Ok(ColdSweep { round_over: true, ..ColdSweep::default() });
        }
        let passing = Passing::at(plan, &self.bounds, before(now, WAITS_AT_MOST));
        let page = self.state.page(upkeep.cold.as_ref(), PAGE_BYTES)?;
        let (mut swept, mut batch, mut unreadable) = (ColdSweep::default(), Batch::default(), None);
        for (person, bytes) in page.people {
            if self.shard(&person).lock().people.contains_key(&person) {
                continue;
            }
            swept.visited += 1;
            let mut timeline = match decode(plan, &bytes) {
                Ok(timeline) => timeline,
                Err(error) => {
                    unreadable.get_or_insert(error);
                    continue;
                }
            };
            let due = passing.is_due(plan, &timeline);
            if !passing.leaves(plan, &mut timeline) {
                swept.removed += usize::from(self.bury_cold(plan, &person));
            } else if due {
                // Should somebody load the person meanwhile: both versions answer every read alike.
                batch.put.push((person, timeline.encode(plan)));
            }
        }
        if !batch.put.is_empty() {
            self.state.write(&batch)?;
        }
        swept.round_over = page.next.is_none();
        upkeep.cold = page.next;
        unreadable.map_or(Ok(swept), |error| Err(damaged(error, 1)))
    }

    /// Leaves an empty entry for somebody who is in the state alone; the next checkpoint removes them.
    fn bury_cold(&self, plan: &FeaturePlan, person: &str) -> bool {
        let mut shard = self.shard(person).lock();
        if shard.people.contains_key(person) {
            return false;
        }
        shard.cold -= 1;
        shard.dirty += 1;
        self.people.fetch_sub(1, Ordering::Relaxed);
        let entry = Entry { timeline: Timeline::default(), flags: Entry::STORED | Entry::DIRTY };
        self.admit(&mut shard, plan, person, entry);
        true
    }
}

impl Passing {
    pub(super) fn at(plan: &FeaturePlan, bounds: &Bounds, now: Timestamp) -> Self {
        let horizon = plan.specification().horizon;
        Self { horizon: before(now, horizon), forgotten: before(now, bounds.forget_after.max(horizon)) }
    }

    /// Whether a timeline holds events that are over.
    fn is_due(&self, plan: &FeaturePlan, timeline: &Timeline) -> bool {
        timeline.oldest(plan).is_some_and(|oldest| oldest <= self.horizon)
    }

    /// Lets go of what is over. Whether anything is left that counts.
    pub(super) fn leaves(&self, plan: &FeaturePlan, timeline: &mut Timeline) -> bool {
        match timeline.oldest(plan) {
            // Nearly everybody: one look at the oldest event, and the newest is no older.
            Some(oldest) if oldest > self.horizon => return true,
            Some(_) => timeline.evict(plan, self.horizon),
            None => {}
        }
        timeline.newest(plan).is_some_and(|newest| newest > self.forgotten)
    }
}

fn before(now: Timestamp, span: Span) -> Timestamp {
    Timestamp::from_millis(now.millis() - span.millis())
}
