//! `POST /v1/events` and `POST /v1/events/batch`.
//!
//! An answer that takes an event leaves once the event is in the log for good (S2) and part of the history; where Kafka is the log,
//! an event whose history is kept elsewhere, or comes to it later, is `accepted`. A batch takes each event on its own and lists only
//! what it refused.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use cauce_features::event::{Event, EventId};
use cauce_features::time::Timestamp;
use serde::Serialize;

use super::answer::Answer;
use super::batch::{self, Item};
use super::call::Call;
use super::routes::Endpoint;
use super::score::ItemProblem;
use super::{body, waiting};
use crate::deadline::Work;
use crate::error::{ApiError, Code};
use crate::ingest::{Admitted, IngestError, Taken};
use crate::log::{Accepted, Entry, LogError, Position, Stored};

/// People of a batch who are brought into memory together.
const BROUGHT_TOGETHER: usize = 64;

/// Takes one event: 201 if it is new, 200 if it stands already.
pub async fn one(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Event);
    let taken = take(&call, &request, payload).await;
    call.answer(|call| {
        let (key, taken) = taken?;
        let document = EventAnswer {
            request_id: call.request_id(),
            event_id: &key.id_text,
            applied: taken.outcome.as_str(),
            partition: taken.stored.partition(),
            position: taken.position,
            durable: true,
            stored: taken.stored.as_str(),
        };
        let is_new = matches!(taken.outcome, Taken::New | Taken::Accepted);
        Ok(Answer::json(if is_new { 201 } else { 200 }, &document))
    })
}

/// Takes many events.
pub async fn many(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::EventBatch);
    let taken = take_all(&call, &request, payload).await;
    call.answer(|call| Ok(Answer::json(200, &taken?.answer(call))))
}

/// What an event is found by.
struct Key {
    person: String,
    id: EventId,
    id_text: String,
    time: Timestamp,
}

/// What became of an event, and where it stands.
struct Standing {
    outcome: Taken,
    stored: Stored,
    position: Option<Position>,
}

async fn take(call: &Call, request: &HttpRequest, payload: Payload) -> Result<(Key, Standing), ApiError> {
    let (deadline, _) = call.terms(request, Work::Events)?;
    let body = body::document(call, request, payload).await?;
    let event = call.attempt(|call| read(call, &body))?;
    waiting::bring(call, std::iter::once(event.person()), deadline).await.here()?;
    let (key, admitted) = call.attempt(|call| {
        let key = Key {
            person: event.person().to_owned(),
            id: event.id(),
            id_text: event.id_text().to_owned(),
            time: event.time(),
        };
        Ok((key, admit(call, event, body)?))
    })?;
    let outcome = match admitted {
        Admitted::Standing(taken) => {
            // What stands may be an application that is not on disk yet.
            waiting::durable(call, call.shared().ingest.settled()?, deadline).await?;
            taken
        }
        Admitted::New(entry) => {
            let receipt = call.shared().ingest.submit(vec![entry])?;
            let settled = waiting::durable(call, receipt, deadline).await?;
            let Some(accepted) = settled.into_iter().next() else {
                return Err(ApiError::new(Code::Internal, "the log answered for no record"));
            };
            let accepted = accepted?;
            count(call, &accepted);
            let Accepted { position, stored, outcome } = accepted;
            match outcome? {
                // The same event came twice at once: the other one was first.
                Taken::Duplicate => Taken::Duplicate,
                outcome => return Ok((key, Standing { outcome, stored, position: public(position, stored) })),
            }
        }
    };
    // Reads of the disk, as many as the person has events. The event stands: where it does is not worth an answer that is late.
    let (ingest, person, id, time) = (call.shared().ingest.clone(), key.person.clone(), key.id, key.time);
    let found = waiting::beside(call, deadline, move || ingest.position_of(&person, id, time)).await;
    let position = match found {
        Err(error) if error.code == Code::LogSlow => None,
        found => found?,
    };
    let stored = call.shared().ingest.log().home(&key.person);
    Ok((key, Standing { outcome, stored, position }))
}

/// Counts what became of an event that was written.
fn count(call: &Call, accepted: &Accepted) {
    match accepted.stored {
        Stored::Log => call.tally().event(accepted.outcome),
        Stored::Kafka { .. } | Stored::Outbox => call.tally().relayed(accepted.outcome),
    }
}

/// A position in the outbox is nobody's business: the record gets another one.
fn public(position: Position, stored: Stored) -> Option<Position> {
    (stored != Stored::Outbox).then_some(position)
}

/// What became of a batch so far, and what is waited for.
struct Batch {
    count: usize,
    /// Events that stand already, and those that were written.
    taken: Vec<Taken>,
    refused: Vec<(usize, ApiError)>,
    /// Places of the events that are written.
    written: Vec<usize>,
    /// Of the first and the last that were written to a log that has one order.
    positions: Option<Positions>,
    stored: Stored,
}

