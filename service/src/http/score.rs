//! `POST /v1/score` and `POST /v1/score/batch`.
//!
//! A batch is scored in order against the histories as they stood before it; then its applications are recorded. An item
//! that cannot be scored has its problem in its place and does not touch the others.

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
use super::routes::Endpoint;
use crate::error::{ApiError, Code};
use crate::ingest::Posted;
use crate::log::Receipt;
use crate::metrics::Metrics;
use crate::scoring::Stage;
pub use crate::scoring::answer::{BundleRef, HistoryAnswer, InstantText, Kept, Scored};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Scores one application.
pub async fn one(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Score);
    let body = body::document(&call, &request, payload).await;
    let scored = call.attempt(|call| score(call, body?, wants_vector(&request)));
    settle(call, scored).await
}

/// Scores many applications.
pub async fn many(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::ScoreBatch);
    let body = body::batch(&call, &request, payload).await;
    let scored = call.attempt(|call| {
        let (format, body) = body?;
        score_batch(call, format, &body, wants_vector(&request))
    });
    settle(call, scored).await
}

/// An answer, and what is answered instead should its applications not become durable: the score is good all the same. Both are
/// written before the wait, since a scorer is not borrowed across one.
struct Settling {
    answer: Answer,
    wait: Option<(Receipt, Answer)>,
}

async fn settle(call: Call, scored: Result<Settling, ApiError>) -> HttpResponse {
    let answer = match scored {
        Ok(Settling { answer, wait: None }) => Ok(answer),
        Ok(Settling { answer, wait: Some((receipt, instead)) }) => {
            Ok(if receipt.accepted().await.is_ok_and(|all| all.iter().all(Result::is_ok)) { answer } else { instead })
        }
        Err(error) => Err(error),
    };
    call.answer(|_| answer)
}

fn settling(receipt: Option<Receipt>, answer: impl Fn(Kept) -> Answer) -> Settling {
    match receipt {
        None => Settling { answer: answer(Kept::Relaxed), wait: None },
        Some(receipt) => Settling { answer: answer(Kept::Durable), wait: Some((receipt, answer(Kept::Failed))) },
    }
}

fn score(call: &Call, body: Bytes, wants_vector: bool) -> Result<Settling, ApiError> {
    let shared = call.shared();
    let mut watch = StopWatch::start(&shared.metrics);
    let application = Application::from_json(shared.plan().specification(), &body, call.request_id())?;
    watch.done(Stage::Parse);
    let as_of = shared.clock.now();
    let mut scorer = call.worker().scorer();
    let bundle = scorer.bundle().clone();
    let posted = Posted::Envelope(body);
    let (decision, receipt) = scorer.score(&application, posted, as_of, |stage| watch.done(stage))?;
    shared.metrics.scored(&application, &decision);
    let timing = watch.timing(call.started());
    Ok(settling(receipt, |kept| {
        let document = ScoreAnswer {
            request_id: call.request_id(),
            scored: Scored::new(&application, &decision, as_of, wants_vector, kept),
            bundle: BundleRef::of(&bundle),
            as_of: InstantText(as_of),
            timing_us: &timing,
        };
        answer(&document, &timing)
    }))
}

fn score_batch(call: &Call, format: Format, body: &Bytes, wants_vector: bool) -> Result<Settling, ApiError> {
    let shared = call.shared();
    let mut watch = StopWatch::start(&shared.metrics);
    let items = batch::items(body, format, shared.server.batch_items)?;
    let read: Vec<_> = items.iter().map(|item| read_item(call, item)).collect();
    let posted = |item: &Item<'_>| Posted::Envelope(Bytes::copy_from_slice(item.json));
    let valid = items.iter().zip(&read).filter_map(|(item, read)| Some((read.as_ref().ok()?, posted(item))));
    let valid: Vec<_> = valid.collect();
    watch.done(Stage::Parse);
    let as_of = shared.clock.now();
    let mut scorer = call.worker().scorer();
    let bundle = scorer.bundle().clone();
    let (decisions, receipt) = scorer.score_all(valid, as_of, |stage| watch.done(stage))?;
    for (decision, application) in decisions.iter().zip(read.iter().flatten()) {
        shared.metrics.scored(application, decision);
    }
    let timing = watch.timing(call.started());
    Ok(settling(receipt, |kept| {
        let mut decided = decisions.iter();
        let results = items.iter().zip(&read).map(|(item, read)| ItemAnswer {
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
            request_id: call.request_id(),
            count: items.len(),
            scored: decisions.len(),
            results: results.collect(),
            bundle: BundleRef::of(&bundle),
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
    Ok(Application::from_json(call.shared().plan().specification(), item.json, &id)?)
}

fn answer(document: &impl Serialize, timing: &Timing) -> Answer {
    let mut answer = Answer::json(200, document);
    answer.headers.push((SERVER_TIMING, timing.header()));
    answer
}

fn wants_vector(request: &HttpRequest) -> bool {
    request.query_string().split('&').any(|parameter| parameter == "vector=true")
}

#[derive(Serialize)]
struct ScoreAnswer<'a> {
    request_id: &'a str,
    #[serde(flatten)]
    scored: Scored<'a>,
    bundle: BundleRef<'a>,
    as_of: InstantText,
    timing_us: &'a Timing,
}

#[derive(Serialize)]
struct BatchAnswer<'a> {
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
