//! What goes back: a status, a body, and the headers that are not on every answer.

use actix_web::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;
use serde::Serialize;

pub const JSON: &str = "application/json";

/// Bodies are written into a buffer of this size first: a scored application fits.
const USUAL_BYTES: usize = 1024;

/// An answer.
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Bytes,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    /// A JSON document.
    pub fn json(status: u16, document: &impl Serialize) -> Self {
        let mut body = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut body, document).expect("answers are maps with text keys");
        Self::new(status, JSON, body)
    }

    /// Any body.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, body: body.into(), headers: Vec::new() }
    }
}
