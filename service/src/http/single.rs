//! One application's way over HTTP, whatever the form of its request and answer: read, brought together with its history, scored,
//! recorded, answered. `POST /v1/score` and `POST /predecir` give it their two ends.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::Payload;
use bytes::Bytes;
use cauce_features::application::Application;
use cauce_features::time::Timestamp;
use cauce_model::bundle::Bundle;

use super::answer::Answer;
use super::call::{self, Call};
use super::idempotency::{self, Named, Step};
use super::score::variant;
use super::timing::StopWatch;
use super::{body, waiting};
use crate::deadline::Work;
use crate::error::ApiError;
use crate::ingest::Posted;
use crate::scoring::answer::{Decided, Kept};
use crate::scoring::{Decision, Progress, Stage, Terms};

/// A request for the score of one application.
pub struct Single<'r> {
    pub call: &'r Call,
    pub request: &'r HttpRequest,
    pub work: Work,
    pub wants_vector: bool,
    /// Whether the `application_id` of a person stands for an idempotency key.
    pub is_named_by_its_id: bool,
}

/// What an answer is made of.
pub struct Outcome<'o> {
    pub application: &'o Application,
    pub decided: &'o Decided,
    pub as_of: Timestamp,
    pub kept: Kept,
    pub watch: &'o StopWatch<'o>,
}

impl Single<'_> {
    /// Goes the way. `read` finds the application in the body, `write` makes the answer.
    pub async fn score(
        &self,
        payload: Payload,
        read: impl FnOnce(&Call, &Bytes) -> Result<(Application, Posted), ApiError>,
        write: impl FnOnce(&Outcome<'_>) -> Result<Answer, ApiError>,
    ) -> Result<Answer, ApiError> {
        let Self { call, request, work, wants_vector, is_named_by_its_id } = *self;
        let watch = StopWatch::start(call);
        let (deadline, rungs) = call.terms(request, work)?;
        let body = body::document(call, request, payload).await?;
        watch.lap(Stage::Receive);
        let (application, posted) = call.attempt(|call| read(call, &body))?;
        watch.lap(Stage::Validate);
        let by_id = is_named_by_its_id.then_some(&application);
        let named = Named { body: &body, variant: variant(wants_vector), application: by_id };
        let reservation = match idempotency::step(call, request, named, [application.person()], deadline).await? {
            Step::Answered(answer) => return Ok(answer),
            Step::Score(reservation) => reservation,
        };
        watch.lap(Stage::Ledger);
        let access = waiting::bring(call, std::iter::once(application.person()), deadline).await;
        watch.lap(Stage::State);
        let terms = Terms { as_of: call.shared().clock.now(), deadline, rungs, access };
        let scored = call.attempt(|call| {
            let mut scorer = call.worker().scorer();
            let bundle = scorer.bundle().clone();
            let lap = &mut |stage| watch.lap(stage);
            Ok(match scorer.score(&application, || posted.clone(), &terms, lap)? {
                Progress::Scored(decision, receipt) => Ok((self.decided(&application, &decision, bundle), receipt)),
                Progress::Asking(asking) => Err(asking),
            })
        })?;
        let (decided, receipt) = match scored {
            Ok(scored) => scored,
            Err(asking) => {
                let found = waiting::fetch(call, asking.keys, deadline).await;
                // What has left memory meanwhile could not be recorded.
                waiting::bring(call, std::iter::once(application.person()), deadline).await;
                call.attempt(|call| {
                    let mut scorer = call.worker().scorer();
                    let bundle = scorer.bundle().clone();
                    let lap = &mut |stage| watch.lap(stage);
                    let (decision, receipt) =
                        scorer.resume(asking, found, &application, || posted.clone(), &terms, lap);
                    Ok((self.decided(&application, &decision, bundle), receipt))
                })?
            }
        };
        let kept = waiting::settle(call, receipt, deadline).await;
        watch.lap(Stage::Ledger);
        if let Kept::Unknown(reason) = kept {
            call.tally().degraded(reason, 1, u64::from(!decided.made.is_degraded()));
        }
        let (made, reasons) = (&decided.made, decided.reasons(kept));
        call.record(|recording| recording.decided(made.mode, reasons, decided.bundle.version()));
        let outcome = Outcome { application: &application, decided: &decided, as_of: terms.as_of, kept, watch: &watch };
        let answer = call.attempt(|_| write(&outcome))?;
        let reservation = reservation.filter(|_| decided.is_recorded(&application, kept));
        idempotency::keep(call, reservation.as_ref(), &answer, kept, deadline).await;
        Ok(answer)
    }
    /// The decision apart from the scorer, counted: the scorer serves others while this request waits for the log.
    fn decided(&self, application: &Application, decision: &Decision<'_>, bundle: Arc<Bundle>) -> Decided {
        self.call.tally().scored(application, call::product(self.request), decision, &bundle);
        Decided::of(decision, bundle, self.wants_vector)
    }
}
