//! A run told: as a table in the terminal, as JSON, and as one HTML file with charts that needs nothing else.
//!
//! A figure that the generator could not drive is told by none of them: it reads `not driven`, or `null`, with the reason beside it.

mod charts;
mod draw;
#[cfg(test)]
mod example;
mod figures;
pub(crate) mod format;
mod html;
mod json;
mod markup;
mod scale;
mod table;

use std::time::{SystemTime, UNIX_EPOCH};

use cauce_features::time::Timestamp;

pub use self::html::html;
pub use self::json::{KEYS, json};
pub use self::table::table;
use crate::limits::Judged;
use crate::outcome::Outcome;
use crate::search::Search;
use crate::watch::Series;

/// All that is told of a run.
#[derive(Debug)]
pub struct Report<'a> {
    /// The scenario's name, and the file as it was read.
    pub name: &'a str,
    pub scenario: &'a str,
    /// Where the load went: `http://127.0.0.1:8080`.
    pub target: &'a str,
    /// As it was typed.
    pub command: &'a str,
    pub started_at: SystemTime,
    pub outcome: &'a Outcome,
    pub limits: &'a [Judged],
    pub search: Option<&'a Search>,
    pub watched: &'a [Series],
}

impl Report<'_> {
    /// When it began, to the second: RFC 3339 in UTC.
    fn date(&self) -> String {
        let seconds = self.started_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Timestamp::from_millis(i64::try_from(seconds * 1_000).unwrap_or_default()).to_string()
    }
}
