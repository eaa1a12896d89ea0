//! What can go wrong on the way in, said to the outside: a status, a stable code and a public message. Causes stay in the log.
//!
//! [`CODES`] is the one table of codes; the OpenAPI document, the documentation and the tests read it. Messages name
//! fields and kinds, never values: a body is personal data.

use std::borrow::Cow;

use cauce_features::record::{FieldError, RecordErrors};

use crate::ingest::{IngestError, Refusal};
use crate::log::LogError;
use crate::reload::ReloadError;
use crate::store::StateError;

/// A stable code. Clients may match on it; its row in [`CODES`] says the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    MalformedJson,
    EmptyBody,
    IncompleteBody,
    InvalidFields,
    InvalidQuery,
    InvalidBudget,
    InvalidIdempotencyKey,
    EventTooLate,
    EventInFuture,
    EmptyBatch,
    TooManyItems,
    OriginRefused,
    PersonUnknown,
    NotFound,
    NoKpis,
    MethodNotAllowed,
    BodyTimeout,
    RequestInFlight,
    BodyTooLarge,
    UnsupportedMediaType,
    PartitionElsewhere,
    UpgradeRequired,
    BundleRefused,
    ReloadInProgress,
    NoPreviousBundle,
    IdempotencyKeyReused,
    RateLimited,
    StoreFull,
    DiskFull,
    LogBusy,
    LogSlow,
    LogUnavailable,
    StateUnavailable,
    NoScore,
    Starting,
    Stopping,
    Overloaded,
    TooManyLiveClients,
    Internal,
}

/// One row of the table of codes.
#[derive(Debug)]
pub struct CodeRow {
    pub code: Code,
    pub name: &'static str,
    pub status: u16,
    pub title: &'static str,
}

const fn row(code: Code, name: &'static str, status: u16, title: &'static str) -> CodeRow {
    CodeRow { code, name, status, title }
}

/// All codes, in the order of [`Code`].
pub const CODES: [CodeRow; 39] = [
    row(Code::MalformedJson, "malformed_json", 400, "The body is not JSON of the form that is expected"),
    row(Code::EmptyBody, "empty_body", 400, "The body is empty"),
    row(Code::IncompleteBody, "incomplete_body", 400, "The body ended before its announced length"),
    row(Code::InvalidFields, "invalid_fields", 400, "Fields are missing, unknown, of the wrong type or out of range"),
    row(Code::InvalidQuery, "invalid_query", 400, "The query of the address has a parameter that is wrong"),
    row(Code::InvalidBudget, "invalid_budget", 400, "The latency budget of the request is no number of milliseconds"),
    row(Code::InvalidIdempotencyKey, "invalid_idempotency_key", 400, "The idempotency key is not one"),
    row(
        Code::EventTooLate,
        "event_too_late",
        400,
        "The event happened before the horizon, or in a past that is merged by the hour",
    ),
    row(Code::EventInFuture, "event_in_future", 400, "The event is further in the future than clocks may differ"),
    row(Code::EmptyBatch, "empty_batch", 400, "The batch has no items"),
    row(Code::TooManyItems, "too_many_items", 413, "The batch has more items than are allowed"),
    row(Code::OriginRefused, "origin_refused", 403, "Pages of another origin may not listen"),
    row(Code::PersonUnknown, "person_unknown", 404, "Nothing is known of this person"),
    row(Code::NotFound, "not_found", 404, "There is nothing at this address"),
    row(Code::NoKpis, "no_kpis", 404, "No KPIs are kept"),
    row(Code::MethodNotAllowed, "method_not_allowed", 405, "This address does not take this method"),
    row(Code::BodyTimeout, "body_timeout", 408, "The body took too long to arrive"),
    row(Code::RequestInFlight, "request_in_flight", 409, "The same request is being answered"),
    row(Code::BodyTooLarge, "body_too_large", 413, "The body is larger than allowed"),
    row(
        Code::UnsupportedMediaType,
        "unsupported_media_type",
        415,
        "The body is not of a content type that is understood",
    ),
    row(Code::PartitionElsewhere, "partition_elsewhere", 421, "Another instance keeps this person's history"),
    row(Code::UpgradeRequired, "upgrade_required", 426, "This address speaks WebSocket"),
    row(Code::BundleRefused, "bundle_refused", 422, "The bundle cannot serve; the one in service goes on"),
    row(Code::ReloadInProgress, "reload_in_progress", 409, "The bundle is being reloaded already"),
    row(Code::NoPreviousBundle, "no_previous_bundle", 409, "There is no bundle to go back to"),
    row(Code::IdempotencyKeyReused, "idempotency_key_reused", 422, "The idempotency key was used with another request"),
    row(Code::RateLimited, "rate_limited", 429, "This client asks for more than it may"),
    row(Code::StoreFull, "store_full", 507, "No further person fits into the store"),
    row(Code::DiskFull, "disk_full", 507, "The disk is full: nothing can be recorded until there is space"),
    row(Code::LogBusy, "log_busy", 503, "More waits to be written than is allowed"),
    row(Code::LogSlow, "log_slow", 503, "The log did not answer within the budget of the request"),
    row(Code::LogUnavailable, "log_unavailable", 503, "The log cannot be written or read for now"),
    row(Code::StateUnavailable, "state_unavailable", 503, "A person's history cannot be read for now"),
    row(Code::NoScore, "no_score", 503, "No score can be given now, and this route has no other answer"),
    row(Code::Starting, "starting", 503, "The service has no histories yet"),
    row(Code::Stopping, "stopping", 503, "The service is stopping; another instance will answer"),
    row(Code::Overloaded, "overloaded", 503, "More is asked for than can be answered in time"),
    row(Code::TooManyLiveClients, "too_many_live_clients", 503, "As many clients listen as may"),
    row(Code::Internal, "internal", 500, "Something went wrong that is not the caller's fault"),
];

