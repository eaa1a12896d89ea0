//! Kafka's events topic as the log of what is posted: [`EventLog`] for the HTTP edge.
//!
//! A submission is acknowledged once all replicas in sync have its records (S2). Nothing that is posted is state before the consumer
//! comes to it in the order of the topic: an answer waits for that, if the history is kept here, and for a second at most. What is
//! done while no broker takes records is configured: refused at once, or kept in the [`Outbox`] and forwarded.

mod outbox;
mod reach;
mod scan;
mod sender;
mod submission;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use cauce_features::time::Timestamp;

use super::applied::Applied;
use super::partitioner::partition_of;
use super::{Cluster, ClusterError};
use crate::config::{self, WhenDown};
use crate::log::{
    Brokers, Change, Entry, Erasures, EventLog, Kind, LogError, LogStatus, Maintained, Pending, Position, Promise,
    ReadLog, Receipt, Record, Stored,
};
use outbox::Outbox;
use reach::Reach;
use scan::Scanner;
use sender::{Sender, Shared, Waiting};
use submission::{Submission, Ticket};

/// What is posted goes to the events topic, and what was posted is read from there.
pub struct KafkaLog {
    sender: Arc<Sender>,
    applied: Arc<Applied>,
    outbox: Option<Arc<Outbox>>,
    scanner: Scanner,
    /// Bytes that may wait to be durable.
    queue_bytes: usize,
    /// In the order in which they are to stop.
    threads: Vec<Running>,
}

/// A thread, and how it is told to stop.
struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl KafkaLog {
    /// Sends to a cluster that need not be there yet. What a former process has left in the outbox is forwarded in any case.
    pub fn new(
        cluster: &Cluster,
        applied: Arc<Applied>,
        log: &config::Log,
        accept_data_loss: bool,
    ) -> Result<Self, ClusterError> {
        let (settings, keeps) = (&cluster.settings, cluster.settings.when_down == WhenDown::Forward);
        let opened = (keeps || Outbox::is_in(&settings.outbox))
            .then(|| Outbox::open(&settings.outbox, log, accept_data_loss).map(Arc::new));
        let outbox = opened.transpose().map_err(ClusterError::Outbox)?;
        let (to_keep, kept) = mpsc::channel();
        let shared = Shared {
            applied: applied.clone(),
            reach: Reach::new(),
            waiting: Waiting::default(),
            outbox: keeps.then_some(to_keep),
        };
        let queue_bytes = log.queue.bytes();
        let sender = Arc::new(Sender::new(cluster, queue_bytes, Arc::new(shared))?);
        let scanner = Scanner::new(cluster.clone(), applied.partitions());
        let mut front = Self { sender, applied, outbox, scanner, queue_bytes, threads: Vec::new() };
        front.start(kept).map_err(ClusterError::Thread)?;
        Ok(front)
    }

    fn start(&mut self, kept: mpsc::Receiver<Ticket>) -> io::Result<()> {
        // What is forwarded needs the producer's reports, and what those give up the outbox.
        if let Some(outbox) = &self.outbox {
            let (outbox, sender) = (outbox.clone(), self.sender.clone());
            self.threads.push(Running::new("cauce-forward", move |stop| outbox.forward(&sender, stop))?);
        }
        let sender = self.sender.clone();
        self.threads.push(Running::new("cauce-front", move |stop| sender.run(stop))?);
        if let Some(outbox) = &self.outbox {
            let (outbox, sender) = (outbox.clone(), self.sender.clone());
            self.threads.push(Running::new("cauce-outbox", move |stop| outbox.keep(&kept, &sender, stop))?);
        }
        Ok(())
    }

    fn shared(&self) -> &Shared {
        self.sender.shared()
    }

    /// Whether entries are to be sent now; `false` if they are kept instead.
    fn is_sent(&self, erases: bool) -> Result<bool, LogError> {
        let (reach, keeps) = (&self.shared().reach, self.shared().outbox.is_some());
        if erases && self.outbox.as_ref().is_some_and(|outbox| outbox.backlog() > 0) {
            // Behind the erasure it would be somebody's history again.
            return Err(LogError::Unavailable("an erasure waits until the outbox is forwarded".into()));
        }
        if keeps && !erases {
            // What is in the outbox probes for a broker by itself.
            return Ok(!reach.is_down());
        }
        reach.admit(Instant::now()).map(|()| true).map_err(LogError::Unavailable)
    }
}

impl EventLog for KafkaLog {
    fn reading(&self) -> &dyn ReadLog {
        self
    }

    fn home(&self, person: &str) -> Stored {
        Stored::Kafka { partition: partition_of(person, self.applied.partitions()) }
    }

