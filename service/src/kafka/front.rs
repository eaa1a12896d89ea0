//! Temporary.
use super::{Cluster, ClusterError, applied::Applied};
use crate::config;
use crate::log::*;
use cauce_features::time::Timestamp;
use std::ops::ControlFlow;
use std::sync::Arc;
pub struct KafkaLog;
impl KafkaLog {
    pub fn new(_: &Cluster, _: usize, _: Arc<Applied>, _: &config::Log) -> Result<Self, ClusterError> {
        Ok(Self)
    }
}
fn no<T>() -> Result<T, LogError> {
    Err(LogError::Unavailable("not yet".into()))
}
impl ReadLog for KafkaLog {
    fn range(&self) -> std::ops::Range<Position> {
        Position(0)..Position(0)
    }
    fn position_at(&self, _: Timestamp) -> Result<Position, LogError> {
        no()
    }
    fn read(&self, _: Position, _: &mut dyn FnMut(Vec<Record>) -> ControlFlow<()>) -> Result<(), LogError> {
        no()
    }
    fn of_person(&self, _: &str, _: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<(), LogError> {
        no()
    }
    fn erasures(&self) -> Erasures {
        Erasures::new(Vec::new(), Box::new(|_| 0))
    }
}
impl EventLog for KafkaLog {
    fn reading(&self) -> &dyn ReadLog {
        self
    }
    fn submit(&self, _: Vec<Entry>, _: Promise<'_>) -> Result<Receipt, LogError> {
        no()
    }
    fn erasure(&self, _: &str, _: Timestamp) -> Entry {
        unimplemented!()
    }
    fn pending(&self) -> Vec<Pending> {
        Vec::new()
    }
    fn maintain(&self, _: &[Pending], _: Position, _: Timestamp) -> Result<Maintained, LogError> {
        no()
    }
    fn status(&self) -> LogStatus {
        LogStatus::default()
    }
}
