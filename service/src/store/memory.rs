//! A state in memory, for tests: it counts what it is asked, and fails when told to. And stores in front of it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cauce_features::plan::FeaturePlan;
use cauce_features::time::Span;
use parking_lot::Mutex;

use super::{Batch, Bounds, Checkpoint, Cursor, Page, StateError, StateStore, Store};

#[derive(Default)]
pub(crate) struct Memory {
    people: Mutex<BTreeMap<Box<str>, Vec<u8>>>,
    checkpoint: Mutex<Option<Checkpoint>>,
    pub(crate) gets: AtomicUsize,
    pub(crate) fails: AtomicBool,
    /// Happens once, between reading somebody and returning them.
    pub(crate) meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Bounds {
    /// So many people, and enough of everything else.
    pub(crate) fn of_people(people: usize) -> Self {
        let forget_after = Span::parse("730d").expect("a span");
        Self { people, events_per_person: 1000, memory_bytes: 1 << 30, forget_after }
    }
}

impl Store {
    /// An empty store of so many people.
    pub(crate) fn for_tests(people: usize, plan: &FeaturePlan) -> Self {
        Self::open(Arc::<Memory>::default(), Bounds::of_people(people), plan).expect("memory does not fail")
    }
}

impl Memory {
    pub(crate) fn people(&self) -> usize {
        self.people.lock().len()
    }

    fn check(&self) -> Result<(), StateError> {
        let fails = self.fails.load(Ordering::Relaxed);
        if fails { Err(StateError::Unavailable { cause: "told to fail".into() }) } else { Ok(()) }
    }
}

impl StateStore for Memory {
    fn get(&self, person: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.check()?;
        let read = self.people.lock().get(person).cloned();
        let meanwhile = self.meanwhile.lock().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        Ok(read)
    }

    fn page(&self, after: Option<&Cursor>, bytes: usize) -> Result<Page, StateError> {
        self.check()?;
        let people = self.people.lock();
        let lower = after.map_or(Bound::Unbounded, |cursor| Bound::Excluded(cursor.0.clone()));
        let mut page = Page::default();
        for (person, value) in people.range((lower, Bound::Unbounded)) {
            page.people.push((person.clone(), value.clone()));
            if page.people.len() * 64 >= bytes {
                page.next = Some(Cursor(person.clone()));
                break;
            }
        }
        Ok(page)
    }

    fn write(&self, batch: &Batch) -> Result<(), StateError> {
        self.check()?;
        let mut people = self.people.lock();
        people.extend(batch.put.iter().cloned());
        for person in &batch.removed {
            people.remove(person);
        }
        if let Some(checkpoint) = batch.checkpoint {
            *self.checkpoint.lock() = Some(checkpoint);
        }
        Ok(())
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, StateError> {
        self.check()?;
        Ok(*self.checkpoint.lock())
    }

    fn purge(&self) -> Result<(), StateError> {
        self.check()
    }

    fn reopen(&self) -> Result<(), StateError> {
        self.check()
    }

    fn disk_bytes(&self) -> u64 {
        self.people.lock().values().map(|bytes| bytes.len() as u64).sum()
    }
}
