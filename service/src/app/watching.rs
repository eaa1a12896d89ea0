//! The thread that looks at the service once a second: it reads what takes time to read, and has a snapshot made.
//!
//! It alone walks directories for their sizes, so that no worker waits for a disk to answer `/metrics`. It never waits for requests, nor
//! they for it, and ends as soon as it is told to.

mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cauce_features::time::Timestamp;
use cauce_model::bundle::Bundle;

use super::AppError;
use crate::breaker::STATES;
use crate::config;
use crate::http::Shared;
use crate::http::routes::{ROUTES, Route};
use crate::kpi::advice::{self, Limits};
use crate::kpi::collector::{Collector, Readings, RouteRow};
use crate::kpi::groups::Groups;
use crate::kpi::interval::Interval;
use crate::kpi::recorder::{Load, Recorders, Scheme};
use crate::kpi::snapshot::{BreakerKpis, Resources};
use crate::store::Store;
use process::Cpu;

const EVERY: Duration = Duration::from_secs(1);
/// How often sizes on disk are read, and how much memory there is.
const SIZES_EVERY: u64 = 10;

/// The thread.
pub(super) struct Watching {
    thread: JoinHandle<()>,
    is_stopped: Arc<AtomicBool>,
}

/// What it goes by.
struct Watch {
    shared: Arc<Shared>,
    started: Instant,
    cpu: Cpu,
    memory_limit_bytes: u64,
    /// How often it has looked.
    looks: u64,
}

/// Recorders for all threads that record, unless no KPIs are kept.
pub(super) fn recorders(settings: &config::Kpi, bundle: &Bundle) -> Result<Option<Arc<Recorders>>, AppError> {
    let groups = Groups::new(settings, bundle.plan().specification());
    let groups = groups.map_err(|(key, cause)| AppError::Setting { key, cause })?;
    if settings.window.get().is_zero() {
        return Ok(None);
    }
    // What is asked of no route that there is counts as no request.
    let counted = ROUTES.iter().map(Route::is_counted).chain([false]);
    Ok(Some(Arc::new(Recorders::new(Scheme::new(counted.collect(), groups, bundle, settings.drift_rows)))))
}

/// Starts it.
pub(super) fn start(shared: Arc<Shared>, settings: config::Kpi) -> std::io::Result<Watching> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    let stop = is_stopped.clone();
    let mut watch = Watch { shared, started: Instant::now(), cpu: Cpu::new(), memory_limit_bytes: 0, looks: 0 };
    // Before the first request, whoever asks for them finds sizes.
    watch.read_sizes();
    let run = move || match watch.shared.recorders.clone() {
        Some(recorders) => watch.collect(&recorders, &settings, &stop),
        None => watch.each_second(&stop, |watch, _| watch.look()),
    };
    let thread = thread::Builder::new().name("cauce-kpi".into()).spawn(run)?;
    Ok(Watching { thread, is_stopped })
}

impl Watching {
    /// Has it end; the thread, to be waited for.
    pub(super) fn stop(self) -> JoinHandle<()> {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread
    }
}

impl Watch {
    fn collect(&mut self, recorders: &Recorders, settings: &config::Kpi, stop: &AtomicBool) {
        let (scheme, limits) = (recorders.scheme(), Limits::new(settings));
        let mut collector = Collector::new(settings, scheme.clone(), routes(), self.shared.clock.now());
        let mut second = Interval::new(scheme.extent);
        self.each_second(stop, |watch, elapsed| {
            watch.look();
            second.clear();
            let load = recorders.take(&mut second);
            let now = watch.shared.clock.now();
            let readings = watch.read(now, elapsed, load);
            let mut snapshot = collector.tick(now, elapsed, &mut second, readings);
            (snapshot.state, snapshot.problems) = advice::assess(&snapshot, &limits);
            watch.shared.alerts.observe(&mut snapshot);
            watch.shared.kpis.post(snapshot);
        });
    }

    /// Calls `act` at once and every second with how long the last one really was, until told to stop.
    fn each_second(&mut self, stop: &AtomicBool, mut act: impl FnMut(&mut Self, Duration)) {
        let mut last = Instant::now();
        let mut due = last;
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now < due {
                thread::park_timeout(due - now);
                continue;
            }
            act(self, now - last);
            last = now;
            // A second that was missed is not made up for.
            due = (due + EVERY).max(Instant::now());
        }
    }

    fn look(&mut self) {
        self.looks += 1;
        if self.looks.is_multiple_of(SIZES_EVERY) {
            self.read_sizes();
        }
    }

    fn read_sizes(&mut self) {
        let bytes = self.shared.histories.sum(Store::disk_bytes);
        self.shared.state_bytes.store(bytes, Ordering::Relaxed);
        self.memory_limit_bytes = process::memory_limit_bytes();
    }

    fn read(&mut self, now: Timestamp, elapsed: Duration, load: Load) -> Readings {
        let shared = self.shared.clone();
        Readings {
            uptime: self.started.elapsed(),
            resources: self.resources(now, elapsed, load),
            cache: shared.guards.cache.status(),
            bundle: shared.slot.bundle(),
        }
    }

    fn resources(&mut self, now: Timestamp, elapsed: Duration, load: Load) -> Resources {
        let cpu_ratio = self.cpu.share(elapsed);
        let (shared, memory_bytes, limit) = (&self.shared, process::memory_bytes(), self.memory_limit_bytes);
        let (histories, log) = (&shared.histories, shared.ingest.log().status());
        let instant = Instant::now();
        let breaker = |breaker: &crate::breaker::Breaker| BreakerKpis {
            dependency: breaker.name,
            state: STATES[breaker.state(instant).0 as usize].1,
        };
        let age = |at: Timestamp| (now.millis() - at.millis()).max(0) as f64 / 1e3;
        // Of several slices, that which is furthest behind; one without a checkpoint has nothing to be old.
        let checkpointed = histories.here().filter_map(|(_, store)| store.checkpointed_at()).min();
        Resources {
            cpu_ratio,
            memory_bytes,
            memory_limit_bytes: limit,
            memory_ratio: if limit > 0 { memory_bytes as f64 / limit as f64 } else { 0.0 },
            open_connections: shared.gate.open.load(Ordering::Relaxed) as u64,
            in_flight: load.in_flight as u64,
            queue_records: log.waiting_records as u64,
            queue_bytes: log.waiting_bytes as u64,
            queue_age_seconds: log.waiting_since.map_or(0.0, |since| since.elapsed().as_secs_f64()),
            event_loop_delay_seconds: load.delay.as_secs_f64(),
            people: histories.sum(Store::people) as u64,
            history_memory_bytes: histories.sum(Store::memory_bytes) as u64,
            log_bytes: log.bytes,
            state_bytes: shared.state_bytes.load(Ordering::Relaxed),
            checkpoint_age_seconds: checkpointed.map(age),
            kafka: shared.stream.as_ref().map(|stream| stream.behind()),
            breakers: shared.guards.breakers().map(breaker).into(),
            // What is usual is for alerts to know.
            log_growth_ratio: None,
        }
    }
}

/// The table of routes, as KPIs tell it.
fn routes() -> Vec<RouteRow> {
    let known = ROUTES.iter().map(|route| RouteRow {
        method: route.method.as_str(),
        path: route.path,
        scores: route.endpoint.scores_one(),
    });
    known.chain([RouteRow { method: "*", path: "unmatched", scores: false }]).collect()
}
