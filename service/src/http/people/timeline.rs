//! `GET /v1/people/{id}/timeline` and `GET /v1/people/{id}`: what was posted of a person, read from the log.
//!
//! The log is read beside the request threads, record by record through its index. What it shows is what was posted, valid under
//! today's specification or not; what it has dropped by age or size may still count in the history, so an answer says since when
//! the log holds everything.

use std::collections::BTreeMap;

use actix_web::web::Query;
use actix_web::{HttpRequest, HttpResponse};
use cauce_features::event::EventId;
use cauce_features::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::person_of;
use crate::deadline::Work;
use crate::error::{ApiError, Code};
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::routes::Endpoint;
use crate::http::score::InstantText;
use crate::http::waiting;
use crate::log::{Kind, Position, Record};

/// Events of a page when nothing is said, and at most.
const USUAL_LIMIT: usize = 100;
const MOST: usize = 1000;

/// One page of a person's events, newest first.
pub async fn timeline(request: HttpRequest) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::PersonTimeline);
    let found = page(&call, &request).await;
    call.answer(|call| {
        let (person, events, next) = found?;
        let document = PageAnswer {
            request_id: call.request_id(),
            person_id: &person,
            events: events.iter().map(Held::answer).collect(),
            next_cursor: next,
        };
        Ok(Answer::json(200, &document))
    })
}

/// Everything that is held of a person.
pub async fn export(request: HttpRequest) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::PersonExport);
    let found = everything_and_history(&call, &request).await;
    call.answer(|call| {
        let (person, records) = found?;
        let plan = call.shared().plan();
        let history = call.shared().histories.read_here(&person, |timeline| {
            timeline.map(|timeline| HistorySummary {
                events: timeline.len(plan),
                coarsened: timeline.coarsened(),
                oldest: timeline.oldest(plan).map(InstantText),
            })
        })?;
        if history.is_none() && records.is_empty() {
            return Err(unknown());
        }
        let held: Vec<Held> = records.iter().filter_map(Held::of).collect();
        let records = held.iter().map(Held::answer).collect();
        let document = ExportAnswer { request_id: call.request_id(), person_id: &person, history, records };
        Ok(Answer::json(200, &document))
    })
}

/// The records of a person as JSON, oldest first.
pub fn records_json(records: &[Record]) -> serde_json::Value {
    let held: Vec<Held> = records.iter().filter_map(Held::of).collect();
    serde_json::json!(held.iter().map(Held::answer).collect::<Vec<_>>())
}

