//! The thread that looks at the service once a second: it reads what takes time to read, and has a snapshot made.
//!
//! It alone walks directories for their sizes, so that no worker waits for a disk to answer `/metrics`. It never waits for requests, nor
//! they for it, and ends as soon as it is told to. What it shows is of the machine's time, even where the service's clock stands still to
//! replay history: only decisions are as of that clock, and a chart of seconds that are all the same could not grow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cauce_features::time::Timestamp;
use cauce_model::bundle::Bundle;

use super::AppError;
use crate::breaker::Breaker;
use crate::clock::Clock;
use crate::config;
use crate::http::Shared;
use crate::http::routes::{ROUTES, Route};
use crate::kpi::advice::{self, Limits};
use crate::kpi::collector::{Collector, Readings, RouteRow};
use crate::kpi::groups::Groups;
use crate::kpi::interval::Interval;
use crate::kpi::recorder::{Load, Recorders, Scheme};
use crate::kpi::snapshot::{BreakerKpis, Resources};
use crate::machine::{self, Cpu};
use crate::metrics::Metrics;
use crate::store::Store;

const EVERY: Duration = Duration::from_secs(1);
/// How often sizes on disk are read, and how much of the machine may be used.
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
    cores: f64,
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
    let (started, cpu) = (Instant::now(), Cpu::default());
    let mut watch = Watch { shared, started, cpu, cores: 1.0, memory_limit_bytes: 0, looks: 0 };
    // Before the first request, whoever asks for them finds sizes.
    watch.read_sizes();
    let metrics = watch.shared.metrics.clone();
    let run = move || match watch.shared.recorders.clone() {
        Some(recorders) => watch.collect(&recorders, &settings, &metrics, &stop),
        None => each_second(&mut watch, &metrics, &stop, |_| (), |watch, (), _| watch.look()),
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
    fn collect(&mut self, recorders: &Recorders, settings: &config::Kpi, metrics: &Metrics, stop: &AtomicBool) {
        let (scheme, limits) = (recorders.scheme(), Limits::new(settings));
        let begin = |watch: &Self| {
            let cache = watch.shared.guards.cache.status();
            let collector = Collector::new(settings, scheme.clone(), routes(), cache, Clock::System.now());
            (collector, Interval::new(scheme.extent))
        };
        each_second(self, metrics, stop, begin, |watch, (collector, second), elapsed| {
            watch.look();
            second.clear();
            let load = recorders.take(second, Instant::now());
            let readings = watch.read(load);
            let mut snapshot = collector.tick(Clock::System.now(), elapsed, second, readings);
            (snapshot.state, snapshot.problems) = advice::assess(&snapshot, &limits);
            watch.shared.alerts.observe(&mut snapshot);
            watch.shared.kpis.post(snapshot);
        });
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
        self.memory_limit_bytes = machine::memory_limit_bytes();
        self.cores = machine::cores();
    }

    fn read(&mut self, load: Load) -> Readings {
        let shared = self.shared.clone();
        Readings {
            uptime: self.started.elapsed(),
            resources: self.resources(load),
            cache: shared.guards.cache.status(),
            bundle: shared.slot.bundle(),
        }
    }

    fn resources(&mut self, load: Load) -> Resources {
        let cpu_ratio = self.cpu.share(self.cores);
        let (shared, limit) = (&self.shared, self.memory_limit_bytes);
        let memory_bytes = machine::memory_bytes().unwrap_or(0);
        let (histories, log) = (&shared.histories, shared.ingest.log().status());
        let instant = Instant::now();
        let breaker = |breaker: &Breaker| BreakerKpis { dependency: breaker.name, state: breaker.state_name(instant) };
        // Checkpoints are of the service's clock.
        let now = shared.clock.now();
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

/// Calls `act` at once, and from then on every second with how long the last one really was, until told to stop. A defect costs what was
/// begun with and no more: the next second begins anew.
fn each_second<W, B>(
    watch: &mut W,
    metrics: &Metrics,
    stop: &AtomicBool,
    begin: impl Fn(&W) -> B,
    mut act: impl FnMut(&mut W, &mut B, Duration),
) {
    let mut begun = begin(watch);
    let mut last = None;
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        // No second is shorter, also after one that was longer: shares and rates of a moment would say nothing.
        let wait = last.map_or(Duration::ZERO, |last: Instant| (last + EVERY).saturating_duration_since(now));
        if !wait.is_zero() {
            thread::park_timeout(wait);
            continue;
        }
        let elapsed = last.replace(now).map_or(Duration::ZERO, |last| now - last);
        if catch_unwind(AssertUnwindSafe(|| act(watch, &mut begun, elapsed))).is_err() {
            metrics.panicked();
            begun = begin(watch);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogStatus;
    use crate::metrics::Held;
    use crate::scoring::Guards;

    #[test]
    fn a_defect_costs_one_second_and_no_second_is_shorter_than_one() {
        let metrics = Metrics::new(&[], [("name", "n"), ("version", "1"), ("hash", "00")]);
        let (stop, mut seen) = (AtomicBool::new(false), Vec::new());
        each_second(
            &mut (),
            &metrics,
            &stop,
            |()| 0,
            |(), begun, elapsed| {
                *begun += 1;
                seen.push((*begun, elapsed));
                match seen.len() {
                    1 => panic!("a defect, as this test wants it"),
                    // The next one is due soon after.
                    2 => thread::sleep(EVERY / 2),
                    3 => stop.store(true, Ordering::Relaxed),
                    _ => {}
                }
            },
        );
        let page = metrics.render(&Held::default(), &LogStatus::default(), &Guards::for_tests());
        assert!(page.contains("\ncauce_panics_total 1\n"), "{page}");
        assert_eq!(seen.iter().map(|(begun, _)| *begun).collect::<Vec<_>>(), [1, 1, 2]);
        assert!(seen[0].1.is_zero() && seen[1..].iter().all(|(_, elapsed)| *elapsed >= EVERY), "{seen:?}");
    }
}
