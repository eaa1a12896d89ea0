//! What stands before the router: whether a request is let in, and what every answer carries.
//!
//! A refusal costs as little as can be: it is decided by path, before the router and the handler, and its body is written but for the
//! request's id. What the client has sent by then is taken, since actix closes a connection whose announced body it has not seen, and
//! connecting anew costs both sides more than the answer. A connection whose request was refused for overload is then not read for a
//! while: a client that does not heed `Retry-After` would otherwise have the worker do nothing but refuse.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix_http::{BoxedPayloadStream, HttpMessage, Payload, Request, Response};
use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use futures_core::Stream;
use tracing::{Instrument, Span};

use super::connection::{Connections, Facts, Patience};
use super::pulse::{CALM_PERIOD, Pulse};
use super::refusal::Refusals;
use super::routes;
use super::span::Maker;
use super::{Shared, call};
use crate::admission::{Admission, Bounds, Class, Look, Reason, Verdict};
use crate::config::{Config, Server};
use crate::deadline::Deadline;
use crate::kpi::recorder::{Answered, Recorders};
use crate::limits::{Limiter, Standing};
use crate::metrics::edge::EdgeMetrics;
use crate::tally::Tally;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A body that nobody wants is taken up to this size; beyond, closing the connection is cheaper.
const UNWANTED_BODY_MOST: usize = 64 * 1024;
/// What the edges of all workers share.
pub struct Gate {
    /// Set when connections without a request are to be closed.
    pub closing: AtomicBool,
    /// Open connections of all workers.
    pub open: Arc<AtomicUsize>,
    limits: Option<Limits>,
    bounds: Bounds,
    pause: Duration,
}

struct Limits {
    limiter: Limiter,
    /// The header that tells clients apart; none is the address.
    header: Option<HeaderName>,
    policy: HeaderValue,
}

/// The edge of one worker.
pub struct Edge {
    pub shared: Arc<Shared>,
    pub connections: Rc<Connections>,
    pub metrics: EdgeMetrics,
    pub tally: Tally,
    pub pulse: Pulse,
    admission: RefCell<Admission>,
    ids: Maker,
    refusals: Refusals,
}

/// A request that was let in: it is in flight until this is dropped.
struct Exchange {
    edge: Rc<Edge>,
    facts: Rc<Facts>,
    chunked: bool,
}

/// What is known of a request when its head is there.
struct Arrival {
    route: usize,
    class: Class,
    verdict: Verdict,
    standing: Option<Standing>,
}

impl Gate {
    /// Open for all.
    pub fn new(config: &Config) -> Self {
        let (admission, limits) = (&config.admission, &config.limits);
        Self {
            closing: AtomicBool::new(false),
            open: Arc::default(),
            limits: (limits.requests_per_second > 0).then(|| Limits::new(limits)),
            bounds: Bounds { delay: admission.delay.get(), in_flight: admission.in_flight },
            pause: admission.pause.get(),
        }
    }
}

impl Limits {
    fn new(limits: &crate::config::Limits) -> Self {
        let limiter = Limiter::new(limits.requests_per_second, limits.burst, limits.clients);
        let (burst, window) = limiter.policy();
        let policy = format!("\"default\";q={burst};w={}", seconds_up(window));
        Self {
            limiter,
            header: (limits.key != "address").then(|| limits.key.parse().expect("the configuration was checked")),
            policy: HeaderValue::try_from(policy).expect("digits are fit for a header"),
        }
    }

    fn ask(&self, request: &Request, now: Instant) -> Standing {
        let key = self.header.as_ref().and_then(|name| request.headers().get(name));
        match (key, request.peer_addr()) {
            (Some(key), _) => self.limiter.ask(key.as_bytes(), now),
            (None, Some(address)) => self.limiter.ask(address.ip(), now),
            // A client that has hung up already.
            (None, None) => self.limiter.ask((), now),
        }
    }

    fn write(&self, standing: Standing, headers: &mut HeaderMap) {
        let now = format!("\"default\";r={};t={}", standing.remaining, seconds_up(standing.whole_in));
        headers.insert(RATE_LIMIT, HeaderValue::try_from(now).expect("digits are fit for a header"));
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
    }
}

