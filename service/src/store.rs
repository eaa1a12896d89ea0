#![allow(unused)]
use std::path::Path;
use cauce_features::event::Event;
use cauce_features::plan::FeaturePlan;
use cauce_features::time::Timestamp;
use cauce_features::timeline::{Applied, Timeline};
use crate::log::{Position, LogError};
mod state;
pub use state::{StateError, StateStore, Checkpoint};
pub type StoreError = StateError;
pub struct Store;
pub struct Saved { pub position: Position, pub people: usize }
pub struct Digest { pub people: u64 }
impl std::fmt::Display for Digest { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
pub mod embedded {
    use super::*;
    pub struct EmbeddedState;
    impl EmbeddedState { pub fn open(p: &Path) -> Result<Self, StateError> { todo!() } pub fn remove(p: &Path) -> Result<(), StateError> { todo!() } }
}
impl Store {
    pub fn open(c: &crate::config::Store, plan: &FeaturePlan, s: Box<embedded::EmbeddedState>) -> Result<(Self, Option<Checkpoint>), StateError> { todo!() }
    pub fn read<R>(&self, plan: &FeaturePlan, person: &str, look: impl FnOnce(Option<&Timeline>) -> R) -> Result<R, StoreError> { todo!() }
    pub fn apply(&self, plan: &FeaturePlan, event: &Event) -> Result<Applied, StoreError> { todo!() }
    pub fn probe(&self, plan: &FeaturePlan, event: &Event) -> Result<Applied, StoreError> { todo!() }
    pub fn has_room(&self, person: &str) -> bool { todo!() }
    pub fn erase(&self, person: &str) -> Result<bool, StoreError> { todo!() }
    pub fn erase_where(&self, plan: &FeaturePlan, who: &dyn Fn(&str) -> bool) -> Result<(), StoreError> { todo!() }
    pub fn load(&self, plan: &FeaturePlan) -> Result<(), StoreError> { todo!() }
    pub fn people(&self) -> usize { todo!() }
    pub fn coarsened(&self) -> u64 { todo!() }
    pub fn shards(&self) -> usize { todo!() }
    pub fn sweep(&self, plan: &FeaturePlan, shard: usize, through: Timestamp, now: Timestamp) -> Result<(), StoreError> { todo!() }
    pub fn shrink(&self, plan: &FeaturePlan) -> Result<(), StoreError> { todo!() }
    pub fn purge(&self) -> Result<(), StoreError> { todo!() }
    pub fn digest(&self, plan: &FeaturePlan, as_of: Timestamp) -> Result<Digest, StoreError> { todo!() }
    pub fn checkpoint(&self, plan: &FeaturePlan, position: Position, at: Timestamp, durable: impl Fn() -> Result<(), LogError>) -> Result<Saved, crate::ingest::IngestError> { todo!() }
}
