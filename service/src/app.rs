//! The application: what is built from a configuration and runs until it is told to stop. Only this module sees everything.
//!
//! Building loads the bundle, makes one model session for each worker and binds the port: what can fail fails here, before
//! the first request. On SIGTERM or SIGINT the service says that it is not ready, answers what is in flight and ends.

mod embedded;
mod reloading;
mod server;
mod stream;
mod watching;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use actix_web::App as ActixApp;
use actix_web::rt::System;
use cauce_model::bundle::{Bundle, BundleError, Limits};
use cauce_model::onnx::ModelError;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;

use crate::alerts::Alerts;
use crate::alerts::webhook::WebhookError;
use crate::clock::{Clock, ClockError};
use crate::config::{self, Config};
use crate::degrade::Allowed;
use crate::http::edge::{Edge, Gate};
use crate::http::live::Seats;
use crate::http::score::BundleRef;
use crate::http::{self, Shared, Worker};
use crate::ingest::{Ingest, IngestError};
use crate::kafka::ClusterError;
use crate::keeper::Upkeep;
use crate::kpi::Board;
use crate::ledger::Ledger;
use crate::log::embedded::OpenError;
use crate::log::{EventLog, Position};
use crate::metrics::Metrics;
use crate::metrics::ledger::LedgerMetrics;
use crate::metrics::trace::TraceMetrics;
use crate::reload::Reloader;
use crate::scoring::{Guards, Scorer};
use crate::serving::{Serving, Slot};
use crate::shelf::{self, OnDamage, Shelf, ShelfError};
use crate::store::{Histories, StateError};
use crate::trace::Tracer;
use crate::trace::export::ExportError;

/// Bytes of a cached score on disk, and of those that wait to be written.
const VALUE_BYTES: u64 = 20;
const CACHE_QUEUE: usize = 1 << 20;