impl Edge {
    /// The edge of worker `number`.
    pub fn new(shared: Arc<Shared>, number: usize) -> Rc<Self> {
        let Server { head_timeout, body_timeout, write_timeout, keep_alive, .. } = &shared.server;
        let patience = Patience {
            head: head_timeout.get(),
            body: body_timeout.get(),
            write: write_timeout.get(),
            keep_alive: keep_alive.get(),
        };
        Rc::new(Self {
            connections: Connections::new(patience, shared.gate.open.clone()),
            pulse: Pulse::new(),
            metrics: EdgeMetrics::new(&shared.metrics, number),
            tally: Tally::new(shared.metrics.clone(), shared.recorders.as_deref().map(Recorders::open)),
            admission: RefCell::new(Admission::new(shared.gate.bounds)),
            ids: Maker::new(),
            refusals: Refusals::new(),
            shared,
        })
    }

    /// Serves a request, or refuses it.
    pub fn serve<S>(
        self: &Rc<Self>,
        mut request: Request,
        service: &S,
    ) -> impl Future<Output = Result<Response<BoxBody>, Error>> + use<S>
    where
        S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
    {
        let now = Instant::now();
        let facts = Facts::of(request.conn_data());
        let arrival = self.receive(&request, &facts, now);
        let exchange = Exchange {
            edge: self.clone(),
            facts: facts.clone(),
            chunked: request.headers().contains_key(header::TRANSFER_ENCODING),
        };
        let mut span = Span::none();
        let begun = match arrival.verdict {
            Verdict::Admit => {
                exchange.enter(arrival.class);
                span = exchange.begin(&request, arrival.route);
                Ok(span.in_scope(|| service.call(request)))
            }
            Verdict::Refuse(reason) => {
                let id = call::request_id(&request.head().headers, &self.ids.requests);
                let body = exchange.wants_body(&request).then(|| request.take_payload());
                Err((reason, id, body))
            }
        };
        let answer = async move {
            let mut response = match begun {
                Ok(served) => served.await?.into(),
                Err((reason, id, body)) => {
                    if let Some(body) = body {
                        exchange.discard(body, now).await;
                    }
                    exchange.edge.refuse(&arrival, reason, id, &exchange.facts)
                }
            };
            exchange.finish(&arrival, &mut response);
            Ok(response)
        };
        answer.instrument(span)
    }

    /// Learns how the worker is doing; whether something has to be looked at soon.
    pub fn tick(&self, look: Look, now: Instant) -> bool {
        let (share, in_flight) = self.learn(look);
        self.metrics.load(look.late, share, in_flight, self.connections.len(), self.shared.live.taken());
        self.tally.load(look.late, in_flight, now + CALM_PERIOD);
        self.connections.resume(Some(now));
        if self.shared.is_stopping() {
            self.connections.part();
        }
        if self.shared.gate.closing.load(Ordering::Relaxed) {
            self.connections.close_idle();
        }
        share > 0.0 || self.connections.has_paused()
    }

    fn learn(&self, look: Look) -> (f64, usize) {
        let mut admission = self.admission.borrow_mut();
        admission.learn(look);
        (admission.share(), admission.in_flight())
    }

    /// Gives a permit back while a client sends a body: slow ones would use them up.
    pub fn give_back(&self, facts: &Facts) -> Option<Class> {
        let held = facts.permit().take();
        if held.is_some() {
            self.admission.borrow_mut().leave();
        }
        held
    }

    /// Takes it again; false if there is none left.
    pub fn take_again(&self, facts: &Facts, held: Option<Class>) -> bool {
        let Some(class) = held else { return true };
        let mut admission = self.admission.borrow_mut();
        if !admission.has_room(class) {
            self.metrics.refused(class, Reason::Permits);
            return false;
        }
        admission.enter();
        facts.permit().set(Some(class));
        true
    }

    fn receive(&self, request: &Request, facts: &Facts, now: Instant) -> Arrival {
        let route = routes::find(request.uri().path());
        let class = routes::ROUTES.get(route).map_or(Class::Background, |route| route.class);
        let started = facts.taken();
        let mut arrival = Arrival { route, class, verdict: Verdict::Admit, standing: None };
        if class == Class::Vital {
            return arrival;
        }
        if let Some(look) = self.pulse.begin(now) {
            self.learn(look);
        }
        arrival.standing = self.shared.gate.limits.as_ref().map(|limits| limits.ask(request, now));
        arrival.verdict = match arrival.standing {
            Some(Standing { within: false, .. }) => Verdict::Refuse(Reason::Rate),
            _ => self.admission.borrow_mut().decide(class, self.left(request, route, started, now)),
        };
        arrival
    }

