//! Sends dead letters again, some thousands in one transaction, each with the record that says so.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::BaseRecord;

use super::letter::{Place, Read, key_of, own_headers, read};
use crate::kafka::writing::Writer;
use crate::kafka::{Cluster, ClusterError, header};

/// How long the brokers may take to acknowledge a batch.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is sent together: bounded in number and bytes, so that a transaction stays far below its timeout.
const BATCH_RECORDS: usize = 2000;
const BATCH_BYTES: usize = 16 << 20;

/// Sends dead letters to where they came from.
pub(super) struct Resend<'a> {
    cluster: &'a Cluster,
    writer: Writer,
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
        let mut config = cluster.producer("dead-letters");
        if cluster.settings.transactions {
            // One for all: of two who replay at once, the later one fences the earlier one off.
            config.set("transactional.id", format!("{}-dead-letters", cluster.settings.group));
        }
        let writer = Writer::new(&config, PATIENCE)
            .map_err(|cause| ClusterError::Client { doing: "cannot begin to send dead letters again", cause })?;
        Ok(Self { cluster, writer, batch: Vec::new(), bytes: 0, sent: Sent::default() })
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
        if !batch.is_empty() {
            let sent = self.writer.together(|| self.send_all(&batch));
            self.sent
                .add(sent.map_err(|error| format!("cannot send dead letters again: {}", self.writer.explain(&error)))?);
        }
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
            let mut record = BaseRecord::to(&facts.topic).headers(own_headers(letter));
            record.key = key.as_deref();
            record.payload = letter.payload();
            self.writer.send(record)?;
        }
        self.writer.acknowledged()?;
        let topic = &self.cluster.settings.dead_letters;
        for letter in batch {
            let place = Place::of(letter).to_string();
            let says = OwnedHeaders::new().insert(Header { key: header::REPLAYED, value: Some(&place) });
            self.writer.send(BaseRecord::to(topic).partition(letter.partition()).headers(says))?;
        }
        Ok(sent)
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
