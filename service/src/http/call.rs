//! One exchange: who asks (a request id), since when, and the answer, counted once. A defect met on the way is an answer too.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::block;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use tracing::Span;

use super::answer::Answer;
use super::connection::Facts;
use super::routes::{Endpoint, ROUTES, Route, UNMATCHED};
use super::{Shared, Worker};
use crate::deadline::{Deadline, Work};
use crate::degrade::Rungs;
use crate::error::{ApiError, Code};
use crate::kpi::recorder::Answered;
use crate::machine;
use crate::tally::Tally;
use crate::trace::Recording;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const LATENCY_BUDGET: HeaderName = HeaderName::from_static("x-latency-budget-ms");
const PRODUCT: HeaderName = HeaderName::from_static("x-product");
/// Leaves room for what ids of a batch's applications add to it.
const REQUEST_ID_BYTES_MAX: usize = 96;

/// An exchange under way.
pub struct Call {
    worker: Rc<Worker>,
    route: usize,
    facts: Rc<Facts>,
    /// When the first bytes of the request were read.
    started: Instant,
    /// Where its route has one.
    budget: Cell<Option<Duration>>,
    request_id: HeaderValue,
}

/// Makes ids that no other request has: random per worker, then counted, in the form of a UUID (version 8).
pub struct RequestIds {
    random: u64,
    count: Cell<u64>,
}

impl Call {
    /// Begins the exchange of a request.
    pub fn begin(request: &HttpRequest, endpoint: Endpoint) -> Self {
        Self::at(request, endpoint as usize)
    }

    fn at(request: &HttpRequest, route: usize) -> Self {
        let worker = request.app_data::<Rc<Worker>>().expect("every worker thread registers its worker").clone();
        let facts = Facts::of(request.conn_data());
        let request_id = facts.exchanged().borrow().as_ref().map(|exchanged| exchanged.request_id.clone());
        let request_id = request_id.expect("the edge knows every request that it lets in");
        Self { worker, route, started: facts.started(), facts, budget: Cell::new(None), request_id }
    }

    /// The path of its route.
    pub fn path(&self) -> &'static str {
        ROUTES.get(self.route).map_or("", |route| route.path)
    }

    /// The worker on whose thread this runs.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// What counts on this thread.
    pub fn tally(&self) -> &Tally {
        &self.worker.edge.tally
    }

    /// What all workers share.
    pub fn shared(&self) -> &Shared {
        &self.worker.shared
    }

    /// The id of the request.
    pub fn request_id(&self) -> &str {
        text(&self.request_id)
    }

    /// Adds to what is recorded of it, where it is.
    pub fn record(&self, what: impl FnOnce(&mut Recording)) {
        let mut exchanged = self.facts.exchanged().borrow_mut();
        if let Some(recording) = exchanged.as_mut().and_then(|exchanged| exchanged.trace.recording.as_mut()) {
            what(recording);
        }
    }

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When the answer is due, and which rungs of the ladder may give it.
    pub fn terms(&self, request: &HttpRequest, work: Work) -> Result<(Deadline, Rungs), ApiError> {
        let (shared, headers) = (self.shared(), request.headers());
        let asked = headers.get(LATENCY_BUDGET).map(HeaderValue::as_bytes);
        let budget = |asked| shared.budget.of(work, asked).map_err(|error| ApiError::new(Code::InvalidBudget, error));
        let (usual, budget) = (budget(None)?, budget(asked)?);
        self.budget.set(Some(budget));
        let product = product(request);
        let deadline = Deadline { started: self.started, budget, is_short: budget < usual / 4 };
        Ok((deadline, shared.allowed.of(work, product)))
    }

    /// Waits for a body. Meanwhile the request holds no permit: slow clients would use them up.
    pub async fn receive<T>(&self, body: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let held = self.worker.edge.give_back(&self.facts);
        // Even a body that is there already is taken up behind the work of others.
        let due = self.budget.get().map(|budget| self.worker.scorer.borrow().dues().wait(self.started + budget));
        let received = body.await?;
        drop(due);
        self.facts.body_was_read();
        match self.worker.edge.take_again(&self.facts, held) {
            true => Ok(received),
            false => Err(ApiError::overloaded()),
        }
    }

    /// Does work that is followed by a wait: a defect is an error like any other.
    pub fn attempt<T>(&self, work: impl FnOnce(&Self) -> Result<T, ApiError>) -> Result<T, ApiError> {
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|_panic| {
            self.tally().panicked();
            Err(ApiError::new(Code::Internal, "a defect was met; the log has it under this request id"))
        })
    }

    /// Does the work and answers with its outcome.
    pub fn answer(self, work: impl FnOnce(&Self) -> Result<Answer, ApiError>) -> HttpResponse {
        self.answer_in(problem, work)
    }

    /// The same for a client that wants its errors in another form.
    pub fn answer_in(
        self,
        form: impl FnOnce(&Self, &ApiError) -> Answer,
        work: impl FnOnce(&Self) -> Result<Answer, ApiError>,
    ) -> HttpResponse {
        let (answer, code) = match self.attempt(work) {
            Ok(answer) => (answer, None),
            Err(error) => {
                self.log(&error);
                let mut answer = form(&self, &error);
                let again =
                    error.retry_after_seconds().map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds)));
                answer.headers.extend(again);
                (answer, Some(error.code))
            }
        };
        self.respond(answer, code)
    }

    fn respond(self, answer: Answer, code: Option<Code>) -> HttpResponse {
        let status = StatusCode::from_u16(answer.status).expect("statuses come from tables");
        let mut response = HttpResponse::with_body(status, answer.body).map_into_boxed_body();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        headers.insert(REQUEST_ID, self.request_id.clone());
        for (name, value) in answer.headers {
            headers.insert(name, value);
        }
        let Self { route, started, budget, .. } = &self;
        let (status, took) = (answer.status, Some(started.elapsed()));
        self.tally().answered(&Answered { route: *route, status, code, took, budget: budget.get() });
        response
    }

    fn log(&self, error: &ApiError) {
        let (status, code) = (error.status(), error.code.row().name);
        // Of overload the metrics tell, not a line for each request.
        let is_told = matches!(error.code, Code::Overloaded | Code::TooManyLiveClients);
        if status >= 500 && !is_told {
            tracing::error!(status, code, "request failed");
        } else {
            tracing::debug!(status, code, "request refused");
        }
    }
}

