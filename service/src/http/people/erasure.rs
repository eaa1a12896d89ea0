//! `DELETE /v1/people/{id}`: a person is gone from memory, state and every answer once this answers, and from the files of
//! log and state soon after, in the background. Where Kafka is the log, the erasure is a record without a value in the person's
//! partition: done when the consumer comes to it, and the other records go with the topic's retention.

use std::ops::ControlFlow;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::person_of;
use super::timeline::unknown;
use crate::deadline::{Deadline, Work};
use crate::error::{ApiError, Code};
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::routes::Endpoint;
use crate::http::waiting;
use crate::ingest::Taken;
use crate::log::{Accepted, Position, Stored};

/// Erases a person.
pub async fn erase(request: HttpRequest) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::PersonErasure);
    let erased = erased(&call, &request).await;
    call.answer(|call| {
        let Erased { events, records, position, outcome, stored } = erased?;
        let document = ErasureAnswer {
            request_id: call.request_id(),
            events_erased: events,
            records_erased: records,
            position,
            files: match stored {
                Stored::Log => "rewritten in the background; `cauce_erasures_pending` is 0 when that is done",
                _ => {
                    "no instance reads what stands before `position`; it leaves Kafka with the retention of its topics"
                }
            },
        };
        Ok(Answer::json(if outcome == Taken::Accepted { 202 } else { 200 }, &document))
    })
}

struct Erased {
    events: usize,
    /// `None` where they cannot be counted without reading everybody's.
    records: Option<usize>,
    position: Position,
    outcome: Taken,
    stored: Stored,
}

async fn erased(call: &Call, request: &HttpRequest) -> Result<Erased, ApiError> {
    let (person, (deadline, _)) = (person_of(request).await?, call.terms(request, Work::Query)?);
    let shared = call.shared();
    let plan = shared.plan();
    // First, so that it is noted however the rest ends: no score or answer of before is given again.
    forget_answers(call, &person, deadline).await;
    // The writer of the log, too, is not to wait for the disk when it comes to the erasure.
    waiting::bring(call, std::iter::once(&person[..]), deadline).await.here()?;
    let events = shared.histories.read_here(&person, |timeline| timeline.map(|timeline| timeline.len(plan)))?;
    let records = match shared.ingest.log().reading().has_index() {
        true => Some(records_of(call, &person, deadline).await?),
        // There may be some that no window reaches any more: erased, whether or not anything is known.
        false => None,
    };
    if events.is_none() && records == Some(0) {
        return Err(unknown());
    }
    let receipt = shared.ingest.erase(&person, shared.clock.now())?;
    let settled = waiting::durable(call, receipt, deadline).await?;
    shared.upkeep.nudge();
    let Some(accepted) = settled.into_iter().next() else {
        return Err(ApiError::new(Code::Internal, "the log answered for no record"));
    };
    let Accepted { position, stored, outcome } = accepted?;
    Ok(Erased { events: events.unwrap_or(0), records, position, outcome: outcome?, stored })
}

/// Scores of the person are in caches, and answers about them kept sealed: neither is given again.
async fn forget_answers(call: &Call, person: &str, deadline: Deadline) {
    let shared = call.shared();
    shared.guards.cache.erase(person, shared.clock.now());
    let Some(ledger) = &shared.ledger else { return };
    let noted = match ledger.forget(person, shared.clock.now()) {
        Some(receipt) => waiting::kept(call, receipt, deadline).await,
        None => false,
    };
    if !noted {
        tracing::warn!(
            "it is not noted that a person was erased: whoever has an earlier request of theirs could still have it repeated"
        );
    }
}

async fn records_of(call: &Call, person: &str, deadline: Deadline) -> Result<usize, ApiError> {
    let (ingest, whose) = (call.shared().ingest.clone(), person.to_owned());
    let count = move || {
        let mut records = 0;
        let read = ingest.log().reading().of_person(&whose, &mut |_| {
            records += 1;
            ControlFlow::Continue(())
        });
        read.map(|()| records)
    };
    waiting::beside(call, deadline, count).await
}

#[derive(Serialize)]
struct ErasureAnswer<'a> {
    request_id: &'a str,
    /// Events that features were made of.
    events_erased: usize,
    /// Records of the log that are no longer read, and will be no longer there.
    records_erased: Option<usize>,
    /// Where the erasure stands in the log: a replay leaves out what stands before.
    position: Position,
    files: &'static str,
}
