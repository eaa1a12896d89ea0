//! What the topics hold of one person, read from the beginning of their partition: Kafka keeps no index of keys.
//!
//! As dear as the partition is long, and made for the few requests that show or export what was posted. Keeps S5: so many at
//! once, and none longer than a person would wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cauce_features::time::Timestamp;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use crate::kafka::partitioner::partition_of;
use crate::kafka::worker::record_of;
use crate::kafka::{ANSWER_TIMEOUT, Cluster, Plain, header};
use crate::log::{Kind, LogError, Position, Record};
use crate::stream::output::Origin;
use crate::stream::{self, Lane, cloud_event};

/// The longest read, and how many may go on at once.
const PATIENCE: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 2;

/// How long the consumer is waited for at a time.
const POLL: Duration = Duration::from_millis(100);

/// Reads people's records.
pub struct Scanner {
    cluster: Cluster,
    partitions: usize,
    running: AtomicUsize,
}

/// One of the reads that go on.
struct Turn<'a>(&'a AtomicUsize);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a read is not finished.
enum Stopped {
    Late,
    Client(KafkaError),
}

impl From<KafkaError> for Stopped {
    fn from(error: KafkaError) -> Self {
        Self::Client(error)
    }
}

impl Scanner {
    /// Reads a cluster whose topics have so many partitions.
    pub fn new(cluster: Cluster, partitions: usize) -> Self {
        Self { cluster, partitions, running: AtomicUsize::new(0) }
    }

    /// Everything of a person that stands behind their newest erasure, oldest first.
    pub fn of_person(&self, person: &str) -> Result<Vec<Record>, LogError> {
        let before = self.running.fetch_add(1, Ordering::Relaxed);
        let _turn = Turn(&self.running);
        if before >= AT_ONCE {
            return Err(LogError::Busy);
        }
        self.read(person).map_err(|stopped| match stopped {
            Stopped::Late => LogError::Busy,
            Stopped::Client(error) => LogError::Unavailable(error.to_string()),
        })
    }

    fn read(&self, person: &str) -> Result<Vec<Record>, Stopped> {
        let mut config = self.cluster.reader("scan");
        config.set("enable.partition.eof", "true");
        let consumer = BaseConsumer::from_config_and_context(&config, Plain)?;
        let partition = partition_of(person, self.partitions) as i32;
        let deadline = Instant::now() + PATIENCE;
        let settings = &self.cluster.settings;
        let (mut found, mut erased_at) = (Vec::new(), Timestamp::MIN);
        for (lane, topic) in [(Lane::Events, &settings.events), (Lane::Applications, &settings.applications)] {
            let place = Place { consumer: &consumer, topic, partition };
            place.read(deadline, &mut |message| {
                if message.key() != Some(person.as_bytes()) {
                    return;
                }
                let record = record_of(message);
                if record.value.is_some() {
                    found.extend((record.timestamp >= erased_at).then(|| log_record(&record, lane, &place, person)));
                } else if lane == Lane::Events {
                    erased_at = record.timestamp;
                    found.clear();
                }
            })?;
        }
        // An application belongs between the events; of equal age an event comes first, as everywhere.
        found.sort_by_key(|(arrived_at, _)| *arrived_at);
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }
}

/// A partition that is read.
struct Place<'a> {
    consumer: &'a BaseConsumer<Plain>,
    topic: &'a str,
    partition: i32,
}

impl Place<'_> {
    /// Hands over every record from the beginning to what is the end now.
    fn read(&self, deadline: Instant, take: &mut dyn FnMut(&BorrowedMessage<'_>)) -> Result<(), Stopped> {
        let (first, end) = self.consumer.fetch_watermarks(self.topic, self.partition, ANSWER_TIMEOUT)?;
        if first >= end {
            return Ok(());
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(self.topic, self.partition, Offset::Offset(first))?;
        self.consumer.assign(&assignment)?;
        while Instant::now() < deadline {
            match self.consumer.poll(POLL) {
                None => {}
                // The end may be a mark of a transaction, or belong to one that is open.
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                // One broker of several may be gone.
                Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::BrokerTransportFailure) => {}
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(message)) => {
                    take(&message);
                    if message.offset() + 1 >= end {
                        return Ok(());
                    }
                }
            }
        }
        Err(Stopped::Late)
    }
}

/// The record as an embedded log would have it, and when it arrived.
fn log_record(record: &stream::Record, lane: Lane, place: &Place<'_>, person: &str) -> (Timestamp, Record) {
    #[derive(Default, Deserialize)]
    struct Envelope {
        application_id: Option<String>,
        as_of: Option<String>,
    }
    // What is no envelope is shown as it is, or left out by whoever shows it.
    let body = cloud_event::unwrap(record, lane)
        .map_or(record.value.clone().unwrap_or_default(), |body| Bytes::copy_from_slice(&body));
    let at = |millis: Option<&str>| millis.and_then(|millis| Some(Timestamp::from_millis(millis.parse().ok()?)));
    let scored_at = at(record.header(header::AS_OF)).unwrap_or(record.timestamp);
    let id = record.header(header::ID).unwrap_or_default().into();
    let (kind, id, arrived_at) = match (lane, record.header(header::KIND)) {
        (Lane::Events, None) => (Kind::Event, "".into(), record.timestamp),
        (Lane::Events, Some("fields")) => (Kind::Fields, id, scored_at),
        (Lane::Events, Some(_)) => (Kind::Application, id, scored_at),
        (Lane::Applications | Lane::Deferred, _) => {
            let envelope: Envelope = serde_json::from_slice(&body).unwrap_or_default();
            let as_of = envelope.as_of.and_then(|text| Timestamp::parse(&text).ok()).unwrap_or(record.timestamp);
            let own = || Origin::of(record, place.topic, place.partition).id();
            (Kind::Application, envelope.application_id.unwrap_or_else(own).into(), as_of)
        }
    };
    let position = Position(record.offset.max(0) as u64);
    (record.timestamp, Record { position, kind, arrived_at, person_hash: 0, person: person.into(), id, body })
}