/// Does work that reads or waits for the disk, on a thread that answers no requests.
pub async fn beside<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Send + 'static,
    ApiError: From<E>,
{
    let span = Span::current();
    Ok(block(move || span.in_scope(work)).await.map_err(|_| ApiError::stopping())??)
}

/// The answer to an address that takes other methods.
pub async fn method_not_allowed(request: HttpRequest, rows: &[Route]) -> HttpResponse {
    let allow = rows.iter().map(|row| row.method.allow()).collect::<Vec<_>>().join(", ");
    let mut response = Call::at(&request, UNMATCHED)
        .answer(|_| Err(ApiError::new(Code::MethodNotAllowed, format!("`{}` takes {allow}", rows[0].path))));
    response.headers_mut().insert(header::ALLOW, HeaderValue::try_from(allow).expect("methods are fit for a header"));
    response
}

/// The answer to an address at which there is nothing.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    Call::at(&request, UNMATCHED)
        .answer(|_| Err(ApiError::new(Code::NotFound, "`/openapi.json` lists the addresses that there are")))
}

/// A problem document (RFC 9457).
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [cauce_features::record::FieldError],
}

fn problem(call: &Call, error: &ApiError) -> Answer {
    problem_document(error, call.request_id())
}

/// The problem document of an error.
pub fn problem_document(error: &ApiError, request_id: &str) -> Answer {
    let row = error.code.row();
    let document = Problem {
        r#type: format!("urn:cauce:problem:{}", row.name),
        title: row.title,
        status: row.status,
        code: row.name,
        detail: &error.detail,
        request_id,
        errors: &error.errors,
    };
    Answer { content_type: "application/problem+json", ..Answer::json(row.status, &document) }
}

impl RequestIds {
    /// A sequence of its own.
    pub fn new() -> Self {
        Self { random: machine::random(), count: Cell::new(0) }
    }

    fn next(&self) -> HeaderValue {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        let high = (self.random & !0xf000) | 0x8000;
        let low = (count & (u64::MAX >> 2)) | 1 << 63;
        let mut text = *b"00000000-0000-0000-0000-000000000000";
        let digits =
            [high, low].into_iter().flat_map(|half| (0..16).map(move |i| (half >> (60 - 4 * i)) as usize & 15));
        for (place, digit) in text.iter_mut().filter(|byte| **byte != b'-').zip(digits) {
            *place = b"0123456789abcdef"[digit];
        }
        HeaderValue::from_bytes(&text).expect("hexadecimal digits are fit for a header")
    }
}

/// The product that a request names.
pub fn product(request: &HttpRequest) -> Option<&str> {
    request.headers().get(PRODUCT)?.to_str().ok()
}

/// The client's id of its request if it is fit for headers and logs, or a new one.
pub fn request_id(headers: &HeaderMap, ids: &RequestIds) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| is_request_id(id.as_bytes()));
    given.cloned().unwrap_or_else(|| ids.next())
}

/// A request id as text.
pub fn text(request_id: &HeaderValue) -> &str {
    request_id.to_str().expect("request ids are visible ASCII")
}

fn is_request_id(id: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'<' | b'>'))
}

/// Microseconds with one decimal, as they stand in answers.
pub fn microseconds(took: Duration) -> f64 {
    (took.as_nanos() / 100) as f64 / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ_and_look_like_uuids() {
        let (some, others) = (RequestIds::new(), RequestIds::new());
        let ids = [some.next(), some.next(), others.next(), others.next()];
        for (position, id) in ids.iter().enumerate() {
            let text = id.to_str().unwrap();
            assert!(is_request_id(id.as_bytes()) && text.len() == 36, "{text}");
            assert_eq!((&text[14..15], &text[19..20]), ("8", "8"), "{text}");
            assert!(!ids[..position].contains(id), "{text}");
        }
    }

    #[test]
    fn only_ids_fit_for_headers_and_logs_are_echoed() {
        let long = "x".repeat(97);
        for (id, fit) in [("abc-1:2", true), ("", false), ("a b", false), ("a\"b", false), ("é", false), (&long, false)]
        {
            assert_eq!(is_request_id(id.as_bytes()), fit, "{id}");
        }
    }
}
