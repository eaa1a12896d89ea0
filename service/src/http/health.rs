//! `/livez`, `/readyz`, `/healthz` and `/metrics`.
//!
//! The service listens only once its bundle is loaded and warm, so it is ready from its first answer until it is told to stop.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::answer::Answer;
use super::call::Call;
use super::routes::Endpoint;
use super::score::BundleRef;
use crate::error::ApiError;
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
        Ok(Answer::json(200, &json!({"status": "ready"})))
    })
}

/// The service is well, and this is what it serves.
pub async fn health(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Health).answer(|call| {
        refuse_when_stopping(call)?;
        let (version, bundle) = (env!("CARGO_PKG_VERSION"), BundleRef::of(&call.shared().bundle));
        // Scoring goes on without the log: the instance is ready, and says what it cannot do.
        let log = match call.shared().ingest.log().status().refuses {
            None => "written".to_owned(),
            Some(error) => error.to_string(),
        };
        Ok(Answer::json(200, &json!({"status": "ok", "version": version, "bundle": bundle, "log": log})))
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
            state_bytes: histories.sum(Store::disk_bytes),
            coarsened: histories.sum(Store::coarsened),
            checkpoint: shared.upkeep.covered().0,
            log_end: log.reading().range().end.0,
        };
        let page = shared.metrics.render(&held, &log.status());
        Ok(Answer::new(200, "text/plain; version=0.0.4; charset=utf-8", page))
    })
}

fn refuse_when_stopping(call: &Call) -> Result<(), ApiError> {
    match call.shared().is_stopping() {
        true => Err(ApiError::stopping()),
        false => Ok(()),
    }
}
