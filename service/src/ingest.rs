//! The record path: what is accepted goes to the log, and becomes state once it is durable there. Read it from top to bottom.
//!
//! Bytes are made a valid event at the edge; [`Ingest`] refuses what its time forbids, answers for what stands already, and
//! hands the rest to the log with the bytes as they were posted. The log hands back what is durable, and [`apply`] makes it state. A
//! replay reads the same bytes with the same functions ([`event_of`], [`replay`]), so a start, a rebuilt state and `cauce
//! replay` are one path (F1, S2).
//!
//! What is refused depends on the event, the horizon and `now`, never on what has been evicted (F1); only where the bound on a
//! person's events has merged the past by the hour is a late event refused too. Neither HTTP nor a clock is known here.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use cauce_features::application::Application;
use cauce_features::event::{Event, EventId};
use cauce_features::plan::FeaturePlan;
use cauce_features::record::{RecordErrors, Unknown};
use cauce_features::spec::Specification;
use cauce_features::time::Timestamp;
use cauce_features::timeline::Applied;
use cauce_model::bundle::Bundle;

use crate::config::Durability;
use crate::log::{Change, Entry, Erasures, EventLog, Kind, LogError, Position, Promise, ReadLog, Receipt, Record};
use crate::store::{CheckpointError, Histories, StateError, Store};

/// How long a durable record waits for a state store that cannot be read.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Takes records in: what `http` and `scoring` know of log and state together.
pub struct Ingest {
    log: Arc<dyn EventLog>,
    histories: Arc<Histories>,
    bundle: Arc<Bundle>,
    /// When a scored application counts as recorded.
    applications: Durability,
}

/// What became of an event that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is part of the history from now on.
    New,
    /// It was there already; nothing changed.
    Duplicate,
    /// Another event stood under its time and id; the greater of the two by content stands there now.
    Conflict,
    /// It is durable, and becomes part of the history when whoever keeps that comes to it.
    Accepted,
}

/// Why an event was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It happened before the horizon, or before what the bound on a person's events has merged.
    TooLate,
    /// It claims to happen later than clocks may differ.
    InFuture,
    /// Its person would be one too many.
    StoreFull,
}

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("refused: {0:?}")]
    Refused(Refusal),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<CheckpointError> for IngestError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Log(error) => Self::Log(error),
            CheckpointError::State(error) => Self::State(error),
        }
    }
}

/// An event on its way.
pub enum Admitted {
    /// It changes nothing: it stands already, or greater content under its identity does.
    Standing(Taken),
    /// To be written.
    New(Entry),
}

/// An application as it was posted.
#[derive(Clone)]
pub enum Posted {
    /// With its envelope.
    Envelope(Bytes),
    /// Its fields alone.
    Fields(Bytes),
}

/// What became of scored applications.
pub struct Recording {
    /// Whether each is part of its person's history, as soon as the receipt says so if there is one.
    pub recorded: Vec<bool>,
    /// Says when they are durable, if that is waited for.
    pub receipt: Option<Receipt>,
}

impl Taken {
    /// As it stands in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Accepted => "accepted",
        }
    }
}

impl Ingest {
    /// Takes records for a log and the state that is made of it.
    pub fn new(
        log: Arc<dyn EventLog>,
        histories: Arc<Histories>,
        bundle: Arc<Bundle>,
        applications: Durability,
    ) -> Self {
        Self { log, histories, bundle, applications }
    }

    /// The log.
    pub fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    /// Whether an event that arrives `now` is to be written, and what then. `body` is the event as it was posted.
    pub fn admit(&self, event: Event, body: Bytes, now: Timestamp) -> Result<Admitted, IngestError> {
        let plan = self.bundle.plan();
        admit(plan.specification(), &event, now).map_err(IngestError::Refused)?;
        Ok(match self.standing(&event)? {
            Some(taken) => Admitted::Standing(taken),
            None => Admitted::New(entry(Kind::Event, "", event, body, now)),
        })
    }

    /// What an event is that changes nothing; `None` if it is to be written, for which there has to be room.
    fn standing(&self, event: &Event) -> Result<Option<Taken>, IngestError> {
        let (plan, store) = (
            self.bundle.plan(),
            match self.histories.of(event.person()) {
                // Whoever keeps the person's history will know.
                Err(StateError::Elsewhere) => return Ok(None),
                store => store?,
            },
        );
        if store.is_far_over_budget() {
            return Err(LogError::Busy.into());
        }
        match store.probe(plan, event)? {
            Applied::New | Applied::Conflict { replaced: true } => match store.has_room(plan, event.person())? {
                true => Ok(None),
                false => Err(IngestError::Refused(Refusal::StoreFull)),
            },
            applied => taken(applied).map(Some).map_err(IngestError::Refused),
        }
    }

