//! `POST /v1/score` and `POST /v1/score/batch`.
//!
//! A batch is scored in order against the histories as they stood before it; then its applications are recorded. An item
//! that cannot be scored has its problem in its place and does not touch the others. A request that was answered before gets that
//! answer (see `idempotency`).

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use cauce_features::application::Application;
use cauce_features::record::FieldError;
use serde::Serialize;

use super::answer::Answer;
use super::batch::{self, Item};
use super::call::{self, Call};
use super::idempotency::{self, Named, Step};
use super::routes::Endpoint;
use super::single::{Outcome, Single};
use super::timing::{SERVER_TIMING, StopWatch};
use super::{body, waiting};
use crate::deadline::Work;
use crate::degrade::Mode;
use crate::error::{ApiError, Code};
use crate::ingest::Posted;
use crate::scoring::answer::Decided;
pub use crate::scoring::answer::{BundleRef, HistoryAnswer, InstantText, Kept, Scored};
use crate::scoring::{Stage, Terms};

/// Scores one application.
pub async fn one(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::Score);
    idempotency::to_the_end(call, |call| score_one(call, request, payload)).await
}

async fn score_one(call: Call, request: HttpRequest, payload: Payload) -> HttpResponse {
    let single = Single {
        call: &call,
        request: &request,
        work: Work::Score,
        wants_vector: wants_vector(&request),
        is_named_by_its_id: true,
    };
    let read = |call: &Call, body: &Bytes| {
        let specification = call.shared().plan().specification();
        let application = Application::from_json(specification, body, call.request_id())?;
        Ok((application, Posted::Envelope(body.clone())))
    };
    let scored = single.score(payload, read, |outcome| {
        let Outcome { application, decided, as_of, kept, watch } = *outcome;
        let document = ScoreAnswer {
            replayed: false,
            request_id: call.request_id(),
            scored: decided.answer(application, as_of, kept),
            refer: (decided.made.mode == Mode::Refer).then_some(&call.shared().refer[..]),
            bundle: BundleRef::of(&decided.bundle),
            as_of: InstantText(as_of),
            timing_us: watch,
        };
        Ok(answer(&document, watch))
    });
    let scored = scored.await;
    call.answer(|_| scored)
}

/// Scores many applications.
pub async fn many(request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::begin(&request, Endpoint::ScoreBatch);
    let work = |call: Call| async move {
        let scored = score_batch(&call, &request, payload).await;
        call.answer(|_| scored)
    };
    idempotency::to_the_end(call, work).await
}

async fn score_batch(call: &Call, request: &HttpRequest, payload: Payload) -> Result<Answer, ApiError> {
    let (shared, watch) = (call.shared(), StopWatch::start(call));
    let (deadline, rungs) = call.terms(request, Work::Batch)?;
    let (format, body) = body::batch(call, request, payload).await?;
    watch.lap(Stage::Receive);
    let items = batch::items(&body, format, shared.server.batch_items)?;
    let read = call.attempt(|call| Ok(items.iter().map(|item| read_item(call, item)).collect::<Vec<_>>()))?;
    watch.lap(Stage::Validate);
    let named = Named { body: &body, variant: variant(wants_vector(request)), application: None };
    let people = read.iter().flatten().map(Application::person).filter(|person| !person.is_empty());
    let reservation = match idempotency::step(call, request, named, people, deadline).await? {
        Step::Answered(answer) => return Ok(answer),
        Step::Score(reservation) => reservation,
    };
    watch.lap(Stage::Ledger);
    let access = waiting::bring(call, read.iter().flatten().map(Application::person), deadline).await;
    watch.lap(Stage::State);
    let terms = Terms { as_of: shared.clock.now(), deadline, rungs, access };
    let product = call::product(request);
    let (bundle, decided, receipt) = call.attempt(|call| {
        let posted = |item: &Item<'_>| Posted::Envelope(Bytes::copy_from_slice(item.json));
        let valid = items.iter().zip(&read).filter_map(|(item, read)| Some((read.as_ref().ok()?, posted(item))));
        let mut scorer = call.worker().scorer();
        let bundle = scorer.bundle().clone();
        let (decisions, receipt) = scorer.score_all(valid.collect(), &terms, &mut |stage| watch.lap(stage))?;
        let decided = decisions.iter().zip(read.iter().flatten()).map(|(decision, application)| {
            call.tally().scored(application, product, decision, &bundle);
            Decided::of(decision, bundle.clone(), wants_vector(request))
        });
        let decided = decided.collect::<Vec<_>>();
        Ok((bundle, decided, receipt))
    })?;
    let kept = waiting::settle(call, receipt, deadline).await;
    watch.lap(Stage::Ledger);
    if let Kept::Unknown(reason) = kept {
        let anew = decided.iter().filter(|decided| !decided.made.is_degraded()).count();
        call.tally().degraded(reason, decided.len() as u64, anew as u64);
    }
    if let Some(Decided { made, .. }) = decided.first() {
        call.record(|recording| recording.decided(made.mode, made.reasons, bundle.version()));
    }
    let is_recorded = decided.iter().zip(read.iter().flatten()).all(|(decided, of)| decided.is_recorded(of, kept));
    let answer = call.attempt(|call| {
        let mut next = decided.iter();
        let results = items.iter().zip(&read).map(|(item, read)| ItemAnswer {
            index: item.index,
            outcome: match read {
                Ok(application) => {
                    let decided = next.next().expect("every valid application has its decision");
                    ItemOutcome::Scored(decided.answer(application, terms.as_of, kept))
                }
                Err(error) => ItemOutcome::problem(error),
            },
        });
        let document = BatchAnswer {
            replayed: false,
            request_id: call.request_id(),
            count: items.len(),
            scored: decided.len(),
            results: results.collect(),
            bundle: BundleRef::of(&bundle),
            as_of: InstantText(terms.as_of),
            timing_us: &watch,
        };
        Ok(answer(&document, &watch))
    })?;
    idempotency::keep(call, reservation.filter(|_| is_recorded).as_ref(), &answer, kept, deadline).await;
    Ok(answer)
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

/// The document ends the last stage as its last member is written; the header tells all of them.
fn answer(document: &impl Serialize, watch: &StopWatch<'_>) -> Answer {
    let mut answer = Answer::json(200, document);
    answer.headers.push((SERVER_TIMING, watch.header()));
    answer
}

/// An answer without the vector is not the one with it.
pub fn variant(wants_vector: bool) -> &'static str {
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
    /// What to do with an application that has no score.
    #[serde(skip_serializing_if = "Option::is_none")]
    refer: Option<&'a str>,
    bundle: BundleRef<'a>,
    as_of: InstantText,
    timing_us: &'a StopWatch<'a>,
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
    timing_us: &'a StopWatch<'a>,
}

#[derive(Serialize)]
struct ItemAnswer<'a> {
    index: usize,
    #[serde(flatten)]
    outcome: ItemOutcome<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ItemOutcome<'a> {
    Scored(Scored<'a>),
    Problem { problem: ItemProblem<'a> },
}

impl<'a> ItemOutcome<'a> {
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
