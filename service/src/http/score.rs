//! `POST /v1/score` and `POST /v1/score/batch`.
//!
//! A batch is scored in order against the histories as they stood before it; then its applications are recorded. An item
//! that cannot be scored has its problem in its place and does not touch the others. A request that was answered before gets that
//! answer (see `idempotency`).

use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use cauce_features::application::Application;
use cauce_features::record::FieldError;
use serde::Serialize;

use super::answer::Answer;
use super::batch::{self, Item};
use super::body::{self, Format};
use super::call::{Call, microseconds};
use super::idempotency::{self, Named, Step};
use super::routes::Endpoint;
use crate::error::{ApiError, Code};
use crate::ingest::Posted;
use crate::ledger::Reservation;
use crate::log::Receipt;
use crate::metrics::Metrics;
pub use crate::scoring::answer::{BundleRef, HistoryAnswer, InstantText, Kept, Scored};
use crate::scoring::{Decision, Stage};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Scores one application.
pub async fn one(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Score);
    let answer = answer_one(&call, &request, payload).await;
    call.answer(|_| answer)
}

async fn answer_one(call: &Call, request: &HttpRequest, payload: Payload) -> Result<Answer, ApiError> {
    let body = body::document(call, request, payload).await?;
    let wants_vector = wants_vector(request);
    let (application, watch) = call.attempt(|_| read(call, &body))?;
    let named = Named { body: &body, variant: variant(wants_vector), application: Some(&application) };
    match idempotency::step(call, request, named, [application.person()]).await? {
        Step::Answered(answer) => Ok(answer),
        Step::Score(reservation) => {
            let scored = call.attempt(|call| score(call, &application, body, watch, wants_vector))?;
            settle(scored, reservation).await
        }
    }
}

/// Scores many applications.
pub async fn many(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::ScoreBatch);
    let answer = answer_many(&call, &request, payload).await;
    call.answer(|_| answer)
}

async fn answer_many(call: &Call, request: &HttpRequest, payload: Payload) -> Result<Answer, ApiError> {
    let (format, body) = body::batch(call, request, payload).await?;
    let wants_vector = wants_vector(request);
    let (batch, watch) = call.attempt(|_| read_batch(call, format, &body))?;
    let named = Named { body: &body, variant: variant(wants_vector), application: None };
    let people = batch.read.iter().flatten().map(Application::person).filter(|person| !person.is_empty());
    match idempotency::step(call, request, named, people).await? {
        Step::Answered(answer) => Ok(answer),
        Step::Score(reservation) => {
            let scored = call.attempt(|call| score_batch(call, &batch, watch, wants_vector))?;
            settle(scored, reservation).await
        }
    }
}

/// An answer, and what is answered instead should its applications not become durable: the score is good all the same. Both are
/// written before the wait, since a scorer is not borrowed across one.
struct Settling {
    answer: Answer,
    wait: Option<(Receipt, Answer)>,
    /// Whether all could be recorded: if not, a repetition tries again.
    is_recorded: bool,
}

async fn settle(settling: Settling, reservation: Option<Reservation>) -> Result<Answer, ApiError> {
    let Settling { answer, wait, is_recorded } = settling;
    let reservation = reservation.filter(|_| is_recorded);
    let Some((receipt, instead)) = wait else {
        idempotency::keep(reservation.as_ref(), &answer).await;
        return Ok(answer);
    };
    let is_named = reservation.is_some();
    let settled = async move {
        if !receipt.accepted().await.is_ok_and(|all| all.iter().all(Result::is_ok)) {
            return instead;
        }
        idempotency::keep(reservation.as_ref(), &answer).await;
        answer
    };
    idempotency::finish(is_named, settled).await
}

fn settling(receipt: Option<Receipt>, is_recorded: bool, answer: impl Fn(Kept) -> Answer) -> Settling {
    match receipt {
        None => Settling { answer: answer(Kept::Relaxed), wait: None, is_recorded },
        Some(receipt) => {
            Settling { answer: answer(Kept::Durable), wait: Some((receipt, answer(Kept::Failed))), is_recorded }
        }
    }
}

/// Whether a decision is as recorded as it can be: nobody in particular has no history.
pub fn is_recorded(application: &Application, decision: &Decision<'_>) -> bool {
    decision.recorded || application.person().is_empty()
}

