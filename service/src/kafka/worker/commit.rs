//! Outputs and offsets go out together: in one transaction, or produced first and committed after.
//!
//! Whether a transaction whose end was not heard of took place is never guessed (S4): the producer is made anew, which ends what it had
//! begun one way or the other, and the committed offsets then tell. librdkafka knows no KIP-890, so the same is done after any error. An earlier process
//! of this instance is fenced by the transactional id, one that has lost its partitions by the group's generation, which goes with
//! the offsets.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};

use super::group::Member;
use crate::kafka::writing::{Writer, headers_of};
use crate::kafka::{ANSWER_TIMEOUT, Cluster};
use crate::stream::output::{Output, To};

/// So often within so long somebody else took this instance's place: two processes share a name.
const FENCED_MOST: usize = 5;
const FENCED_WITHIN: Duration = Duration::from_secs(60);

/// Writes outputs and commits offsets.
pub struct Committer {
    cluster: Cluster,
    writer: Option<Writer>,
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
    /// Trying again would only take turns.
    #[error("another process commits as the instance `{0}`: give each its own `kafka.instance`")]
    Fenced(String),
}

impl Committer {
    /// Nothing is connected yet.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, writer: None, in_doubt: false, fenced: VecDeque::new() }
    }

    /// Writes and commits all, or says why it is not known to be so; then the same is given again, if it is still this member's.
    pub fn commit(
        &mut self,
        member: &Member,
        outputs: &[&Output],
        offsets: &TopicPartitionList,
    ) -> Result<(), CommitError> {
        let attempt = self.attempt(member, outputs, offsets);
        attempt.map_err(|error| {
            self.writer = None;
            self.in_doubt = true;
            match is_fenced(&error) && self.is_fenced_again() {
                true => CommitError::Fenced(self.cluster.instance.clone()),
                false => CommitError::Again(error),
            }
        })
    }

    fn attempt(
        &mut self,
        member: &Member,
        outputs: &[&Output],
        offsets: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        if self.writer.is_none() {
            self.writer = Some(self.connect()?);
        }
        if std::mem::take(&mut self.in_doubt) && is_committed(member, offsets)? {
            return Ok(());
        }
        let writer = self.writer.as_ref().expect("it was just made");
        let transactions = self.cluster.settings.transactions;
        writer.together(|| {
            outputs.iter().try_for_each(|output| self.send(writer, output))?;
            match transactions {
                true => {
                    let group = member.group_metadata().ok_or(KafkaError::Canceled)?;
                    // Without a group's generation nothing would fence this.
                    if member.assignment_lost() { Err(KafkaError::Canceled) } else { writer.offsets(offsets, &group) }
                }
                false => Ok(()),
            }
        })?;
        // What is repeated after a crash before this is the same bytes under the same id.
        if transactions { Ok(()) } else { member.commit(offsets, CommitMode::Sync) }
    }

    /// Ends what an earlier producer of this instance had begun, one way or the other.
    fn connect(&self) -> Result<Writer, KafkaError> {
        match self.cluster.settings.transactions {
            true => Writer::new(&self.cluster.transactional_producer(), ANSWER_TIMEOUT),
            false => Writer::new(&self.cluster.producer("scores"), ANSWER_TIMEOUT),
        }
    }

    fn send(&self, writer: &Writer, output: &Output) -> Result<(), KafkaError> {
        let settings = &self.cluster.settings;
        let topic = match output.to {
            To::Scores => &settings.scores,
            To::DeadLetters => &settings.dead_letters,
            To::Deferred => &settings.deferred,
        };
        let mut record = BaseRecord::to(topic).headers(headers_of(output));
        // The other topics may have other partitions: there the key decides.
        record.partition = (output.to == To::Deferred).then_some(output.partition);
        record.key = output.key.as_deref();
        record.payload = output.value.as_deref();
        writer.send(record)
    }

    fn is_fenced_again(&mut self) -> bool {
        let now = Instant::now();
        self.fenced.push_back(now);
        self.fenced.retain(|at| now - *at < FENCED_WITHIN);
        self.fenced.len() >= FENCED_MOST
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
