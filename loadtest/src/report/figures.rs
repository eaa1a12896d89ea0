//! What all three forms of a report say, worked out once: so that the table, the JSON and the page cannot differ.

use std::time::Duration;

use super::{Report, format};
use crate::outcome::{Answers, Latency, NotDriven, Outcome, Second};
use crate::search::{Search, Step};
use crate::traffic::Verdict;

/// What is told of times: the end of a JSON key, the head of a column, the percentile.
pub(super) const PERCENTILES: [(&str, &str, f64); 5] =
    [("p50", "p50", 50.0), ("p90", "p90", 90.0), ("p99", "p99", 99.0), ("p999", "p99.9", 99.9), ("max", "max", 100.0)];

/// The place of p99 among them.
pub(super) const P99: usize = 2;

/// A figure, or why it is none.
pub(super) type Told<T> = Result<T, NotDriven>;

/// Where times from when a request was due and from when it was sent are further apart than that, it is said.
const APART: f64 = 1.5;
const APART_AT_LEAST: Duration = Duration::from_millis(1);

pub(super) struct Figures {
    /// Requests that were due, a second.
    pub(super) due_rate: f64,
    pub(super) answered: u64,
    pub(super) good: u64,
    pub(super) refused: u64,
    pub(super) good_rate: Told<f64>,
    pub(super) error_rate: Told<f64>,
    /// Good answers: of all kinds, and then of each where there are several.
    pub(super) rows: Vec<Row>,
    /// Why figures are not told, each once.
    pub(super) reasons: Vec<String>,
    /// Of the limits.
    pub(super) missed: usize,
    /// What is watched and not steady, or was not seen.
    pub(super) trends: usize,
}

/// Cores that the generator has kept busy; no number of a run that took no time.
pub(super) fn cores(outcome: &Outcome) -> f64 {
    if outcome.duration.is_zero() {
        f64::NAN
    } else {
        outcome.generator_cpu.as_secs_f64() / outcome.duration.as_secs_f64()
    }
}

/// Times of good answers of one kind.
pub(super) struct Row {
    pub(super) kind: String,
    pub(super) count: u64,
    pub(super) items: u64,
    pub(super) from_due: Vec<Told<Duration>>,
    pub(super) from_sent: Vec<Told<Duration>>,
}

/// Some seconds of a run, one behind the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) is_warm_up: bool,
    /// A second, on average.
    pub(super) due: f64,
    pub(super) good: f64,
    pub(super) refused: f64,
    pub(super) failed: f64,
    /// Of the worst second in it that can be told; nothing where there is none.
    pub(super) p50: Option<Duration>,
    pub(super) p99: Option<Duration>,
    /// Whether p99 of a second in it cannot be told.
    pub(super) is_late: bool,
    pub(super) lag_p99: Duration,
    pub(super) lag_max: Duration,
}

/// Times of a second, as far as there are any and they could be driven.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    pub(super) p50: Option<Duration>,
    pub(super) p99: Option<Duration>,
    pub(super) max: Option<Duration>,
}

impl Times {
    pub(super) fn of(second: &Second) -> Self {
        let [p50, p99, max] = [50.0, 99.0, 100.0].map(|percent| second.told(percent).ok());
        Self { p50, p99, max }
    }
}

impl Figures {
    pub(super) fn of(report: &Report) -> Self {
        let outcome = report.outcome;
        let count = |verdict| outcome.of(None, Some(verdict)).from_due.count();
        let driven = outcome.driven();
        let rows = rows(outcome);
        let not_driven = rows.iter().flat_map(|row| &row.from_due).filter_map(|told| told.as_ref().err());
        let reasons = reasons(not_driven.chain(driven.as_ref().err()));
        Self {
            due_rate: outcome.offered(),
            answered: outcome.of(None, None).from_due.count(),
            good: count(Verdict::Good),
            refused: count(Verdict::Refused),
            good_rate: driven.clone().map(|()| outcome.rate()),
            error_rate: driven.map(|()| outcome.error_rate()),
            rows,
            reasons,
            missed: report.limits.iter().filter(|limit| !limit.holds).count(),
            trends: report.watched.iter().filter(|series| series.trend.is_some()).count(),
        }
    }

    /// All good answers.
    pub(super) fn all(&self) -> &Row {
        // `rows` puts it there, whatever came of the run.
        &self.rows[0]
    }
}

