//! Opening and loading: at the start everybody is counted where they rest, which verifies every block that is read, and a service is ready;
//! then they come into memory page by page beside requests, or when asked for.
//!
//! Decoding costs several times as much as reading, so what would follow it at once anyway, a long replay or a verification, loads
//! everybody before, on all cores. Whoever does not fit into memory stays in the state.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use cauce_features::plan::FeaturePlan;
use cauce_features::timeline::{DecodeError, Timeline};
use hashbrown::DefaultHashBuilder;
use parking_lot::Mutex;

use super::{Bounds, Checkpoint, Entry, SHARDS, StateError, StateStore, Store};

/// People and their encoded histories.
type People = Vec<(Box<str>, Vec<u8>)>;

/// Enough that handing a page over costs nothing beside decoding it.
pub(super) const PAGE_BYTES: usize = 256 << 10;

impl Store {
    /// The histories that `state` keeps.
    pub fn open(state: Arc<dyn StateStore>, bounds: Bounds, plan: &FeaturePlan) -> Result<Self, StateError> {
        let store = Self {
            bounds,
            state,
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            people: AtomicUsize::new(0),
            resident: AtomicUsize::new(0),
            memory_bytes: AtomicUsize::new(0),
            coarsened: AtomicU64::new(0),
            checkpointed_ms: AtomicI64::new(i64::MIN),
            purged_bytes: AtomicU64::new(0),
            upkeep: Mutex::default(),
        };
        if let Some(known) = store.checkpointed()? {
            if known.specification != plan.specification().hash {
                return Err(StateError::OtherSpecification);
            }
            store.checkpointed_ms.store(known.at.millis(), Ordering::Relaxed);
        }
        store.count(plan)?;
        Ok(store)
    }

    /// Up to where the state goes: the log is applied from there on. `None` if there never was a checkpoint, and all of it is.
    pub fn checkpointed(&self) -> Result<Option<Checkpoint>, StateError> {
        self.state.checkpoint()
    }

    /// Counts everybody as resting in the state. The first page is decoded, so that histories of another version are told at once.
    fn count(&self, plan: &FeaturePlan) -> Result<(), StateError> {
        let mut tried = false;
        self.each_page(|people| {
            if !std::mem::replace(&mut tried, true) {
                let failed = people.iter().filter_map(|(_, bytes)| decode(plan, bytes).err());
                failed.fold(Failures::default(), Failures::and).result()?;
            }
            self.people.fetch_add(people.len(), Ordering::Relaxed);
            people.iter().for_each(|(person, _)| self.shard(person).lock().cold += 1);
            Ok(())
        })
    }

    /// Brings the next page of people into memory, if there is room. Whether there is more to come.
    pub fn warm(&self, plan: &FeaturePlan) -> Result<bool, StateError> {
        // Nobody is written or evicted meanwhile, so what is read is what there is.
        let mut upkeep = self.upkeep.lock();
        if upkeep.is_warm || self.memory_bytes() >= self.bounds.memory_bytes || self.people() <= self.resident() {
            upkeep.is_warm = true;
            return Ok(false);
        }
        let page = self.state.page(upkeep.warm.as_ref(), PAGE_BYTES)?;
        upkeep.is_warm = page.next.is_none();
        upkeep.warm = page.next;
        let failed = page.people.iter().filter_map(|(person, bytes)| self.take_in(plan, person, bytes).err());
        failed.fold(Failures::default(), Failures::and).result()?;
        Ok(!upkeep.is_warm)
    }

    /// Brings everybody into memory as far as there is room, on all cores. Nothing else may use the store meanwhile.
    pub fn load(&self, plan: &FeaturePlan) -> Result<(), StateError> {
        self.upkeep.lock().is_warm = true;
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let (sender, pages) = sync_channel(2 * workers);
        let (pages, failures) = (Mutex::new(pages), Mutex::new(Failures::default()));
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| self.take_pages(plan, &pages, &failures));
            }
            // Moved in, so that the pages end with it.
            let sender = sender;
            self.each_page(|people| {
                sender.send(people).expect("workers stay until the pages end");
                Ok(())
            })
        })?;
        failures.into_inner().result()
    }

    /// Everybody in the state, whether in memory too or not.
    pub(super) fn each_page(&self, mut take: impl FnMut(People) -> Result<(), StateError>) -> Result<(), StateError> {
        let mut after = None;
        loop {
            let page = self.state.page(after.as_ref(), PAGE_BYTES)?;
            take(page.people)?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn take_pages(&self, plan: &FeaturePlan, pages: &Mutex<Receiver<People>>, failures: &Mutex<Failures>) {
        loop {
            let Ok(people) = pages.lock().recv() else { return };
            for (person, bytes) in people {
                if let Err(error) = self.take_in(plan, &person, &bytes) {
                    failures.lock().add(error);
                }
            }
        }
    }

    /// Takes a person of the state into memory, unless they are there already or there is no room.
    fn take_in(&self, plan: &FeaturePlan, person: &str, bytes: &[u8]) -> Result<(), DecodeError> {
        if self.memory_bytes() >= self.bounds.memory_bytes {
            return Ok(());
        }
        let timeline = decode(plan, bytes)?;
        let mut shard = self.shard(person).lock();
        if !shard.people.contains_key(person) {
            shard.cold -= 1;
            self.admit(&mut shard, plan, person, Entry { timeline, flags: Entry::STORED });
        }
        Ok(())
    }
}

#[derive(Default)]
struct Failures {
    count: usize,
    first: Option<DecodeError>,
}

impl Failures {
    fn and(mut self, error: DecodeError) -> Self {
        self.add(error);
        self
    }

    fn add(&mut self, error: DecodeError) {
        self.count += 1;
        self.first.get_or_insert(error);
    }

    fn result(self) -> Result<(), StateError> {
        self.first.map_or(Ok(()), |error| Err(damaged(error, self.count)))
    }
}

/// A timeline that the state kept. One of whom nothing is left is not kept.
pub(super) fn decode(plan: &FeaturePlan, bytes: &[u8]) -> Result<Timeline, DecodeError> {
    let timeline = Timeline::decode(plan, bytes)?;
    if timeline.is_empty() { Err(DecodeError::Corrupt("nothing is in it")) } else { Ok(timeline) }
}

/// What it means that the histories of so many people cannot be decoded; says how many, never whose.
pub(super) fn damaged(error: DecodeError, people: usize) -> StateError {
    match error {
        DecodeError::Specification => StateError::OtherSpecification,
        error => StateError::Damaged { what: format!("{people} people's histories cannot be read ({error})") },
    }
}
