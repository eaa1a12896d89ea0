//! A run told in a terminal of a hundred columns.

use super::figures::{Figures, P99, PERCENTILES, Row, cores, held, highest, step_words, worded};
use super::{Report, format};
use crate::machine::Machine;
use crate::outcome::Outcome;
use crate::search::Search;
use crate::watch::Series;

/// Names are cut there, so that figures keep their places.
const NAME_WIDTH: usize = 24;
/// So wide is the first column at least, for the parts to stand beneath each other.
const FIRST_WIDTH: usize = 10;

/// The report as lines of text.
pub fn table(report: &Report) -> String {
    let figures = Figures::of(report);
    let parts = [
        head(report),
        requests(report.outcome, &figures),
        answers(report.outcome),
        latency(&figures),
        generator(report.outcome, &figures),
        search(report.search),
        watched(report.watched),
        limits(report),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

fn head(report: &Report) -> String {
    let machine = Machine::here();
    let (name, target, command) = (plain(report.name), plain(report.target), plain(report.command));
    let memory = format::bytes(machine.memory_bytes as f64);
    format!(
        "{name} · {target} · {}\n{command}\n{} · {} cores · {memory} · {}\n",
        report.date(),
        plain(&machine.cpu),
        machine.cores,
        machine.kernel
    )
}

fn requests(outcome: &Outcome, figures: &Figures) -> String {
    let lost = [
        ("unsent", outcome.unsent),
        ("skipped", outcome.skipped),
        ("dropped", outcome.dropped),
        ("unreadable", outcome.unreadable),
        ("unanswered", outcome.unanswered),
    ];
    let counts = [("due", outcome.due), ("sent", outcome.sent), ("answered", figures.answered)];
    let counts: Vec<_> = counts.into_iter().chain(lost.into_iter().filter(|(_, count)| *count > 0)).collect();
    let mut names = vec!["requests".to_owned()];
    names.extend(counts.iter().map(|(name, _)| (*name).to_owned()));
    let mut numbers = vec![String::new()];
    numbers.extend(counts.iter().map(|(_, count)| format::count(*count)));
    if outcome.due == 0 {
        return aligned(&[names, numbers], "lrrrrrrrr") + "  nothing was due\n";
    }
    aligned(&[names, numbers], "lrrrrrrrr")
        + &format!(
            "  due {} over {} · good {} · errors {}\n",
            format::rate(figures.due_rate),
            format::span(outcome.duration),
            worded(&figures.good_rate, format::rate),
            worded(&figures.error_rate, format::share)
        )
}

fn answers(outcome: &Outcome) -> String {
    let mut rows = vec![heads(&["answers", "", "", "count", "of due", "items", "p50", "p99"])];
    for ((kind, verdict, status), answers) in &outcome.answered {
        let kind = outcome.kinds.get(*kind).map_or("?", String::as_str);
        let row = Row::of(outcome, kind, answers);
        let mut cells = vec![short(kind), verdict.to_string(), status.to_string(), format::count(row.count)];
        cells.push(format::share(row.count as f64 / outcome.due.max(1) as f64));
        cells.push(format::count(row.items));
        cells.extend([0, P99].map(|place| worded(&row.from_due[place], format::time)));
        rows.push(cells);
    }
    let without: u64 = outcome.answered.values().map(|answers| answers.without_retry_after).sum();
    let note = match without {
        0 => String::new(),
        count => format!("  {} refusals do not say when to ask again (`retry-after`)\n", format::count(count)),
    };
    if rows.len() == 1 { String::new() } else { aligned(&rows, "lllrrrrr") + &note }
}

fn latency(figures: &Figures) -> String {
    if figures.good == 0 {
        return "latency     no answer was good\n".into();
    }
    let mut heads = heads(&["latency", "good"]);
    heads.extend(PERCENTILES.iter().map(|(_, head, _)| (*head).to_owned()));
    let mut rows = vec![heads];
    for row in &figures.rows {
        let mut cells = vec![short(&row.kind), format::count(row.count)];
        cells.extend(row.from_due.iter().map(|told| worded(told, format::time)));
        rows.push(cells);
    }
    let mut text = aligned(&rows, "lrrrrrr") + "  from when a request was due\n";
    if let Some(sent) = figures.all().p99_from_sent_if_apart() {
        text += &format!(
            "  from when it was sent, p99 is {}: requests waited for a connection, as no closed loop shows\n",
            format::time(sent)
        );
    }
    text
}

fn generator(outcome: &Outcome, figures: &Figures) -> String {
    let lag = |percent| format::time(outcome.lag.percentile(percent));
    let mut text = format!(
        "generator   late itself by {} at p50, {} at p99, {} at most; {} of CPU, {} cores\n",
        lag(50.0),
        lag(99.0),
        lag(100.0),
        format::time(outcome.generator_cpu),
        format::digits(cores(outcome))
    );
    for reason in &figures.reasons {
        text += &format!("  not driven: {reason}\n");
    }
    text
}

fn search(search: Option<&Search>) -> String {
    let Some(search) = search else { return String::new() };
    let mut rows = vec![heads(&["search", "offered", "good", "p50", "p99", "errors", ""])];
    let mut reasons = String::new();
    for step in &search.steps {
        rows.push([String::new()].into_iter().chain(step_words(step)).collect());
        if let Some(reason) = &step.not_driven {
            reasons += &format!("  not driven at {}: {reason}\n", format::rate(step.offered));
        }
    }
    aligned(&rows, "lrrrrrl") + &reasons + "  " + &highest(search) + "\n"
}

fn watched(watched: &[Series]) -> String {
    if watched.is_empty() {
        return String::new();
    }
    let mut rows = vec![heads(&["watched", "first", "last", "trend"])];
    for series in watched {
        let of =
            |point: Option<&(f64, f64)>| point.map_or("–".into(), |(_, value)| format::measure(*value, &series.unit));
        let trend = series.trend.as_deref().map_or("none".into(), plain);
        rows.push(vec![short(&series.name), of(series.points.first()), of(series.points.last()), trend]);
    }
    aligned(&rows, "lrrl")
}

fn limits(report: &Report) -> String {
    let mut rows: Vec<_> = report
        .limits
        .iter()
        .map(|limit| vec![String::new(), plain(&limit.limit), plain(&limit.measured), held(limit.holds).into()])
        .collect();
    match rows.first_mut() {
        Some(row) => row[0] = "limits".into(),
        None => return String::new(),
    }
    aligned(&rows, "llrl")
}

/// Columns beneath each other, `l`eft or `r`ight.
fn aligned(rows: &[Vec<String>], sides: &str) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (place, (cell, side)) in row.iter().zip(sides.chars()).enumerate() {
            let cells = rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
            let width = cells.max().unwrap_or(0).max(if place == 0 { FIRST_WIDTH } else { 0 });
            let cell = match side {
                'r' => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            };
            line = line + &cell + "  ";
        }
        text = text + line.trim_end() + "\n";
    }
    text
}

