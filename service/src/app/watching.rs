//! The thread that makes a snapshot of the service once a second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::breaker::{Breaker, STATES};
use crate::http::Shared;
use crate::kpi::snapshot::{BreakerKpis, Resources};
use crate::kpi::{Point, Snapshot};

const EVERY: Duration = Duration::from_secs(1);

/// Starts it; it ends once the service was told to stop.
pub fn start(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("kpi".to_owned()).spawn(move || {
        let started = Instant::now();
        while !shared.stopping.load(Ordering::Relaxed) {
            let timestamp = shared.clock.now();
            let point = Point { timestamp, ..Point::default() };
            let uptime_seconds = started.elapsed().as_secs_f64();
            let now = Instant::now();
            let breaker =
                |one: &Breaker| BreakerKpis { dependency: one.name, state: STATES[one.state(now).0 as usize].1 };
            let resources =
                Resources { breakers: shared.guards.breakers().map(breaker).into(), ..Resources::default() };
            let mut snapshot = Snapshot { timestamp, uptime_seconds, point, resources, ..Snapshot::default() };
            shared.alerts.observe(&mut snapshot);
            shared.kpis.post(snapshot);
            thread::sleep(EVERY);
        }
    })
}
