//! What a timeline holds, as 128 bits: two copies that answer every read alike have one digest, whatever order, steps and restarts
//! they came about by (F1).
//!
//! It is taken of the rows themselves rather than of a snapshot's bytes, and leaves out what only tells how a copy came about: the
//! frontier (it moves with each eviction, even where nothing is left to evict) and the tallies of streams that no lifetime feature
//! looks at. Where the cap has merged events by the hour, arrival order counts, and the digest shows it.

use xxhash_rust::xxh3::Xxh3;

use super::{Past, Timeline};
use crate::aggregate::{StreamTally, Summary};
use crate::plan::FeaturePlan;
use crate::streams::Streams;

impl Timeline {
    /// The digest of everything that is held. Copies are comparable once they are evicted through one instant.
    pub fn digest(&self, plan: &FeaturePlan) -> u128 {
        let mut hasher = Xxh3::new();
        hasher.update(&(self.len(plan) as u64).to_le_bytes());
        self.log.for_each(&plan.streams, |row| hasher.update(row));
        if let Some(past) = &self.past {
            add_past(&mut hasher, &plan.streams, past);
        }
        hasher.digest128()
    }
}

fn add_past(hasher: &mut Xxh3, streams: &Streams, past: &Past) {
    for (index, stream) in past.of_life(streams) {
        add_stream(hasher, streams, &past.lifetime, (index, stream));
    }
    for bucket in &past.coarse {
        add(hasher, [bucket.first_ms, bucket.last_ms]);
        for stream in bucket.streams.iter().enumerate() {
            add_stream(hasher, streams, bucket, stream);
        }
    }
}

fn add_stream(hasher: &mut Xxh3, streams: &Streams, of: &Summary, (index, stream): (usize, &StreamTally)) {
    if stream.count == 0 {
        return;
    }
    add(hasher, [index as i64, stream.count as i64, stream.first_ms, stream.last_ms, stream.widest_gap_ms]);
    for measure in streams.measures_of(index) {
        let tally = &of.tallies[measure];
        add(hasher, [tally.count as i64, tally.min, tally.max, tally.first, tally.last, tally.first_ms]);
        add(hasher, [tally.sum]);
        if let Some(moments) = streams.measures[measure].moments.map(|moments| &of.moments[moments]) {
            add(hasher, [moments.squares, moments.t, moments.tt, moments.tx]);
        }
    }
}

fn add<const N: usize>(hasher: &mut Xxh3, values: [impl Into<i128>; N]) {
    values.into_iter().for_each(|value| hasher.update(&value.into().to_le_bytes()));
}
