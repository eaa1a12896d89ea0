//! `cauce serve` over HTTP, with the default bundle and a clock that stands still at [`NOW`].

/// What is not understood is refused by name, all at once, and never repeated.
mod bad_input;
/// `POST /v1/events` and its batch.
mod events;
/// `POST /predecir`: the contract of the Ahorro Valle front-end.
mod front_end;
/// The same request again.
mod idempotency;
/// What is read rather than sent: features, bundle, health, metrics, the interface itself.
mod pages;
/// The process: slow clients, signals, a start that fails.
mod process;
/// The same events give the same bits: served singly, in a batch, in another order, or in the training table.
mod same_bits;
/// `POST /v1/score` and its batch.
mod scoring;

use serde_json::Value;

use crate::support::history::{BUNDLE, JSON, LINES, NOW, application, lines, payment};
use crate::support::{Answer, Server};

fn server() -> Server {
    server_with(&[])
}

/// A server with these settings, each as `section.key=value`.
fn server_with(settings: &[&str]) -> Server {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    Server::start(["--bundle", BUNDLE, "--clock", NOW, "--workers", "2"].into_iter().chain(settings))
}

/// Posts one event, which has to be new.
#[track_caller]
fn take(server: &Server, event: &Value) {
    let answer = server.post("/v1/events", JSON, event.to_string());
    assert_eq!(answer.status, 201, "{}", answer.text());
}

/// Scores one application and shows its vector.
#[track_caller]
fn score(server: &Server, application: &Value) -> Value {
    expect(server.post("/v1/score?vector=true", JSON, application.to_string()))
}

/// The same under a key, so that an application may be scored more than once.
#[track_caller]
fn score_under(server: &Server, key: &str, application: &Value) -> Value {
    let headers = [("content-type", JSON), ("idempotency-key", key)];
    expect(server.send("POST", "/v1/score?vector=true", &headers, application.to_string().as_bytes()))
}

/// The document of a successful answer.
#[track_caller]
fn expect(answer: Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The value of a feature in the vector of a scored application.
fn feature(server: &Server, scored: &Value, name: &str) -> Value {
    let bundle = server.get("/v1/bundle").json();
    let position = bundle["features"].as_array().unwrap().iter().position(|feature| feature["name"] == name);
    scored["vector"][position.unwrap()].clone()
}

/// The value of one series on the metrics page.
#[track_caller]
pub(crate) fn metric(server: &Server, series: &str) -> f64 {
    let page = server.get("/metrics").text();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("`{series}` is not on the page")).parse().unwrap()
}
