//! `GET /v1/alerts`: what is wrong now, and what was lately.

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::answer::Answer;
use super::call::Call;
use super::kpis;
use super::routes::Endpoint;
use crate::alerts::Listed;
use crate::kpi::snapshot::Alert;

/// Lists alerts.
pub async fn listed(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Alerts).answer(|call| {
        kpis::kept(call)?;
        let Listed { active, recent } = call.shared().alerts.listed();
        Ok(Answer::json(200, &AlertsAnswer { request_id: call.request_id(), active, recent }))
    })
}

#[derive(Serialize)]
struct AlertsAnswer<'a> {
    request_id: &'a str,
    active: Vec<Alert>,
    recent: Vec<Alert>,
}
