//! The application: what is built from a configuration and runs until it is told to stop. Only this module sees everything.
//!
//! Building loads the bundle, makes one model session for each worker and binds the port: what can fail fails here, before
//! the first request. On SIGTERM or SIGINT the service says that it is not ready, answers what is in flight and ends.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::System;
use actix_web::rt::signal::unix::{SignalKind, signal};
use actix_web::{App as ActixApp, HttpServer};
use cauce_features::time::{TimeError, Timestamp};
use cauce_model::bundle::{Bundle, BundleError, Limits};
use cauce_model::onnx::{ModelError, OnnxModel};

use crate::clock::Clock;
use crate::config::{self, Config};
use crate::http::score::BundleRef;
use crate::http::{self, Shared, Worker};
use crate::metrics::Metrics;
use crate::scoring::Scorer;
use crate::store::{Bounds, Store};

/// The service, ready to run.
pub struct App {
    config: Config,
    shared: Arc<Shared>,
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
    #[error("`server.clock` must be `system` or an instant such as `2026-01-15T14:00:00Z`: {0}")]
    Clock(TimeError),
    #[error("cannot listen on `{listen}`: {cause}")]
    Listen { listen: String, cause: io::Error },
    #[error("the server failed: {0}")]
    Server(#[from] io::Error),
}

impl App {
    /// Loads what the configuration names.
    pub fn build(mut config: Config) -> Result<Self, AppError> {
        let bundle = load(&config.model)?;
        if config.server.workers == 0 {
            config.server.workers = thread::available_parallelism().map_or(1, usize::from);
        }
        let models = (0..config.server.workers).map(|_| OnnxModel::new(&bundle)).collect::<Result<_, _>>()?;
        let shared = Shared {
            store: Arc::new(Store::new(Bounds::from(&config.store))),
            metrics: Metrics::new(&config.bounds(), BundleRef::of(&bundle).labels()),
            clock: clock(&config.server.clock)?,
            openapi: http::document(bundle.plan().specification()),
            bundle: Arc::new(bundle),
            server: config.server.clone(),
            stopping: AtomicBool::new(false),
        };
        Ok(Self { config, shared: Arc::new(shared), models })
    }

    /// Serves until told to stop. `listening` is told the address, whose port the system may have chosen.
    pub fn run(self, listening: impl FnOnce(SocketAddr)) -> Result<(), AppError> {
        let Self { config, shared, models } = self;
        sweep_in_background(shared.clone(), config.store.sweep.get());
        System::new().block_on(serve(config.server, shared, models, listening))
    }
}

async fn serve(
    server: config::Server,
    shared: Arc<Shared>,
    models: Vec<OnnxModel>,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), AppError> {
    let (models, worker_shared) = (Arc::new(Mutex::new(models)), shared.clone());
    let application = move || {
        // A worker thread that died is started anew, and by then the prepared sessions are used up.
        let prepared = models.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let model = prepared.unwrap_or_else(|| OnnxModel::new(&worker_shared.bundle).expect("it could be made before"));
        let scorer = Scorer::new(worker_shared.bundle.clone(), worker_shared.store.clone(), model);
        ActixApp::new()
            .app_data(Worker::new(worker_shared.clone(), scorer))
            .wrap_fn(http::hold)
            .configure(http::configure)
    };
    let bound = HttpServer::new(application)
        .workers(server.workers)
        .max_connections(server.connections.div_ceil(server.workers))
        .backlog(server.backlog)
        .client_request_timeout(server.head_timeout.get())
        .client_disconnect_timeout(server.head_timeout.get())
        .keep_alive(server.keep_alive.get())
        .shutdown_timeout(server.shutdown_timeout.get().as_secs().max(1))
        .disable_signals()
        .bind(&server.listen)
        .map_err(|cause| AppError::Listen { listen: server.listen.clone(), cause })?;
    if let Some(address) = bound.addrs().first() {
        listening(*address);
    }
    let running = bound.run();
    actix_web::rt::spawn(stop_on_signal(running.handle(), shared));
    Ok(running.await?)
}

async fn stop_on_signal(handle: ServerHandle, shared: Arc<Shared>) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received: only a kill stops this process");
        return;
    };
    std::future::poll_fn(|context| {
        if terminate.poll_recv(context).is_ready() {
            std::task::Poll::Ready(())
        } else {
            interrupt.poll_recv(context).map(|_| ())
        }
    })
    .await;
    tracing::info!("told to stop: answering what is in flight");
    shared.stopping.store(true, Ordering::Relaxed);
    handle.stop(true).await;
}

/// Lets go of events that no window reaches any more, shard by shard, so that all are visited once in `every`, and adds up what
/// was measured meanwhile.
fn sweep_in_background(shared: Arc<Shared>, every: Duration) {
    let pause = every / u32::try_from(shared.store.shards()).unwrap_or(u32::MAX);
    let sweep = move || {
        for shard in (0..shared.store.shards()).cycle() {
            thread::sleep(pause);
            let plan = shared.bundle.plan();
            let through = shared.clock.now().millis() - plan.specification().horizon.millis();
            shared.store.sweep(plan, shard, Timestamp::from_millis(through));
            shared.metrics.add_up();
        }
    };
    if let Err(error) = thread::Builder::new().name("cauce-sweep".into()).spawn(sweep) {
        tracing::warn!(%error, "no thread for the sweep: memory of old events and of samples is not freed");
    }
}

fn load(config: &config::Model) -> Result<Bundle, AppError> {
    let bundle = Bundle::load(&config.bundle, &Limits::default())
        .map_err(|cause| AppError::Bundle { path: config.bundle.display().to_string(), cause })?;
    tracing::info!(name = bundle.name(), version = bundle.version(), hash = bundle.hash(), "bundle loaded");
    Ok(bundle)
}

fn clock(setting: &str) -> Result<Clock, AppError> {
    if setting == "system" {
        return Ok(Clock::System);
    }
    let instant = Timestamp::parse(setting).map_err(AppError::Clock)?;
    tracing::warn!(%instant, "THE CLOCK STANDS STILL: every application is scored as of this instant");
    Ok(Clock::Frozen(instant))
}

impl From<&config::Store> for Bounds {
    fn from(config: &config::Store) -> Self {
        Self { people: config.people, events_per_person: config.events_per_person }
    }
}
