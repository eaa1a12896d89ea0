//! Reads what a topic holds as of one time, a partition after the other, and no further.
//!
//! For commands: whoever goes on reading is the service's own consumer. What a transaction has aborted is not read, and its marks
//! take up offsets that no record has, so the end of a partition is known by the brokers' word and not by an offset alone.

use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::partitions::{At, Partition, Partitions};
use super::{Cluster, ClusterError, Plain};

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

/// Reads one partition of a topic at a time.
pub struct Reader {
    consumer: BaseConsumer<Plain>,
    topic: String,
    partition: i32,
    to: i64,
    is_at_end: bool,
    heard: Instant,
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
        let mut reader = Reader::new(self.cluster, self.topic)?;
        for (partition, (from, to)) in self.partitions.iter().zip(self.from.iter().zip(&self.to)) {
            reader.start(partition.number, *from, *to)?;
            while !reader.is_at_end() {
                if let Some(record) = reader.poll(Duration::from_millis(100))? {
                    each(&record)?;
                }
            }
        }
        Ok(())
    }
}

impl Reader {
    /// Of a topic, nothing of which is read yet.
    pub fn new(cluster: &Cluster, topic: &str) -> Result<Self, ClusterError> {
        let mut config = cluster.reader("reading");
        config.set("enable.partition.eof", "true");
        let consumer = Partitions::new(&config)?.into_consumer();
        Ok(Self { consumer, topic: topic.to_owned(), partition: -1, to: 0, is_at_end: true, heard: Instant::now() })
    }

    /// Goes to a partition, to read it from one offset to another.
    pub fn start(&mut self, partition: i32, from: i64, to: i64) -> Result<(), ClusterError> {
        (self.partition, self.to, self.is_at_end, self.heard) = (partition, to, from >= to, Instant::now());
        let mut assignment = TopicPartitionList::new();
        if !self.is_at_end {
            assignment.add_partition_offset(&self.topic, partition, Offset::Offset(from)).map_err(failed)?;
        }
        self.consumer.assign(&assignment).map_err(failed)
    }

    /// Whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// The next record, if it comes within so long.
    pub fn poll(&mut self, patience: Duration) -> Result<Option<BorrowedMessage<'_>>, Box<dyn Error>> {
        match self.consumer.poll(patience) {
            None if self.heard.elapsed() > PATIENCE => {
                Err(format!("no broker has given anything of `{}` for {PATIENCE:?}", self.topic).into())
            }
            None => Ok(None),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.is_at_end |= partition == self.partition;
                Ok(None)
            }
            Some(Err(cause)) if is_passing(&cause) => Ok(None),
            Some(Err(cause)) => Err(failed(cause).into()),
            Some(Ok(record)) => {
                self.heard = Instant::now();
                self.is_at_end |= record.offset() + 1 >= self.to;
                Ok(Some(record).filter(|record| record.offset() < self.to))
            }
        }
    }
}

fn failed(cause: KafkaError) -> ClusterError {
    ClusterError::Client { doing: "cannot read", cause }
}

/// Whether the client goes on by itself: it connects again, and waits for a new leader.
fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    error
        .rdkafka_error_code()
        .is_some_and(|code| matches!(code, AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve))
}
