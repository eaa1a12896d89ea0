//! Reads what a topic holds at one time, from a place to its end, partition by partition, and no further.
//!
//! For commands: whoever goes on reading is the service's own consumer. What a transaction has aborted is not read, and its markers
//! take up offsets that no record has, so the end of a partition is known by the brokers' word and not by an offset alone.

use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::partitions::{At, Partition, Partitions};
use super::{Cluster, ClusterError};

/// How long brokers may give nothing before they count as gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a topic holds, from a place to its end as of one time.
pub struct Range<'a> {
    cluster: &'a Cluster,
    topic: &'a str,
    partitions: Vec<Partition>,
    from: Vec<i64>,
    to: Vec<i64>,
}

impl<'a> Range<'a> {
    /// Everything in the topic from a place on, that is there now.
    pub fn new(cluster: &'a Cluster, topic: &'a str, from: At) -> Result<Self, ClusterError> {
        let asking = Partitions::of_reader(cluster, "reading")?;
        let partitions = asking.of_topic(topic)?;
        let to = asking.offsets(&partitions, At::End)?;
        let from = asking.offsets(&partitions, from)?;
        Ok(Self { cluster, topic, partitions, from, to })
    }

    /// Hands out every record, those of a partition in their order.
    pub fn read(
        &self,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let failed = |cause| ClusterError::Client { doing: "cannot read", cause };
        let mut config = self.cluster.reader("reading");
        config.set("enable.partition.eof", "true");
        let consumer = Partitions::new(&config)?.into_consumer();
        let mut open: Vec<bool> = self.from.iter().zip(&self.to).map(|(from, to)| from < to).collect();
        let mut assignment = TopicPartitionList::new();
        for (partition, from) in self.partitions.iter().zip(&self.from).filter(|(one, _)| open[one.number as usize]) {
            let place = Offset::Offset(*from);
            assignment.add_partition_offset(self.topic, partition.number, place).map_err(failed)?;
        }
        consumer.assign(&assignment).map_err(failed)?;
        let mut heard = Instant::now();
        while open.contains(&true) {
            let over = match consumer.poll(Duration::from_millis(100)) {
                None if heard.elapsed() > PATIENCE => {
                    return Err(format!("no broker has given anything of `{}` for {PATIENCE:?}", self.topic).into());
                }
                None => continue,
                Some(Err(KafkaError::PartitionEOF(partition))) => partition,
                Some(Err(cause)) if is_passing(&cause) => continue,
                Some(Err(cause)) => return Err(failed(cause).into()),
                Some(Ok(record)) => {
                    heard = Instant::now();
                    let to = self.to[record.partition() as usize];
                    if record.offset() < to {
                        each(&record)?;
                    }
                    if record.offset() + 1 < to {
                        continue;
                    }
                    record.partition()
                }
            };
            open[over as usize] = false;
        }
        Ok(())
    }
}

/// Whether the client goes on by itself: it connects again, and waits for a new leader.
fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    error
        .rdkafka_error_code()
        .is_some_and(|code| matches!(code, AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve))
}
