//! An application's way to a score: history, features, cache, ladder, decision, record. Read it from top to bottom.
//!
//! An application is scored against the history as it stands before it is recorded, and is then an event of that history
//! itself, which the log keeps. Which rung of the ladder decides is `degrade`'s to say; [`ladder`] acts on it. Everything a score depends
//! on is an argument: neither HTTP nor a clock is known here, and even the stop-watch is the caller's. Nothing here waits for
//! a disk: a history that is not in memory was brought in before, or counts as unavailable, and what only L2 may know is asked for by
//! the caller between [`Scorer::score`] and [`Scorer::resume`] (S1).

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cauce_features::application::Application;
use cauce_features::time::Timestamp;
use cauce_features::vector::ReadFacts;
use cauce_model::bundle::Bundle;
use cauce_model::onnx::ModelError;
use cauce_model::score::Score;

use crate::cache::{Cached, Fetched, Keys};
use crate::deadline::{Deadline, Dues};
pub use crate::degrade::Mode;
use crate::degrade::{Reason, Reasons, Rungs};
use crate::ingest::{Ingest, Posted};
use crate::log::Receipt;
use crate::serving::Slot;
use crate::store::{Histories, StateError};

pub mod answer;
mod batch;
mod guards;
mod ladder;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use guards::Guards;
use ladder::{Climb, Climbed, Ladder};

/// Scores applications on one thread and records them.
pub struct Scorer {
    histories: Arc<Histories>,
    ingest: Arc<Ingest>,
    batch: Batch,
    ladder: Ladder,
}

/// What holds for a request, whichever its applications.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub as_of: Timestamp,
    pub deadline: Deadline,
    /// What it may be answered with.
    pub rungs: Rungs,
    pub access: Access,
}

/// Whether histories can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// They are in memory.
    Here,
    /// They are, but more waits in the stream than should.
    Stale,
    /// Some are on a disk that does not answer in time, or is left alone.
    Unavailable(Reason),
}

/// How far a request has come.
pub enum Progress<'s> {
    Scored(Decision<'s>, Option<Receipt>),
    /// It goes on once L2 was asked.
    Asking(Asking),
}

/// A request that waits for L2, with what was read for it: the scorer serves others meanwhile.
pub struct Asking {
    pub keys: Keys,
    /// What the keys are of: another may be served when it goes on.
    bundle: Arc<Bundle>,
    since: Instant,
    /// Why the model gave nothing, if it was tried: it is not tried again.
    tried: Option<Reason>,
    vector: Vec<f32>,
    read: Result<History, Reason>,
}

/// A score and what it rests on.
#[derive(Debug)]
pub struct Decision<'scorer> {
    /// `None` where a person has to decide.
    pub score: Option<Score<'scorer>>,
    pub made: Made,
    pub history: History,
    /// Whether the application is part of the person's history now.
    pub recorded: bool,
    /// What the model was given.
    pub vector: &'scorer [f32],
}

/// How an answer was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Made {
    pub mode: Mode,
    pub reasons: Reasons,
    /// Of a cached score: how old it is.
    pub age: Option<Duration>,
}

/// What the features rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Whether anything was known of the person before.
    pub known: bool,
    pub facts: ReadFacts,
}

/// What time is measured of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Until the body is there.
    Receive,
    /// Bytes to a valid application.
    Validate,
    /// Until the history is in memory.
    State,
    Features,
    Cache,
    Model,
    /// What is kept: the decision, and the application as an event.
    Ledger,
    /// Writing the answer.
    Reply,
}

/// Ends a stage; what time it is then.
pub type Lap<'w> = dyn FnMut(Stage) -> Instant + 'w;

impl Scorer {
    /// A scorer for one thread, of the bundle that is served.
    pub fn new(
        slot: &Arc<Slot>,
        histories: Arc<Histories>,
        ingest: Arc<Ingest>,
        guards: Arc<Guards>,
    ) -> Result<Self, ModelError> {
        Ok(Self { histories, ingest, batch: Batch::seated(slot)?, ladder: Ladder::new(guards) })
    }

    /// Goes on with the bundle that is served now. Between two requests, never within one.
    pub fn follow(&mut self) {
        if self.batch.follow() {
            self.ladder.begin_anew();
        }
    }

    /// What scores until it follows again.
    pub fn bundle(&self) -> &Arc<Bundle> {
        self.batch.bundle()
    }

