//! A run told: as a table in the terminal, as JSON, and as one HTML file with charts that needs nothing else.

use std::time::SystemTime;

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