fn heads(heads: &[&str]) -> Vec<String> {
    heads.iter().map(|head| (*head).to_owned()).collect()
}

/// A text of somebody else as a terminal may have it: nothing in it moves the cursor.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn short(name: &str) -> String {
    let name = plain(name);
    if name.chars().count() <= NAME_WIDTH {
        return name;
    }
    name.chars().take(NAME_WIDTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::example::{Example, ms};
    use super::*;
    use crate::traffic::Verdict;

    /// A line that begins so, its cells apart.
    #[track_caller]
    fn line(text: &str, begin: &str) -> Vec<String> {
        let line = text.lines().find(|line| line.trim_start().starts_with(begin));
        let line = line.unwrap_or_else(|| panic!("no line begins with `{begin}`:\n{text}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn table_tells_all_parts_within_a_hundred_columns() {
        let text = table(&Example::mixed().report());
        assert!(text.starts_with("mixed · http://127.0.0.1:8080 · 2026-"), "{text}");
        let rows: [(&str, &[&str]); 10] = [
            ("requests", &["requests", "due", "sent", "answered", "unsent"]),
            ("due 306/s", &["due 306/s over 10 s · good 300/s · errors 1.96 %"]),
            ("score   ", &["score", "good", "200", "2,000", "65.4 %", "2,000", "2.00 ms", "6.00 ms"]),
            ("events      failed", &["events", "failed", "500", "7", "0.229 %", "7", "3.00 ms", "too few"]),
            ("all", &["all", "3,000", "2.00 ms", "2.00 ms", "6.00 ms", "30.0 ms", "30.0 ms"]),
            ("3,000/s     3", &["3,000/s", "3,000/s", "1.00 ms", "6.00 ms", "0 %", "holds"]),
            ("4,000/s", &["4,000/s", "3,500/s", "1.00 ms", "200 ms", "0 %", "MISSED"]),
            ("8,000/s", &["8,000/s", "not driven", "not driven", "not driven", "not driven", "–"]),
            ("the highest", &["the highest rate that held: 3,000/s; above it the generator gave way, not the service"]),
            ("resident", &["resident memory", "95.4 MiB", "104 MiB", "grew"]),
        ];
        for (begin, cells) in rows {
            assert_eq!(line(&text, begin), cells, "{text}");
        }
        assert_eq!(line(&text, "limits"), ["limits", "p99 ≤ 20 ms", "6.00 ms", "holds"]);
        assert_eq!(line(&text, "error rate"), ["error rate ≤ 0", "1.96 %", "MISSED"]);
        // Reasons are sentences, which a terminal folds.
        for line in text.lines().filter(|line| !line.trim().starts_with("not driven")) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn wait_for_a_connection_is_told_within_a_hundred_columns() {
        let mut waiting = Example::new(&["score"]);
        waiting.answer(0, Verdict::Good, 200, 100, ms(40), ms(2));
        let text = table(&waiting.report());
        let line = text.lines().find(|line| line.starts_with("  from when it was sent, p99 is 2.00 ms: "));
        assert!(line.is_some_and(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn what_was_not_driven_is_no_number() {
        let text = table(&Example::late().report());
        assert_eq!(
            line(&text, "score    "),
            ["score", "good", "200", "1,940", "97.0 %", "1,940", "2.00 ms", "not driven"]
        );
        assert!(text.contains("  not driven: the generator was 12.0ms late itself at p99"), "{text}");
        let text = table(&Example::behind().report());
        assert_eq!(line(&text, "due 20"), ["due 20.0/s over 10 s · good not driven · errors not driven"]);
        assert!(text.contains("  not driven: the generator looked at only 100 of 200 requests"), "{text}");
        assert!(!text.contains("2.00 ms"), "{text}");
    }

    #[test]
    fn empty_runs_read_sensibly() {
        let text = table(&Example::new(&["score"]).report());
        assert!(text.contains("nothing was due") && text.contains("no answer was good"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("not driven"), "{text}");
        let mut refused = Example::new(&["score"]);
        refused.answer(0, Verdict::Refused, 503, 10, ms(1), ms(1));
        let text = table(&refused.report());
        assert!(text.contains("good 0/s · errors 100 %") && text.contains("no answer was good"), "{text}");
    }

    #[test]
    fn texts_of_others_do_not_move_the_cursor() {
        let mut example = Example::new(&["score"]);
        example.name = "a\u{1b}[2Jb".into();
        example.command = "run\r\nx".into();
        let text = table(&example.report());
        assert!(!text.contains(['\u{1b}', '\r']), "{text:?}");
        assert_eq!(short(&"x".repeat(80)).chars().count(), NAME_WIDTH);
    }
}
