//! A stream record's way: topics to state and scores, one slice of people at a time. Read it from top to bottom.
//!
//! A [`Slice`] is the people of one partition number. Their records come in three [`Lane`]s, one a topic, and are worked off in one
//! order: by the record's timestamp, events first where two are equal. A record's turn comes only when every other lane has a
//! record in hand or is known to be at its end, so the order is a function of what the topics hold and of nothing else: not of how
//! records arrive, are batched or are read again. With it every score is (F1): made again, it is the same bytes.
//!
//! An application is scored as of its own time, against what had arrived before it, and is then an event of the history itself; features
//! are read in turn, the model runs once for all of them. What was committed in an earlier life
//! makes state only ([`Queue::state_only_before`]).
//!
//! Nothing here knows a client, a broker or a clock: records go in, [`Output`]s and offsets come out, and what became of them is the
//! caller's to say.

pub mod cloud_event;
pub mod decode;
pub mod output;
pub mod pressure;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use cauce_features::application::{Application, StreamedApplication};
use cauce_features::event::Event;
use cauce_features::plan::FeaturePlan;
use cauce_features::time::{Span, Timestamp};
use cauce_features::timeline::Applied;
use cauce_model::bundle::Bundle;

use crate::ingest::{Refusal, Taken, admit, taken};
use crate::kafka::header;
use crate::scoring::{Batch, Decision, History};
use crate::store::{StateError, Store};
use decode::{Intake, Reason, Refused};
use output::{Origin, Output};
pub use queue::{Queue, Record, Seen};

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
    /// The newest time at which anything happened that became state for the first time, an application being an event.
    pub newest_event: Option<Timestamp>,
}

/// Is told of every application that is scored.
pub type Observer<'s> = dyn FnMut(&Application, &Decision<'_>, &Arc<Bundle>) + 's;

/// What came of a slice's records.
#[derive(Debug, Default)]
pub struct Worked {
    pub outputs: Vec<Output>,
    /// Records whose turn came.
    pub records: u64,
    pub scored: u64,
    pub deferred: u64,
    /// Events that were new, that stood already, and that met another under their identity. Neither what was answered for in an earlier
    /// life is one, nor an application on its way back.
    pub taken: [u64; 3],
    /// Dead letters by reason, and whether they were to be such events.
    pub refused: Vec<(bool, Reason, u64)>,
    /// Events behind the watermark, and the furthest in milliseconds.
    pub late: u64,
    pub lateness_ms_max: i64,
    /// Why it stopped before the end: the record in turn waits for the state.
    pub stuck: Option<StateError>,
}

/// What a round of work goes by.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Only applications of high priority are scored; the others go out again, to be scored later.
    pub deferring: bool,
    /// Whether a score carries the vector that the model saw.
    pub vectors: bool,
    /// How far behind its arrival an application may stand.
    pub oldest_as_of: Span,
    /// Records that are worked off in one go.
    pub most: usize,
}