    /// Says when everything that is state now is durable too.
    pub fn settled(&self) -> Result<Receipt, LogError> {
        self.submit(Vec::new())
    }

    /// Writes events. They are state, and safe, once the receipt says so.
    pub fn submit(&self, entries: Vec<Entry>) -> Result<Receipt, LogError> {
        self.log.submit(entries, Promise::Durable)
    }

    /// Makes scored applications part of their people's histories, unless nobody is named or they cannot be written: scoring goes
    /// on without.
    pub fn record(&self, applications: Vec<(&Application, Posted)>, as_of: Timestamp) -> Recording {
        let mut recorded = Vec::with_capacity(applications.len());
        let mut entries = Vec::with_capacity(applications.len());
        for (application, posted) in applications {
            let admitted = self.admit_application(application, posted, as_of);
            recorded.push(admitted.is_some());
            if let Some(Admitted::New(entry)) = admitted {
                entries.push(entry);
            }
        }
        if entries.is_empty() {
            return Recording { recorded, receipt: None };
        }
        // Without waiting for the log's disk an application is state at once, as the next one of its person may follow at once. The writer
        // does the same again, and waits where it has to.
        let at_once = |entry: &Entry| {
            if let Change::Apply(event) = &entry.change
                && let Ok(store) = self.histories.of(event.person())
                && store.is_here(event.person())
            {
                let _ = store.apply(self.bundle.plan(), event);
            }
        };
        let promise = match self.applications {
            Durability::Relaxed => Promise::Relaxed(&at_once),
            Durability::Durable => Promise::Durable,
        };
        match self.log.submit(entries, promise) {
            Ok(receipt) => {
                let receipt = (self.applications == Durability::Durable).then_some(receipt);
                Recording { recorded, receipt }
            }
            Err(error) => {
                tracing::debug!(%error, "applications are not recorded");
                Self::unrecorded(recorded.len())
            }
        }
    }

    /// What becomes of applications that cannot be recorded.
    pub fn unrecorded(applications: usize) -> Recording {
        Recording { recorded: vec![false; applications], receipt: None }
    }

    fn admit_application(&self, application: &Application, posted: Posted, as_of: Timestamp) -> Option<Admitted> {
        if application.person().is_empty() {
            return None;
        }
        let plan = self.bundle.plan();
        let event = application.as_event(plan.specification(), as_of);
        // It may have left memory while L2 was asked, and a scored request does not wait for the disk.
        if !self.histories.is_here(event.person()) {
            return None;
        }
        match self.standing(&event).ok()? {
            Some(Taken::Duplicate) => Some(Admitted::Standing(Taken::Duplicate)),
            Some(_) => None,
            None => Some(Admitted::New(match posted {
                Posted::Envelope(body) => entry(Kind::Application, "", event, body, as_of),
                Posted::Fields(body) => entry(Kind::Fields, application.person(), event, body, as_of),
            })),
        }
    }

