//! The thread that makes a snapshot of the service once a second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http::Shared;
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
            shared.kpis.post(Snapshot { timestamp, uptime_seconds, point, ..Snapshot::default() });
            thread::sleep(EVERY);
        }
    })
}
