//! The same request again: a request that names itself is answered once, and its repetition gets that answer.
//!
//! It names itself by `Idempotency-Key` or else, at `/v1/score`, by the `application_id` that it gives for a person. The name is looked at
//! when the body is known to be valid and before anything is computed. Only answers of 200 whose applications could be recorded are kept, so
//! that whatever failed can be tried again. A repetition that needs the disk is read on a thread that answers no requests (S1).

use std::borrow::Cow;
use std::future::Future;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::rt;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use cauce_features::application::Application;
use cauce_features::record::text_member;
use tracing::Instrument;

use super::answer::Answer;
use super::call::{self, Call};
use super::waiting;
use crate::deadline::Deadline;
use crate::error::{ApiError, Code};
use crate::ledger::{Asked, Begin, Key, Reservation, Stored};
use crate::scoring::answer::Kept;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_BYTES_MAX: usize = 255;

/// Answers begin or end with it.
const FIRST: (&[u8], &[u8]) = (br#"{"replayed":false"#, br#"{"replayed":true"#);
const LAST: (&[u8], &[u8]) = (br#""replayed":false}"#, br#""replayed":true}"#);

/// A request that may name itself.
pub struct Named<'a> {
    pub body: &'a [u8],
    /// What beside the body and the product makes it another request.
    pub variant: &'static str,
    /// Whose id may stand for a key.
    pub application: Option<&'a Application>,
}

/// What is done about a request.
pub enum Step {
    /// It is scored; with a reservation, its answer is kept.
    Score(Option<Reservation>),
    /// It gets the answer that it got.
    Answered(Answer),
}

/// What is done about a request about these people.
pub async fn step<'a>(
    call: &Call,
    request: &HttpRequest,
    named: Named<'_>,
    people: impl IntoIterator<Item = &'a str>,
    deadline: Deadline,
) -> Result<Step, ApiError> {
    let shared = call.shared();
    let Some(ledger) = &shared.ledger else { return Ok(Step::Score(None)) };
    let Some(key) = key(call, request, &named)? else { return Ok(Step::Score(None)) };
    let begun = call.attempt(|_| {
        // Another product may be answered in other ways.
        let variant = match call::product(request) {
            None => Cow::Borrowed(named.variant),
            Some(product) => Cow::Owned(format!("{} {product}", named.variant)),
        };
        Ok(ledger.begin(Asked::new(key, named.body, &variant), people, shared.clock.now()))
    })?;
    match begun {
        Begin::OnDisk(fetch) => act(waiting::repeat(call, fetch, deadline).await?),
        begun => act(begun),
    }
}

/// Keeps the answer of a request that named itself. If its applications are durable it returns once the answer is, too, or when there is no more
/// time for that; if they are not known to be, nothing more is waited for.
pub async fn keep(call: &Call, reservation: Option<&Reservation>, answer: &Answer, kept: Kept, deadline: Deadline) {
    let Some(reservation) = reservation.filter(|_| answer.status == 200) else { return };
    let receipt = reservation.keep(Stored { status: answer.status, body: answer.body.clone() });
    let Some(receipt) = receipt.filter(|_| kept == Kept::Durable) else { return };
    if !waiting::kept(call, receipt, deadline).await {
        tracing::warn!("an answer leaves that is not on disk for its repetition");
    }
}

/// Answers also when the client goes away meanwhile, where answers wait for the disk: what is in the log has its answer in the ledger.
pub async fn to_the_end<W>(call: Call, work: impl FnOnce(Call) -> W) -> HttpResponse
where
    W: Future<Output = HttpResponse> + 'static,
{
    let waits = call.shared().ledger.as_ref().is_some_and(|ledger| ledger.waits());
    let work = work(call);
    if !waits {
        return work.await;
    }
    // A defect is an answer by now; only the end of the process ends a task.
    rt::spawn(work.in_current_span()).await.unwrap_or_else(|_| HttpResponse::ServiceUnavailable().finish())
}

fn act(begun: Begin) -> Result<Step, ApiError> {
    match begun {
        Begin::Fresh(reservation) => Ok(Step::Score(Some(reservation))),
        Begin::Replay(Stored { status, body }) => {
            let mut answer = Answer::new(status, super::answer::JSON, replayed(body));
            answer.headers.push((IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true")));
            Ok(Step::Answered(answer))
        }
        Begin::Mismatch => Err(ApiError::new(
            Code::IdempotencyKeyReused,
            "the `Idempotency-Key` or, without one, the `application_id` of this person was used with another body; use a new one, or send \
             the same body",
        )),
        Begin::InFlight => {
            Err(ApiError::new(Code::RequestInFlight, "its answer is on the way; ask again after `Retry-After`"))
        }
        Begin::OnDisk(_) => Err(ApiError::new(Code::Internal, "a read of the disk asked for another one")),
    }
}

fn key(call: &Call, request: &HttpRequest, named: &Named<'_>) -> Result<Option<Key>, ApiError> {
    let mut given = request.headers().get_all(IDEMPOTENCY_KEY);
    match (given.next(), given.next()) {
        (None, _) => Ok(named
            .application
            .filter(|application| is_named(call, application, named.body))
            .map(|application| Key::application(call.path(), application.person(), application.id_text()))),
        (Some(key), None) => match key.to_str() {
            Ok(key) if is_key(key) => Ok(Some(Key::given(call.path(), key))),
            _ => Err(invalid()),
        },
        (Some(_), Some(_)) => Err(invalid()),
    }
}

/// Whether an application has an id that was given, of a person that was: ids of different people may be the same.
fn is_named(call: &Call, application: &Application, body: &[u8]) -> bool {
    let is_given = || application.id_text() != call.request_id() || text_member(body, &["application_id"]).is_some();
    !application.person().is_empty() && is_given()
}

fn is_key(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn invalid() -> ApiError {
    ApiError::new(
        Code::InvalidIdempotencyKey,
        "`Idempotency-Key` is given once and has 1 to 255 visible ASCII characters, no spaces",
    )
}

/// The same answer, which says that it is a repetition.
fn replayed(body: Bytes) -> Bytes {
    if let Some(rest) = body.strip_prefix(FIRST.0) {
        [FIRST.1, rest].concat().into()
    } else if let Some(rest) = body.strip_suffix(LAST.0) {
        [rest, LAST.1].concat().into()
    } else {
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_says_so_wherever_the_answer_has_the_word_for_it() {
        for (body, expected) in [
            (r#"{"replayed":false,"a":1}"#, r#"{"replayed":true,"a":1}"#),
            (r#"{"a":"replayed","replayed":false}"#, r#"{"a":"replayed","replayed":true}"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
        ] {
            assert_eq!(replayed(Bytes::from(body)), expected);
        }
    }

    #[test]
    fn a_key_is_short_visible_text() {
        let long = "x".repeat(256);
        for (key, fit) in [("a", true), ("\"8e03978e-40d5\"", true), ("", false), ("a b", false), ("ñ", false)] {
            assert_eq!(is_key(key), fit, "{key}");
        }
        assert!(is_key(&long[1..]) && !is_key(&long));
    }
}
