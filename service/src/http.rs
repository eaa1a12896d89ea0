//! The HTTP edge: bytes in, bytes out, and everything that only HTTP knows.
//!
//! One file a resource. Every handler has the same three steps: begin a [`Call`](call::Call), read the body, answer. What a
//! worker thread needs to score it owns ([`Worker`]), so a request is handled where it arrives: no lock around the model,
//! no hand-off, one await for the body.

pub mod admin;
mod ahorro_valle;
mod alerts;
mod answer;
mod batch;
mod body;
mod bundle;
mod call;
pub mod connection;
mod dashboard;
mod docs;
pub mod edge;
mod events;
mod health;
mod idempotency;
mod kpis;
pub mod live;
mod openapi;
pub mod people;
pub mod pulse;
mod refusal;
mod reload;
pub mod routes;
pub mod score;
mod single;
mod span;
mod timing;
mod waiting;

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use cauce_features::plan::FeaturePlan;
use cauce_model::bundle::Bundle;
use tokio::sync::Semaphore;

use crate::alerts::Alerts;
use crate::clock::Clock;
use crate::config::{Budget, Server};
use crate::degrade::Allowed;
use crate::ingest::Ingest;
use crate::kafka::worker::Control;
use crate::keeper::Upkeep;
use crate::kpi::Board;
use crate::kpi::recorder::Recorders;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::metrics::ledger::LedgerMetrics;
use crate::reload::Reloader;
use crate::scoring::{Guards, Scorer};
use crate::serving::Slot;
use crate::store::Histories;
use crate::trace::Tracer;

pub use openapi::document;
pub use routes::configure;

/// What all worker threads share.
pub struct Shared {
    /// The bundle of the start. Histories are kept under its specification, which that of every bundle served later is, too.
    pub started_with: Arc<Bundle>,
    /// The bundle in service.
    pub slot: Arc<Slot>,
    pub reloader: Arc<Reloader>,
    pub histories: Arc<Histories>,
    pub ingest: Arc<Ingest>,
    pub upkeep: Arc<dyn Upkeep>,
    /// What reads from Kafka, if anything does.
    pub stream: Option<Arc<Control>>,
    pub metrics: Arc<Metrics>,
    /// Answers kept for their repetition, unless none are.
    pub ledger: Option<Arc<Ledger>>,
    pub ledger_metrics: LedgerMetrics,
    pub clock: Clock,
    pub server: Server,
    pub budget: Budget,
    /// Which rungs of the ladder routes and products may use.
    pub allowed: Allowed,
    /// What an answer without a score says.
    pub refer: String,
    pub guards: Arc<Guards>,
    /// How many reads of the disk may be under way for scores and events; and apart from them for what people look up.
    pub disk_reads: Arc<Semaphore>,
    pub disk_queries: Arc<Semaphore>,
    /// The OpenAPI document of the bundle that is served.
    pub openapi: Bytes,
    /// Who is let in.
    pub gate: edge::Gate,
    pub tracer: Tracer,
    /// How the service did lately, and places for those who follow it.
    pub kpis: Board,
    pub live: live::Seats,
    /// Where its threads record what they do; without recorders nobody does.
    pub recorders: Option<Arc<Recorders>>,
    /// What the state takes on disk, as it was lately.
    pub state_bytes: AtomicU64,
    /// What is wrong, and was.
    pub alerts: Alerts,
    /// Set once the service was told to stop: not ready, and connections close after their answer.
    pub stopping: AtomicBool,
}

/// What one worker thread owns.
pub struct Worker {
    shared: Arc<Shared>,
    edge: Rc<edge::Edge>,
    /// Never borrowed across an await.
    scorer: RefCell<Scorer>,
}

impl Worker {
    /// A worker with its own scorer, to be given to the application of its thread.
    pub fn new(shared: Arc<Shared>, edge: Rc<edge::Edge>, scorer: Scorer) -> Rc<Self> {
        Rc::new(Self { shared, edge, scorer: RefCell::new(scorer) })
    }

    /// The scorer, of the bundle that is served as this request begins to be scored and until it is.
    fn scorer(&self) -> RefMut<'_, Scorer> {
        let mut scorer = self.scorer.borrow_mut();
        scorer.follow();
        scorer
    }
}

impl Shared {
    /// What reads records and histories, whichever bundle is served.
    fn plan(&self) -> &FeaturePlan {
        self.started_with.plan()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
