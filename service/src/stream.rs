//! A stream record's way: topics to state and scores, one slice of people at a time. Read it from top to bottom.
//!
//! A [`Slice`] is the people of one partition number. Their records come in three [`Lane`]s, one a topic, and are worked off in one
//! order: by the record's timestamp, events first where two are equal. A record's turn comes only when every other lane has a
//! record in hand or is known to be at its end, so the order is a function of what the topics hold and of nothing else: not of how
//! records arrive, are batched or are read again. With it every score is (F1): made again, it is the same bytes.
//!
//! An application is scored as of its own time, against what had arrived before it, and is then an event of the history itself; features
//! are read in turn, the model runs once for all of them. What was committed before ([`Queue::committed`]) makes state only.
//!
//! Nothing here knows a client, a broker or a clock: records go in, [`Output`]s and offsets come out, and what became of them is the
//! caller's to say.

pub mod cloud_event;
pub mod decode;
pub mod output;
pub mod pressure;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use cauce_features::application::{Application, StreamedApplication};
use cauce_features::event::Event;
use cauce_features::plan::FeaturePlan;
use cauce_features::time::Timestamp;
use cauce_features::timeline::Applied;

use crate::ingest::{Refusal, Taken, admit, taken};
use crate::scoring::{Batch, History};
use crate::store::{StateError, Store};
use decode::{Intake, Reason, Refused};
use output::{Origin, Output};

/// The topics of a slice; the order in which equal timestamps are worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    Events,
    Applications,
    /// Applications that had to wait.
    Deferred,
}

impl Lane {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Events, Self::Applications, Self::Deferred];
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    /// When it arrived: given by the broker, rising within a partition.
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    /// `None` erases the person.
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// A name, and what stands under it.
pub type Header = (Box<str>, Bytes);

/// The people of one partition number.
pub struct Slice {
    pub partition: i32,
    pub store: Arc<Store>,
    /// Names of the topics, by lane.
    topics: Arc<[String; 3]>,
    queues: [Queue; 3],
    /// Timestamp of the newest record that was worked off: the slice's own clock.
    pub stream_time: Timestamp,
    /// The newest time that an event claims to have happened at.
    pub watermark: Option<Timestamp>,
}

/// Records of a lane that wait for their turn.
#[derive(Debug, Default)]
pub struct Queue {
    records: VecDeque<Record>,
    bytes: usize,
    /// The first offset that is not worked off.
    next: i64,
    /// What stands before it was answered for in an earlier life: it makes state, and nothing else.
    pub committed: i64,
    /// Whether nothing was left to be read when that was last asked, after everything in hand had been read.
    pub is_at_end: bool,
}

/// What came of a slice's records.
#[derive(Debug, Default)]
pub struct Worked {
    pub outputs: Vec<Output>,
    /// Records whose turn came.
    pub records: u64,
    pub scored: u64,
    pub deferred: u64,
    /// Events that were new, that stood already, and that met another under their identity.
    pub taken: [u64; 3],
    /// Dead letters by reason.
    pub refused: Vec<(Reason, u64)>,
    /// Events behind the watermark, and the furthest in milliseconds.
    pub late: u64,
    pub lateness_ms_max: i64,
    /// Why it stopped before the end: the record in turn waits for the state.
    pub stuck: Option<StateError>,
}

/// An application between its vector and its score.
struct Pending {
    application: Application,
    origin: Origin,
    as_of: Timestamp,
    history: History,
    is_recorded: bool,
}

impl Slice {
    /// A slice whose queues begin at these offsets.
    pub fn new(partition: i32, store: Arc<Store>, topics: Arc<[String; 3]>, next: [i64; 3]) -> Self {
        let queues = next.map(|next| Queue { next, ..Queue::default() });
        let stream_time = Timestamp::from_millis(0);
        Self { partition, store, topics, queues, stream_time, watermark: None }
    }

    /// The records of a lane.
    pub fn queue(&mut self, lane: Lane) -> &mut Queue {
        &mut self.queues[lane as usize]
    }

    /// By lane, the first offset that is not worked off.
    pub fn next(&self) -> [i64; 3] {
        [0, 1, 2].map(|lane: usize| self.queues[lane].next)
    }

    /// How many records wait.
    pub fn waiting(&self) -> usize {
        self.queues.iter().map(|queue| queue.records.len()).sum()
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting() == 0
    }

    /// Works off all whose turn has come. While `deferring`, only applications of high priority are scored.
    pub fn work(&mut self, batch: &mut Batch, deferring: bool, vectors: bool) -> Worked {
        batch.clear();
        let (mut worked, mut pending) = (Worked::default(), Vec::new());
        while let Some(lane) = self.turn(deferring) {
            let Some(record) = self.queues[lane as usize].take() else { break };
            let outcome = match lane {
                Lane::Events => self.event(batch, &record, &mut worked),
                _ => self.application(batch, lane, &record, deferring, &mut worked, &mut pending),
            };
            if let Err(error) = outcome {
                self.queues[lane as usize].put_back(record);
                worked.stuck = Some(error);
                break;
            }
            self.queues[lane as usize].next = record.offset + 1;
            self.stream_time = self.stream_time.max(record.timestamp);
            worked.records += 1;
        }
        worked.scored = pending.len() as u64;
        let mode = batch.infer();
        for (row, one) in pending.iter().enumerate() {
            let decision = batch.decision(row, one.history, mode, one.is_recorded);
            worked.outputs.push(output::score(self.partition, batch.bundle(), one, &decision, vectors));
        }
        worked
    }

