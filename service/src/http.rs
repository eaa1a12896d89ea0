//! The HTTP edge: bytes in, bytes out, and everything that only HTTP knows.
//!
//! One file a resource. Every handler has the same three steps: begin a [`Call`](call::Call), read the body, answer. What a
//! worker thread needs to score it owns ([`Worker`]), so a request is handled where it arrives: no lock around the model,
//! no hand-off, one await for the body.

pub mod admin;
mod ahorro_valle;
mod answer;
mod batch;
mod body;
mod bundle;
mod call;
pub mod connection;
mod docs;
pub mod edge;
mod events;
mod health;
mod openapi;
pub mod people;
pub mod pulse;
mod refusal;
pub mod routes;
pub mod score;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use cauce_model::bundle::Bundle;

use crate::clock::Clock;
use crate::config::Server;
use crate::ingest::Ingest;
use crate::kafka::worker::Control;
use crate::keeper::Upkeep;
use crate::metrics::Metrics;
use crate::scoring::Scorer;
use crate::store::Histories;

pub use openapi::document;
pub use routes::configure;

/// What all worker threads share.
pub struct Shared {
    pub bundle: Arc<Bundle>,
    pub histories: Arc<Histories>,
    pub ingest: Arc<Ingest>,
    pub upkeep: Arc<dyn Upkeep>,
    /// What reads from Kafka, if anything does.
    pub stream: Option<Arc<Control>>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub server: Server,
    /// The OpenAPI document of the bundle that is served.
    pub openapi: Bytes,
    /// Who is let in.
    pub gate: edge::Gate,
    /// Set once the service was told to stop: not ready, and connections close after their answer.
    pub stopping: AtomicBool,
}

/// What one worker thread owns.
pub struct Worker {
    shared: Arc<Shared>,
    edge: Rc<edge::Edge>,
    /// Never borrowed across an await.
    scorer: RefCell<Scorer>,
    ids: call::RequestIds,
}

impl Worker {
    /// A worker with its own scorer, to be given to the application of its thread.
    pub fn new(shared: Arc<Shared>, edge: Rc<edge::Edge>, scorer: Scorer) -> Rc<Self> {
        Rc::new(Self { shared, edge, scorer: RefCell::new(scorer), ids: call::RequestIds::new() })
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
