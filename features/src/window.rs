//! Where a window begins and ends, seen from `as_of`.
//!
//! Instants are whole milliseconds, so a half-open window is kept as one pair of integers: `after_ms < t <= through_ms`.

use crate::spec::Window;
use crate::time::Timestamp;

/// The events with `after_ms < t <= through_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) after_ms: i64,
    pub(crate) through_ms: i64,
    /// What a rate divides by; `None`: the time since the first event.
    pub(crate) length_ms: Option<i64>,
}

/// The bounds of a window that depends on `as_of` alone; a session's are those of its longest reach.
pub(crate) fn bounds(window: &Window, as_of: Timestamp, utc_offset_ms: i64) -> Bounds {
    let as_of_ms = as_of.millis();
    match *window {
        Window::Sliding(span) => {
            Bounds { after_ms: as_of_ms - span.millis(), through_ms: as_of_ms, length_ms: Some(span.millis()) }
        }
        Window::Session { longest, .. } => {
            Bounds { after_ms: as_of_ms - longest.millis(), through_ms: as_of_ms, length_ms: None }
        }
        Window::Lifetime => Bounds { after_ms: i64::MIN, through_ms: as_of_ms, length_ms: None },
        Window::Calendar { unit, previous } => {
            let start = as_of.calendar_start(unit, utc_offset_ms).millis();
            if !previous {
                // The first instant of a period belongs to it.
                return Bounds { after_ms: start - 1, through_ms: as_of_ms, length_ms: Some(as_of_ms - start) };
            }
            let before = as_of.previous_calendar_start(unit, utc_offset_ms).millis();
            Bounds { after_ms: before - 1, through_ms: start - 1, length_ms: Some(start - before) }
        }
    }
}