fn rows(outcome: &Outcome) -> Vec<Row> {
    let all = Row::of(outcome, "all", &outcome.good());
    if let [kind] = &outcome.kinds[..] {
        return vec![Row { kind: kind.clone(), ..all }];
    }
    let kinds = outcome.kinds.iter().enumerate();
    let of_kinds = kinds.map(|(place, kind)| Row::of(outcome, kind, &outcome.of(Some(place), Some(Verdict::Good))));
    std::iter::once(all).chain(of_kinds).collect()
}

/// Each reason once: of the kinds that miss the same percentile, the first speaks for all.
fn reasons<'a>(all: impl Iterator<Item = &'a NotDriven>) -> Vec<String> {
    let mut percents = Vec::new();
    let first = all.filter(|reason| {
        let percent = match reason {
            NotDriven::Late { percent, .. } => Some(*percent),
            NotDriven::Behind { .. } => None,
            NotDriven::NoAnswers | NotDriven::TooFew { .. } => return false,
        };
        let is_first = !percents.contains(&percent);
        percents.push(percent);
        is_first
    });
    first.map(NotDriven::to_string).collect()
}

impl Row {
    pub(super) fn of(outcome: &Outcome, kind: &str, answers: &Answers) -> Self {
        let told = |latency: &Latency| {
            PERCENTILES.iter().map(|(_, _, percent)| outcome.trusted(latency, *percent)).collect::<Vec<_>>()
        };
        Self {
            kind: kind.to_owned(),
            count: answers.from_due.count(),
            items: answers.items,
            from_due: told(&answers.from_due),
            from_sent: told(&answers.from_sent),
        }
    }

    /// The p99 from when requests were sent, where requests waited so long for a connection that it is another one.
    pub(super) fn p99_from_sent_if_apart(&self) -> Option<Duration> {
        let (Ok(due), Ok(sent)) = (&self.from_due[P99], &self.from_sent[P99]) else { return None };
        let is_apart = *due > sent.mul_f64(APART) && *due > *sent + APART_AT_LEAST;
        is_apart.then_some(*sent)
    }
}

/// A figure in words.
pub(super) fn worded<T: Copy>(told: &Told<T>, word: impl Fn(T) -> String) -> String {
    match told {
        Ok(figure) => word(*figure),
        Err(NotDriven::NoAnswers) => "–".into(),
        Err(NotDriven::TooFew { .. }) => "too few".into(),
        Err(NotDriven::Late { .. } | NotDriven::Behind { .. }) => "not driven".into(),
    }
}

/// A figure of a step, unless it says nothing of the service.
pub(super) fn told<T>(step: &Step, figure: T) -> Told<T> {
    step.not_driven.clone().map_or(Ok(figure), Err)
}

/// A step in words: the rate that was offered, good answers a second, p50, p99, errors, and whether it holds, if it says anything of the
/// service.
pub(super) fn step_words(step: &Step) -> [String; 6] {
    let verdict = if step.not_driven.is_some() { "–" } else { held(step.holds) };
    [
        format::rate(step.offered),
        worded(&told(step, step.good), format::rate),
        worded(&step.p50, format::time),
        worded(&step.p99, format::time),
        worded(&told(step, step.error_rate), format::share),
        verdict.into(),
    ]
}

pub(super) fn held(holds: bool) -> &'static str {
    if holds { "holds" } else { "MISSED" }
}

/// What a search found.
pub(super) fn highest(search: &Search) -> String {
    let highest = search
        .highest
        .map_or("no rate held".into(), |rate| format!("the highest rate that held: {}", format::rate(rate)));
    let limit = if search.limited_by_generator { "; above it the generator gave way, not the service" } else { "" };
    highest + limit
}

/// The seconds of a run in so many windows at most, all but the last of the same length.
pub(super) fn windows(outcome: &Outcome, most: usize) -> Vec<Window> {
    let length = outcome.seconds.len().div_ceil(most.max(1)).max(1);
    let chunks = outcome.seconds.chunks(length).enumerate();
    chunks.map(|(number, seconds)| Window::of(number * length, seconds)).collect()
}

