//! Live streams over WebSocket: one document a second to each client, always the newest, never a queue (S5).
//!
//! A client is sent the next document once it has answered the ping behind the one before. So one at most is under way to each, whatever
//! the socket, the client's machine or what lies between would buffer; a slow reader skips to the newest, and one that has gone away is
//! noticed. Places are bounded by `kpi.live_clients`.
//!
//! Who may ask: whoever may read `/metrics`. But a browser asks in the name of any page that it shows, and lets that page read what
//! comes: an upgrade whose `Origin` is not the host that was asked is refused. Clients that are no browsers send none.

mod stream;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_http::ws;
use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::answer::{Answer, JSON};
use super::call::Call;
use super::connection::Facts;
use super::kpis;
use super::routes::Endpoint;
use crate::error::{ApiError, Code};
use crate::kpi::Posted;
use stream::Stream;

/// The places of live clients, of all workers together.
pub struct Seats {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// One of them, free again once this is dropped.
struct Seat(Arc<AtomicUsize>);

impl Seats {
    /// So many, all free.
    pub fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<Seat> {
        let free = |taken| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        Some(Seat(self.taken.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends what `write` makes of each snapshot, for as long as the client listens.
pub fn follow(
    request: &HttpRequest,
    payload: Payload,
    endpoint: Endpoint,
    write: fn(&Posted) -> Bytes,
) -> HttpResponse {
    let call = Call::begin(request, endpoint);
    let edge = call.worker().edge.clone();
    let mut seat = None;
    let mut response = call.answer(|call| {
        seat = Some(admit(request, call)?);
        Ok(Answer::new(101, JSON, Bytes::new()))
    });
    let Some(seat) = seat else {
        if response.status() == StatusCode::UPGRADE_REQUIRED {
            let headers = response.headers_mut();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        return response;
    };
    let accepted = ws::handshake_response(request.head()).finish();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in accepted.headers() {
        headers.insert(name.clone(), value.clone());
    }
    response.head_mut().set_connection_type(ConnectionType::Upgrade);
    let facts = Facts::of(request.conn_data::<Rc<Facts>>());
    facts.goes_live();
    let stream = Stream::new(edge, facts, payload.into_inner(), seat, write);
    response.set_body(BoxBody::new(stream))
}

/// What the service cannot do comes before what a request is not like: a page cannot see why its WebSocket is refused, but it can ask
/// once more without an upgrade.
fn admit(request: &HttpRequest, call: &Call) -> Result<Seat, ApiError> {
    let headers = request.headers();
    if call.shared().is_stopping() {
        return Err(ApiError::stopping());
    }
    kpis::kept(call)?;
    let seat = call.shared().live.take().ok_or_else(|| {
        let detail = "`kpi.live_clients` are connected; ask again later, or ask `/v1/kpis` once in a while";
        ApiError::new(Code::TooManyLiveClients, detail)
    })?;
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(upgrade_required("a request for an upgrade has no body"));
    }
    ws::verify_handshake(request.head()).map_err(|error| upgrade_required(advice(error)))?;
    if !is_of_this_host(headers) {
        return Err(ApiError::new(Code::OriginRefused, "`Origin` has to name the host that is asked in `Host`"));
    }
    Ok(seat)
}

fn upgrade_required(detail: &'static str) -> ApiError {
    ApiError::new(Code::UpgradeRequired, detail)
}

fn advice(error: ws::HandshakeError) -> &'static str {
    use ws::HandshakeError::*;
    match error {
        GetMethodRequired => "a WebSocket is asked for with `GET`",
        NoWebsocketUpgrade | NoConnectionUpgrade => "`Upgrade: websocket` and `Connection: upgrade` are expected",
        NoVersionHeader | UnsupportedVersion => "`Sec-WebSocket-Version: 13` is expected",
        BadWebsocketKey => "`Sec-WebSocket-Key` has to be 16 bytes in base64",
    }
}

/// Whether the page that asks, if one does, was served under the host that it asks.
fn is_of_this_host(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), headers.get(header::HOST).map(HeaderValue::to_str)) else {
        return false;
    };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let usual = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let bare = |name: &str| name.strip_suffix(usual).unwrap_or(name).to_ascii_lowercase();
    bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_host_that_is_asked_may_listen() {
        for (origin, host, expected) in [
            (None, "cauce:8080", true),
            (Some("http://cauce:8080"), "cauce:8080", true),
            (Some("https://Cauce.example"), "cauce.example:443", true),
            (Some("http://cauce.example:80"), "cauce.example", true),
            (Some("http://cauce.example:443"), "cauce.example", false),
            (Some("http://[::1]:8080"), "[::1]:8080", true),
            (Some("http://cauce:8081"), "cauce:8080", false),
            (Some("http://evil.example"), "cauce:8080", false),
            (Some("http://cauce:8080.evil.example"), "cauce:8080", false),
            (Some("null"), "cauce:8080", false),
            (Some(""), "cauce:8080", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::try_from(host).unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::try_from(origin).unwrap());
            }
            assert_eq!(is_of_this_host(&headers), expected, "{origin:?} asks {host}");
        }
    }

    #[test]
    fn a_seat_is_free_again_once_its_client_is_gone() {
        let seats = Seats::new(2);
        let (one, other) = (seats.take(), seats.take());
        assert!(one.is_some() && other.is_some() && seats.take().is_none());
        drop(one);
        assert_eq!(seats.taken(), 1);
        assert!(seats.take().is_some());
    }
}