/// There is nothing of this person.
pub(super) fn unknown() -> ApiError {
    ApiError::new(Code::PersonUnknown, "no event of this person has been taken")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    from: Option<String>,
    to: Option<String>,
    r#type: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// Which events are asked for.
struct Filter {
    from: Timestamp,
    to: Timestamp,
    kind: Option<String>,
    /// Only what stands behind this one, newest first.
    after: Option<(i64, u64)>,
    limit: usize,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, ApiError> {
        let wrong = |what| ApiError::new(Code::InvalidQuery, what);
        let Parameters { from, to, r#type, cursor, limit } = Query::<Parameters>::from_query(query)
            .map_err(|_| wrong("the parameters are `from`, `to`, `type`, `cursor` and `limit`"))?
            .into_inner();
        let instant = |text: Option<String>, otherwise| match text {
            None => Ok(otherwise),
            Some(text) => Timestamp::parse(&text).map_err(|_| {
                wrong("`from` and `to` are instants such as `2026-01-15T14:00:00Z` (a `+` is written `%2B`)")
            }),
        };
        let after = cursor.map(|text| {
            let (time, position) = text.split_once('.')?;
            Some((time.parse().ok()?, position.parse().ok()?))
        });
        let limit = limit.unwrap_or(USUAL_LIMIT);
        if !(1..=MOST).contains(&limit) {
            return Err(wrong("`limit` is a whole number from 1 to 1000"));
        }
        Ok(Self {
            from: instant(from, Timestamp::MIN)?,
            to: instant(to, Timestamp::MAX)?,
            kind: r#type,
            after: after
                .map(|after| after.ok_or_else(|| wrong("`cursor` is a `next_cursor` of this address")))
                .transpose()?,
            limit,
        })
    }

    fn takes(&self, held: &Held) -> bool {
        (self.from..=self.to).contains(&held.time)
            && self.kind.as_ref().is_none_or(|kind| *kind == held.kind)
            && self.after.is_none_or(|after| held.cursor() < after)
    }
}

async fn page(call: &Call, request: &HttpRequest) -> Result<(String, Vec<Held>, Option<String>), ApiError> {
    let filter = Filter::parse(request.query_string())?;
    let (person, records) = everything(call, request).await?;
    if records.is_empty() {
        return Err(unknown());
    }
    let mut standing = standing(&records);
    standing.retain(|held| filter.takes(held));
    let more = standing.len() > filter.limit;
    standing.truncate(filter.limit);
    let next = standing.last().filter(|_| more).map(|held| {
        let (time, position) = held.cursor();
        format!("{time}.{position}")
    });
    Ok((person, standing, next))
}

/// Everything, with the history in memory.
async fn everything_and_history(call: &Call, request: &HttpRequest) -> Result<(String, Vec<Record>), ApiError> {
    let (deadline, _) = call.terms(request, Work::Query)?;
    let (person, records) = everything(call, request).await?;
    waiting::bring(call, std::iter::once(&person[..]), deadline).await.here()?;
    Ok((person, records))
}

async fn everything(call: &Call, request: &HttpRequest) -> Result<(String, Vec<Record>), ApiError> {
    let (person, (deadline, _)) = (person_of(request).await?, call.terms(request, Work::Query)?);
    let (ingest, whose) = (call.shared().ingest.clone(), person.clone());
    let read = move || ingest.log().reading().all_of_person(&whose);
    Ok((person, waiting::beside(call, deadline, read).await?))
}

/// The events that stand, newest first: of one that came twice the first, of two under one identity the later, which is the greater.
fn standing(records: &[Record]) -> Vec<Held> {
    let mut standing: BTreeMap<(Timestamp, EventId), Held> = BTreeMap::new();
    for held in records.iter().filter_map(Held::of) {
        let known = standing.get(&held.identity);
        if known.is_none_or(|known| known.data.get() != held.data.get()) {
            standing.insert(held.identity, held);
        }
    }
    let mut events: Vec<Held> = standing.into_values().collect();
    events.sort_by_key(|held| std::cmp::Reverse(held.cursor()));
    events
}

/// An event as it was posted.
struct Held {
    identity: (Timestamp, EventId),
    time: Timestamp,
    kind: String,
    id: String,
    arrived_at: Timestamp,
    position: Position,
    data: Box<RawValue>,
}

#[derive(Deserialize)]
struct PostedEvent {
    event_id: String,
    r#type: String,
    time: String,
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct PostedApplication {
    application: Box<RawValue>,
}

impl Held {
    fn of(record: &Record) -> Option<Self> {
        let (id, kind, time, data) = match record.kind {
            Kind::Event => {
                let posted: PostedEvent = serde_json::from_slice(&record.body).ok()?;
                let time = Timestamp::parse(&posted.time).ok()?;
                (posted.event_id, posted.r#type, time, posted.data.unwrap_or_default())
            }
            Kind::Application => {
                let posted: PostedApplication = serde_json::from_slice(&record.body).ok()?;
                (record.id.to_string(), "application".to_owned(), record.arrived_at, posted.application)
            }
            Kind::Fields => {
                let fields = serde_json::from_slice(&record.body).ok()?;
                (record.id.to_string(), "application".to_owned(), record.arrived_at, fields)
            }
            Kind::Erasure | Kind::Erased | Kind::Lost => return None,
        };
        let identity = (time, EventId::parse(&id).ok()?);
        let (arrived_at, position) = (record.arrived_at, record.position);
        Some(Self { identity, time, kind, id, arrived_at, position, data })
    }

    fn cursor(&self) -> (i64, u64) {
        (self.time.millis(), self.position.0)
    }

    fn answer(&self) -> EventAnswer<'_> {
        EventAnswer {
            event_id: &self.id,
            r#type: &self.kind,
            time: InstantText(self.time),
            arrived_at: InstantText(self.arrived_at),
            position: self.position,
            data: &self.data,
        }
    }
}

#[derive(Serialize)]
struct PageAnswer<'a> {
    request_id: &'a str,
    person_id: &'a str,
    events: Vec<EventAnswer<'a>>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct ExportAnswer<'a> {
    request_id: &'a str,
    person_id: &'a str,
    /// What features are made of.
    history: Option<HistorySummary>,
    /// What was posted, oldest first.
    records: Vec<EventAnswer<'a>>,
}

#[derive(Serialize)]
struct HistorySummary {
    events: usize,
    coarsened: u64,
    oldest: Option<InstantText>,
}

#[derive(Serialize)]
struct EventAnswer<'a> {
    event_id: &'a str,
    r#type: &'a str,
    time: InstantText,
    arrived_at: InstantText,
    position: Position,
    data: &'a RawValue,
}
