//! All histories as 128 bits: two stores that have taken in the same events have one digest, whatever the order, the process, the
//! sweeps, the checkpoints and who is in memory (F1).
//!
//! It is the sum over people of a hash of the person and of what is left of their history as of an instant, which no order can
//! change. A person of whom nothing is left adds nothing.

use std::fmt;

use cauce_features::plan::FeaturePlan;
use cauce_features::time::Timestamp;
use cauce_features::timeline::Timeline;
use xxhash_rust::xxh3::xxh3_128;

use super::checkpoint::few_at_a_time;
use super::load::{damaged, decode};
use super::sweep::Passing;
use super::{StateError, Store};

/// The digest of all histories; 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateDigest(u128);

impl Store {
    /// The digest of everybody as of an instant that no sweep has passed. Exact while nothing is applied and nobody
    /// in the state is asked for.
    pub fn digest(&self, plan: &FeaturePlan, as_of: Timestamp) -> Result<StateDigest, StateError> {
        let _upkeep = self.upkeep.lock();
        let passing = Passing::at(plan, &self.bounds, as_of);
        let (mut digest, mut cold) = (StateDigest::default(), 0);
        for shard in &self.shards {
            let everybody = {
                let shard = shard.lock();
                cold += shard.cold;
                shard.people.keys().cloned().collect()
            };
            few_at_a_time(shard, everybody, |shard, person| {
                let Some(entry) = shard.people.get(&person) else { return 0 };
                digest.add(plan, &passing, &person, entry.timeline.clone());
                entry.timeline.len(plan)
            });
        }
        if cold > 0 {
            self.each_page(|people| {
                for (person, bytes) in people {
                    if !self.shard(&person).lock().people.contains_key(&person) {
                        let timeline = decode(plan, &bytes).map_err(|error| damaged(error, 1))?;
                        digest.add(plan, &passing, &person, timeline);
                    }
                }
                Ok(())
            })?;
        }
        Ok(digest)
    }
}

impl StateDigest {
    fn add(&mut self, plan: &FeaturePlan, passing: &Passing, person: &str, mut timeline: Timeline) {
        if passing.leaves(plan, &mut timeline) {
            // An id has no control characters, so the zero ends it.
            let own = [person.as_bytes(), &[0], &timeline.digest(plan).to_le_bytes()].concat();
            self.0 = self.0.wrapping_add(xxh3_128(&own));
        }
    }
}

impl std::iter::Sum for StateDigest {
    fn sum<I: Iterator<Item = Self>>(digests: I) -> Self {
        Self(digests.fold(0, |sum, digest| sum.wrapping_add(digest.0)))
    }
}

impl fmt::Display for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
