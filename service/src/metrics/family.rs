//! What a metric is called, and all tables of them together: the page, its documentation, the dashboard and the tests read these.

use std::fmt::Write;

use super::alerts::ALERT_FAMILIES;
use super::edge::EDGE_FAMILIES;
use super::kafka::KAFKA_FAMILIES;
use super::ledger::LEDGER_FAMILIES;
use super::process::PROCESS_FAMILIES;
use super::trace::TRACE_FAMILIES;

/// Every table there is. Those of Kafka are on the page only where Kafka is the log.
const TABLES: [&[Family]; 7] = [
    &super::FAMILIES,
    &EDGE_FAMILIES,
    &LEDGER_FAMILIES,
    &KAFKA_FAMILIES,
    &ALERT_FAMILIES,
    &TRACE_FAMILIES,
    &PROCESS_FAMILIES,
];

/// A named group of series.
#[derive(Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: &'static str,
    pub help: &'static str,
    /// What its series are told apart by.
    pub labels: &'static [&'static str],
}

/// Every family of every table.
pub fn all_families() -> impl Iterator<Item = &'static Family> {
    TABLES.into_iter().flatten()
}

/// The tables as one of Markdown.
pub fn markdown() -> String {
    let mut text = "| metric | type | labels | what |\n|---|---|---|---|\n".to_owned();
    for Family { name, kind, help, labels } in all_families() {
        writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).expect("a String takes all text");
    }
    text
}

pub(super) const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: "counter", help, labels: &[] }
}

pub(super) const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: "gauge", help, labels: &[] }
}

pub(super) const fn histogram(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: "histogram", help, labels: &[] }
}

impl Family {
    /// The same with labels.
    pub(super) const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    pub(super) fn describe(&self) {
        match self.kind {
            "counter" => metrics::describe_counter!(self.name, self.help),
            "gauge" => metrics::describe_gauge!(self.name, self.help),
            _ => metrics::describe_histogram!(self.name, self.help),
        }
    }

    /// The two lines before its series, for those that the exporter cannot keep.
    pub(super) fn head(&self) -> String {
        format!("# HELP {} {}\n# TYPE {} {}\n", self.name, self.help, self.name, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unlike_each_other_and_end_as_their_kind_does() {
        let mut names = std::collections::BTreeSet::new();
        for family in all_families() {
            assert!(names.insert(family.name), "{}", family.name);
            assert_eq!(family.name.ends_with("_total"), family.kind == "counter", "{}", family.name);
            assert!(family.help.ends_with('.') && !family.help.contains('|'), "{}: {}", family.name, family.help);
        }
        assert_eq!(markdown().lines().count(), names.len() + 2);
    }
}