/// A round of work under way.
struct Round<'a> {
    batch: &'a mut Batch,
    rules: &'a Rules,
    worked: Worked,
    pending: Vec<Pending>,
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
        let queues = next.map(Queue::at);
        let stream_time = Timestamp::from_millis(0);
        Self { partition, store, topics, queues, stream_time, watermark: None, newest_event: None }
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

    /// Works off records whose turn has come, so many at most.
    pub fn work(&mut self, batch: &mut Batch, rules: &Rules, seen: &mut Observer<'_>) -> Worked {
        batch.clear();
        let mut round = Round { batch, rules, worked: Worked::default(), pending: Vec::new() };
        while round.worked.records < rules.most as u64
            && let Some(lane) = self.turn(rules.deferring)
            && let Some(record) = self.queues[lane as usize].take()
        {
            let outcome = match lane {
                Lane::Events => self.event(&record, &mut round),
                _ => self.application(lane, &record, &mut round),
            };
            if let Err(error) = outcome {
                self.queues[lane as usize].put_back(record);
                round.worked.stuck = Some(error);
                break;
            }
            self.queues[lane as usize].next = record.offset + 1;
            self.stream_time = self.stream_time.max(record.timestamp);
            round.worked.records += 1;
        }
        self.score(round, seen)
    }

    /// Runs the model once for all whose vectors were read.
    fn score(&self, round: Round<'_>, seen: &mut Observer<'_>) -> Worked {
        let Round { batch, rules, mut worked, pending } = round;
        worked.scored = pending.len() as u64;
        let made = batch.infer();
        for (row, one) in pending.iter().enumerate() {
            let decision = batch.decision(row, one.history, made, one.is_recorded);
            seen(&one.application, &decision, batch.bundle());
            worked.outputs.push(output::score(self.partition, batch.bundle(), one, &decision, rules.vectors));
        }
        worked
    }

    /// Whose turn it is: the lane with the oldest record, if no other lane can still have an older one. What had to wait goes on waiting
    /// while the state is not yet what it was when that was decided.
    fn turn(&self, deferring: bool) -> Option<Lane> {
        let waits = deferring || self.is_recovering();
        let lanes = Lane::ALL.into_iter().filter(|lane| !(waits && *lane == Lane::Deferred));
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

    /// Whether the state is behind what was answered for in an earlier life.
    pub fn is_recovering(&self) -> bool {
        self.queues[..2].iter().any(|queue| queue.next < queue.state_only_before)
    }

    fn event(&mut self, record: &Record, round: &mut Round<'_>) -> Result<(), StateError> {
        let plan = round.batch.bundle().plan();
        let intake = decode::event(plan.specification(), record);
        let outcome = match intake {
            Ok(Intake::Erasure(person)) => return self.store.erase(plan, &person).map(|_| ()),
            Ok(Intake::Event(event)) => {
                let taken = self.take(plan, &event, record.timestamp)?;
                if taken.is_ok() {
                    self.watch(&event, &mut round.worked);
                    self.see_new(Lane::Events, record, &event);
                }
                taken.map_err(Refused::from)
            }
            Err(refused) => Err(refused),
        };
        match outcome {
            Ok(taken) if is_event(Lane::Events, record) && !self.is_state_only(Lane::Events, record) => {
                round.worked.count(taken);
            }
            Ok(_) => {}
            Err(refused) => self.refuse(Lane::Events, record, refused, &mut round.worked),
        }
        Ok(())
    }

    fn application(&mut self, lane: Lane, record: &Record, round: &mut Round<'_>) -> Result<(), StateError> {
        let bundle = round.batch.bundle().clone();
        let specification = bundle.plan().specification();
        let origin = Origin::of(record, &self.topics[lane as usize], self.partition);
        let read = decode::application(specification, record, &origin).and_then(|streamed| {
            let as_of = streamed.as_of.unwrap_or(origin.timestamp);
            let event = streamed.application.as_event(specification, as_of);
            admit(specification, &event, origin.timestamp)?;
            // Further back, history may be swept already.
            match as_of.millis() < origin.timestamp.millis() - round.rules.oldest_as_of.millis() {
                true => Err(Reason::EventTooLate.into()),
                false => Ok((streamed, as_of, event)),
            }
        });
        let (StreamedApplication { application, high_priority, .. }, as_of, event) = match read {
            Ok(read) => read,
            Err(refused) => {
                self.refuse(lane, record, refused, &mut round.worked);
                return Ok(());
            }
        };
        let is_state_only = self.is_state_only(lane, record);
        let waits = round.rules.deferring && lane == Lane::Applications && !high_priority;
        if is_state_only || waits {
            if self.take(bundle.plan(), &event, origin.timestamp)?.is_ok() {
                self.see_new(lane, record, &event);
            }
            if waits && !is_state_only {
                round.worked.deferred += 1;
                round.worked.outputs.push(output::deferred(self.partition, record, &origin));
            }
            return Ok(());
        }
        let history = round.batch.read(&self.store, &application, as_of)?;
        match self.record(bundle.plan(), lane, &event, origin.timestamp) {
            Ok(is_recorded) => {
                if is_recorded && lane == Lane::Applications {
                    self.see_new(lane, record, &event);
                }
                round.pending.push(Pending { application, origin, as_of, history, is_recorded });
            }
            Err(error) => {
                round.batch.forget_last();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes a scored application part of the history. One that had to wait was so from its first turn on, and if its person was erased since,
    /// it stays so.
    fn record(&self, plan: &FeaturePlan, lane: Lane, event: &Event, arrived_at: Timestamp) -> Result<bool, StateError> {
        match lane {
            Lane::Deferred => Ok(self.store.probe(plan, event)? == Applied::Duplicate),
            _ => Ok(self.take(plan, event, arrived_at)?.is_ok()),
        }
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
        if self.is_state_only(lane, record) {
            return;
        }
        let of = (is_event(lane, record), refused.reason);
        match worked.refused.iter_mut().find(|(is_event, reason, _)| (*is_event, *reason) == of) {
            Some((.., count)) => *count += 1,
            None => worked.refused.push((of.0, of.1, 1)),
        }
        let origin = Origin::of(record, &self.topics[lane as usize], self.partition);
        worked.outputs.push(output::dead_letter(self.partition, record, &origin, &refused));
    }

    /// Whether a record was answered for in an earlier life.
    fn is_state_only(&self, lane: Lane, record: &Record) -> bool {
        record.offset < self.queues[lane as usize].state_only_before
    }

    /// When what has become state happened, unless it is only read again.
    fn see_new(&mut self, lane: Lane, record: &Record, event: &Event) {
        if !self.is_state_only(lane, record) {
            self.newest_event = self.newest_event.max(Some(event.time()));
        }
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

/// Whether a record is to be an event, not an application that was scored over HTTP and comes back as one.
fn is_event(lane: Lane, record: &Record) -> bool {
    lane == Lane::Events && record.header(header::KIND).is_none()
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
