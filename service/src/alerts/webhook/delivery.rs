//! One request to a receiver, and what its outcome means for the notice.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use serde_json::Value;
use ureq::http::header::RETRY_AFTER;
use ureq::{Agent, Error};

use crate::outgoing;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// The receiver will not take it however often it is sent.
    Refused { status: u16 },
    /// It may be taken later; the receiver may have said when.
    Retry { cause: Cause, after: Option<Duration> },
}

/// Why a notice did not arrive. An address is a secret, so no error of the client is kept that may repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Status(u16),
    Failed(&'static str),
    Io(ErrorKind),
}

/// What sends requests, with the connections that it keeps.
pub struct Client(Agent);

impl Client {
    /// `timeout` is for all of a request: the name's resolution, the connection, the answer.
    pub fn new(timeout: Duration) -> Self {
        let config = outgoing::client(timeout)
            .http_status_as_error(false)
            .user_agent(concat!("cauce/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(config.into())
    }

    /// Posts a document.
    pub fn post(&self, address: &str, document: &Value) -> Outcome {
        let sent = self.0.post(address).header("content-type", "application/json").send(document.to_string());
        match sent {
            Ok(response) => {
                let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
                of_status(response.status().as_u16(), after)
            }
            Err(error) => Outcome::Retry { cause: cause(&error), after: None },
        }
    }
}

impl Outcome {
    /// The receiver has it.
    pub fn is_delivered(&self) -> bool {
        *self == Self::Delivered
    }
}

/// What an answer means. `Retry-After` is understood in seconds (RFC 9110, 10.2.3); a date counts as not said.
fn of_status(status: u16, retry_after: Option<&str>) -> Outcome {
    match status {
        200..=299 => Outcome::Delivered,
        408 | 429 | 500.. => {
            let seconds = retry_after.and_then(|after| after.trim().parse().ok());
            Outcome::Retry { cause: Cause::Status(status), after: seconds.map(Duration::from_secs) }
        }
        _ => Outcome::Refused { status },
    }
}

fn cause(error: &Error) -> Cause {
    match error {
        Error::Timeout(_) => Cause::Failed("no answer within `alerts.timeout`"),
        Error::HostNotFound => Cause::Failed("its host is not found"),
        Error::ConnectionFailed => Cause::Failed("it cannot be connected to"),
        Error::Tls(_) | Error::NativeTls(_) => Cause::Failed("no trusted TLS connection"),
        Error::Io(error) => Cause::Io(error.kind()),
        _ => Cause::Failed("its answer is not HTTP as it should be"),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("delivered"),
            Self::Refused { status } => write!(f, "refused with status {status}"),
            Self::Retry { cause: Cause::Status(status), .. } => write!(f, "status {status}"),
            Self::Retry { cause: Cause::Failed(why), .. } => f.write_str(why),
            Self::Retry { cause: Cause::Io(kind), .. } => write!(f, "{kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_says_whether_it_helps_to_send_it_again() {
        let again = |status, seconds: Option<u64>| Outcome::Retry {
            cause: Cause::Status(status),
            after: seconds.map(Duration::from_secs),
        };
        for (status, after, expected) in [
            (200, None, Outcome::Delivered),
            (202, None, Outcome::Delivered),
            (302, None, Outcome::Refused { status: 302 }),
            (400, Some("5"), Outcome::Refused { status: 400 }),
            (404, None, Outcome::Refused { status: 404 }),
            (408, None, again(408, None)),
            (429, Some(" 30 "), again(429, Some(30))),
            (429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), again(429, None)),
            (500, None, again(500, None)),
            (503, Some("2"), again(503, Some(2))),
        ] {
            assert_eq!(of_status(status, after), expected, "{status}");
        }
    }

    #[test]
    fn what_is_logged_of_a_failure_has_no_address() {
        let client = Client::new(Duration::from_secs(1));
        for address in ["http://127.0.0.1:1/SECRET", "https://127.0.0.1:1/SECRET", "http://SECRET.invalid/"] {
            let outcome = client.post(address, &Value::Null);
            assert!(matches!(outcome, Outcome::Retry { after: None, .. }), "{outcome}");
            assert!(!format!("{outcome} {outcome:?}").contains("SECRET"), "{outcome}");
        }
    }
}
