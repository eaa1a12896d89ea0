//! A run told as one HTML file: no script, no font, nothing that is asked of anybody, so that it can be kept, mailed and printed.
//!
//! Texts that come from outside (the scenario, the target, the command, names of kinds and of figures) are escaped by [`super::markup`]; the policy
//! in its head lets nothing run or load even so.

use super::figures::{Figures, P99, PERCENTILES, Row, Told, Window, cores, held, highest, step_words, windows, worded};
use super::markup::{escaped, is_figure, rows_of, section, terms_of};
use super::{Conclusion, Report, draw, format};
use crate::machine::Machine;
use crate::outcome::Outcome;
use crate::search::Search;
use crate::watch::Series;

/// Points of a chart over time, and rows of the table beside it.
const CHART_WINDOWS: usize = 240;
const TABLE_WINDOWS: usize = 60;

const STYLE: &str = include_str!("report.css");

/// The report as a page.
pub fn html(report: &Report) -> String {
    let figures = Figures::of(report);
    let name = escaped(report.name);
    let parts = [
        tiles(&figures),
        notes(&figures),
        limits(report),
        search(report.search),
        latency(report.outcome, &figures),
        over_time(report.outcome),
        answers(report.outcome),
        generator(report.outcome),
        watched(report.watched),
        made_with(report),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{name} · load test</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{}<main>\n{}</main>\n{FOOTER}</body>\n</html>\n",
        head(report, &figures),
        parts.concat()
    )
}

const FOOTER: &str = "<footer class=\"quiet\"><p>When requests are due is fixed before the run, and latency counts from that instant: a \
    service that stalls is asked on, and each request that waits meanwhile is in the figures. A figure in which the generator's own \
    lateness would be seen is not told.</p></footer>\n";

fn head(report: &Report, figures: &Figures) -> String {
    let verdict = match (figures.missed, figures.trends) {
        _ if report.outcome.due == 0 => "<span class=\"pill missed\">nothing was due</span>".to_owned(),
        _ if matches!(report.conclusion(), Conclusion::NotDriven(_)) => {
            "<span class=\"pill missed\">not driven</span>".to_owned()
        }
        (0, 0) if report.conclusion() == Conclusion::Missed => {
            "<span class=\"pill missed\">no rate held</span>".to_owned()
        }
        (0, 0) if report.limits.is_empty() => "<span class=\"pill\">no limits stated</span>".to_owned(),
        (0, 0) => "<span class=\"pill holds\">limits hold</span>".to_owned(),
        (0, grown) => format!("<span class=\"pill missed\">{grown} not steady</span>"),
        (missed, _) => format!("<span class=\"pill missed\">{missed} of {} limits missed</span>", report.limits.len()),
    };
    let driven =
        if figures.reasons.is_empty() { "" } else { "<span class=\"pill not-driven\">not all was driven</span>" };
    format!(
        "<header>\n<div class=\"title\"><h1>{}</h1>{verdict}{driven}</div>\n<p class=\"quiet\">{} · {} · {}</p>\n</header>\n",
        escaped(report.name),
        escaped(report.target),
        report.date(),
        format::span(report.outcome.duration)
    )
}

fn tiles(figures: &Figures) -> String {
    let time = |place: usize| worded(&figures.all().from_due[place], format::time);
    let tiles = [
        ("Due", format::rate(figures.due_rate)),
        ("Good", worded(&figures.good_rate, format::rate)),
        ("Errors", worded(&figures.error_rate, format::share)),
        ("p50", time(0)),
        ("p99", time(P99)),
        ("p99.9", time(P99 + 1)),
    ];
    let tiles = tiles.map(|(name, figure)| {
        let class = if is_figure(&figure) { "" } else { " class=\"none\"" };
        format!("<div class=\"card tile\"><dt>{name}</dt><dd{class} data-figure=\"{name}\">{figure}</dd></div>")
    });
    format!("<dl class=\"tiles\">{}</dl>\n", tiles.concat())
}

