//! What is sent: each request is made from its number, so that it is the same whoever makes it.

pub mod answers;
pub mod bank;
pub mod json;
pub mod mistakes;
pub mod mixed;
pub mod replay;
pub mod template;

use std::fmt;

/// Makes requests, and says what an answer has to be.
pub trait Traffic: Sync {
    /// Names of the kinds of requests, for the report; a request's kind is a place in it.
    fn kinds(&self) -> Vec<String>;

    /// Writes request `number` as HTTP/1.1, head and body, behind what is in `out`.
    fn write(&self, number: u64, out: &mut Vec<u8>) -> Sent;

    /// Whether an answer of this status and body is what that request is meant to get; a refusal of what was made invalid is.
    fn judge(&self, sent: Sent, status: u16, body: &[u8]) -> Verdict;
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub number: u64,
    pub kind: usize,
    /// Items in it: events or applications.
    pub items: u32,
    /// Whether it was made to be refused.
    pub is_invalid: bool,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// As meant.
    Good,
    /// Refused for overload (429, 503), which an open service may do.
    Refused,
    /// Anything else.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Refused => "refused",
            Self::Failed => "failed",
        })
    }
}

/// Prepared requests of one kind, by turns: all that many tests and benchmarks need.
#[derive(Debug)]
pub struct Prepared {
    pub kind: String,
    pub requests: Vec<Vec<u8>>,
}

impl Traffic for Prepared {
    fn kinds(&self) -> Vec<String> {
        vec![self.kind.clone()]
    }

    fn write(&self, number: u64, out: &mut Vec<u8>) -> Sent {
        out.extend_from_slice(&self.requests[(number % self.requests.len() as u64) as usize]);
        Sent { number, kind: 0, items: 1, is_invalid: false }
    }

    fn judge(&self, _: Sent, status: u16, _: &[u8]) -> Verdict {
        Verdict::of_status(status)
    }
}

impl Verdict {
    /// Of a request that is valid.
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Good,
            429 | 503 => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// A request's bytes.
pub fn write_request(method: &str, path: &str, authority: &str, content_type: &str, body: &[u8], out: &mut Vec<u8>) {
    use std::io::Write;
    let length = body.len();
    // Writing to memory cannot fail.
    let _ = write!(
        out,
        "{method} {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    out.extend_from_slice(body);
}
