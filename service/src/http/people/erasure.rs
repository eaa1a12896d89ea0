//! `DELETE /v1/people/{id}`: a person is gone from memory, state and every answer once this answers, and from the files of
//! log and state soon after, in the background.

use std::ops::ControlFlow;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::person_of;
use super::timeline::unknown;
use crate::error::ApiError;
use crate::http::answer::Answer;
use crate::http::call::{Call, beside};
use crate::http::routes::Endpoint;
use crate::log::Position;

/// Erases a person.
pub async fn erase(request: HttpRequest) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::PersonErasure);
    let erased = erased(&call, &request).await;
    call.answer(|call| {
        let Erased { events, records, position } = erased?;
        let document = ErasureAnswer {
            request_id: call.request_id(),
            events_erased: events,
            records_erased: records,
            position,
            files: "rewritten in the background; `cauce_erasures_pending` is 0 when that is done",
        };
        Ok(Answer::json(200, &document))
    })
}

struct Erased {
    events: usize,
    records: usize,
    position: Option<Position>,
}

async fn erased(call: &Call, request: &HttpRequest) -> Result<Erased, ApiError> {
    let person = person_of(request).await?;
    let shared = call.shared();
    let plan = shared.bundle.plan();
    let events = shared.histories.read(plan, &person, |timeline| timeline.map(|timeline| timeline.len(plan)))?;
    let (ingest, whose) = (shared.ingest.clone(), person.clone());
    let records = beside(move || {
        let mut records = 0;
        let read = ingest.log().reading().of_person(&whose, &mut |_| {
            records += 1;
            ControlFlow::Continue(())
        });
        read.map(|()| records)
    });
    let records = records.await?;
    if events.is_none() && records == 0 {
        return Err(unknown());
    }
    let accepted = shared.ingest.erase(&person, shared.clock.now())?.accepted().await?;
    shared.upkeep.nudge();
    let position = accepted.first().map(|accepted| accepted.position);
    Ok(Erased { events: events.unwrap_or(0), records, position })
}

#[derive(Serialize)]
struct ErasureAnswer<'a> {
    request_id: &'a str,
    /// Events that features were made of.
    events_erased: usize,
    /// Records of the log that are no longer read, and will be no longer there.
    records_erased: usize,
    /// Where the erasure stands in the log: a replay leaves out what stands before.
    position: Option<Position>,
    files: &'static str,
}