fn notes(figures: &Figures) -> String {
    let mut notes: Vec<_> = figures.reasons.iter().map(|reason| format!("not driven: {reason}")).collect();
    if let Some(sent) = figures.all().p99_from_sent_if_apart() {
        notes.push(format!(
            "from when a request was sent, p99 is {}: requests waited for a connection, as no closed loop shows",
            format::time(sent)
        ));
    }
    let items: String = notes.iter().map(|note| format!("<li class=\"sentence\">{}</li>", escaped(note))).collect();
    if items.is_empty() {
        items
    } else {
        format!("<section class=\"card notes\" aria-label=\"Notes\"><ul>{items}</ul></section>\n")
    }
}

fn limits(report: &Report) -> String {
    let rows =
        report.limits.iter().map(|limit| vec![limit.limit.clone(), limit.measured.clone(), held(limit.holds).into()]);
    section(
        "limits",
        "Limits",
        &rows_of("Stated limits and what was measured", "lrl", &["limit", "measured", ""], rows.collect()),
    )
}

fn search(search: Option<&Search>) -> String {
    let Some(search) = search.filter(|search| !search.steps.is_empty()) else { return String::new() };
    let rows = search.steps.iter().map(|step| step_words(step).to_vec());
    let reasons = search.steps.iter().filter_map(|step| Some((step.offered, step.not_driven.as_ref()?)));
    let reasons = reasons.map(|(rate, reason)| {
        format!(
            "<p class=\"quiet sentence\">not driven at {}: {}</p>",
            format::rate(rate),
            escaped(&reason.to_string())
        )
    });
    let html = format!(
        "<p class=\"quiet sentence\">{}</p>\n<div class=\"pair\">{}{}</div>\n{}{}",
        highest(search),
        draw::steps(search).html(),
        draw::step_latency(search).html(),
        rows_of(
            "Each rate that was tried, in order",
            "rrrrrl",
            &["offered", "good", "p50", "p99", "errors", ""],
            rows.collect()
        ),
        reasons.collect::<String>()
    );
    section("search", "The highest rate within the limits", &html)
}

fn latency(outcome: &Outcome, figures: &Figures) -> String {
    if figures.good == 0 {
        return section("latency-section", "Latency", "<p class=\"quiet\">No answer was good.</p>\n");
    }
    let heads: Vec<_> = ["kind", "good"].into_iter().chain(PERCENTILES.map(|(_, head, _)| head)).collect();
    let table = |caption, times: fn(&Row) -> &[Told<std::time::Duration>]| {
        let rows = figures.rows.iter().map(|row| {
            let times = times(row).iter().map(|told| worded(told, format::time));
            [row.kind.clone(), format::count(row.count)].into_iter().chain(times).collect()
        });
        rows_of(caption, "lrrrrrr", &heads, rows.collect())
    };
    let html = draw::percentiles(outcome).html()
        + &table("From when a request was due", |row| &row.from_due)
        + &table("From when it was sent: what a closed loop would see", |row| &row.from_sent);
    section("latency-section", "Latency of good answers", &html)
}

fn over_time(outcome: &Outcome) -> String {
    let all = windows(outcome, CHART_WINDOWS);
    if all.is_empty() {
        return String::new();
    }
    let time = |time: Option<std::time::Duration>| time.map_or("–".into(), format::time);
    let rows = windows(outcome, TABLE_WINDOWS).into_iter().map(|window: Window| {
        let notes = [(window.is_warm_up, "warm-up"), (window.is_late, "p99 not driven")];
        let notes: Vec<_> = notes.into_iter().filter(|(is_so, _)| *is_so).map(|(_, note)| note).collect();
        vec![
            window.from.to_string(),
            format::digits(window.due),
            format::digits(window.good),
            format::digits(window.refused),
            format::digits(window.failed),
            time(window.p50),
            time(window.p99),
            format::time(window.lag_p99),
            format::time(window.lag_max),
            notes.join(", "),
        ]
    });
    let heads = ["second", "due/s", "good/s", "refused/s", "failed/s", "p50", "p99", "lag p99", "lag max", ""];
    let length = all[0].to - all[0].from;
    let note = match length {
        1 => String::new(),
        length => format!(
            "<p class=\"quiet\">Each point stands for {length} seconds: times of the worst of them that could be driven, rates on average.</p>\n"
        ),
    };
    let html = format!(
        "{note}<div class=\"pair\"><div>{}{}</div>{}</div>\n<details><summary>The same as a table</summary>\n{}</details>\n",
        draw::latency(&all).html(),
        draw::lag(&all).html(),
        draw::rates(&all).html(),
        rows_of("Over time", "rrrrrrrrrl", &heads, rows.collect())
    );
    section("time", "Over time", &html)
}

