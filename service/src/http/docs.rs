//! `GET /docs`: the OpenAPI document as a page that needs no network. The page and its script are part of the binary.

use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::answer::Answer;
use super::call::Call;
use super::routes::Endpoint;

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/page.js");

/// The page loads from here and from nowhere else.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'self'; style-src 'self' 'unsafe-inline'");

/// The page.
pub async fn page(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::Docs).answer(|_| {
        let mut answer = Answer::new(200, "text/html; charset=utf-8", PAGE);
        answer.headers.push((CONTENT_SECURITY_POLICY, POLICY));
        Ok(answer)
    })
}

/// Its script.
pub async fn script(request: HttpRequest) -> HttpResponse {
    Call::begin(&request, Endpoint::DocsScript)
        .answer(|_| Ok(Answer::new(200, "text/javascript; charset=utf-8", SCRIPT)))
}
