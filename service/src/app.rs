//! The application: what is built from a configuration and runs until it is told to stop. Only this module sees everything.
//!
//! Building loads the bundle, makes one model session for each worker and binds the port: what can fail fails here, before
//! the first request. On SIGTERM or SIGINT the service says that it is not ready, answers what is in flight and ends.

mod embedded;
mod server;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use actix_web::App as ActixApp;
use actix_web::rt::System;
use cauce_model::bundle::{Bundle, BundleError, Limits};
use cauce_model::onnx::{ModelError, OnnxModel};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clock::{Clock, ClockError};
use crate::config::{self, Config};
use crate::http::edge::{Edge, Gate};
use crate::http::score::BundleRef;
use crate::http::{self, Shared, Worker};
use crate::ingest::{Ingest, IngestError};
use crate::kafka::ClusterError;
use crate::keeper::Upkeep;
use crate::log::embedded::OpenError;
use crate::log::{EventLog, Position};
use crate::metrics::Metrics;
use crate::scoring::Scorer;
use crate::store::{Histories, StateError};

/// The service, ready to run.
pub struct App {
    shared: Arc<Shared>,
    /// What reads from Kafka.
    stream: Option<stream::Stream>,
    /// What keeps log and state in shape.
    threads: Vec<JoinHandle<()>>,
    /// One for each worker, taken when its thread starts.
    models: Vec<OnnxModel>,
}

/// Why the service cannot start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot load the bundle at `{path}`: {cause}")]
    Bundle { path: String, cause: BundleError },
    #[error("cannot run the model: {0}")]
    Model(#[from] ModelError),
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(
        "the state is not rebuilt: the log begins at position {0}, what stood before was dropped by age or size and is in the state \
         alone; start with `--accept-data-loss` too to go on without it"
    )]
    NotAll(Position),
    #[error("the state cannot be brought up to the log: {0}")]
    Replay(IngestError),
    #[error("the state stands for records up to position {covered}, but the log holds {from} to {to}: {advice}")]
    Apart { covered: Position, from: Position, to: Position, advice: &'static str },
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("cannot listen on `{listen}`: {cause}")]
    Listen { listen: String, cause: io::Error },
    #[error("cannot use Kafka: {0}")]
    Kafka(#[from] ClusterError),
    #[error("{0}")]
    Stream(String),
    #[error("the server failed: {0}")]
    Server(#[from] io::Error),
}

impl App {
    /// Loads what the configuration names, and brings the state up to the log.
    pub fn build(mut config: Config, recovery: Recovery) -> Result<Self, AppError> {
        raise_open_files();
        let bundle = Arc::new(load(&config.model)?);
        if config.server.workers == 0 {
            config.server.workers = thread::available_parallelism().map_or(1, usize::from);
        }
        let models = (0..config.server.workers).map(|_| OnnxModel::new(&bundle)).collect::<Result<_, _>>()?;
        let clock = clock(&config.server.clock)?;
        let metrics = Arc::new(Metrics::new(&config.bounds(), BundleRef::of(&bundle).labels()));
        let backend = match config.kafka.brokers.is_empty() {
            true => embedded::open(&config, &bundle, clock, &metrics, recovery)?,
            false => stream::open(&config, &bundle, clock, &metrics, recovery)?,
        };
        let Backend { log, histories, upkeep, threads, stream } = backend;
        let shared = Shared {
            ingest: Arc::new(Ingest::new(log, histories.clone(), bundle.clone(), config.log.applications)),
            histories,
            upkeep,
            stream: stream.as_ref().map(|stream| stream.control.clone()),
            metrics,
            clock,
            openapi: http::document(bundle.plan().specification()),
            bundle,
            gate: Gate::new(&config),
            server: config.server.clone(),
            stopping: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared), stream, threads, models })
    }

    /// Serves until told to stop. `listening` is told the address, whose port the system may have chosen.
    pub fn run(self, listening: impl FnOnce(SocketAddr)) -> Result<(), AppError> {
        let Self { shared, stream, threads, models } = self;
        let served = System::new().block_on(serve(shared.clone(), models, listening));
        let streamed = stream.map_or(Ok(()), stream::Stream::stop);
        shared.upkeep.stop();
        if threads.into_iter().any(|thread| thread.join().is_err()) {
            tracing::error!("a thread that keeps log and state met a defect");
        }
        served.and(streamed)
    }
}

/// Where what is accepted goes, and what is made of it.
struct Backend {
    log: Arc<dyn EventLog>,
    histories: Arc<Histories>,
    upkeep: Arc<dyn Upkeep>,
    threads: Vec<JoinHandle<()>>,
    stream: Option<stream::Stream>,
}

/// What a start may do to data that is not as it should be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Recovery {
    /// Go on without records that are damaged or missing.
    pub accept_data_loss: bool,
    /// Remove the state and apply the log again.
    pub rebuild_state: bool,
}

async fn serve(
    shared: Arc<Shared>,
    models: Vec<OnnxModel>,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), AppError> {
    let (models, worker_shared) = (Arc::new(Mutex::new(models)), shared.clone());
    let application = move |edge: &Rc<Edge>| {
        // A worker thread that died is started anew, and by then the prepared sessions are used up.
        let prepared = models.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let model = prepared.unwrap_or_else(|| OnnxModel::new(&worker_shared.bundle).expect("it could be made before"));
        let Shared { bundle, histories, ingest, .. } = &*worker_shared;
        let scorer = Scorer::new(bundle.clone(), histories.clone(), ingest.clone(), model);
        ActixApp::new().app_data(Worker::new(worker_shared.clone(), edge.clone(), scorer)).configure(http::configure)
    };
    let failed = |cause| AppError::Listen { listen: shared.server.listen.clone(), cause };
    let listeners = server::listen(&shared.server).map_err(failed)?;
    if let Some(first) = listeners.first() {
        listening(first.local_addr()?);
    }
    let running = server::start(&shared, listeners, application)?;
    actix_web::rt::spawn(server::stop_on_signal(running.handle(), shared));
    Ok(running.await?)
}

/// Connections and segments are files: as many may be open as the system allows this process.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, current = limit.current, "the limit of open files is not raised");
    }
}

fn load(config: &config::Model) -> Result<Bundle, AppError> {
    let bundle = Bundle::load(&config.bundle, &Limits::default())
        .map_err(|cause| AppError::Bundle { path: config.bundle.display().to_string(), cause })?;
    tracing::info!(name = bundle.name(), version = bundle.version(), hash = bundle.hash(), "bundle loaded");
    Ok(bundle)
}

fn clock(setting: &str) -> Result<Clock, ClockError> {
    let clock = Clock::parse(setting)?;
    if let Clock::Frozen(instant) = clock {
        tracing::warn!(%instant, "THE CLOCK STANDS STILL: every application is scored as of this instant");
    }
    Ok(clock)
}
