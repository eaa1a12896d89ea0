//! Instants and spans in whole milliseconds, UTC.
//!
//! Milliseconds in an `i64` are what fronts and banks send, and integers keep window edges exact (F1). The accepted range
//! is 1900 to 2200, so that an instant always fits the 48 bits which a timeline row gives it.

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant that many milliseconds after (or, negative, before) the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

/// A length of time in milliseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

impl Span {
    /// That many milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Its milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }
}