/// What is answered instead of a result.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub code: Code,
    /// What is wrong with this very request, and what would be right.
    pub detail: Cow<'static, str>,
    /// All wrong fields.
    pub errors: Vec<FieldError>,
}

impl Code {
    /// Its row in the table.
    pub fn row(self) -> &'static CodeRow {
        let row = &CODES[self as usize];
        debug_assert_eq!(row.code, self, "the table is not in order. This is a bug");
        row
    }
}

impl ApiError {
    /// An error without wrong fields.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new() }
    }

    /// The answer of an instance that is about to end.
    pub fn stopping() -> Self {
        Self::new(Code::Stopping, "send requests to another instance")
    }

    /// The answer of a service that has more to do than it can.
    pub fn overloaded() -> Self {
        Self::new(Code::Overloaded, "nothing was done; ask again after `Retry-After`, or ask another instance")
    }

    /// When to try again, in seconds, where trying again can help.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self.code {
            Code::DiskFull | Code::LogSlow | Code::LogUnavailable | Code::StateUnavailable => Some(2),
            Code::TooManyLiveClients => Some(5),
            Code::LogBusy
            | Code::NoScore
            | Code::Overloaded
            | Code::ReloadInProgress
            | Code::RequestInFlight
            | Code::Starting
            | Code::Stopping => Some(1),
            _ => None,
        }
    }

    /// Its HTTP status.
    pub fn status(&self) -> u16 {
        self.code.row().status
    }
}

impl From<RecordErrors> for ApiError {
    fn from(errors: RecordErrors) -> Self {
        match errors {
            RecordErrors::Malformed { line, column, .. } => {
                Self::new(Code::MalformedJson, format!("this is not JSON from line {line}, column {column} on"))
            }
            RecordErrors::Fields(errors) => Self {
                code: Code::InvalidFields,
                detail: format!("{} wrong field(s), listed in `errors`", errors.len()).into(),
                errors,
            },
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLate => Self::new(
                Code::EventTooLate,
                "`time` is before the horizon, or before what the bound on a person's events has merged",
            ),
            Refusal::InFuture => Self::new(Code::EventInFuture, "`time` is later than now by more than `clock_skew`"),
            Refusal::StoreFull => Self::new(Code::StoreFull, "events of people already known are still taken"),
        }
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Refused(refusal) => refusal.into(),
            IngestError::Log(error) => error.into(),
            IngestError::State(error) => error.into(),
        }
    }
}

impl From<ReloadError> for ApiError {
    fn from(error: ReloadError) -> Self {
        let code = match error {
            ReloadError::InProgress => Code::ReloadInProgress,
            ReloadError::Elsewhere { .. } | ReloadError::Refused(_) => Code::BundleRefused,
            ReloadError::NoPrevious => Code::NoPreviousBundle,
        };
        Self::new(code, error.to_string())
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        let again = "nothing was acknowledged; ask again after `Retry-After`, an event counts once";
        match error {
            LogError::Full => Self::new(Code::DiskFull, again),
            LogError::Busy => Self::new(Code::LogBusy, again),
            LogError::Unavailable(_) => Self::new(Code::LogUnavailable, again),
            LogError::Unreadable(_) => {
                tracing::error!(%error, "the log is damaged: `cauce verify` tells where");
                Self::new(Code::LogUnavailable, "what is asked for cannot be read; the operator is told")
            }
        }
    }
}

impl From<StateError> for ApiError {
    fn from(error: StateError) -> Self {
        if error == StateError::Elsewhere {
            return Self::new(Code::PartitionElsewhere, "ask the instance that owns this person's partition");
        }
        tracing::error!(%error, "the state cannot be used");
        let code = if matches!(error, StateError::Full { .. }) { Code::DiskFull } else { Code::StateUnavailable };
        Self::new(code, "this was not done; ask again after `Retry-After`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_in_its_own_row() {
        for (position, row) in CODES.iter().enumerate() {
            assert_eq!(row.code as usize, position, "{}", row.name);
            assert!((400..600).contains(&row.status), "{}", row.name);
            assert!(CODES.iter().filter(|other| other.name == row.name).count() == 1, "{}", row.name);
        }
    }
}