fn read<'a>(call: &'a Call, body: &Bytes) -> Result<(Application, StopWatch<'a>), ApiError> {
    let shared = call.shared();
    let mut watch = StopWatch::start(&shared.metrics);
    let application = Application::from_json(shared.bundle.plan().specification(), body, call.request_id())?;
    watch.done(Stage::Parse);
    Ok((application, watch))
}

fn score(
    call: &Call,
    application: &Application,
    body: Bytes,
    mut watch: StopWatch<'_>,
    wants_vector: bool,
) -> Result<Settling, ApiError> {
    let shared = call.shared();
    let as_of = shared.clock.now();
    let mut scorer = call.worker().scorer.borrow_mut();
    let posted = Posted::Envelope(body);
    let (decision, receipt) = scorer.score(application, posted, as_of, |stage| watch.done(stage))?;
    shared.metrics.scored(application, &decision);
    let timing = watch.timing(call.started());
    Ok(settling(receipt, is_recorded(application, &decision), |kept| {
        let document = ScoreAnswer {
            replayed: false,
            request_id: call.request_id(),
            scored: Scored::new(application, &decision, as_of, wants_vector, kept),
            bundle: BundleRef::of(&shared.bundle),
            as_of: InstantText(as_of),
            timing_us: &timing,
        };
        answer(&document, &timing)
    }))
}

/// The items of a batch, and what each of them is.
struct Batch<'a> {
    items: Vec<Item<'a>>,
    read: Vec<Result<Application, ApiError>>,
}

fn read_batch<'a, 'b>(call: &'a Call, format: Format, body: &'b Bytes) -> Result<(Batch<'b>, StopWatch<'a>), ApiError> {
    let shared = call.shared();
    let mut watch = StopWatch::start(&shared.metrics);
    let items = batch::items(body, format, shared.server.batch_items)?;
    let read = items.iter().map(|item| read_item(call, item)).collect();
    watch.done(Stage::Parse);
    Ok((Batch { items, read }, watch))
}

fn score_batch(
    call: &Call,
    Batch { items, read }: &Batch<'_>,
    mut watch: StopWatch<'_>,
    wants_vector: bool,
) -> Result<Settling, ApiError> {
    let shared = call.shared();
    let posted = |item: &Item<'_>| Posted::Envelope(Bytes::copy_from_slice(item.json));
    let valid = items.iter().zip(read).filter_map(|(item, read)| Some((read.as_ref().ok()?, posted(item))));
    let valid: Vec<_> = valid.collect();
    let as_of = shared.clock.now();
    let mut scorer = call.worker().scorer.borrow_mut();
    let (decisions, receipt) = scorer.score_all(valid, as_of, |stage| watch.done(stage))?;
    let mut all_recorded = true;
    for (decision, application) in decisions.iter().zip(read.iter().flatten()) {
        shared.metrics.scored(application, decision);
        all_recorded &= is_recorded(application, decision);
    }
    let timing = watch.timing(call.started());
    Ok(settling(receipt, all_recorded, |kept| {
        let mut decided = decisions.iter();
        let results = items.iter().zip(read).map(|(item, read)| ItemAnswer {
            index: item.index,
            outcome: match read {
                Ok(application) => {
                    let decision = decided.next().expect("every valid application has its decision");
                    Outcome::Scored(Scored::new(application, decision, as_of, wants_vector, kept))
                }
                Err(error) => Outcome::problem(error),
            },
        });
        let document = BatchAnswer {
            replayed: false,
            request_id: call.request_id(),
            count: items.len(),
            scored: decisions.len(),
            results: results.collect(),
            bundle: BundleRef::of(&shared.bundle),
            as_of: InstantText(as_of),
            timing_us: &timing,
        };
        answer(&document, &timing)
    }))
}

/// An application of a batch without an id takes that of the request and its place.
fn read_item(call: &Call, item: &Item<'_>) -> Result<Application, ApiError> {
    let most = call.shared().server.body.bytes();
    if item.json.len() > most {
        return Err(ApiError::new(Code::BodyTooLarge, format!("an item has at most {most} bytes here")));
    }
    let id = format!("{}.{}", call.request_id(), item.index);
    Ok(Application::from_json(call.shared().bundle.plan().specification(), item.json, &id)?)
}

fn answer(document: &impl Serialize, timing: &Timing) -> Answer {
    let mut answer = Answer::json(200, document);
    answer.headers.push((SERVER_TIMING, timing.header()));
    answer
}