    /// What is relaxed is not state at once, as it is with a log of one's own: state moves in the order of the topic only, so that
    /// every score can be made again bit for bit. Nobody waits for it, so it does not wait to be state either.
    fn submit(&self, entries: Vec<Entry>, promise: Promise<'_>) -> Result<Receipt, LogError> {
        let (submission, receipt) = Submission::new(entries.len(), matches!(promise, Promise::Durable));
        if entries.is_empty() {
            return Ok(receipt);
        }
        let erases = entries.iter().any(|entry| matches!(entry.change, Change::Erase(_)));
        let is_sent = self.is_sent(erases)?;
        let bytes = entries.iter().map(Entry::bytes).sum();
        self.shared().waiting.add(entries.len(), bytes, self.queue_bytes)?;
        // An erasure is never kept here instead: nobody is erased while only this machine knows.
        let keeps = self.shared().outbox.is_some() && !erases;
        for (place, entry) in entries.into_iter().enumerate() {
            let bytes = entry.bytes();
            let (submission, keep) = (submission.clone(), keeps.then(|| entry.clone()));
            let ticket = Ticket { submission, place, keep, bytes };
            match &self.shared().outbox {
                Some(outbox) if !is_sent => {
                    outbox.send(ticket).map_err(|_| LogError::Unavailable("the outbox is closed".into()))?;
                }
                _ => self.sender.send(&(&entry).into(), ticket),
            }
        }
        Ok(receipt)
    }

    fn erasure(&self, person: &str, now: Timestamp) -> Entry {
        Entry {
            kind: Kind::Erasure,
            arrived_at: now,
            person: "".into(),
            id: "".into(),
            body: Bytes::new(),
            change: Change::Erase(person.to_owned()),
        }
    }

    /// What is erased leaves the topic with its retention; there is nothing to be done here.
    fn pending(&self) -> Vec<Pending> {
        Vec::new()
    }

    fn maintain(&self, _: &[Pending], _: Position, _: Timestamp) -> Result<Maintained, LogError> {
        Ok(Maintained::default())
    }

    fn status(&self) -> LogStatus {
        let (records, bytes) = self.shared().waiting.now();
        let outbox = self.outbox.as_ref().map(|outbox| (outbox.status(), outbox.backlog()));
        let (outbox, outbox_records) = outbox.unwrap_or_default();
        let reason = self.shared().reach.reason();
        let reachable = reason.is_none();
        let refuses = match self.shared().outbox {
            Some(_) if !reachable => outbox.refuses,
            _ => reason.map(LogError::Unavailable),
        };
        LogStatus {
            bytes: outbox.bytes,
            segments: outbox.segments,
            waiting_records: records + outbox_records as usize,
            waiting_bytes: bytes,
            waiting_since: outbox.waiting_since,
            erasures_pending: 0,
            refuses,
            brokers: Some(Brokers { reachable, outbox_records }),
        }
    }
}

impl ReadLog for KafkaLog {
    /// How much is applied here: as many records as offsets say.
    fn range(&self) -> Range<Position> {
        Position(0)..Position(self.applied.records())
    }

    fn position_at(&self, _: Timestamp) -> Result<Position, LogError> {
        Err(by_partition())
    }

    fn read(&self, _: Position, _: &mut dyn FnMut(Vec<Record>) -> ControlFlow<()>) -> Result<(), LogError> {
        Err(by_partition())
    }

    fn of_person(&self, person: &str, take: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<(), LogError> {
        if let Some(reason) = self.shared().reach.reason() {
            return Err(LogError::Unavailable(reason));
        }
        // To break off is to be content.
        let _ = self.scanner.of_person(person)?.into_iter().try_for_each(take);
        Ok(())
    }

    fn has_index(&self) -> bool {
        false
    }

    fn erasures(&self) -> Erasures {
        Erasures::new(Vec::new(), Box::new(|_| 0))
    }
}

fn by_partition() -> LogError {
    LogError::Unreadable("Kafka has no one order of all records: `cauce replay --topic` reads a topic".into())
}

impl Running {
    fn new(name: &str, run: impl FnOnce(&AtomicBool) + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        Ok(Self { stop, thread: thread::Builder::new().name(name.into()).spawn(move || run(&told))? })
    }
}

/// What is under way is acknowledged, kept or refused before the log is closed.
impl Drop for KafkaLog {
    fn drop(&mut self) {
        for Running { stop, thread } in self.threads.drain(..) {
            stop.store(true, Ordering::Relaxed);
            if thread.join().is_err() {
                tracing::error!("a thread of the log met a defect");
            }
        }
    }
}
