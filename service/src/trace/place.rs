//! Where a request stands in a trace: W3C Trace Context, level 1.
//!
//! A `traceparent` that is not understood is no error: a new trace begins, as the recommendation says. `tracestate` is for those who call
//! on, which this service does not.

use std::cell::Cell;
use std::fmt;

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::machine;

/// A version, two ids and flags, with dashes between.
const BYTES: usize = 55;
const SAMPLED: u8 = 1;

/// The id of a trace, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

/// The id of a span, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(u64);

/// The span of whoever sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// Whether the caller may have recorded it.
    pub is_sampled: bool,
}

/// The span of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent: Option<SpanId>,
}

/// Makes ids that look random and that no other maker has.
pub struct Ids {
    seed: u64,
    count: Cell<u64>,
}

impl Parent {
    /// Reads a `traceparent`.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let (known, more) = header.split_at_checked(BYTES)?;
        if [2, 35, 52].iter().any(|dash| known[*dash] != b'-') {
            return None;
        }
        let version = number(&known[..2])?;
        // A later version may add something behind a further dash.
        let fits = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more[0] == b'-',
        };
        let (trace_id, span_id) = (number(&known[3..35])?, number(&known[36..52])? as u64);
        let is_sampled = number(&known[53..])? as u8 & SAMPLED != 0;
        let is_valid = fits && trace_id != 0 && span_id != 0;
        is_valid.then_some(Self { trace_id: TraceId(trace_id), span_id: SpanId(span_id), is_sampled })
    }

    #[cfg(test)]
    pub fn for_tests() -> Self {
        Self { trace_id: TraceId(1), span_id: SpanId(1), is_sampled: false }
    }
}

impl Place {
    /// Below a caller's span, or at the root of a new trace.
    pub fn below(parent: Option<Parent>, ids: &Ids) -> Self {
        let span_id = ids.span_id();
        match parent {
            Some(Parent { trace_id, span_id: parent, .. }) => Self { trace_id, span_id, parent: Some(parent) },
            None => Self { trace_id: ids.trace_id(), span_id, parent: None },
        }
    }
}

impl TraceId {
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Whether it is among so many percent of all ids. Every process that asks this of an id gets the same answer.
    pub fn is_within(self, percent: u32) -> bool {
        (u128::from(self.0 as u64) * 100) >> 64 < u128::from(percent)
    }
}

impl SpanId {
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The id of a span below, by its number.
    pub fn child(self, number: u64) -> Self {
        Self(xxh3_64_with_seed(&number.to_le_bytes(), self.0).max(1))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits::<32>(self.0, formatter)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits::<16>(self.0.into(), formatter)
    }
}

impl Ids {
    /// A sequence of its own.
    pub fn new() -> Self {
        Self { seed: machine::random(), count: Cell::new(0) }
    }

    fn trace_id(&self) -> TraceId {
        TraceId(xxh3_128_with_seed(&self.next(), self.seed).max(1))
    }

    fn span_id(&self) -> SpanId {
        SpanId(xxh3_64_with_seed(&self.next(), self.seed).max(1))
    }

    fn next(&self) -> [u8; 8] {
        self.count.set(self.count.get().wrapping_add(1));
        self.count.get().to_le_bytes()
    }
}

/// Writes so many hexadecimal digits. By hand: it is done for every request, and padding by `format!` takes several times as long.
fn digits<const COUNT: usize>(mut number: u128, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [b'0'; COUNT];
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[number as usize & 15];
        number >>= 4;
    }
    formatter.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

/// Reads lower-case hexadecimal digits, as the recommendation has them.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_traceparent_is_understood_or_not() {
        let zeros = "0".repeat(32);
        let upper = TRACE.to_uppercase();
        for (header, sampled) in [
            (format!("00-{TRACE}-{SPAN}-01"), Some(true)),
            (format!("00-{TRACE}-{SPAN}-00"), Some(false)),
            // Flags that are not known yet are no reason to refuse those that are.
            (format!("00-{TRACE}-{SPAN}-ff"), Some(true)),
            (format!("00-{TRACE}-{SPAN}-fe"), Some(false)),
            (format!("00-{TRACE}-{SPAN}-01-more"), None),
            (format!("cc-{TRACE}-{SPAN}-01-more"), Some(true)),
            (format!("cc-{TRACE}-{SPAN}-01"), Some(true)),
            (format!("cc-{TRACE}-{SPAN}-01.more"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            (format!("0x-{TRACE}-{SPAN}-01"), None),
            (format!("00-{zeros}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{}-01", &zeros[..16]), None),
            (format!("00-{upper}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-0G"), None),
            (format!("00-{TRACE}-{SPAN}-1"), None),
            (format!("00-{TRACE}-{SPAN}"), None),
            (format!("00_{TRACE}_{SPAN}_01"), None),
            (format!("00-{}-{SPAN}0-01", &TRACE[1..]), None),
            (String::new(), None),
        ] {
            let parent = Parent::parse(header.as_bytes());
            assert_eq!(parent.map(|parent| parent.is_sampled), sampled, "{header}");
            if let Some(parent) = parent {
                assert_eq!((parent.trace_id.to_string(), parent.span_id.to_string()), (TRACE.into(), SPAN.into()));
            }
        }
    }

    #[test]
    fn a_request_goes_on_the_trace_of_its_caller_under_a_span_of_its_own() {
        let (ids, parent) = (Ids::new(), Parent::for_tests());
        let (below, root) = (Place::below(Some(parent), &ids), Place::below(None, &ids));
        assert_eq!((below.trace_id, below.parent), (parent.trace_id, Some(parent.span_id)));
        assert_eq!(root.parent, None);
        let spans = [parent.span_id, below.span_id, root.span_id, root.span_id.child(0), root.span_id.child(1)];
        for (position, span) in spans.iter().enumerate() {
            assert!(!spans[..position].contains(span), "{spans:?}");
        }
        assert_ne!(root.trace_id, parent.trace_id);
        assert_ne!(Place::below(None, &Ids::new()).trace_id, root.trace_id);
    }

    #[test]
    fn a_share_of_new_traces_is_sampled() {
        let ids = Ids::new();
        for (percent, from, to) in [(0, 0, 0), (10, 800, 1200), (100, 10_000, 10_000)] {
            let sampled = (0..10_000).filter(|_| ids.trace_id().is_within(percent)).count();
            assert!((from..=to).contains(&sampled), "{sampled} at {percent} %");
        }
    }
}