    /// Scores one application and records it, unless L2 is to be asked first. With a receipt, it is recorded once that says so.
    pub fn score(
        &mut self,
        application: &Application,
        posted: impl FnOnce() -> Posted,
        terms: &Terms,
        lap: &mut Lap<'_>,
    ) -> Result<Progress<'_>, StateError> {
        self.batch.clear();
        let read = self.read(application, terms)?;
        let now = lap(Stage::Features);
        let keys = self.ladder.keys(&self.batch, application, read.is_ok());
        match self.ladder.climb(
            &mut self.batch,
            &Climb { keys, read: read.err(), tried: None, found: None, terms, now },
            lap,
        ) {
            Climbed::Made(made) => {
                let (decision, receipt) = self.finish(application, posted(), terms, read, made, lap);
                Ok(Progress::Scored(decision, receipt))
            }
            Climbed::Ask(tried) => {
                let since = lap(Stage::Cache);
                let (bundle, vector) = (self.batch.bundle.clone(), self.batch.rows.clone());
                Ok(Progress::Asking(Asking { keys, bundle, since, tried, vector, read }))
            }
        }
    }

    /// Goes on with what L2 had: nothing, a score of the very vector, or the last one of the application.
    pub fn resume(
        &mut self,
        asking: Asking,
        found: Option<(Cached, Fetched)>,
        application: &Application,
        posted: impl FnOnce() -> Posted,
        terms: &Terms,
        lap: &mut Lap<'_>,
    ) -> (Decision<'_>, Option<Receipt>) {
        let Asking { mut keys, bundle, since, tried, vector, read } = asking;
        self.batch.rows = vector;
        let now = lap(Stage::Cache);
        self.ladder.asked(since, now);
        let is_same = Arc::ptr_eq(&bundle, &self.batch.bundle);
        let found = found.filter(|_| is_same);
        // Another model may do better.
        let tried = tried.filter(|_| is_same);
        if !is_same {
            keys = self.ladder.keys(&self.batch, application, read.is_ok());
        }
        let climb = Climb { keys, read: read.err(), tried, found: Some(found), terms, now };
        match self.ladder.climb(&mut self.batch, &climb, lap) {
            Climbed::Made(made) => self.finish(application, posted(), terms, read, made, lap),
            Climbed::Ask(_) => unreachable!("L2 is asked once"),
        }
    }

    /// Scores many in one run of the model, each against its history as it stood before any of them.
    pub fn score_all(
        &mut self,
        applications: Vec<(&Application, Posted)>,
        terms: &Terms,
        lap: &mut Lap<'_>,
    ) -> Result<(Vec<Decision<'_>>, Option<Receipt>), StateError> {
        self.batch.clear();
        let mut histories = Vec::with_capacity(applications.len());
        let mut missing = None;
        for (application, _) in &applications {
            let read = self.read(application, terms)?;
            missing = missing.or(read.err());
            histories.push(read.unwrap_or(History::UNKNOWN));
        }
        let now = lap(Stage::Features);
        let made = self.ladder.climb_all(&mut self.batch, missing, terms, now, lap);
        let recording = match missing {
            None => self.ingest.record(applications, terms.as_of),
            Some(_) => Ingest::unrecorded(applications.len()),
        };
        lap(Stage::Ledger);
        let outcomes = histories.into_iter().zip(recording.recorded).enumerate();
        let decisions = outcomes.map(|(row, (history, recorded))| self.batch.decision(row, history, made, recorded));
        Ok((decisions.collect(), recording.receipt))
    }

    /// Where answers stand that wait while it works for others.
    pub fn dues(&self) -> Rc<Dues> {
        self.ladder.dues()
    }

    fn finish(
        &mut self,
        application: &Application,
        posted: Posted,
        terms: &Terms,
        read: Result<History, Reason>,
        made: Made,
        lap: &mut Lap<'_>,
    ) -> (Decision<'_>, Option<Receipt>) {
        // Where the history cannot be read nothing can be added to it either: it would wait for the disk.
        let recording = match read {
            Ok(_) => self.ingest.record(vec![(application, posted)], terms.as_of),
            Err(_) => Ingest::unrecorded(1),
        };
        lap(Stage::Ledger);
        let history = read.unwrap_or(History::UNKNOWN);
        (self.batch.decision(0, history, made, recording.recorded[0]), recording.receipt)
    }

    /// Reads an application's vector into the next row; without its history, if that is not here, and then it says why.
    fn read(&mut self, application: &Application, terms: &Terms) -> Result<Result<History, Reason>, StateError> {
        let (person, as_of) = (application.person(), terms.as_of);
        // Nobody in particular has no history anywhere.
        if person.is_empty() {
            return Ok(Ok(self.batch.read_nobody(application, as_of)));
        }
        let store = self.histories.of(person)?;
        let missing = match terms.access {
            Access::Unavailable(reason) => reason,
            Access::Here | Access::Stale => match self.batch.read_here(&store, application, as_of) {
                Some(history) => return Ok(Ok(history)),
                None => Reason::HistoryUnavailable,
            },
        };
        self.batch.read_nobody(application, as_of);
        Ok(Err(missing))
    }
}

impl History {
    /// Of a person whose history cannot be read.
    const UNKNOWN: Self =
        Self { known: false, facts: ReadFacts { newest_event: None, truncated: false, coarse: false } };
}

impl Made {
    /// By the model, on the full history.
    pub const FULL: Self = Self { mode: Mode::Full, reasons: Reasons::NONE, age: None };

    /// Whether it is less than it should be.
    pub fn is_degraded(&self) -> bool {
        self.mode != Mode::Full || !self.reasons.is_empty()
    }

    /// By the scorecard, since the model failed.
    pub const FAILED: Self = Self { mode: Mode::Fallback, reasons: Reasons::NONE.with(Reason::ModelFailed), age: None };
}
