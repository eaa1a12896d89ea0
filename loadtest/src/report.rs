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

/// What a run comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Conclusion {
    Holds,
    /// A limit, or a figure of the service that grew; or no rate held.
    Missed,
    /// Nobody can tell, and why.
    NotDriven(String),
}

impl Report<'_> {
    /// What the run comes to: the exit status, the JSON and the page all say it.
    pub fn conclusion(&self) -> Conclusion {
        let is_missed = self.limits.iter().any(|judged| !judged.holds && judged.not_driven.is_none());
        if is_missed || self.watched.iter().any(|series| series.trend.is_some()) {
            return Conclusion::Missed;
        }
        match self.not_driven() {
            Some(why) => Conclusion::NotDriven(why),
            None if self.search.is_some_and(|search| search.highest.is_none()) => Conclusion::Missed,
            None => Conclusion::Holds,
        }
    }

    fn not_driven(&self) -> Option<String> {
        if self.search.is_some_and(|search| search.limited_by_generator) {
            return Some("the generator gave way before the service did, whose highest rate is not known".to_owned());
        }
        // A search has passed over what was not driven.
        let run = self.search.map_or_else(|| self.outcome.driven().err(), |_| None);
        let limit = self.limits.iter().find_map(|judged| judged.not_driven.clone());
        run.or(limit).map(|why| why.to_string())
    }

    /// When it began, to the second: RFC 3339 in UTC.
    fn date(&self) -> String {
        let seconds = self.started_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Timestamp::from_millis(i64::try_from(seconds * 1_000).unwrap_or_default()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::example::Example;
    use super::*;

    type Change = fn(&mut Example);

    #[test]
    fn run_comes_to_what_its_search_its_limits_and_its_figures_say() {
        let changed = |change: Change| {
            let mut example = Example::mixed();
            example.limits.clear();
            example.watched.clear();
            let search = Search { limited_by_generator: false, ..example.search.take().unwrap_or_default() };
            example.search = Some(search);
            change(&mut example);
            let report = example.report();
            (report.conclusion(), json(&report)["holds"].as_bool(), html(&report))
        };
        let limited = |example: &mut Example| {
            example.search.iter_mut().for_each(|search| search.limited_by_generator = true);
        };
        let none = |example: &mut Example| example.search.iter_mut().for_each(|search| search.highest = None);
        let cases: [(Change, Option<bool>, &str); 6] = [
            (|_| {}, Some(true), "no limits stated"),
            (|example| example.limits = Example::mixed().limits, Some(false), "1 of 2 limits missed"),
            (|example| example.watched = Example::mixed().watched, Some(false), "1 not steady"),
            (none, Some(false), "no rate held"),
            (limited, None, "pill missed\">not driven"),
            (
                |example| {
                    example.search = None;
                    example.outcome = Example::behind().outcome;
                },
                None,
                "pill missed\">not driven",
            ),
        ];
        for (number, (change, holds, pill)) in cases.into_iter().enumerate() {
            let (conclusion, told, page) = changed(change);
            let is_told = match conclusion {
                Conclusion::Holds => Some(true),
                Conclusion::Missed => Some(false),
                Conclusion::NotDriven(_) => None,
            };
            assert_eq!((is_told, told, page.contains(pill)), (holds, holds, true), "case {number}");
        }
    }
}