/// An answer without the vector is not the one with it.
fn variant(wants_vector: bool) -> &'static str {
    if wants_vector { "vector" } else { "" }
}

fn wants_vector(request: &HttpRequest) -> bool {
    request.query_string().split('&').any(|parameter| parameter == "vector=true")
}

#[derive(Serialize)]
struct ScoreAnswer<'a> {
    /// The first member: a repetition has another word here and is the same otherwise.
    replayed: bool,
    request_id: &'a str,
    #[serde(flatten)]
    scored: Scored<'a>,
    bundle: BundleRef<'a>,
    as_of: InstantText,
    timing_us: &'a Timing,
}

#[derive(Serialize)]
struct BatchAnswer<'a> {
    /// As of one application.
    replayed: bool,
    request_id: &'a str,
    count: usize,
    scored: usize,
    results: Vec<ItemAnswer<'a>>,
    bundle: BundleRef<'a>,
    as_of: InstantText,
    timing_us: &'a Timing,
}

#[derive(Serialize)]
struct ItemAnswer<'a> {
    index: usize,
    #[serde(flatten)]
    outcome: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Scored(Scored<'a>),
    Problem { problem: ItemProblem<'a> },
}

impl<'a> Outcome<'a> {
    fn problem(error: &'a ApiError) -> Self {
        Self::Problem { problem: ItemProblem::of(error) }
    }
}

/// What is wrong with one item of a batch.
#[derive(Serialize)]
pub struct ItemProblem<'a> {
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl<'a> ItemProblem<'a> {
    /// The problem of an item that was refused.
    pub fn of(error: &'a ApiError) -> Self {
        let row = error.code.row();
        Self { status: row.status, code: row.name, detail: &error.detail, errors: &error.errors }
    }
}

/// Time by stage, in microseconds.
#[derive(Serialize)]
pub struct Timing {
    parse: f64,
    features: f64,
    model: f64,
    record: f64,
    total: f64,
}

impl Timing {
    /// The same for browsers and proxies, in milliseconds.
    fn header(&self) -> HeaderValue {
        let stages = [
            ("parse", self.parse),
            ("features", self.features),
            ("model", self.model),
            ("record", self.record),
            ("total", self.total),
        ];
        let mut text = String::with_capacity(128);
        for (name, microseconds) in stages {
            text.push_str(if text.is_empty() { "" } else { ", " });
            text.push_str(name);
            text.push_str(";dur=");
            push_milliseconds(&mut text, (microseconds * 10.0) as u64);
        }
        HeaderValue::try_from(text).expect("digits and names are fit for a header")
    }
}

/// Writes tenths of microseconds as milliseconds with four decimals. By hand, since `format!` costs more than a whole stage.
fn push_milliseconds(text: &mut String, tenths: u64) {
    let digits = (tenths / 10_000).checked_ilog10().unwrap_or(0) + 5;
    for position in (0..digits).rev() {
        text.push(char::from(b'0' + (tenths / 10_u64.pow(position) % 10) as u8));
        if position == 4 {
            text.push('.');
        }
    }
}

/// Takes the time of each stage and counts it.
pub struct StopWatch<'a> {
    metrics: &'a Metrics,
    last: Instant,
    stages: [Duration; 4],
}

impl<'a> StopWatch<'a> {
    /// Starts with the stage that begins now.
    pub fn start(metrics: &'a Metrics) -> Self {
        Self { metrics, last: Instant::now(), stages: [Duration::ZERO; 4] }
    }

    /// Ends a stage; the next begins.
    pub fn done(&mut self, stage: Stage) {
        let now = Instant::now();
        let took = now - self.last;
        self.last = now;
        self.stages[stage as usize] = took;
        self.metrics.stage(stage, took);
    }

    /// All stages, and the time since the request began.
    fn timing(&self, started: Instant) -> Timing {
        let [parse, features, model, record] = self.stages.map(microseconds);
        Timing { parse, features, model, record, total: microseconds(self.last - started) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_timing_is_in_milliseconds() {
        let timing = Timing { parse: 1.5, features: 0.8, model: 23.4, record: 0.0, total: 12_345.6 };
        let expected = "parse;dur=0.0015, features;dur=0.0008, model;dur=0.0234, record;dur=0.0000, total;dur=12.3456";
        assert_eq!(timing.header(), expected);
    }
}