impl Window {
    fn of(from: usize, seconds: &[Second]) -> Self {
        let mean = |count: fn(&Second) -> u64| seconds.iter().map(count).sum::<u64>() as f64 / seconds.len() as f64;
        let lag = |time: fn(&Second) -> Duration| seconds.iter().map(time).max().unwrap_or_default();
        let times: Vec<_> = seconds.iter().map(Times::of).collect();
        Self {
            from,
            to: from + seconds.len(),
            is_warm_up: seconds.iter().any(|second| second.is_warm_up),
            due: mean(|second| second.due),
            good: mean(|second| second.good),
            refused: mean(|second| second.refused),
            failed: mean(|second| second.failed),
            p50: times.iter().filter_map(|times| times.p50).max(),
            p99: times.iter().filter_map(|times| times.p99).max(),
            is_late: seconds.iter().zip(&times).any(|(second, times)| second.good > 0 && times.p99.is_none()),
            lag_p99: lag(|second| second.lag_p99),
            lag_max: lag(|second| second.lag_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{Example, ms};
    use super::*;

    #[test]
    fn row_of_all_comes_first_where_there_are_several_kinds() {
        let names = |example: &Example| -> Vec<String> {
            Figures::of(&example.report()).rows.into_iter().map(|row| row.kind).collect()
        };
        assert_eq!(names(&Example::mixed()), ["all", "score", "events"]);
        assert_eq!(names(&Example::new(&["score"])), ["score"]);
        assert_eq!(names(&Example::new(&[])), ["all"]);
    }

    #[test]
    fn late_generator_tells_no_percentile_that_could_be_its_own() {
        let late = Figures::of(&Example::late().report());
        let words: Vec<_> = late.all().from_due.iter().map(|told| worded(told, |time| format!("{time:?}"))).collect();
        assert_eq!(words, ["2ms", "2ms", "not driven", "not driven", "not driven"]);
        assert_eq!(late.reasons.len(), 3, "{:?}", late.reasons);
        assert!(late.good_rate.is_ok());
        let behind = Figures::of(&Example::behind().report());
        assert!(behind.all().from_due.iter().chain(&behind.all().from_sent).all(Result::is_err));
        assert!(behind.good_rate.is_err() && behind.error_rate.is_err());
        assert_eq!(behind.reasons.len(), 1, "{:?}", behind.reasons);
    }

    #[test]
    fn run_without_answers_has_no_figures_and_no_reproach() {
        for example in [Example::new(&["score"]), Example::new(&[])] {
            let figures = Figures::of(&example.report());
            assert!(figures.all().from_due.iter().all(|told| worded(told, |_| "a time".into()) == "–"));
            assert_eq!(figures.reasons, Vec::<String>::new());
            assert_eq!((figures.answered, figures.due_rate), (0, 0.0));
        }
    }

    #[test]
    fn wait_for_a_connection_is_told_where_it_is_long() {
        assert_eq!(Figures::of(&Example::mixed().report()).all().p99_from_sent_if_apart(), None);
        let mut waiting = Example::new(&["score"]);
        waiting.answer(0, Verdict::Good, 200, 100, ms(50), ms(2));
        assert_eq!(Figures::of(&waiting.report()).all().p99_from_sent_if_apart(), Some(ms(2)));
    }

    #[test]
    fn windows_keep_the_worst_second_and_the_mean_rate() {
        let mut example = Example::mixed();
        example.outcome.seconds = (0..10u64)
            .map(|number| Second {
                is_warm_up: number == 0,
                due: 100 + number,
                good: if number == 9 { 0 } else { 100 },
                p50: ms(1),
                p99: ms(number),
                lag_p99: if number == 5 { ms(2) } else { ms(0) },
                ..Second::default()
            })
            .collect();
        let windows = windows(&example.outcome, 4);
        let spans: Vec<_> = windows.iter().map(|window| (window.from, window.to, window.due)).collect();
        assert_eq!(spans, [(0, 3, 101.0), (3, 6, 104.0), (6, 9, 107.0), (9, 10, 109.0)]);
        let p99: Vec<_> = windows.iter().map(|window| window.p99).collect();
        assert_eq!(p99, [Some(ms(2)), Some(ms(4)), Some(ms(8)), None], "that of the late second is not told");
        let late: Vec<_> = windows.iter().map(|window| (window.is_warm_up, window.is_late)).collect();
        assert_eq!(late, [(true, false), (false, true), (false, false), (false, false)]);
        assert_eq!(windows[1].p50, Some(ms(1)), "that second was late at p99, not at p50");
        let empty = Example::new(&[]).outcome;
        assert!(super::windows(&empty, 4).is_empty());
    }
}
