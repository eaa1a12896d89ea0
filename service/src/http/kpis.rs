//! `GET /v1/kpis` and the live stream of the same: what [`crate::kpi::Board`] shows, as it stands there. Nothing is computed for who asks.

use std::collections::VecDeque;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::answer::Answer;
use super::call::Call;
use super::live;
use super::routes::Endpoint;
use crate::kpi::{Point, Snapshot};

/// The newest snapshot, and the last minute beside it.
pub async fn newest(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Kpis).answer(|call| {
        let posted = call.shared().kpis.newest();
        Ok(Answer::json(200, &Kpis { snapshot: &posted.snapshot, last_minute: &posted.minute }))
    })
}

/// Each snapshot as it is made.
pub async fn live(request: HttpRequest, payload: Payload) -> HttpResponse {
    live::follow(&request, payload, Endpoint::LiveKpis, |posted| posted.json.clone())
}

#[derive(Serialize)]
struct Kpis<'a> {
    #[serde(flatten)]
    snapshot: &'a Snapshot,
    last_minute: &'a VecDeque<Point>,
}
