//! People's histories in memory: a map of timelines in shards, each behind its own lock.
//!
//! A request holds a lock for one read or one apply, a few microseconds, never across an await or an inference; with
//! thousands of shards two threads hardly ever meet, and a sweep of one shard is too short to be seen in a latency.
//! Histories are bounded in people and in events a person (S5, F3). A plain value: no runtime, no clock.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use cauce_features::event::Event;
use cauce_features::plan::FeaturePlan;
use cauce_features::time::Timestamp;
use cauce_features::timeline::{Applied, Timeline};
use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;

/// Measured: a sweep visits a person in some 50 ns, so a shard of 2 M people / 4096 is locked for about 25 µs.
const SHARDS: usize = 4096;

/// How much is held at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub people: usize,
    pub events_per_person: usize,
}

/// All people's histories. Every call is given the plan that the histories are kept under.
pub struct Store {
    bounds: Bounds,
    hasher: DefaultHashBuilder,
    shards: Box<[Mutex<Shard>]>,
    people: AtomicUsize,
    coarsened: AtomicU64,
}

type Shard = HashMap<Box<str>, Timeline>;

/// A further person would exceed the bound on people.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Store {
    /// An empty store.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            people: AtomicUsize::new(0),
            coarsened: AtomicU64::new(0),
        }
    }

    /// Looks at a person's history, `None` if there is none, under the shard's lock.
    pub fn read<R>(&self, person: &str, look: impl FnOnce(Option<&Timeline>) -> R) -> R {
        look(self.shard(person).lock().get(person))
    }

    /// Adds an event to the history of its person.
    pub fn apply(&self, plan: &FeaturePlan, event: &Event) -> Result<Applied, Full> {
        let mut shard = self.shard(event.person()).lock();
        if let Some(timeline) = shard.get_mut(event.person()) {
            let applied = timeline.apply(plan, event);
            let merged = timeline.coarsen(plan, self.bounds.events_per_person);
            self.coarsened.fetch_add(merged as u64, Ordering::Relaxed);
            return Ok(applied);
        }
        // Reserved before it is used, so that shards filled at once cannot pass the bound together.
        if self.people.fetch_add(1, Ordering::Relaxed) >= self.bounds.people {
            self.people.fetch_sub(1, Ordering::Relaxed);
            return Err(Full);
        }
        let mut timeline = Timeline::default();
        let applied = timeline.apply(plan, event);
        shard.insert(event.person().into(), timeline);
        Ok(applied)
    }

    /// How many shards [`Store::sweep`] has to visit.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Lets go of the events of one shard that no window reaches any more, at or before `through`, and of people of whom
    /// nothing is left.
    pub fn sweep(&self, plan: &FeaturePlan, shard: usize, through: Timestamp) {
        let mut shard = self.shards[shard].lock();
        let before = shard.len();
        shard.retain(|_person, timeline| {
            if timeline.oldest(plan).is_some_and(|oldest| oldest <= through) {
                timeline.evict(plan, through);
            }
            !timeline.is_empty()
        });
        self.people.fetch_sub(before - shard.len(), Ordering::Relaxed);
    }

    /// How many people it holds.
    pub fn people(&self) -> usize {
        self.people.load(Ordering::Relaxed)
    }

    /// How many events the bound on a person's events has merged by the hour.
    pub fn coarsened(&self) -> u64 {
        self.coarsened.load(Ordering::Relaxed)
    }

    fn shard(&self, person: &str) -> &Mutex<Shard> {
        // The map inside takes the low and the top bits of a hash; the shard takes others.
        let hash = self.hasher.hash_one(person);
        &self.shards[(hash >> 24) as usize % SHARDS]
    }
}
