//! What is posted becomes records of the events topic: one idempotent producer, and the thread on which it reports.
//!
//! A record is acknowledged when all replicas in sync have it (S2). Records of one person keep their order: the producer numbers
//! them, and a broker refuses a gap. What waits for an acknowledgement is bounded (S5): in bytes here, in records by the producer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use cauce_features::time::Timestamp;
use parking_lot::RwLock;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use rdkafka::statistics::Statistics;

use super::reach::Reach;
use super::submission::Ticket;
use crate::ingest::Taken;
use crate::kafka::applied::Applied;
use crate::kafka::{Cluster, ClusterError, header, log_line};
use crate::log::{Accepted, Change, Entry, Kind, LogError, Position, Record, Stored};

/// How often it is looked for waits that are over, and for a producer that is of no more use.
const LOOK: Duration = Duration::from_millis(100);

/// How long an acknowledged record waits to become state before it is answered as accepted.
const UNTIL_APPLIED: Duration = Duration::from_secs(1);

/// Sends records to the events topic.
pub struct Sender {
    topic: String,
    config: ClientConfig,
    /// Another one in the place of one that met a fatal error.
    producer: RwLock<Arc<BaseProducer<Reports>>>,
    ack_timeout: Duration,
    shared: Arc<Shared>,
}

/// What the producer's reports change.
pub struct Shared {
    pub applied: Arc<Applied>,
    pub reach: Reach,
    pub waiting: Waiting,
    /// Where that goes which no broker took; `None` where it is refused instead.
    pub outbox: Option<mpsc::Sender<Ticket>>,
}

/// What waits to be durable.
#[derive(Default)]
pub struct Waiting {
    records: AtomicUsize,
    bytes: AtomicUsize,
}

/// A record as it is sent.
pub struct Outgoing<'a> {
    person: &'a str,
    kind: Kind,
    as_of: Timestamp,
    id: &'a str,
    /// None for an erasure.
    body: Option<&'a [u8]>,
}

impl<'a> From<&'a Entry> for Outgoing<'a> {
    fn from(entry: &'a Entry) -> Self {
        let (person, body) = match &entry.change {
            Change::Apply(event) => (event.person(), Some(&*entry.body)),
            Change::Erase(person) => (person.as_str(), None),
        };
        Self { person, kind: entry.kind, as_of: entry.arrived_at, id: &entry.id, body }
    }
}

impl<'a> From<&'a Record> for Outgoing<'a> {
    /// Of a record in the outbox, where each has its person.
    fn from(record: &'a Record) -> Self {
        let Record { person, kind, arrived_at, id, body, .. } = record;
        Self { person, kind: *kind, as_of: *arrived_at, id, body: Some(body) }
    }
}

impl Sender {
    /// A producer of its own; needs no broker yet.
    pub fn new(cluster: &Cluster, queue_bytes: usize, shared: Arc<Shared>) -> Result<Self, ClusterError> {
        let ack_timeout = cluster.settings.ack_timeout.get();
        let mut config = cluster.producer("front");
        config.set("message.timeout.ms", ack_timeout.as_millis().max(1).to_string());
        config.set("queue.buffering.max.messages", "1000000");
        config.set("queue.buffering.max.kbytes", (queue_bytes >> 10).clamp(1 << 10, i32::MAX as usize).to_string());
        // Says within that time that a broker is connected again.
        config.set("statistics.interval.ms", "1000");
        let producer = RwLock::new(Arc::new(producer(&config, &shared)?));
        Ok(Self { topic: cluster.settings.events.clone(), config, producer, ack_timeout, shared })
    }

    /// What its reports change.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Sends a record, and settles its ticket when it is clear what became of it.
    pub fn send(&self, outgoing: &Outgoing<'_>, ticket: Ticket) {
        let Outgoing { person, kind, as_of, id, body } = outgoing;
        let mut record = BaseRecord::with_opaque_to(&self.topic, Box::new(ticket)).key(*person);
        record.payload = *body;
        record.headers = headers(*kind, *as_of, id);
        let producer = self.producer.read().clone();
        if let Err((error, record)) = producer.send(record) {
            self.shared.failed(*record.delivery_opaque, &error);
        }
    }

    /// Serves the producer's reports until told to stop, and then until nothing is under way.
    pub fn run(&self, stop: &AtomicBool) {
        loop {
            let producer = self.producer.read().clone();
            if stop.load(Ordering::Relaxed) {
                // Whatever is under way is acknowledged or fails within its own time.
                let _ = producer.flush(self.ack_timeout + LOOK);
                self.shared.applied.expire(Duration::ZERO);
                return;
            }
            producer.poll(LOOK);
            self.shared.applied.expire(UNTIL_APPLIED);
            if let Some((code, reason)) = producer.client().fatal_error() {
                tracing::error!(%code, reason, "the producer is of no more use: another one takes its place");
                self.replace(&producer);
            }
        }
    }

