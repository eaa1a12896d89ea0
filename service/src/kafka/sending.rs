//! Sends records and waits until the brokers have acknowledged all of them: for commands, which have nothing else to do meanwhile.

use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::log_line;

/// How long the brokers may take to acknowledge what was sent, or to end a transaction.
const PATIENCE: Duration = Duration::from_secs(60);

/// A producer, and whether what it sends is seen all at once.
pub struct Sender {
    producer: BaseProducer<Deliveries>,
    is_transactional: bool,
}

/// What the brokers say of what was sent.
#[derive(Default)]
struct Deliveries {
    /// The first failure that was not told yet.
    failed: Mutex<Option<KafkaError>>,
}

impl Sender {
    /// Connects. With a transactional id in the configuration, whoever had it before is fenced off, and what they had begun is over.
    pub fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        let producer = BaseProducer::from_config_and_context(config, Deliveries::default())?;
        let is_transactional = config.get("transactional.id").is_some();
        if is_transactional {
            producer.init_transactions(PATIENCE)?;
        }
        Ok(Self { producer, is_transactional })
    }

    /// Does what sends records, in a transaction if there are any, and returns once all are acknowledged.
    pub fn together<R>(&self, send: impl FnOnce() -> Result<R, KafkaError>) -> Result<R, String> {
        let explained = |cause: KafkaError| match self.producer.client().fatal_error() {
            // Such as that another process has taken over.
            Some((_, why)) => why,
            None => cause.to_string(),
        };
        if self.is_transactional {
            self.producer.begin_transaction().map_err(explained)?;
        }
        let sent = send().and_then(|sent| self.acknowledged().map(|()| sent));
        if self.is_transactional {
            match &sent {
                Ok(_) => self.producer.commit_transaction(PATIENCE).map_err(explained)?,
                // Whether it can be aborted or not, nobody will read what is in it.
                Err(_) => _ = self.producer.abort_transaction(PATIENCE),
            }
        }
        sent.map_err(explained)
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
        self.producer.flush(PATIENCE)?;
        self.producer.context().failed.lock().take().map_or(Ok(()), Err)
    }
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
