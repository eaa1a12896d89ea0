//! Sends records and waits until the brokers have acknowledged all of them, in a transaction or without one.

use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::log_line;
use crate::stream::output::Output;

/// A producer, and whether what it sends is seen all at once.
pub struct Writer {
    producer: BaseProducer<Deliveries>,
    is_transactional: bool,
    /// How long the brokers may take to acknowledge what was sent, or to begin or end a transaction.
    patience: Duration,
}

/// What the brokers say of what was sent.
#[derive(Default)]
struct Deliveries {
    /// The first failure that was not told yet.
    failed: Mutex<Option<KafkaError>>,
}

impl Writer {
    /// Connects. With a transactional id in the configuration, whoever had it before is fenced off, and what they had begun is over.
    pub fn new(config: &ClientConfig, patience: Duration) -> Result<Self, KafkaError> {
        let producer = BaseProducer::from_config_and_context(config, Deliveries::default())?;
        let is_transactional = config.get("transactional.id").is_some();
        if is_transactional {
            producer.init_transactions(patience)?;
        }
        Ok(Self { producer, is_transactional, patience })
    }

    /// Does what sends records, in a transaction if there are any, and returns once all are acknowledged. After an error nobody will read what
    /// was in the transaction, unless it is its end that was not heard of.
    pub fn together<R>(&self, send: impl FnOnce() -> Result<R, KafkaError>) -> Result<R, KafkaError> {
        if !self.is_transactional {
            return send().and_then(|sent| self.acknowledged().map(|()| sent));
        }
        self.producer.begin_transaction()?;
        let sent = send().and_then(|sent| self.acknowledged().map(|()| sent));
        let ended = sent.and_then(|sent| self.producer.commit_transaction(self.patience).map(|()| sent));
        ended.inspect_err(|_| {
            if let Err(error) = self.producer.abort_transaction(self.patience) {
                tracing::debug!(%error, "the transaction is ended when the next producer begins");
            }
        })
    }

    /// Has offsets of a consumer group committed with the transaction that is open.
    pub fn offsets(&self, offsets: &TopicPartitionList, group: &ConsumerGroupMetadata) -> Result<(), KafkaError> {
        self.producer.send_offsets_to_transaction(offsets, group, self.patience)
    }

    /// What an error means, in words: another process may have taken over.
    pub fn explain(&self, error: &KafkaError) -> String {
        self.producer.client().fatal_error().map_or_else(|| error.to_string(), |(_, why)| why)
    }

    /// Hands a record over, as soon as there is room.
    pub fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), KafkaError> {
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

    /// Waits until everything that was handed over is acknowledged.
    pub fn acknowledged(&self) -> Result<(), KafkaError> {
        self.producer.flush(self.patience)?;
        self.producer.context().failed.lock().take().map_or(Ok(()), Err)
    }
}

/// The headers of what comes of a record.
pub fn headers_of(output: &Output) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(output.headers.len());
    output.headers.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(&value[..]) }))
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
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