    /// A fatal error is the end of a producer, not of the service: what it still had is settled as not acknowledged.
    fn replace(&self, old: &BaseProducer<Reports>) {
        match producer(&self.config, &self.shared) {
            Ok(new) => *self.producer.write() = Arc::new(new),
            Err(error) => return tracing::error!(%error, "there is no other producer"),
        }
        old.purge(PurgeConfig::default().queue().inflight());
        let _ = old.flush(LOOK);
    }
}

fn producer(config: &ClientConfig, shared: &Arc<Shared>) -> Result<BaseProducer<Reports>, ClusterError> {
    BaseProducer::from_config_and_context(config, Reports(shared.clone()))
        .map_err(|cause| ClusterError::Client { doing: "cannot make the producer of what is posted", cause })
}

/// An event is told by its body alone, as any producer writes it; an application that was scored here is told by its headers.
fn headers(kind: Kind, as_of: Timestamp, id: &str) -> Option<OwnedHeaders> {
    let kind = match kind {
        Kind::Application => "application",
        Kind::Fields => "fields",
        Kind::Event | Kind::Erasure | Kind::Erased | Kind::Lost => return None,
    };
    let as_of = as_of.millis().to_string();
    let all = [(header::KIND, kind), (header::ID, id), (header::AS_OF, as_of.as_str())];
    let insert = |headers: OwnedHeaders, (key, value): (&str, &str)| headers.insert(Header { key, value: Some(value) });
    Some(all.into_iter().fold(OwnedHeaders::new_with_capacity(all.len()), insert))
}

impl Shared {
    /// So much waits no more.
    pub fn settle(&self, ticket: Ticket, outcome: Result<Accepted, LogError>) {
        self.waiting.remove(ticket.bytes);
        ticket.settle(outcome);
    }

    /// All replicas in sync have the record. Where its person's history is kept here, the answer waits until it is part of that.
    fn acknowledged(&self, ticket: Ticket, partition: i32, offset: i64) {
        self.reach.delivered();
        self.waiting.remove(ticket.bytes);
        let accepted = move |outcome| Accepted {
            position: Position(offset.max(0) as u64),
            stored: Stored::Kafka { partition: partition as usize },
            outcome: Ok(outcome),
        };
        if !ticket.submission.until_applied {
            return ticket.settle(Ok(accepted(Taken::Accepted)));
        }
        self.applied.wait(partition as usize, offset, move |is_applied| {
            ticket.settle(Ok(accepted(if is_applied { Taken::New } else { Taken::Accepted })));
        });
    }

    /// No broker has the record, as far as is known: one that was sent may have it all the same, and then has it twice.
    fn failed(&self, ticket: Ticket, error: &KafkaError) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        if code == Code::QueueFull {
            return self.settle(ticket, Err(LogError::Busy));
        }
        let is_its_own_fault = matches!(
            code,
            Code::MessageSizeTooLarge | Code::InvalidMessage | Code::InvalidMessageSize | Code::InvalidRecord
        );
        if is_its_own_fault {
            tracing::error!(%code, "a record is refused by the brokers, and will be whenever it is sent");
            return self.settle(ticket, Err(LogError::Unavailable(code.to_string())));
        }
        let reason = format!("no broker acknowledged a record: {code}");
        self.reach.unacknowledged(&reason);
        match &self.outbox {
            Some(outbox) if ticket.keep.is_some() => {
                if let Err(mpsc::SendError(ticket)) = outbox.send(ticket) {
                    self.settle(ticket, Err(LogError::Unavailable(reason)));
                }
            }
            _ => self.settle(ticket, Err(LogError::Unavailable(reason))),
        }
    }
}

impl Waiting {
    /// Adds records, unless too much waits already.
    pub fn add(&self, records: usize, bytes: usize, most_bytes: usize) -> Result<(), LogError> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before > 0 && before + bytes > most_bytes {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(LogError::Busy);
        }
        self.records.fetch_add(records, Ordering::Relaxed);
        Ok(())
    }

    /// Records and bytes.
    pub fn now(&self) -> (usize, usize) {
        (self.records.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// A record that was added waits no more. What comes from the outbox was not added, and takes no bytes.
    fn remove(&self, bytes: usize) {
        if bytes > 0 {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.records.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What the producer reports, on the thread that serves it.
struct Reports(Arc<Shared>);

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        if error.rdkafka_error_code() == Some(Code::AllBrokersDown) {
            self.0.reach.lost("no broker can be reached");
        }
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.0.reach.connected();
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        match result {
            Ok(record) => self.0.acknowledged(*ticket, record.partition(), record.offset()),
            Err((error, _)) => self.0.failed(*ticket, error),
        }
    }
}
