//! A member of the consumer group. The group shares the partitions of the events topic; whoever owns one reads the same partition of the
//! other topics beside it, so that all of a slice of people is in one place.
//!
//! What the group decides is only noted when it is heard of, and carried out by the thread that polls, between two rounds of work: then nothing
//! is half done. librdkafka waits for that, as it does for any application that takes rebalances as events.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::{Cluster, log_line};

/// The consumer of an instance.
pub type Member = BaseConsumer<Group>;

/// What the group has decided and is not carried out yet.
#[derive(Default)]
pub struct Group {
    changes: Mutex<Vec<Change>>,
    is_closing: AtomicBool,
}

/// A decision of the group, for partitions of the events topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Assigned(Vec<i32>),
    Revoked {
        partitions: Vec<i32>,
        /// They may be somebody else's already: nothing can be committed for them any more.
        is_lost: bool,
    },
}

/// Joins the group.
pub fn join(cluster: &Cluster) -> Result<Member, KafkaError> {
    let member = Member::from_config_and_context(&cluster.member(), Group::default())?;
    member.subscribe(&[&cluster.settings.events])?;
    Ok(member)
}

impl Group {
    /// What was decided since this was last asked.
    pub fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.changes.lock())
    }

    /// From now on everything is given back at once: nobody carries decisions out any more.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, member: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.is_closing.load(Ordering::Relaxed) {
            let _ = member.unassign();
            return;
        }
        let partitions = list.elements().iter().map(|element| element.partition()).collect();
        let change = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assigned(partitions),
            _ => Change::Revoked { partitions, is_lost: member.assignment_lost() },
        };
        self.changes.lock().push(change);
    }
}