/// The service, ready to run.
pub struct App {
    shared: Arc<Shared>,
    /// What reads from Kafka.
    stream: Option<stream::Stream>,
    /// What keeps log and state in shape.
    threads: Vec<JoinHandle<()>>,
    watching: watching::Watching,
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
    #[error(
        "the answers kept at `{path}` cannot be used: {cause}. Put the files back as they were, or start with `--accept-data-loss` to go \
         on without them if they are damaged"
    )]
    Ledger { path: String, cause: ShelfError },
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("cannot listen on `{listen}`: {cause}")]
    Listen { listen: String, cause: io::Error },
    #[error("cannot use Kafka: {0}")]
    Kafka(#[from] ClusterError),
    #[error("{0}")]
    Stream(String),
    #[error("the cache on disk: {0}")]
    Cache(#[from] ShelfError),
    #[error("`{key}`: {cause}")]
    Setting { key: &'static str, cause: String },
    #[error(transparent)]
    Traces(#[from] ExportError),
    #[error(transparent)]
    Alerts(#[from] WebhookError),
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
        // What reads from Kafka spreads its work over as many threads of its own.
        let seats = config.server.workers * if config.kafka.brokers.is_empty() { 1 } else { 2 };
        let slot = Arc::new(Slot::new(Serving::prepare(bundle.clone(), seats)?));
        let clock = clock(&config.server.clock)?;
        let metrics = Arc::new(Metrics::new(&config.bounds(), BundleRef::of(&bundle).labels()));
        let recorders = watching::recorders(&config.kpi, &bundle)?;
        let tracer = Tracer::start(&config.tracing, TraceMetrics::new(&metrics))?;
        let backend = match config.kafka.brokers.is_empty() {
            true => embedded::open(&config, &bundle, clock, &metrics, recovery)?,
            false => stream::open(&config, &bundle, &slot, clock, &metrics, recorders.as_deref(), recovery)?,
        };
        let Backend { log, histories, upkeep, mut threads, stream } = backend;
        let guards = guards(&config, &clock)?;
        let (pressed, held) = (guards.clone(), histories.clone());
        // Caches make room before histories do.
        let press = move || pressed.cache.press(held.here().any(|(_, store)| store.is_over_budget()));
        threads.push(guards.watchdog.start(press)?);
        let reloader = Reloader::new(config.model.clone(), slot.clone(), seats, metrics.clone());
        let ledger = ledger(&config, clock, recovery)?.map(Arc::new);
        let shared = Shared {
            ledger,
            ledger_metrics: LedgerMetrics::new(&metrics),
            alerts: Alerts::open(&config, |variable| std::env::var(variable).ok(), &metrics)?,
            ingest: Arc::new(Ingest::new(log, histories.clone(), bundle.clone(), config.log.applications)),
            histories,
            upkeep,
            budget: config.budget.clone(),
            allowed: Allowed::parse(&config.ladder).map_err(|(key, cause)| AppError::Setting { key, cause })?,
            refer: config.ladder.refer.clone(),
            guards,
            disk_reads: Arc::new(Semaphore::new(config.breaker.reads)),
            disk_queries: Arc::new(Semaphore::new(config.breaker.reads)),
            stream: stream.as_ref().map(|stream| stream.control.clone()),
            metrics,
            clock,
            openapi: http::document(bundle.plan().specification()),
            reloader: Arc::new(reloader),
            started_with: bundle,
            slot,
            gate: Gate::new(&config),
            server: config.server.clone(),
            tracer,
            kpis: Board::default(),
            live: Seats::new(config.kpi.live_clients),
            recorders,
            state_bytes: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        };
        let shared = Arc::new(shared);
        let watching = watching::start(shared.clone(), config.kpi)?;
        Ok(Self { shared, stream, threads, watching })
    }

    /// Serves until told to stop. `listening` is told the address, whose port the system may have chosen.
    pub fn run(self, listening: impl FnOnce(SocketAddr)) -> Result<(), AppError> {
        let Self { shared, stream, mut threads, watching } = self;
        let served = System::new().block_on(serve(shared.clone(), listening));
        // Where it never listened nobody has said so yet, and what runs until then is waited for below.
        shared.stopping.store(true, Ordering::Relaxed);
        threads.push(watching.stop());
        let streamed = stream.map_or(Ok(()), stream::Stream::stop);
        shared.alerts.stop();
        shared.upkeep.stop();
        shared.guards.watchdog.stop();
        shared.guards.cache.stop();
        if let Some(ledger) = &shared.ledger {
            ledger.stop();
        }
        // All are waited for, whatever one of them met.
        if threads.into_iter().filter_map(|thread| thread.join().err()).count() > 0 {
            tracing::error!("a thread that keeps log and state met a defect");
        }
        // Beside the bounds of the rest, so that a receiver which does not answer holds up no stop.
        shared.tracer.stop(shared.server.shutdown_timeout.get() / 8);
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

async fn serve(shared: Arc<Shared>, listening: impl FnOnce(SocketAddr)) -> Result<(), AppError> {
    let worker_shared = shared.clone();
    let application = move |edge: &Rc<Edge>| {
        let Shared { slot, histories, ingest, guards, .. } = &*worker_shared;
        let scorer = Scorer::new(slot, histories.clone(), ingest.clone(), guards.clone());
        let scorer = scorer.expect("a session could be made before");
        ActixApp::new().app_data(Worker::new(worker_shared.clone(), edge.clone(), scorer)).configure(http::configure)
    };
    let failed = |cause| AppError::Listen { listen: shared.server.listen.clone(), cause };
    let listeners = server::listen(&shared.server).map_err(failed)?;
    if let Some(first) = listeners.first() {
        listening(first.local_addr()?);
    }
    reloading::start(&shared.reloader, shared.started_with.clone());
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

/// The breakers and caches, all fresh but for what is on disk.
fn guards(config: &Config, clock: &Clock) -> Result<Arc<Guards>, AppError> {
    let config::Cache { disk_entries, directory, .. } = &config.cache;
    let keep = config.ladder.cached_age.get();
    let bounds =
        shelf::Bounds { entries: *disk_entries, bytes: VALUE_BYTES * *disk_entries as u64, keep, queue: CACHE_QUEUE };
    let l2 = (*disk_entries > 0).then(|| Shelf::open(directory, bounds, OnDamage::StartAnew, clock.now()));
    let l2 = l2.transpose()?.map(Arc::new);
    let log = if config.kafka.brokers.is_empty() { "log" } else { "kafka" };
    Ok(Arc::new(Guards::new(config, log, l2, Instant::now())))
}

fn load(config: &config::Model) -> Result<Bundle, AppError> {
    let bundle = Bundle::load(&config.bundle, &Limits::default())
        .map_err(|cause| AppError::Bundle { path: config.bundle.display().to_string(), cause })?;
    tracing::info!(name = bundle.name(), version = bundle.version(), hash = bundle.hash(), "bundle loaded");
    Ok(bundle)
}

/// Answers kept for their repetition, unless none are to be.
fn ledger(config: &Config, clock: Clock, recovery: Recovery) -> Result<Option<Ledger>, AppError> {
    let settings = &config.ledger;
    if settings.keep.get().is_zero() {
        return Ok(None);
    }
    let on_damage = if recovery.accept_data_loss { OnDamage::StartAnew } else { OnDamage::Refuse };
    let opened = Ledger::open(settings, config.log.applications, on_damage, clock.now());
    opened.map(Some).map_err(|cause| AppError::Ledger { path: settings.directory.display().to_string(), cause })
}

fn clock(setting: &str) -> Result<Clock, ClockError> {
    let clock = Clock::parse(setting)?;
    if let Clock::Frozen(instant) = clock {
        tracing::warn!(%instant, "THE CLOCK STANDS STILL: every application is scored as of this instant");
    }
    Ok(clock)
}