    /// Where the event stands that was taken first under an identity; `None` if the log holds it no more, or would have to read
    /// everybody's records to tell.
    pub fn position_of(&self, person: &str, id: EventId, time: Timestamp) -> Result<Option<Position>, LogError> {
        if !self.log.reading().has_index() {
            return Ok(None);
        }
        let specification = self.bundle.plan().specification();
        let is_it = |record: &Record| {
            event_of(specification, record).ok().flatten().is_some_and(|event| event.id() == id && event.time() == time)
        };
        let mut found = None;
        self.log.reading().of_person(person, &mut |record| {
            found = is_it(&record).then_some(record.position);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    }

    /// Has a person erased: from the log, and with it from the state, once the receipt says so.
    pub fn erase(&self, person: &str, now: Timestamp) -> Result<Receipt, LogError> {
        self.log.submit(vec![self.log.erasure(person, now)], Promise::Durable)
    }
}

/// Makes a durable entry state. An entry that is durable is never dropped: a store that cannot be read is waited for.
pub fn apply(store: &Store, plan: &FeaturePlan, entry: &Entry) -> Result<Taken, Refusal> {
    loop {
        let applied = match &entry.change {
            Change::Apply(event) => store.apply(plan, event),
            Change::Erase(person) => store.erase(plan, person).map(|_| Applied::New),
        };
        match applied {
            Ok(applied) => return taken(applied),
            Err(error) => {
                tracing::error!(%error, "a durable record waits for the state store");
                thread::sleep(STORE_RETRY);
            }
        }
    }
}

/// The event that a record is of; `None` where nothing is left of it.
pub fn event_of(specification: &Specification, record: &Record) -> Result<Option<Event>, RecordErrors> {
    let as_event = |application: Application| application.as_event(specification, record.arrived_at);
    match record.kind {
        Kind::Event => Event::from_json(specification, &record.body).map(Some),
        Kind::Application => Application::from_json(specification, &record.body, &record.id)
            .map(|application| Some(as_event(application))),
        Kind::Fields => {
            Application::from_fields(specification, &record.person, &record.id, &record.body, Unknown::Ignore)
                .map(|application| Some(as_event(application)))
        }
        Kind::Erasure | Kind::Erased | Kind::Lost => Ok(None),
    }
}

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    pub records: u64,
    /// Records that are not valid under this specification; they stay in the log.
    pub invalid: u64,
}

/// Makes the records of a log from a position on state again, on all cores; each person's in their order, which counts where the bound
/// on a person's events is met. What does not fit into memory goes to disk, as of `now`.
pub fn replay(
    store: &Store,
    plan: &FeaturePlan,
    log: &dyn ReadLog,
    from: Position,
    now: Timestamp,
    mut progress: impl FnMut(Position),
) -> Result<Replayed, IngestError> {
    let (erasures, mut replayed, mut outcome) = (log.erasures(), Replayed::default(), Ok(()));
    log.read(from, &mut |records| {
        outcome = replay_batch(store, plan, &erasures, &records).and_then(|invalid| {
            let end = records.last().map_or(from, |record| Position(record.position.0 + 1));
            replayed.records += records.len() as u64;
            replayed.invalid += invalid;
            progress(end);
            if store.is_over_budget() {
                store.checkpoint(plan, end, now, || Ok(()))?;
                store.shrink(plan);
            }
            Ok(())
        });
        if outcome.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    outcome.map(|()| replayed)
}

/// Applies records, those of one person on one thread; how many are not valid.
fn replay_batch(
    store: &Store,
    plan: &FeaturePlan,
    erasures: &Erasures,
    records: &[Record],
) -> Result<u64, IngestError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let outcome = thread::scope(|scope| {
        let mine = |core: usize| move |record: &&Record| record.person_hash as usize % cores == core;
        let part = |core: usize| move || replay_part(store, plan, erasures, records.iter().filter(mine(core)));
        let threads: Vec<_> = (0..cores).map(|core| scope.spawn(part(core))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a replay does not panic")).sum::<Result<u64, _>>()
    });
    outcome.map_err(IngestError::State)
}

fn replay_part<'a>(
    store: &Store,
    plan: &FeaturePlan,
    erasures: &Erasures,
    records: impl Iterator<Item = &'a Record>,
) -> Result<u64, StateError> {
    let mut invalid = 0;
    for record in records {
        match event_of(plan.specification(), record) {
            Ok(Some(event)) if !erasures.cover(event.person(), record.position) => {
                store.apply(plan, &event)?;
            }
            Ok(_) => {}
            Err(_) => {
                invalid += 1;
                tracing::debug!(position = record.position.0, "a record is not valid under this specification");
            }
        }
    }
    Ok(invalid)
}

/// Whether an event that arrives `now` may enter a history at all. A replay asks the same of the events of a file (F2).
pub fn admit(specification: &Specification, event: &Event, now: Timestamp) -> Result<(), Refusal> {
    if event.time().millis() <= now.millis() - specification.horizon.millis() {
        return Err(Refusal::TooLate);
    }
    if event.time().millis() > now.millis() + specification.clock_skew.millis() {
        return Err(Refusal::InFuture);
    }
    Ok(())
}

fn entry(kind: Kind, person: &str, event: Event, body: Bytes, arrived_at: Timestamp) -> Entry {
    let id = if kind == Kind::Event { "".into() } else { event.id_text().into() };
    Entry { kind, arrived_at, person: person.into(), id, body, change: Change::Apply(event) }
}

/// What became of an event by what applying it did.
pub fn taken(applied: Applied) -> Result<Taken, Refusal> {
    match applied {
        Applied::New => Ok(Taken::New),
        Applied::Duplicate => Ok(Taken::Duplicate),
        Applied::Conflict { .. } => Ok(Taken::Conflict),
        Applied::TooLate => Err(Refusal::TooLate),
    }
}

#[cfg(test)]
pub(crate) mod tests;
