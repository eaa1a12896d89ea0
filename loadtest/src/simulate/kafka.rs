//! The bank straight into Kafka: events and applications, keyed by person, into the topics that `cauce serve` reads.
//!
//! A record carries the instant at which it arrived. A topic that takes the producer's clock (`message.timestamp.type=CreateTime`)
//! then plays a history back as it was; one that takes the broker's (`LogAppendTime`, as `cauce topics create` has it) sees all of it
//! arrive now, so it should be a history that ends about now, or most of it is too old.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::error::Error;
use super::live::{Live, Sink};

/// How long a broker may take to answer at all, and then for all that is still on its way.
const PATIENCE: Duration = Duration::from_secs(30);
/// What may be on its way at once (S5).
const QUEUE_RECORDS: &str = "100000";
const QUEUE_KIB: &str = "65536";

/// Where records go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) brokers: String,
    pub(super) events: String,
    /// `None` where applications are left out.
    pub(super) applications: Option<String>,
    /// Further properties of librdkafka: TLS, SASL.
    pub(super) properties: Vec<(String, String)>,
}

/// What a file of properties says: lines `name=value`, and comments behind `#`; as the service reads its own.
pub(super) fn properties(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let told = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|cause| Error::Read { path: told.clone(), cause })?;
    let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let property = |(line, text): (usize, &str)| {
        let (name, value) = text.split_once('=').ok_or_else(|| Error::Property { path: told.clone(), line })?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    lines.map(property).collect()
}

/// Sends, and counts what all replicas in sync have.
pub(super) struct Producing {
    target: Target,
    producer: BaseProducer<Delivered>,
    delivered: Delivered,
    sent: u64,
    key: Vec<u8>,
}

#[derive(Clone, Default)]
struct Delivered {
    count: Arc<AtomicU64>,
    /// The first that did not arrive.
    failure: Arc<Mutex<Option<KafkaError>>>,
}

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| error.clone());
            }
        }
    }
}

impl Producing {
    /// Looks for the brokers and the topics first: what is missing is told at once rather than record by record.
    pub(super) fn new(target: Target) -> Result<Self, Error> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &target.brokers).set("log_level", "0");
        // Each record once and in order; where a key goes is where Java's clients and Cauce look for it.
        config.set("acks", "all").set("enable.idempotence", "true").set("partitioner", "murmur2_random");
        config.set("compression.type", "zstd").set("linger.ms", "5");
        config.set("message.timeout.ms", PATIENCE.as_millis().to_string());
        config.set("queue.buffering.max.messages", QUEUE_RECORDS).set("queue.buffering.max.kbytes", QUEUE_KIB);
        for (name, value) in &target.properties {
            config.set(name, value);
        }
        let delivered = Delivered::default();
        let producer: BaseProducer<Delivered> = config.create_with_context(delivered.clone())?;
        for topic in [Some(&target.events), target.applications.as_ref()].into_iter().flatten() {
            let metadata = producer.client().fetch_metadata(Some(topic), PATIENCE);
            let metadata = metadata.map_err(|cause| Error::Brokers { brokers: target.brokers.clone(), cause })?;
            if metadata.topics().iter().all(|found| found.error().is_some() || found.partitions().is_empty()) {
                return Err(Error::Topic(topic.clone()));
            }
        }
        Ok(Self { target, producer, delivered, sent: 0, key: Vec::new() })
    }

    fn check(&self) -> Result<(), Error> {
        match self.delivered.failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(cause) => Err(Error::Undelivered { sent: self.sent, delivered: self.delivered(), cause }),
            None => Ok(()),
        }
    }

    fn delivered(&self) -> u64 {
        self.delivered.count.load(Ordering::Relaxed)
    }
}

impl Sink for Producing {
    fn take(&mut self, record: Live<'_>) -> Result<(), Error> {
        let topic = match (&self.target.applications, record.is_application) {
            (Some(applications), true) => applications,
            (None, true) => return Ok(()),
            (_, false) => &self.target.events,
        };
        self.key.clear();
        super::write::person_id(record.person, &mut self.key);
        let base = BaseRecord::to(topic).key(&self.key).payload(record.line);
        let mut waiting = base.timestamp(record.arrived_at.millis());
        while let Err((error, refused)) = self.producer.send(waiting) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            // The broker is slower than the bank: wait for it.
            self.producer.poll(Duration::from_millis(50));
            self.check()?;
            waiting = refused;
        }
        self.sent += 1;
        if self.sent.is_multiple_of(1_024) {
            self.producer.poll(Duration::ZERO);
        }
        // Of a slow stream a failure is heard of while it rests.
        self.check()
    }

    fn rest(&mut self, time: Duration) {
        // Not longer than until the next record is due.
        self.producer.poll(time.min(Duration::from_millis(100)));
    }

    fn finish(&mut self) -> Result<(), Error> {
        let flushed = self.producer.flush(PATIENCE);
        self.check()?;
        flushed.map_err(|cause| Error::Undelivered { sent: self.sent, delivered: self.delivered(), cause })
    }
}
