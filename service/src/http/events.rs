//! `POST /v1/events` and `POST /v1/events/batch`.
//!
//! Until events are logged the history is in memory alone, and every answer says so: `durable: false`. A batch takes each
//! event on its own and lists only what it refused.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use cauce_features::event::Event;
use serde::Serialize;

use super::answer::Answer;
use super::batch;
use super::body::{self, Format};
use super::call::Call;
use super::routes::Endpoint;
use super::score::ItemProblem;
use crate::error::ApiError;
use crate::ingest::{self, Taken};

/// Takes one event: 201 if it is new, 200 if it changes nothing or settles a conflict.
pub async fn one(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Event);
    let body = body::document(&call, &request, payload).await;
    call.answer(|call| {
        let (event, taken) = take(call, &body?)?;
        let status = if taken == Taken::New { 201 } else { 200 };
        let applied = taken.as_str();
        Ok(Answer::json(
            status,
            &EventAnswer { request_id: call.request_id(), event_id: event.id_text(), applied, durable: false },
        ))
    })
}

/// Takes many events.
pub async fn many(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::EventBatch);
    let body = body::batch(&call, &request, payload).await;
    call.answer(|call| {
        let (format, body) = body?;
        take_all(call, format, &body)
    })
}

fn take_all(call: &Call, format: Format, body: &[u8]) -> Result<Answer, ApiError> {
    let items = batch::items(body, format, call.shared().server.batch_items)?;
    let taken: Vec<_> = items.iter().map(|item| (item.index, take(call, item.json))).collect();
    let count = |which| taken.iter().filter(|(_, taken)| matches!(taken, Ok((_, taken)) if *taken == which)).count();
    let refused = taken.iter().filter_map(|(index, taken)| {
        let problem = ItemProblem::of(taken.as_ref().err()?);
        Some(RefusedItem { index: *index, problem })
    });
    let refused: Vec<_> = refused.collect();
    Ok(Answer::json(
        200,
        &BatchAnswer {
            request_id: call.request_id(),
            count: items.len(),
            new: count(Taken::New),
            duplicate: count(Taken::Duplicate),
            conflict: count(Taken::Conflict),
            refused: refused.len(),
            durable: false,
            problems: refused,
        },
    ))
}

fn take(call: &Call, json: &[u8]) -> Result<(Event, Taken), ApiError> {
    let shared = call.shared();
    let plan = shared.bundle.plan();
    let event = Event::from_json(plan.specification(), json).inspect_err(|_| shared.metrics.invalid_event())?;
    let taken = ingest::take(&shared.store, plan, &event, shared.clock.now());
    shared.metrics.event(taken);
    Ok((event, taken?))
}

#[derive(Serialize)]
struct EventAnswer<'a> {
    request_id: &'a str,
    event_id: &'a str,
    applied: &'static str,
    durable: bool,
}

#[derive(Serialize)]
struct BatchAnswer<'a> {
    request_id: &'a str,
    count: usize,
    new: usize,
    duplicate: usize,
    conflict: usize,
    refused: usize,
    durable: bool,
    problems: Vec<RefusedItem<'a>>,
}

#[derive(Serialize)]
struct RefusedItem<'a> {
    index: usize,
    problem: ItemProblem<'a>,
}
