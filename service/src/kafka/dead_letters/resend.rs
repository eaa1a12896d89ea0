//! Sends dead letters again, some thousands in one transaction, each with the record that says so.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::letter::{Place, Read, key_of, own_headers, read};
use crate::kafka::{Cluster, ClusterError, header, log_line};

/// What is sent together: bounded in number and bytes, so that a transaction stays far below its timeout.
const BATCH_RECORDS: usize = 2000;
const BATCH_BYTES: usize = 16 << 20;

/// How long the brokers may take to acknowledge what was sent together.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends dead letters to where they came from.
pub(super) struct Resend<'a> {
    cluster: &'a Cluster,
    producer: BaseProducer<Deliveries>,
    batch: Vec<OwnedMessage>,
    bytes: usize,
    /// What is acknowledged, and committed.
    pub sent: Sent,
}

/// How much was sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    by_topic: BTreeMap<String, u64>,
    /// Those that got the key which they lacked.
    mended: u64,
}

impl<'a> Resend<'a> {
    pub(super) fn new(cluster: &'a Cluster) -> Result<Self, ClusterError> {
        let failed = |cause| ClusterError::Client { doing: "cannot make a Kafka producer", cause };
        let mut config = cluster.producer("dead-letters");
        if cluster.settings.transactions {
            // One for all: of two who replay at once, the later one fences the earlier one off.
            config.set("transactional.id", format!("{}-dead-letters", cluster.settings.group));
        }
        let producer = BaseProducer::from_config_and_context(&config, Deliveries::default()).map_err(failed)?;
        if cluster.settings.transactions {
            producer.init_transactions(PATIENCE).map_err(failed)?;
        }
        Ok(Self { cluster, producer, batch: Vec::new(), bytes: 0, sent: Sent::default() })
    }

    /// Takes a dead letter. It is sent once enough are there.
    pub(super) fn add(&mut self, letter: OwnedMessage) -> Result<(), Box<dyn Error>> {
        self.bytes += letter.payload().map_or(0, <[u8]>::len);
        self.batch.push(letter);
        if self.batch.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES { self.finish() } else { Ok(()) }
    }

    /// Sends what was taken; it is there for good then.
    pub(super) fn finish(&mut self) -> Result<(), Box<dyn Error>> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        let is_transactional = self.cluster.settings.transactions;
        let failed = |cause: KafkaError| match self.producer.client().fatal_error() {
            // Such as that another one has begun to send them.
            Some((_, why)) => format!("cannot send dead letters again: {why}"),
            None => format!("cannot send dead letters again: {cause}"),
        };
        if is_transactional {
            self.producer.begin_transaction().map_err(failed)?;
        }
        let result = self.send_all(&batch);
        if is_transactional {
            match &result {
                Ok(_) => self.producer.commit_transaction(PATIENCE).map_err(failed)?,
                // Whether it can be aborted or not, nobody will read what is in it.
                Err(_) => _ = self.producer.abort_transaction(PATIENCE),
            }
        }
        self.sent.add(result.map_err(failed)?);
        Ok(())
    }

    /// Without a transaction, a crash between the two steps has what was sent sent once more: so it is never the other way round.
    fn send_all(&self, batch: &[OwnedMessage]) -> Result<Sent, KafkaError> {
        let mut sent = Sent::default();
        for letter in batch {
            let Read::Letter(facts) = read(letter) else { continue };
            let key = key_of(letter);
            sent.mended += u64::from(key.is_some() && letter.key().is_none_or(<[u8]>::is_empty));
            *sent.by_topic.entry(facts.topic.to_string()).or_default() += 1;
            let mut record = BaseRecord::<[u8], [u8]>::to(&facts.topic).headers(own_headers(letter));
            record.key = key.as_deref();
            record.payload = letter.payload();
            self.send(record)?;
        }
        self.acknowledged()?;
        let topic = &self.cluster.settings.dead_letters;
        for letter in batch {
            let place = Place::of(letter).to_string();
            let says = OwnedHeaders::new().insert(Header { key: header::REPLAYED, value: Some(&place) });
            self.send(BaseRecord::<[u8], [u8]>::to(topic).partition(letter.partition()).headers(says))?;
        }
        self.acknowledged()?;
        Ok(sent)
    }

    fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), KafkaError> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    self.producer.poll(Duration::from_millis(100));
                }
                Err((cause, _)) => return Err(cause),
            }
        }
    }

    /// Waits until all that was sent is acknowledged.
    fn acknowledged(&self) -> Result<(), KafkaError> {
        self.producer.flush(PATIENCE)?;
        self.producer.context().failed.lock().take().map_or(Ok(()), Err)
    }
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.mended += other.mended;
        for (topic, count) in other.by_topic {
            *self.by_topic.entry(topic).or_default() += count;
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} replayed", self.by_topic.values().sum::<u64>())?;
        for (topic, count) in &self.by_topic {
            write!(f, ", {count} to {topic}")?;
        }
        if self.mended > 0 {
            write!(f, "; {} got the key that they lacked", self.mended)?;
        }
        Ok(())
    }
}

/// What the brokers say of what was sent.
#[derive(Default)]
pub(super) struct Deliveries {
    /// The first failure that was not told yet.
    failed: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((cause, _)) = result {
            self.failed.lock().get_or_insert_with(|| cause.clone());
        }
    }
}
