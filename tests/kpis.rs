//! KPIs as clients see them: asked for once, followed live, and refused.
//!
//! The machine may be busy: times are bounded generously, and only what must hold at any speed is asserted.

/// The routes and keys that the front-end of Ahorro Valle knows.
mod front_end;
/// Snapshots as they come, to quick and to slow readers, until the service stops.
mod live;
/// Upgrades that are not granted, and messages that end a stream.
mod refused;

use crate::support::Server;
use crate::support::history::BUNDLE;

/// Every address that speaks WebSocket.
const LIVE: [&str; 3] = ["/v1/kpis/live", "/ws/metricas", "/ws/kpis"];

/// A server with one worker and these settings.
fn server_with(settings: &[&str]) -> Server {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    Server::start(["--bundle", BUNDLE, "--workers", "1"].into_iter().chain(settings))
}

/// The value of a series on the metrics page.
#[track_caller]
fn metric(server: &Server, series: &str) -> f64 {
    let page = server.get("/metrics").text();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("`{series}` is not on the page")).parse().unwrap()
}
