//! A request's body: of a known type, not larger than allowed, and there in time.
//!
//! A body that arrives in one piece, as nearly all do, is used where it lies: no copy, and no timer is ever armed.

use std::future::poll_fn;
use std::pin::pin;

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::rt::time::timeout;
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use super::call::Call;
use super::connection::Slow;
use crate::error::{ApiError, Code};

/// What a body consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Lines,
}

/// The types that are understood; the first of each format is the one to recommend.
const MEDIA_TYPES: [(&str, Format); 4] = [
    ("application/json", Format::Json),
    ("application/x-ndjson", Format::Lines),
    ("application/ndjson", Format::Lines),
    ("application/jsonl", Format::Lines),
];

/// Reads the body of one JSON document.
pub async fn document(call: &Call, request: &HttpRequest, payload: Payload) -> Result<Bytes, ApiError> {
    match format(request.headers())? {
        Format::Json => read(call, request, payload, call.shared().server.body.bytes()).await,
        Format::Lines => Err(unsupported("`Content-Type` must be `application/json` here")),
    }
}

/// Reads the body of one JSON document, where there may be none: then it needs no type either.
pub async fn optional_document(
    call: &Call,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Option<Bytes>, ApiError> {
    if request.headers().contains_key(header::CONTENT_TYPE) {
        return match document(call, request, payload).await {
            Err(error) if error.code == Code::EmptyBody => Ok(None),
            read => read.map(Some),
        };
    }
    match read(call, request, payload, call.shared().server.body.bytes()).await {
        Err(error) if error.code == Code::EmptyBody => Ok(None),
        read => read.and_then(|_| Err(unsupported("`Content-Type` must be `application/json` here"))),
    }
}

/// Reads the body of many documents.
pub async fn batch(call: &Call, request: &HttpRequest, payload: Payload) -> Result<(Format, Bytes), ApiError> {
    let format = format(request.headers())?;
    Ok((format, read(call, request, payload, call.shared().server.batch_body.bytes()).await?))
}

async fn read(call: &Call, request: &HttpRequest, payload: Payload, most: usize) -> Result<Bytes, ApiError> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > most as u64) {
        return Err(too_large(most));
    }
    let body = call.receive(in_time(call, collect(payload, most))).await?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::new(Code::EmptyBody, "a JSON body is expected"));
    }
    Ok(body)
}

async fn in_time(call: &Call, body: impl Future<Output = Result<Bytes, ApiError>>) -> Result<Bytes, ApiError> {
    timeout(call.shared().server.body_timeout.get(), body).await.unwrap_or_else(|_elapsed| {
        call.worker().edge.metrics.slow(Slow::Body);
        Err(ApiError::new(Code::BodyTimeout, "send the body without pauses"))
    })
}

async fn collect(payload: Payload, most: usize) -> Result<Bytes, ApiError> {
    let mut payload = pin!(payload);
    let mut whole = Bytes::new();
    let mut pieces: Option<BytesMut> = None;
    while let Some(piece) = poll_fn(|context| payload.as_mut().poll_next(context)).await {
        let piece = piece.map_err(broken)?;
        if whole.len() + pieces.as_ref().map_or(0, BytesMut::len) + piece.len() > most {
            return Err(too_large(most));
        }
        match &mut pieces {
            Some(pieces) => pieces.extend_from_slice(&piece),
            None if whole.is_empty() => whole = piece,
            None => {
                let mut both = BytesMut::from(std::mem::take(&mut whole));
                both.extend_from_slice(&piece);
                pieces = Some(both);
            }
        }
    }
    Ok(pieces.map_or(whole, BytesMut::freeze))
}

fn broken(error: PayloadError) -> ApiError {
    let detail = match error {
        PayloadError::Overflow => "the body is larger than announced",
        _ => "the connection ended or sent something else before the body was complete",
    };
    ApiError::new(Code::IncompleteBody, detail)
}

fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(unsupported("a body must not be compressed"));
    }
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (media_type, parameters) = given.split_once(';').unwrap_or((given, ""));
    let known = MEDIA_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(media_type.trim()));
    let charset = parameters.trim();
    let utf_8 =
        ["", "charset=utf-8", "charset=\"utf-8\""].iter().any(|accepted| accepted.eq_ignore_ascii_case(charset));
    match known {
        Some((_, format)) if utf_8 => Ok(*format),
        _ => Err(unsupported(
            "`Content-Type` must be `application/json` (or, for a batch, `application/x-ndjson`), in UTF-8",
        )),
    }
}

fn unsupported(detail: &'static str) -> ApiError {
    ApiError::new(Code::UnsupportedMediaType, detail)
}

fn too_large(most: usize) -> ApiError {
    ApiError::new(Code::BodyTooLarge, format!("a body has at most {most} bytes here"))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_content_type_says_how_a_body_is_read() {
        let cases = [
            ("application/json", Some(Format::Json)),
            ("Application/JSON; charset=UTF-8", Some(Format::Json)),
            ("application/x-ndjson", Some(Format::Lines)),
            ("application/json; charset=latin-1", None),
            ("text/plain", None),
            ("application/x-www-form-urlencoded", None),
        ];
        for (given, expected) in cases {
            assert_eq!(format(&headers(&[(header::CONTENT_TYPE, given)])).ok(), expected, "{given}");
        }
        assert!(format(&headers(&[])).is_err());
    }

    #[test]
    fn a_compressed_body_is_refused_by_name() {
        let pairs = [(header::CONTENT_TYPE, "application/json"), (header::CONTENT_ENCODING, "gzip")];
        assert_eq!(format(&headers(&pairs)).unwrap_err().code, Code::UnsupportedMediaType);
    }
}
