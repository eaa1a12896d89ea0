//! What the brokers say of partitions: how many a topic has, where each begins and ends, where an instant lies in it.
//!
//! Ends are those of a read-committed reader: what an open transaction has written lies behind them.

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};

use cauce_features::time::Timestamp;

use super::{ANSWER_TIMEOUT, Cluster, ClusterError, Plain};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    pub topic: String,
    pub number: i32,
}

/// A place in a partition.
#[derive(Debug, Clone, Copy)]
pub enum At {
    /// The first record that is still there.
    Beginning,
    /// Behind the last one.
    End,
    /// The first record that is not older; the end, if there is none.
    Instant(Timestamp),
}

/// Asks the brokers.
pub struct Partitions {
    consumer: BaseConsumer<Plain>,
}

impl Partitions {
    /// Asks what the group has committed, and never joins it.
    pub fn of_group(cluster: &Cluster) -> Result<Self, ClusterError> {
        let mut config = cluster.reader("offsets");
        config.set("group.id", &cluster.settings.group);
        // A read-committed reader would get no answer while a transaction is about to commit the next offsets, and one nearly always is.
        config.set("isolation.level", "read_uncommitted");
        Self::new(&config)
    }

    /// Asks as a reader of its own.
    pub fn of_reader(cluster: &Cluster, role: &str) -> Result<Self, ClusterError> {
        Self::new(&cluster.reader(role))
    }

    /// A client with this configuration.
    pub fn new(config: &ClientConfig) -> Result<Self, ClusterError> {
        let consumer = BaseConsumer::from_config_and_context(config, Plain)
            .map_err(|cause| ClusterError::Client { doing: "cannot make a Kafka client", cause })?;
        Ok(Self { consumer })
    }

    /// All partitions of a topic.
    pub fn of_topic(&self, topic: &str) -> Result<Vec<Partition>, ClusterError> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(topic), ANSWER_TIMEOUT)
            .map_err(|cause| ClusterError::Client { doing: "no broker says which partitions there are", cause })?;
        let count = partitions_of(&metadata, topic).ok_or_else(|| ClusterError::NoTopic(topic.to_owned()))?;
        Ok((0..count as i32).map(|number| Partition { topic: topic.to_owned(), number }).collect())
    }

    /// Where a place lies in each of the partitions.
    pub fn offsets(&self, partitions: &[Partition], at: At) -> Result<Vec<i64>, ClusterError> {
        let asked = match at {
            At::Beginning => Offset::Beginning,
            At::End => Offset::End,
            At::Instant(instant) => Offset::Offset(instant.millis()),
        };
        let failed = |cause| ClusterError::Client { doing: "no broker says where partitions begin and end", cause };
        let answer = self.consumer.offsets_for_times(list_of(partitions, asked)?, ANSWER_TIMEOUT).map_err(failed)?;
        let mut offsets = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let element = answer.find_partition(&partition.topic, partition.number);
            let element = element.ok_or_else(|| ClusterError::NoTopic(partition.topic.clone()))?;
            element.error().map_err(failed)?;
            offsets.push(match element.offset() {
                Offset::Offset(offset) => offset,
                // Nothing is as new as the instant.
                _ => i64::MAX,
            });
        }
        if let At::Instant(_) = at {
            let ends = self.offsets(partitions, At::End)?;
            offsets.iter_mut().zip(ends).for_each(|(offset, end)| *offset = end.min(*offset));
        }
        Ok(offsets)
    }

    /// How far the group has committed each of the partitions; `None` where it never has.
    pub fn committed(&self, partitions: &[Partition]) -> Result<Vec<Option<i64>>, ClusterError> {
        let failed = |cause| ClusterError::Client { doing: "no broker says what the group has committed", cause };
        let list = list_of(partitions, Offset::Invalid)?;
        let answer = self.consumer.committed_offsets(list, ANSWER_TIMEOUT).map_err(failed)?;
        let mut committed = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let element = answer.find_partition(&partition.topic, partition.number);
            let element = element.ok_or_else(|| ClusterError::NoTopic(partition.topic.clone()))?;
            element.error().map_err(failed)?;
            committed.push(match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
        }
        Ok(committed)
    }

    /// How many members the group has.
    pub fn members(&self, group: &str) -> Result<usize, ClusterError> {
        let list = self
            .consumer
            .fetch_group_list(Some(group), ANSWER_TIMEOUT)
            .map_err(|cause| ClusterError::Client { doing: "no broker says who is in the group", cause })?;
        Ok(list.groups().iter().filter(|one| one.name() == group).map(|one| one.members().len()).sum())
    }

    /// The client that asks, to read with.
    pub fn into_consumer(self) -> BaseConsumer<Plain> {
        self.consumer
    }
}

/// How many partitions a topic has; `None` if it is not there.
pub fn partitions_of(metadata: &Metadata, topic: &str) -> Option<usize> {
    let topic = metadata.topics().iter().find(|one| one.name() == topic)?;
    let is_missing =
        topic.error().is_some_and(|error| RDKafkaErrorCode::from(error) == RDKafkaErrorCode::UnknownTopicOrPartition);
    (!is_missing && !topic.partitions().is_empty()).then(|| topic.partitions().len())
}

fn list_of(partitions: &[Partition], offset: Offset) -> Result<TopicPartitionList, ClusterError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(&partition.topic, partition.number, offset)
            .map_err(|cause| ClusterError::Client { doing: "cannot name a partition", cause })?;
    }
    Ok(list)
}