fn answers(outcome: &Outcome) -> String {
    let rows = outcome.answered.iter().map(|((kind, verdict, status), answers)| {
        let row = Row::of(outcome, outcome.kinds.get(*kind).map_or("?", String::as_str), answers);
        let share = format::share(row.count as f64 / outcome.due.max(1) as f64);
        let times = [0, P99].map(|place| worded(&row.from_due[place], format::time));
        let cells = [row.kind, verdict.to_string(), status.to_string(), format::count(row.count), share];
        cells.into_iter().chain([format::count(row.items)]).chain(times).collect()
    });
    let heads = ["kind", "", "status", "count", "of due", "items", "p50", "p99"];
    let lost = [
        ("unsent: no connection became free in time", outcome.unsent),
        ("skipped: the generator was too late itself", outcome.skipped),
        ("dropped: the connection was closed before an answer", outcome.dropped),
        ("unreadable: the answer is no HTTP, or too long", outcome.unreadable),
        ("unanswered when patience was at its end", outcome.unanswered),
    ];
    let lost: Vec<_> = lost.into_iter().filter(|(_, count)| *count > 0).collect();
    let lost = lost.into_iter().map(|(what, count)| vec![what.to_owned(), format::count(count)]).collect();
    let html = rows_of("Answers by kind and status", "lllrrrrr", &heads, rows.collect())
        + &rows_of("Requests without an answer", "lr", &["", "count"], lost);
    section("answers", "What came of the requests", &html)
}

fn generator(outcome: &Outcome) -> String {
    let lag = |percent| format::time(outcome.lag.percentile(percent));
    let terms = [
        ("late itself, p50", lag(50.0)),
        ("late itself, p99", lag(99.0)),
        ("late itself, at most", lag(100.0)),
        ("CPU time", format::time(outcome.generator_cpu)),
        ("cores", format::digits(cores(outcome))),
    ];
    section("generator", "The generator", &terms_of(&terms))
}

fn watched(watched: &[Series]) -> String {
    if watched.is_empty() {
        return String::new();
    }
    let rows = watched.iter().map(|series| {
        let of =
            |point: Option<&(f64, f64)>| point.map_or("–".into(), |(_, value)| format::measure(*value, &series.unit));
        let trend = series.trend.clone().unwrap_or_else(|| "none".into());
        vec![series.name.clone(), of(series.points.first()), of(series.points.last()), trend]
    });
    let table = rows_of("First and last values", "lrrl", &["", "first", "last", "trend"], rows.collect());
    let charts: String = watched
        .iter()
        .enumerate()
        .map(|(number, series)| draw::watched(number, series, CHART_WINDOWS).html())
        .collect();
    section("watched", "The service meanwhile", &format!("<div class=\"pair\">{charts}</div>\n{table}"))
}

fn made_with(report: &Report) -> String {
    let machine = Machine::here();
    let terms = [
        ("CPU", machine.cpu),
        ("cores", machine.cores.to_string()),
        ("memory", format::bytes(machine.memory_bytes as f64)),
        ("kernel", machine.kernel),
    ];
    let html = format!(
        "<pre>{}</pre>\n{}<details><summary>The scenario</summary><pre>{}</pre></details>\n",
        escaped(report.command),
        terms_of(&terms),
        escaped(report.scenario)
    );
    section("made-with", "Command and machine", &html)
}

