//! `/livez`, `/readyz`, `/healthz` and `/metrics`.
//!
//! The service listens only once its bundle is loaded and warm, so it is ready from its first answer until it is told to stop; with Kafka
//! once it has histories: those that were here, or those of the partitions that it was given.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::answer::Answer;
use super::call::Call;
use super::routes::Endpoint;
use super::score::BundleRef;
use crate::error::{ApiError, Code};
use crate::metrics::Held;
use crate::store::Store;

/// The process answers.
pub async fn live(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Live).answer(|_| Ok(Answer::json(200, &json!({"status": "alive"}))))
}

/// Requests should be sent here.
pub async fn ready(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Ready).answer(|call| {
        refuse_when_stopping(call)?;
        match call.shared().stream.as_ref().is_none_or(|stream| stream.is_ready()) {
            true => Ok(Answer::json(200, &json!({"status": "ready", "breakers": breakers(call)}))),
            false => Err(ApiError::new(Code::Starting, "histories are read from Kafka; ask again after `Retry-After`")),
        }
    })
}

/// The service is well, and this is what it serves.
pub async fn health(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Health).answer(|call| {
        refuse_when_stopping(call)?;
        let (version, served) = (env!("CARGO_PKG_VERSION"), call.shared().slot.bundle());
        let bundle = BundleRef::of(&served);
        // Scoring goes on without the log: the instance is ready, and says what it cannot do.
        let written = call.shared().ingest.log().status();
        let log = written.refuses.map_or("written".to_owned(), |error| error.to_string());
        let breakers = breakers(call);
        let status = if breakers.values().all(|state| *state == "closed") { "ok" } else { "degraded" };
        let mut document =
            json!({"status": status, "version": version, "bundle": bundle, "log": log, "breakers": breakers});
        if let Some(brokers) = written.brokers {
            document["kafka"] = json!(brokers);
        }
        if let Some(stream) = &call.shared().stream {
            document["deferring"] = json!(stream.is_deferring());
        }
        Ok(Answer::json(200, &document))
    })
}

/// All counts.
pub async fn metrics(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Metrics).answer(|call| {
        let shared = call.shared();
        let (histories, log) = (&shared.histories, shared.ingest.log());
        let held = Held {
            people: histories.sum(Store::people),
            resident: histories.sum(Store::resident),
            memory_bytes: histories.sum(Store::memory_bytes),
            state_bytes: shared.state_bytes.load(Ordering::Relaxed),
            coarsened: histories.sum(Store::coarsened),
            checkpoint: shared.upkeep.covered().0,
            log_end: log.reading().range().end.0,
        };
        shared.metrics.serves(BundleRef::of(&shared.slot.bundle()).labels());
        if let Some(ledger) = &shared.ledger {
            shared.ledger_metrics.show(&ledger.status());
        }
        let page = shared.metrics.render(&held, &log.status(), &shared.guards);
        Ok(Answer::new(200, "text/plain; version=0.0.4; charset=utf-8", page))
    })
}

/// How each breaker stands. An instance with open ones is ready all the same: it answers, on a lower rung of the ladder.
fn breakers(call: &Call) -> BTreeMap<&'static str, &'static str> {
    let now = Instant::now();
    call.shared().guards.breakers().map(|breaker| (breaker.name, breaker.state_name(now))).into()
}

fn refuse_when_stopping(call: &Call) -> Result<(), ApiError> {
    match call.shared().is_stopping() {
        true => Err(ApiError::stopping()),
        false => Ok(()),
    }
}
