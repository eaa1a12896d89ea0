//! Outputs and offsets go out together: in one transaction, or produced first and committed after.
//!
//! Whether a transaction whose end was not heard of took place is never guessed (S4): the producer is made anew, which ends what it had
//! begun one way or the other, and the committed offsets then tell. librdkafka knows no KIP-890, so the same is done after any error. An earlier process
//! of this instance is fenced by the transactional id, one that has lost its partitions by the group's generation, which goes with
//! the offsets.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::group::Member;
use super::{ANSWER_TIMEOUT, Cluster, log_line};
use crate::stream::output::{Output, To};

/// So often within so long somebody else took this instance's place: two processes share a name.
const FENCED_MOST: usize = 5;
const FENCED_WITHIN: Duration = Duration::from_secs(60);

/// Writes outputs and commits offsets.
pub struct Committer {
    cluster: Cluster,
    producer: Option<BaseProducer<Delivery>>,
    /// Whether the end of the last attempt is not known.
    in_doubt: bool,
    fenced: VecDeque<Instant>,
}

/// Why nothing is known to be committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// To be tried again.
    #[error("scores and offsets are not committed: {0}")]
    Again(#[from] KafkaError),
    #[error("{0} records were not acknowledged by the brokers")]
    Undelivered(u64),
    /// Trying again would only take turns.
    #[error("another process commits as the instance `{0}`: give each its own `kafka.instance`")]
    Fenced(String),
}

impl Committer {
    /// Nothing is connected yet.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, producer: None, in_doubt: false, fenced: VecDeque::new() }
    }

    /// Writes and commits all, or says why it is not known to be so; then the same is given again, if it is still this member's.
    pub fn commit(
        &mut self,
        member: &Member,
        outputs: &[&Output],
        offsets: &TopicPartitionList,
    ) -> Result<(), CommitError> {
        let attempt = self.attempt(member, outputs, offsets);
        if let Err(error) = &attempt {
            if let Some(producer) = self.producer.take()
                && self.cluster.settings.transactions
                && let Err(error) = producer.abort_transaction(ANSWER_TIMEOUT)
            {
                tracing::debug!(%error, "the transaction is ended when the next producer begins");
            }
            self.in_doubt = true;
            if let CommitError::Again(error) = error
                && is_fenced(error)
            {
                self.count_fencing()?;
            }
        }
        attempt
    }

    fn attempt(
        &mut self,
        member: &Member,
        outputs: &[&Output],
        offsets: &TopicPartitionList,
    ) -> Result<(), CommitError> {
        if self.producer.is_none() {
            self.producer = Some(self.connect()?);
        }
        if std::mem::take(&mut self.in_doubt) && is_committed(member, offsets)? {
            return Ok(());
        }
        let producer = self.producer.as_ref().expect("it was just made");
        if !self.cluster.settings.transactions {
            return self.plainly(producer, member, outputs, offsets);
        }
        producer.begin_transaction()?;
        self.send(producer, outputs)?;
        let group = member.group_metadata().ok_or(KafkaError::Canceled)?;
        producer.send_offsets_to_transaction(offsets, &group, ANSWER_TIMEOUT)?;
        producer.commit_transaction(self.cluster.settings.transaction_timeout.get())?;
        Ok(())
    }

    /// What is repeated after a crash is the same bytes under the same id.
    fn plainly(
        &self,
        producer: &BaseProducer<Delivery>,
        member: &Member,
        outputs: &[&Output],
        offsets: &TopicPartitionList,
    ) -> Result<(), CommitError> {
        let undelivered = &producer.context().undelivered;
        undelivered.store(0, Ordering::Relaxed);
        self.send(producer, outputs)?;
        producer.flush(self.cluster.settings.transaction_timeout.get())?;
        match undelivered.load(Ordering::Relaxed) {
            0 => Ok(member.commit(offsets, CommitMode::Sync)?),
            undelivered => Err(CommitError::Undelivered(undelivered)),
        }
    }

    fn connect(&self) -> Result<BaseProducer<Delivery>, KafkaError> {
        let settings = &self.cluster.settings;
        let config = match settings.transactions {
            true => self.cluster.transactional_producer(),
            false => self.cluster.producer("scores"),
        };
        let producer = BaseProducer::from_config_and_context(&config, Delivery::default())?;
        if settings.transactions {
            producer.init_transactions(ANSWER_TIMEOUT)?;
        }
        Ok(producer)
    }

    fn send(&self, producer: &BaseProducer<Delivery>, outputs: &[&Output]) -> Result<(), KafkaError> {
        let settings = &self.cluster.settings;
        for output in outputs {
            let topic = match output.to {
                To::Scores => &settings.scores,
                To::DeadLetters => &settings.dead_letters,
                To::Deferred => &settings.deferred,
            };
            let mut headers = OwnedHeaders::new_with_capacity(output.headers.len());
            for (key, value) in &output.headers {
                headers = headers.insert(Header { key, value: Some(&value[..]) });
            }
            let mut record = BaseRecord::to(topic).headers(headers);
            // The other topics may have other partitions: there the key decides.
            record.partition = (output.to == To::Deferred).then_some(output.partition);
            record.key = output.key.as_deref();
            record.payload = output.value.as_deref();
            while let Err((error, back)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(error);
                }
                producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
        Ok(())
    }

    fn count_fencing(&mut self) -> Result<(), CommitError> {
        let now = Instant::now();
        self.fenced.push_back(now);
        self.fenced.retain(|at| now - *at < FENCED_WITHIN);
        match self.fenced.len() < FENCED_MOST {
            true => Ok(()),
            false => Err(CommitError::Fenced(self.cluster.instance.clone())),
        }
    }
}

/// Whether these offsets, or later ones, are committed: those of one transaction are all there or none.
fn is_committed(member: &Member, offsets: &TopicPartitionList) -> Result<bool, KafkaError> {
    let mut asked = TopicPartitionList::with_capacity(offsets.count());
    for element in offsets.elements() {
        asked.add_partition(element.topic(), element.partition());
    }
    let committed = member.committed_offsets(asked, ANSWER_TIMEOUT)?.to_topic_map();
    Ok(offsets.elements().iter().all(|element| {
        let known = committed.get(&(element.topic().to_owned(), element.partition()));
        matches!((known, element.offset()), (Some(Offset::Offset(known)), Offset::Offset(ours)) if *known >= ours)
    }))
}

fn is_fenced(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(error.rdkafka_error_code(), Some(Fenced | InvalidProducerEpoch | ProducerFenced))
}

/// Counts what was not delivered.
#[derive(Default)]
pub struct Delivery {
    undelivered: AtomicU64,
}

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.undelivered.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
    }
}
