//! `/v1/admin`: what an operator asks of a running instance.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse};
use cauce_features::time::Timestamp;
use serde::Serialize;

use super::answer::Answer;
use super::call::{Call, beside};
use super::people;
use super::routes::Endpoint;
use super::score::InstantText;
use crate::error::ApiError;
use crate::ingest::IngestError;
use crate::log::Position;
use crate::store::Store;

/// A digest of all histories as of an instant: two instances that took the same events agree on it. Without `as_of` it is as of
/// the end of this day (UTC), so that two asked on one day can be compared.
pub async fn digest(request: HttpRequest) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Digest);
    let found = digested(&call, request.query_string()).await;
    call.answer(|call| {
        let (digest, as_of, position) = found?;
        let document = DigestAnswer {
            request_id: call.request_id(),
            digest: digest.to_string(),
            as_of: InstantText(as_of),
            people: call.shared().histories.sum(Store::people),
            position,
        };
        Ok(Answer::json(200, &document))
    })
}

/// Writes a checkpoint, and waits for it.
pub async fn checkpoint(request: HttpRequest) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Checkpoint);
    let (upkeep, started) = (call.shared().upkeep.clone(), Instant::now());
    let written = beside(move || upkeep.checkpoint().map_err(IngestError::from)).await;
    call.answer(|call| {
        let saved = written?;
        let took_ms = started.elapsed().as_secs_f64() * 1e3;
        let document =
            CheckpointAnswer { request_id: call.request_id(), position: saved.position, people: saved.people, took_ms };
        Ok(Answer::json(200, &document))
    })
}

async fn digested(call: &Call, query: &str) -> Result<(crate::store::StateDigest, Timestamp, Position), ApiError> {
    let shared = call.shared();
    let as_of = if query.is_empty() { end_of_day(shared.clock.now()) } else { people::as_of(call, query)? };
    let (histories, bundle) = (shared.histories.clone(), shared.started_with.clone());
    let position = shared.ingest.log().reading().range().end;
    let digest = beside(move || histories.digest(bundle.plan(), as_of)).await?;
    Ok((digest, as_of, position))
}

/// The end of the day (UTC) in which an instant lies.
pub fn end_of_day(now: Timestamp) -> Timestamp {
    const DAY_MS: i64 = 86_400_000;
    Timestamp::from_millis((now.millis().div_euclid(DAY_MS) + 1) * DAY_MS)
}

#[derive(Serialize)]
struct DigestAnswer<'a> {
    request_id: &'a str,
    digest: String,
    as_of: InstantText,
    people: usize,
    /// Behind the newest record that is in it.
    position: Position,
}

#[derive(Serialize)]
struct CheckpointAnswer<'a> {
    request_id: &'a str,
    /// Everything before it is in the checkpoint.
    position: Position,
    people: usize,
    took_ms: f64,
}