#[cfg(test)]
mod tests {
    use super::super::example::Example;
    use super::*;

    /// How often a part is in a text.
    fn times(text: &str, part: &str) -> usize {
        text.matches(part).count()
    }

    #[test]
    fn page_needs_nothing_else() {
        let page = html(&Example::mixed().report());
        assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
        // The target is named, and is no link.
        for part in ["<script", "<link", "<img", "src=", "href=", "url(", "@import"] {
            assert_eq!(times(&page, part), 0, "{part}");
        }
    }

    #[test]
    fn every_part_of_a_run_is_on_the_page() {
        let page = html(&Example::mixed().report());
        for chart in ["latency", "lag", "rates", "percentiles", "steps", "step-latency", "watched-0", "watched-1"] {
            assert_eq!(
                times(&page, &format!("<figure class=\"chart\" id=\"{chart}\">"))
                    + times(&page, &format!("<figure class=\"chart low\" id=\"{chart}\">")),
                1,
                "{chart}"
            );
        }
        for tag in ["section", "figure", "svg", "table", "div", "span", "li", "details", "dl", "tr", "td", "p"] {
            let opened = times(&page, &format!("<{tag}>")) + times(&page, &format!("<{tag} "));
            assert_eq!(opened, times(&page, &format!("</{tag}>")), "{tag}");
        }
        for part in
            ["1 of 2 limits missed", "data-figure=\"p99\">6.00 ms", ">MISSED<", ">holds<", "unsent: no connection"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(times(&page, "d=\"\""), 0, "empty paths");
        assert_eq!(times(&page, "NaN"), 0);
    }

    #[test]
    fn texts_of_others_are_escaped() {
        let bad = "</pre><script>alert('1')</script>\"&";
        let mut example = Example::mixed();
        (example.name, example.scenario) = (bad.into(), bad.into());
        (example.target, example.command) = (bad.into(), bad.into());
        example.outcome.kinds[0] = bad.into();
        (example.limits[0].limit, example.limits[0].measured) = (bad.into(), bad.into());
        (example.watched[0].name, example.watched[0].unit) = (bad.into(), bad.into());
        example.watched[0].trend = Some(bad.into());
        let page = html(&example.report());
        assert_eq!(times(&page, "<script"), 0);
        assert_eq!(times(&page, "</pre>"), 2);
        let whole = "&lt;/pre&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;";
        // Name twice, scenario, target, command, kind in four tables, limit twice; name of a series, trend, unit, in chart and table.
        assert!(times(&page, whole) >= 14, "{}", times(&page, whole));
    }

    #[test]
    fn what_was_not_driven_is_no_number_and_no_point() {
        let page = html(&Example::late().report());
        assert!(page.contains("class=\"none\" data-figure=\"p99\">not driven"), "{page}");
        assert!(
            page.contains("<li class=\"sentence\">not driven: the generator was 12.0ms late itself at p99"),
            "{page}"
        );
        let page = html(&Example::behind().report());
        assert_eq!(times(&page, "2.00 ms"), 0, "{page}");
        let drawn = page.split("id=\"percentiles\"").nth(1).and_then(|part| part.split("</svg>").next());
        assert_eq!(drawn.map(|part| times(part, "class=\"line")), Some(0), "{page}");
    }

    #[test]
    fn run_without_answers_is_a_page_too() {
        for example in [Example::new(&["score"]), Example::new(&[])] {
            let page = html(&example.report());
            assert!(page.contains("No answer was good.") && page.contains("nothing was due"), "{page}");
            assert_eq!(times(&page, "NaN") + times(&page, "inf") + times(&page, "not driven"), 0, "{page}");
        }
    }

    #[test]
    fn hour_is_drawn_in_as_many_points_as_a_screen_shows() {
        let mut example = Example::mixed();
        let second = example.outcome.seconds[3].clone();
        example.outcome.seconds = vec![second; 3_600];
        let page = html(&example.report());
        assert!(page.contains("Each point stands for 15 seconds"), "{page}");
        assert!(page.len() < 100_000, "{}", page.len());
    }
}