async fn take_all(call: &Call, request: &HttpRequest, payload: Payload) -> Result<Batch, ApiError> {
    let (deadline, _) = call.terms(request, Work::Events)?;
    let (format, body) = body::batch(call, request, payload).await?;
    let items = batch::items(&body, format, call.shared().server.batch_items)?;
    let (count, stored) = (items.len(), call.shared().ingest.log().home(""));
    let mut batch = Batch { count, taken: vec![], refused: vec![], written: vec![], positions: None, stored };
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    // Not all people of a batch need fit into memory at once.
    for items in items.chunks(BROUGHT_TOGETHER) {
        let events = call.attempt(|call| Ok(items.iter().map(|item| read_item(call, item)).collect::<Vec<_>>()))?;
        waiting::bring(call, events.iter().flatten().map(Event::person), deadline).await.here()?;
        call.attempt(|call| {
            batch.admit(call, items, events, &mut entries);
            Ok(())
        })?;
    }
    // Without anything new it still says when what stands already is on disk.
    if batch.refused.len() < count {
        let receipt = call.shared().ingest.submit(entries)?;
        batch.finish(call, waiting::durable(call, receipt, deadline).await?);
    }
    Ok(batch)
}

fn read_item(call: &Call, item: &Item<'_>) -> Result<Event, ApiError> {
    let most = call.shared().server.body.bytes();
    match item.json.len() <= most {
        true => read(call, item.json),
        false => Err(ApiError::new(Code::BodyTooLarge, format!("an item has at most {most} bytes here"))),
    }
}

impl Batch {
    /// What becomes of these items before anything is written.
    fn admit(
        &mut self,
        call: &Call,
        items: &[Item<'_>],
        events: Vec<Result<Event, ApiError>>,
        entries: &mut Vec<Entry>,
    ) {
        for (item, event) in items.iter().zip(events) {
            // Copied, so that one event that waits does not hold all of a large body.
            match event.and_then(|event| admit(call, event, Bytes::copy_from_slice(item.json))) {
                Ok(Admitted::Standing(taken)) => self.taken.push(taken),
                Ok(Admitted::New(entry)) => {
                    entries.push(entry);
                    self.written.push(item.index);
                }
                Err(error) => self.refused.push((item.index, error)),
            }
        }
    }

    fn finish(&mut self, call: &Call, settled: Vec<Result<Accepted, LogError>>) {
        for (settled, index) in settled.into_iter().zip(std::mem::take(&mut self.written)) {
            match settled {
                Ok(accepted) => self.add(call, index, accepted),
                // A log that is kept by partitions may take one event and not the other.
                Err(error) => self.refused.push((index, error.into())),
            }
        }
        self.refused.sort_by_key(|(index, _)| *index);
    }

    fn add(&mut self, call: &Call, index: usize, accepted: Accepted) {
        count(call, &accepted);
        let Accepted { position, stored, outcome } = accepted;
        match outcome {
            Ok(taken) => self.taken.push(taken),
            Err(refusal) => self.refused.push((index, refusal.into())),
        }
        match stored {
            Stored::Log => self.positions.get_or_insert(Positions { first: position, last: position }).last = position,
            Stored::Kafka { .. } => {}
            // Said of all if it is so of any: it is the weaker promise.
            Stored::Outbox => self.stored = stored,
        }
    }

    fn answer<'a>(&'a self, call: &'a Call) -> BatchAnswer<'a> {
        let count = |which| self.taken.iter().filter(|taken| **taken == which).count();
        let problem =
            |(index, error): &'a (usize, ApiError)| RefusedItem { index: *index, problem: ItemProblem::of(error) };
        BatchAnswer {
            request_id: call.request_id(),
            count: self.count,
            new: count(Taken::New),
            duplicate: count(Taken::Duplicate),
            conflict: count(Taken::Conflict),
            accepted: count(Taken::Accepted),
            refused: self.refused.len(),
            positions: self.positions,
            durable: true,
            stored: self.stored.as_str(),
            problems: self.refused.iter().map(problem).collect(),
        }
    }
}

fn read(call: &Call, json: &[u8]) -> Result<Event, ApiError> {
    let specification = call.shared().plan().specification();
    Ok(Event::from_json(specification, json).inspect_err(|_| call.tally().invalid_event())?)
}

fn admit(call: &Call, event: Event, body: Bytes) -> Result<Admitted, ApiError> {
    let shared = call.shared();
    let admitted = shared.ingest.admit(event, body, shared.clock.now());
    // What is written is counted when it is state.
    match &admitted {
        Ok(Admitted::Standing(taken)) => call.tally().event(Ok(*taken)),
        Err(IngestError::Refused(refusal)) => call.tally().event(Err(*refusal)),
        _ => {}
    }
    Ok(admitted?)
}

#[derive(Serialize)]
struct EventAnswer<'a> {
    request_id: &'a str,
    event_id: &'a str,
    applied: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<usize>,
    /// Null where the log no longer holds the first, cannot find it, or has no place for it yet.
    position: Option<Position>,
    durable: bool,
    stored: &'static str,
}

#[derive(Serialize)]
struct BatchAnswer<'a> {
    request_id: &'a str,
    count: usize,
    new: usize,
    duplicate: usize,
    conflict: usize,
    accepted: usize,
    refused: usize,
    /// Of the first and the last that were written; null where none was, and where each partition has its own.
    positions: Option<Positions>,
    durable: bool,
    stored: &'static str,
    problems: Vec<RefusedItem<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct Positions {
    first: Position,
    last: Position,
}

#[derive(Serialize)]
struct RefusedItem<'a> {
    index: usize,
    problem: ItemProblem<'a>,
}
