//! What is known of the topics beyond the records in hand: where they end, where they begin, what is committed.

use std::collections::HashMap;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::group::Member;
use crate::kafka::{ANSWER_TIMEOUT, Cluster, Plain};
use crate::stream::Lane;

/// Names of a slice's topics, by lane.
pub type Topics = [String; 3];

/// Offsets by partition and lane, as far as they are known.
pub struct Offsets(HashMap<(String, i32), Offset>);

impl Offsets {
    /// What was answered, unless that is an error for any of it.
    fn of_answer(answer: &TopicPartitionList) -> Result<Self, KafkaError> {
        answer.elements().iter().try_for_each(|element| element.error())?;
        Ok(Self(answer.to_topic_map()))
    }

    /// That of a lane.
    pub fn of(&self, topics: &Topics, lane: Lane, partition: i32) -> Option<i64> {
        match self.0.get(&(topics[lane as usize].clone(), partition)) {
            Some(Offset::Offset(offset)) => Some(*offset),
            _ => None,
        }
    }
}

/// A list of all lanes of these partitions.
pub fn lanes(topics: &Topics, partitions: impl IntoIterator<Item = i32>, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        for topic in topics {
            list.add_partition_offset(topic, partition, offset).expect("logical offsets are fit for a list");
        }
    }
    list
}

/// Asks where lanes begin and end. A client of its own, since a broker answers one connection in order: behind the member's long poll a
/// question would wait for as long as nothing is written.
pub type Lookout = BaseConsumer<Plain>;

/// Connects.
pub fn connect(cluster: &Cluster) -> Result<Lookout, KafkaError> {
    BaseConsumer::from_config_and_context(&cluster.reader("lookout"), Plain)
}

/// The end of every lane as a read-committed reader sees it, asked now.
pub fn ends(
    lookout: &Lookout,
    topics: &Topics,
    partitions: impl IntoIterator<Item = i32>,
) -> Result<Offsets, KafkaError> {
    // librdkafka hands the number that stands for the end on to the broker, which knows it as a time.
    let list = lanes(topics, partitions, Offset::End);
    Offsets::of_answer(&lookout.offsets_for_times(list, ANSWER_TIMEOUT)?)
}

/// The oldest record that every lane still has.
pub fn beginnings(
    lookout: &Lookout,
    topics: &Topics,
    partitions: impl IntoIterator<Item = i32>,
) -> Result<Offsets, KafkaError> {
    let list = lanes(topics, partitions, Offset::Beginning);
    Offsets::of_answer(&lookout.offsets_for_times(list, ANSWER_TIMEOUT)?)
}

/// What the group has committed. Waits a little for transactions that are being ended, and fails if they are not.
pub fn committed(
    member: &Member,
    topics: &Topics,
    partitions: impl IntoIterator<Item = i32>,
) -> Result<Offsets, KafkaError> {
    let list = lanes(topics, partitions, Offset::Invalid);
    Offsets::of_answer(&member.committed_offsets(list, ANSWER_TIMEOUT)?)
}

/// Behind what was handed over last, marks of transactions included. Asks nobody.
pub fn positions(member: &Member) -> Result<Offsets, KafkaError> {
    Offsets::of_answer(&member.position()?)
}
