//! The edge of `cauce serve`: slow clients, more requests than can be answered, clients over their limit, and a stop under load.
//!
//! The machine may be busy: times are bounded generously, and only what must hold at any speed is asserted.

/// What is refused, to whom, and what becomes of what is not.
mod overload;
/// Clients that send or read slowly.
mod slow;
/// The end of the process while it is asked.
mod stop;

use crate::support::Server;
use crate::support::client::request;
use crate::support::history::{BUNDLE, JSON, NOW, application};

/// A server with one worker, so that what one client does to another shows, and these settings.
fn server_with(settings: &[&str]) -> Server {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    Server::start(["--bundle", BUNDLE, "--clock", NOW, "--workers", "1"].into_iter().chain(settings))
}

/// Requests for scores of so many people.
fn scores(people: usize) -> Vec<Vec<u8>> {
    let body = |person| application(&format!("c-{person}"), "a").to_string();
    (0..people).map(|person| request("/v1/score", JSON, body(person).as_bytes())).collect()
}

/// The value of a series on the metrics page, which is never refused.
#[track_caller]
fn metric(server: &Server, series: &str) -> f64 {
    let page = server.get("/metrics").text();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("`{series}` is not on the page")).parse().unwrap()
}
