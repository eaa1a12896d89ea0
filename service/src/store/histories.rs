//! Everybody's histories: one [`Store`], or one for each partition of Kafka's topics that this instance owns.
//!
//! A partition is a slice of people that moves between instances as a whole, so its histories are a store of their own, with
//! their own state on disk. Without Kafka there is one slice, and it is always here.

use std::sync::Arc;

use cauce_features::plan::FeaturePlan;
use cauce_features::time::Timestamp;
use cauce_features::timeline::Timeline;
use parking_lot::RwLock;

use super::{StateDigest, StateError, Store};

/// The stores of all slices that are here.
pub struct Histories {
    /// By number of the partition. A lock is held to clone a pointer, never across a read of the store.
    slices: Box<[RwLock<Option<Arc<Store>>>]>,
    /// Which slice a person belongs to.
    slice_of: fn(&str, usize) -> usize,
}

impl Histories {
    /// One slice, with everybody in it.
    pub fn whole(store: Arc<Store>) -> Self {
        Self { slices: Box::new([RwLock::new(Some(store))]), slice_of: |_, _| 0 }
    }

    /// As many slices as there are partitions, none of them here yet.
    pub fn partitioned(partitions: usize, slice_of: fn(&str, usize) -> usize) -> Self {
        Self { slices: (0..partitions).map(|_| RwLock::default()).collect(), slice_of }
    }

    /// How many slices there are, here or elsewhere.
    pub fn partitions(&self) -> usize {
        self.slices.len()
    }

    /// The number of a person's slice.
    pub fn partition_of(&self, person: &str) -> usize {
        (self.slice_of)(person, self.slices.len())
    }

    /// The store with a person's history.
    pub fn of(&self, person: &str) -> Result<Arc<Store>, StateError> {
        self.slice(self.partition_of(person)).ok_or(StateError::Elsewhere)
    }

    /// The store of a slice, if it is here.
    pub fn slice(&self, partition: usize) -> Option<Arc<Store>> {
        self.slices.get(partition)?.read().clone()
    }

    /// Takes a slice in.
    pub fn put(&self, partition: usize, store: Arc<Store>) {
        *self.slices[partition].write() = Some(store);
    }

    /// Lets a slice go.
    pub fn take(&self, partition: usize) -> Option<Arc<Store>> {
        self.slices[partition].write().take()
    }

    /// Where a person's history is looked at, `None` if there is none; never on disk: it is unavailable where that would have to be asked.
    pub fn read_here<R>(&self, person: &str, look: impl FnOnce(Option<&Timeline>) -> R) -> Result<R, StateError> {
        let gone = || StateError::Unavailable { cause: "a history left memory as it was asked for".into() };
        self.of(person)?.read_here(person, look).ok_or_else(gone)
    }

    /// Whether a person's history can be read without touching the disk, or is not kept here at all.
    pub fn is_here(&self, person: &str) -> bool {
        person.is_empty() || self.of(person).map_or(true, |store| store.is_here(person))
    }

    /// All slices that are here, with their numbers.
    pub fn here(&self) -> impl Iterator<Item = (usize, Arc<Store>)> + '_ {
        (0..self.slices.len()).filter_map(|partition| Some((partition, self.slice(partition)?)))
    }

    /// The sum of something over all slices that are here.
    pub fn sum<N: std::iter::Sum>(&self, of: impl Fn(&Store) -> N) -> N {
        self.here().map(|(_, store)| of(&store)).sum()
    }

    /// The digest of everybody who is here; those of several instances add up to that of all.
    pub fn digest(&self, plan: &FeaturePlan, as_of: Timestamp) -> Result<StateDigest, StateError> {
        self.here().map(|(_, store)| store.digest(plan, as_of)).sum()
    }
}
