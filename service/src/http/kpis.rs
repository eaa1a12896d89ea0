//! `GET /v1/kpis` and the live stream of the same: what [`crate::kpi::Board`] shows, as it stands there. Nothing is computed for who asks.

use std::sync::Arc;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::answer::Answer;
use super::call::Call;
use super::live;
use super::routes::Endpoint;
use crate::error::{ApiError, Code};
use crate::kpi::{Point, Posted, Snapshot};

/// The newest snapshot, and the last minute beside it.
pub async fn newest(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Kpis).answer(|call| {
        let posted = posted(call)?;
        Ok(Answer::json(200, &Kpis { snapshot: &posted.snapshot, last_minute: posted.minute().collect() }))
    })
}

/// What stands on the board, where KPIs are kept.
pub fn posted(call: &Call) -> Result<Arc<Posted>, ApiError> {
    kept(call)?;
    Ok(call.shared().kpis.newest())
}

/// Without KPIs there is nothing to show, nor does anybody look for what to be alarmed by.
pub fn kept(call: &Call) -> Result<(), ApiError> {
    match call.shared().recorders {
        Some(_) => Ok(()),
        None => {
            Err(ApiError::new(Code::NoKpis, "`kpi.window` is 0s here: KPIs and alerts need it to be from 10s to 1h"))
        }
    }
}

/// Each snapshot as it is made.
pub async fn live(request: HttpRequest, payload: Payload) -> HttpResponse {
    live::follow(&request, payload, Endpoint::LiveKpis, |posted| posted.json.clone())
}

#[derive(Serialize)]
struct Kpis<'a> {
    #[serde(flatten)]
    snapshot: &'a Snapshot,
    last_minute: Vec<&'a Point>,
}