    /// Whose turn it is: the lane with the oldest record, if no other lane can still have an older one.
    fn turn(&self, deferring: bool) -> Option<Lane> {
        let lanes = Lane::ALL.into_iter().filter(|lane| !(deferring && *lane == Lane::Deferred));
        let mut first: Option<(Timestamp, Lane)> = None;
        for lane in lanes {
            let queue = &self.queues[lane as usize];
            match queue.records.front() {
                Some(record) if first.is_none_or(|(timestamp, _)| record.timestamp < timestamp) => {
                    first = Some((record.timestamp, lane));
                }
                Some(_) => {}
                None if queue.is_at_end => {}
                None => return None,
            }
        }
        first.map(|(_, lane)| lane)
    }

    fn event(&mut self, batch: &Batch, record: &Record, worked: &mut Worked) -> Result<(), StateError> {
        let plan = batch.bundle().plan();
        let intake = decode::event(plan.specification(), record);
        let outcome = match intake {
            Ok(Intake::Erasure(person)) => return self.store.erase(plan, &person).map(|_| ()),
            Ok(Intake::Event(event)) => {
                self.watch(&event, worked);
                self.take(plan, &event, record.timestamp)?.map_err(Refused::from)
            }
            Err(refused) => Err(refused),
        };
        match outcome {
            Ok(taken) => worked.count(taken),
            Err(refused) => self.refuse(Lane::Events, record, refused, worked),
        }
        Ok(())
    }

    fn application(
        &mut self,
        batch: &mut Batch,
        lane: Lane,
        record: &Record,
        deferring: bool,
        worked: &mut Worked,
        pending: &mut Vec<Pending>,
    ) -> Result<(), StateError> {
        let bundle = batch.bundle().clone();
        let specification = bundle.plan().specification();
        let origin = Origin::of(record, &self.topics[lane as usize], self.partition);
        let streamed = decode::application(specification, record, &origin);
        let StreamedApplication { application, as_of, high_priority } = match streamed {
            Ok(streamed) => streamed,
            Err(refused) => {
                self.refuse(lane, record, refused, worked);
                return Ok(());
            }
        };
        let as_of = as_of.unwrap_or(origin.timestamp);
        let event = application.as_event(specification, as_of);
        if let Err(refusal) = admit(specification, &event, origin.timestamp) {
            self.refuse(lane, record, refusal.into(), worked);
            return Ok(());
        }
        let is_state_only = record.offset < self.queues[lane as usize].committed;
        let waits = deferring && lane == Lane::Applications && !high_priority;
        if is_state_only || waits {
            let _ = self.take(bundle.plan(), &event, origin.timestamp)?;
            if waits && !is_state_only {
                worked.deferred += 1;
                worked.outputs.push(output::deferred(self.partition, record, &origin));
            }
            return Ok(());
        }
        let history = batch.read(&self.store, &application, as_of)?;
        let is_recorded = match self.take(bundle.plan(), &event, origin.timestamp) {
            Ok(taken) => taken.is_ok(),
            Err(error) => {
                batch.forget_last();
                return Err(error);
            }
        };
        pending.push(Pending { application, origin, as_of, history, is_recorded });
        Ok(())
    }

    /// Makes an event state that arrived at an instant, unless it may not be.
    fn take(
        &self,
        plan: &FeaturePlan,
        event: &Event,
        arrived_at: Timestamp,
    ) -> Result<Result<Taken, Refusal>, StateError> {
        if let Err(refusal) = admit(plan.specification(), event, arrived_at) {
            return Ok(Err(refusal));
        }
        if !self.store.has_room(plan, event.person())? {
            return Ok(Err(Refusal::StoreFull));
        }
        let applied: Applied = self.store.apply(plan, event)?;
        Ok(taken(applied))
    }

    fn refuse(&self, lane: Lane, record: &Record, refused: Refused, worked: &mut Worked) {
        if record.offset < self.queues[lane as usize].committed {
            return;
        }
        match worked.refused.iter_mut().find(|(reason, _)| *reason == refused.reason) {
            Some((_, count)) => *count += 1,
            None => worked.refused.push((refused.reason, 1)),
        }
        let origin = Origin::of(record, &self.topics[lane as usize], self.partition);
        worked.outputs.push(output::dead_letter(self.partition, record, &origin, &refused));
    }

    /// How far an event is behind the newest one.
    fn watch(&mut self, event: &Event, worked: &mut Worked) {
        let watermark = self.watermark.unwrap_or(event.time()).max(event.time());
        self.watermark = Some(watermark);
        let lateness_ms = watermark.millis() - event.time().millis();
        worked.late += u64::from(lateness_ms > 0);
        worked.lateness_ms_max = worked.lateness_ms_max.max(lateness_ms);
    }
}

impl Queue {
    /// Takes a record that was read.
    pub fn push(&mut self, record: Record) {
        self.bytes += record.bytes();
        self.records.push_back(record);
    }

    /// How many records wait, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        (self.records.len(), self.bytes)
    }

    /// The offset behind the newest record that was read and was not passed over.
    pub fn read_to(&self) -> i64 {
        self.records.back().map_or(self.next, |record| record.offset + 1)
    }

    /// Passes over what a lane holds besides records, such as the marks of transactions.
    pub fn pass_to(&mut self, position: i64) {
        if self.records.is_empty() {
            self.next = self.next.max(position);
        }
    }

    fn take(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.bytes -= record.bytes();
        Some(record)
    }

    fn put_back(&mut self, record: Record) {
        self.bytes += record.bytes();
        self.records.push_front(record);
    }
}

impl Record {
    /// What stands under a header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len)
    }
}

impl Worked {
    fn count(&mut self, taken: Taken) {
        let place = match taken {
            Taken::New => 0,
            Taken::Duplicate => 1,
            Taken::Conflict => 2,
            // Said of what is still on its way here.
            Taken::Accepted => return,
        };
        self.taken[place] += 1;
    }
}