    /// What is left of the budget of a request for which somebody waits. A budget that is none is the handler's to refuse.
    fn left(&self, request: &Request, route: usize, started: Instant, now: Instant) -> Option<Duration> {
        let work = routes::ROUTES.get(route)?.endpoint.work()?;
        let asked = request.headers().get(call::LATENCY_BUDGET).map(HeaderValue::as_bytes);
        let budget = self.shared.budget.of(work, asked).ok()?;
        Some(Deadline { started, budget, is_short: false }.left(now))
    }

    fn refuse(&self, arrival: &Arrival, reason: Reason, id: HeaderValue, facts: &Rc<Facts>) -> Response<BoxBody> {
        let refusal = self.refusals.of(reason, arrival.route);
        let body = refusal.body(id.to_str().unwrap_or_default());
        let mut response = Response::with_body(refusal.status, body.boxed());
        let again = match (reason, arrival.standing) {
            (Reason::Rate, Some(standing)) => seconds_up(standing.next_in).max(1),
            _ => 1,
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(refusal.content_type));
        headers.insert(header::RETRY_AFTER, HeaderValue::from(again));
        headers.insert(call::REQUEST_ID, id);
        self.metrics.refused(arrival.class, reason);
        let (route, status, code) = (arrival.route, refusal.status.as_u16(), Some(refusal.code));
        self.tally.answered(&Answered { route, status, code, took: None, budget: None });
        if reason == Reason::Overload {
            self.connections.pause(facts, Instant::now() + self.shared.gate.pause);
        }
        response
    }
}

impl Exchange {
    fn enter(&self, class: Class) {
        if class != Class::Vital {
            self.edge.admission.borrow_mut().enter();
            self.facts.permit().set(Some(class));
        }
    }

    /// From now on all that is logged for this request names it.
    fn begin(&self, request: &Request, route: usize) -> Span {
        let Edge { ids, shared, .. } = &*self.edge;
        let (exchanged, span) = ids.begin(request, route, self.facts.started(), &shared.tracer);
        *self.facts.exchanged().borrow_mut() = Some(exchanged);
        span
    }

    /// Ends its trace, once; without a status the client went away.
    fn end(&self, status: Option<u16>) {
        if let Some(exchanged) = self.facts.exchanged().take() {
            tracing::debug!(status, took_us = self.facts.started().elapsed().as_micros() as u64, "request done");
            self.edge.shared.tracer.end(exchanged.trace, status);
        }
    }

    /// Whether the body should be taken although the request is refused.
    fn wants_body(&self, request: &Request) -> bool {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        self.chunked || length.is_some_and(|length| (1..=UNWANTED_BODY_MOST).contains(&length))
    }

    /// Takes the body, which is nearly always there. The connection's own patience ends the wait for one that is not.
    async fn discard(&self, mut body: Payload<BoxedPayloadStream>, now: Instant) {
        self.facts.discards_body(now);
        let mut taken = 0;
        while let Some(Ok(piece)) = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await {
            taken += piece.len();
            if taken > UNWANTED_BODY_MOST {
                return;
            }
        }
        self.facts.body_was_read();
    }

    fn finish(&self, arrival: &Arrival, response: &mut Response<BoxBody>) {
        self.end(Some(response.status().as_u16()));
        if let (Some(standing), Some(limits)) = (arrival.standing, &self.edge.shared.gate.limits) {
            limits.write(standing, response.headers_mut());
        }
        // A connection that is kept would be asked again until it is cut.
        if self.edge.shared.is_stopping() {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.end(None);
        self.edge.give_back(&self.facts);
        self.facts.answered(Instant::now(), self.chunked);
    }
}

/// Whole seconds that are not less.
fn seconds_up(duration: Duration) -> u64 {
    duration.as_nanos().div_ceil(1_000_000_000) as u64
}
