//! What a refused request is answered: written once, but for the request's id.

use actix_web::http::StatusCode;
use bytes::Bytes;

use super::routes::{Endpoint, ROUTES};
use super::{ahorro_valle, answer::Answer, call};
use crate::admission::Reason;
use crate::error::{ApiError, Code};

/// Stands where the id of a request goes.
const ID: &str = "{id}";

/// The answers to refused requests.
pub struct Refusals {
    overloaded: Refusal,
    limited: Refusal,
    predecir_overloaded: Refusal,
    predecir_limited: Refusal,
}

/// One of them.
pub struct Refusal {
    pub code: Code,
    pub status: StatusCode,
    pub content_type: &'static str,
    before: String,
    after: String,
}

impl Refusals {
    /// Writes them.
    pub fn new() -> Self {
        let overloaded = ApiError::overloaded();
        let limited =
            ApiError::new(Code::RateLimited, "`RateLimit-Policy` says how much it may; ask again after `Retry-After`");
        Self {
            predecir_overloaded: Refusal::new(&overloaded, ahorro_valle::refusal(&overloaded, ID)),
            predecir_limited: Refusal::new(&limited, ahorro_valle::refusal(&limited, ID)),
            overloaded: Refusal::new(&overloaded, call::problem_document(&overloaded, ID)),
            limited: Refusal::new(&limited, call::problem_document(&limited, ID)),
        }
    }

    /// The one for this reason on this row of [`ROUTES`].
    pub fn of(&self, reason: Reason, route: usize) -> &Refusal {
        let is_predecir = ROUTES.get(route).is_some_and(|route| route.endpoint == Endpoint::Predecir);
        match (reason, is_predecir) {
            (Reason::Rate, false) => &self.limited,
            (Reason::Rate, true) => &self.predecir_limited,
            (_, false) => &self.overloaded,
            (_, true) => &self.predecir_overloaded,
        }
    }
}

impl Refusal {
    fn new(error: &ApiError, answer: Answer) -> Self {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let (before, after) = text.split_once(ID).expect("every error says the id of its request");
        Self {
            code: error.code,
            status: StatusCode::from_u16(answer.status).expect("statuses come from tables"),
            content_type: answer.content_type,
            before: before.to_owned(),
            after: after.to_owned(),
        }
    }

    /// The body for the request of this id, which is fit for JSON as it is.
    pub fn body(&self, id: &str) -> Bytes {
        [&*self.before, id, &*self.after].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_a_document_with_its_request_s_id() {
        let refusals = Refusals::new();
        let predecir = Endpoint::Predecir as usize;
        for (reason, route, status, key, code) in [
            (Reason::Overload, 0, 503, "code", "overloaded"),
            (Reason::Rate, 0, 429, "code", "rate_limited"),
            (Reason::Permits, predecir, 503, "codigo", "E503"),
            (Reason::Rate, predecir, 429, "codigo", "E429"),
        ] {
            let refusal = refusals.of(reason, route);
            let said: serde_json::Value = serde_json::from_slice(&refusal.body("r-1")).unwrap();
            assert_eq!(
                (refusal.status.as_u16(), &said[key], &said["request_id"]),
                (status, &code.into(), &"r-1".into())
            );
        }
    }
}
