//! `POST /admin/bundle` and `POST /admin/bundle/rollback`: another bundle in service, and back.
//!
//! Both answer once it is done or refused; whatever is scored after a 200 is scored by the bundle that it names.

use std::sync::Arc;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use cauce_model::bundle::Bundle;
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::body;
use super::call::{Call, beside};
use super::routes::Endpoint;
use super::score::BundleRef;
use crate::error::{ApiError, Code};
use crate::reload::{Outcome, Reloaded, Took};
use crate::serving::Swapped;

/// Puts the bundle of a directory in service: the configured one, if the body names none.
pub async fn reload(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Reload);
    let reloaded = reloaded(&call, &request, payload).await;
    call.answer(|call| {
        let Reloaded { outcome, old, new, took } = reloaded?;
        Ok(answer(call, outcome, &old, &new, Some(TookAnswer::of(took))))
    })
}

/// Puts the bundle before this one in service again.
pub async fn roll_back(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Rollback).answer(|call| {
        let Swapped { old, new } = call.shared().reloader.roll_back()?;
        Ok(answer(call, Outcome::RolledBack, &old, &new, None))
    })
}

async fn reloaded(call: &Call, request: &HttpRequest, payload: Payload) -> Result<Reloaded, ApiError> {
    let path = match body::optional_document(call, request, payload).await? {
        None => None,
        Some(body) => {
            let wanted: Wanted = serde_json::from_slice(&body).map_err(|_| {
                ApiError::new(
                    Code::MalformedJson,
                    "the body is `{\"path\": \"DIRECTORY\"}`, or empty for the configured directory",
                )
            })?;
            wanted.path
        }
    };
    let reloader = call.shared().reloader.clone();
    beside(move || reloader.reload_asked(path.as_deref())).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    path: Option<String>,
}

fn answer(call: &Call, outcome: Outcome, old: &Arc<Bundle>, new: &Arc<Bundle>, took_ms: Option<TookAnswer>) -> Answer {
    let document = ReloadAnswer {
        request_id: call.request_id(),
        outcome: outcome.as_str(),
        old: BundleRef::of(old),
        new: BundleRef::of(new),
        took_ms,
    };
    Answer::json(200, &document)
}

#[derive(Serialize)]
struct ReloadAnswer<'a> {
    request_id: &'a str,
    outcome: &'a str,
    /// What was in service, and what is.
    old: BundleRef<'a>,
    new: BundleRef<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<TookAnswer>,
}

#[derive(Serialize)]
struct TookAnswer {
    check: f64,
    load: f64,
    warm: f64,
    swap: f64,
    total: f64,
}

impl TookAnswer {
    fn of(Took { trial, load, warm, swap }: Took) -> Self {
        let [check, load, warm, swap, total] =
            [trial, load, warm, swap, trial + load + warm + swap].map(|took| (took.as_secs_f64() * 1e6).round() / 1e3);
        Self { check, load, warm, swap, total }
    }
}
