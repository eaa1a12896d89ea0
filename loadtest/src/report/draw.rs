//! Which charts are made of a run.

use std::time::Duration;

use super::charts::{Axis, Band, Chart, Line, Points, Span, Stretch};
use super::figures::{Told, Window};
use super::format;
use super::scale::Scale;
use crate::outcome::{Latency, Outcome};
use crate::search::{Search, Step};
use crate::watch::Series;

/// From microseconds on, so that an axis by powers of ten has values above zero.
const LEAST_MS: f64 = 0.001;
/// Of a curve by percentiles.
const POINTS_A_NINE: f64 = 16.0;

/// Median and p99 of each second.
pub(super) fn latency(windows: &[Window]) -> Chart {
    let line = |name, colour, time: fn(&Window) -> Option<Duration>| Line {
        name,
        colour,
        points: windows.iter().map(|window| (middle(window), time(window).map(millis))).collect(),
        is_dotted: false,
    };
    let lines = vec![line("p50", "series-1", |window| window.p50), line("p99", "series-2", |window| window.p99)];
    let spans = vec![
        span("warm-up", "warm-up", windows, |window| window.is_warm_up),
        span("p99 not driven", "late", windows, |window| window.is_late),
    ];
    let scale = Scale::fitting(&values(&lines));
    Chart {
        id: "latency".into(),
        title: "Latency over time".into(),
        description: format!(
            "p50 and p99 of good answers, from when their requests were due, over {}",
            length(windows)
        ),
        x: seconds(windows),
        y: milliseconds(scale),
        spans,
        bands: Vec::new(),
        lines,
        is_low: false,
    }
}

/// What the generator was late itself.
pub(super) fn lag(windows: &[Window]) -> Chart {
    let line = |name, colour, lag: fn(&Window) -> Duration| Line {
        name,
        colour,
        points: windows.iter().map(|window| (middle(window), Some(millis(lag(window))))).collect(),
        is_dotted: false,
    };
    let lines =
        vec![line("p99", "series-2", |window| window.lag_p99), line("max", "series-4", |window| window.lag_max)];
    Chart {
        id: "lag".into(),
        title: "How late the generator was itself".into(),
        description: format!("The generator's own lateness by the second, p99 and greatest, over {}", length(windows)),
        x: seconds(windows),
        y: milliseconds(Scale::fitting(&values(&lines))),
        spans: Vec::new(),
        bands: Vec::new(),
        lines,
        is_low: true,
    }
}

/// What came of what was due, one above the other; their sum is what was due unless something is missing.
pub(super) fn rates(windows: &[Window]) -> Chart {
    let mut low = vec![0.0; windows.len()];
    let mut band = |name, colour, rate: fn(&Window) -> f64| {
        let stretches = windows.iter().zip(&mut low).map(|(window, low)| {
            let high = *low + rate(window);
            Stretch { from: window.from as f64, to: window.to as f64, low: std::mem::replace(low, high), high }
        });
        Band { name, colour, stretches: stretches.collect() }
    };
    let bands = vec![
        band("good", "series-1", |window| window.good),
        band("refused", "series-2", |window| window.refused),
        band("failed", "bad", |window| window.failed),
    ];
    let due: Vec<_> = windows.iter().map(|window| (middle(window), Some(window.due))).collect();
    let highest = low.iter().copied().chain(due.iter().filter_map(|(_, due)| *due)).fold(0.0, f64::max);
    Chart {
        id: "rates".into(),
        title: "Requests a second".into(),
        description: format!("What was due, and how much of it was good, refused and failed, over {}", length(windows)),
        x: seconds(windows),
        y: Axis { scale: Scale::from_zero(highest), text: format::tick, label: "requests/s".into() },
        spans: vec![span("warm-up", "warm-up", windows, |window| window.is_warm_up)],
        bands,
        lines: vec![Line { name: "due", colour: "text", points: due, is_dotted: false }],
        is_low: false,
    }
}

/// Time by the share of answers that were as fast or faster; only as far as it could be driven.
pub(super) fn percentiles(outcome: &Outcome) -> Chart {
    let good = outcome.good();
    // Beyond them every share is the slowest answer.
    let nines = (good.from_due.count() as f64).log10().clamp(1.0, 6.0);
    let points = (nines * POINTS_A_NINE) as u32;
    let curve = |name, colour, latency: &Latency| Line {
        name,
        colour,
        points: (0..=points)
            .map(|point| 1.0 - 0.1f64.powf(f64::from(point) / POINTS_A_NINE))
            .map(|share| (share, outcome.trusted(latency, share * 100.0).ok().map(millis)))
            .collect(),
        is_dotted: false,
    };
    let sent = curve("from when it was sent", "series-4", &good.from_sent);
    let lines = vec![sent, curve("from when it was due", "series-2", &good.from_due)];
    let values = values(&lines);
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let scale =
        Scale::log(if lowest.is_finite() { lowest } else { 1.0 }, values.iter().copied().fold(LEAST_MS, f64::max));
    Chart {
        id: "percentiles".into(),
        title: "Latency by percentile".into(),
        description: "Time within which so many of the good answers came, from when their requests were due and from when they were \
                      sent"
            .into(),
        x: Axis { scale: Scale::nines(f64::from(points) / POINTS_A_NINE), text: percent, label: "of good answers".into() },
        y: milliseconds(scale),
        spans: Vec::new(),
        bands: Vec::new(),
        lines,
        is_low: false,
    }
}

/// Answers beside what was offered.
pub(super) fn steps(search: &Search) -> Chart {
    let line = |name, colour, rate: fn(&Step) -> Option<f64>, is_dotted| Line {
        name,
        colour,
        points: by_rate(search, rate),
        is_dotted,
    };
    let lines = vec![
        line("offered", "reference", |step| Some(step.offered), false),
        line("good", "series-1", |step| Some(step.good), true),
        line("good, limits missed", "bad", |step| Some(step.good).filter(|_| !step.holds), true),
    ];
    let highest = highest_offered(search);
    Chart {
        id: "steps".into(),
        title: "Good answers by rate".into(),
        description: "How many requests a second were answered as meant, by how many were offered".into(),
        x: Axis { scale: Scale::from_zero(highest), text: format::tick, label: "offered, requests/s".into() },
        y: Axis { scale: Scale::from_zero(highest), text: format::tick, label: "good/s".into() },
        spans: Vec::new(),
        bands: Vec::new(),
        lines,
        is_low: false,
    }
}

/// Times beside what was offered.
pub(super) fn step_latency(search: &Search) -> Chart {
    let line = |name, colour, time: fn(&Step) -> &Told<Duration>| Line {
        name,
        colour,
        points: by_rate(search, |step| time(step).as_ref().ok().copied().map(millis)),
        is_dotted: true,
    };
    let lines = vec![line("p50", "series-1", |step| &step.p50), line("p99", "series-2", |step| &step.p99)];
    let highest = highest_offered(search);
    Chart {
        id: "step-latency".into(),
        title: "Latency by rate".into(),
        description: "p50 and p99 of good answers, by how many requests a second were offered".into(),
        x: Axis { scale: Scale::from_zero(highest), text: format::tick, label: "offered, requests/s".into() },
        y: milliseconds(Scale::fitting(&values(&lines))),
        spans: Vec::new(),
        bands: Vec::new(),
        lines,
        is_low: false,
    }
}

/// A figure of the service over time; of more points than that, the highest of each few: a peak stays to be seen.
pub(super) fn watched(number: usize, series: &Series, most: usize) -> Chart {
    // An axis has one unit for all its marks.
    let (unit, divisor) = match series.unit.as_str() {
        "B" | "bytes" => ("MiB", 1_048_576.0),
        unit => (unit, 1.0),
    };
    let few = series.points.chunks(series.points.len().div_ceil(most).max(1));
    let highest = few.filter_map(|few| few.iter().max_by(|one, other| one.1.total_cmp(&other.1)));
    let points: Vec<_> =
        highest.map(|(at, value)| (*at, Some(value / divisor).filter(|value| value.is_finite()))).collect();
    let values = || points.iter().filter_map(|(_, value)| *value);
    let (lowest, highest) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let scale = if lowest > highest { Scale::from_zero(0.0) } else { Scale::between(lowest, highest) };
    let last = points.last().map_or(0.0, |(at, _)| *at);
    Chart {
        id: format!("watched-{number}"),
        title: series.name.clone(),
        description: format!(
            "{} of the service over {}",
            series.name,
            format::span(Duration::from_secs_f64(last.max(0.0)))
        ),
        x: Axis { scale: Scale::time(last), text: clock, label: "since the begin".into() },
        y: Axis { scale, text: format::tick, label: unit.into() },
        spans: Vec::new(),
        bands: Vec::new(),
        lines: vec![Line { name: "value", colour: "series-1", points, is_dotted: false }],
        is_low: true,
    }
}

/// Of what is drawn.
fn highest_offered(search: &Search) -> f64 {
    by_rate(search, |step| Some(step.offered)).last().map_or(0.0, |(offered, _)| *offered)
}

/// Steps in order of their rates, without what says nothing of the service.
fn by_rate(search: &Search, figure: impl Fn(&Step) -> Option<f64>) -> Points {
    let driven = search.steps.iter().filter(|step| step.not_driven.is_none());
    let mut points: Vec<_> = driven.map(|step| (step.offered, figure(step))).collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    points
}

fn values(lines: &[Line]) -> Vec<f64> {
    lines.iter().flat_map(|line| &line.points).filter_map(|(_, value)| *value).collect()
}

fn span(name: &'static str, colour: &'static str, windows: &[Window], is_in: fn(&Window) -> bool) -> Span {
    let stretches = windows.iter().filter(|window| is_in(window)).map(|window| (window.from as f64, window.to as f64));
    Span { name, colour, stretches: stretches.collect() }
}

fn seconds(windows: &[Window]) -> Axis {
    let end = windows.last().map_or(0, |window| window.to);
    Axis { scale: Scale::time(end as f64), text: clock, label: "since the begin".into() }
}

fn milliseconds(scale: Scale) -> Axis {
    Axis { scale, text: format::tick, label: if scale.is_log() { "ms, by powers of ten".into() } else { "ms".into() } }
}

fn middle(window: &Window) -> f64 {
    (window.from + window.to) as f64 / 2.0
}

fn length(windows: &[Window]) -> String {
    format::span(Duration::from_secs(windows.last().map_or(0, |window| window.to as u64)))
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).max(LEAST_MS)
}

/// Seconds as a mark on an axis.
fn clock(seconds: f64) -> String {
    if seconds == 0.0 { "0".into() } else { format::span(Duration::from_secs_f64(seconds)) }
}

fn percent(share: f64) -> String {
    // As many digits as it has nines.
    format!("{} %", format::tick(share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_series_is_drawn_by_the_highest_of_each_few_readings() {
        let value = |second: u32| if second == 20_001 { 9.0 } else { 1.0 };
        let points: Vec<_> = (0..36_000).map(|second| (f64::from(second), value(second))).collect();
        let mut series = Series { name: "latency p99".into(), unit: "ms".into(), points, trend: None };
        let drawn = watched(1, &series, 240).lines.remove(0).points;
        assert_eq!(drawn.len(), 240);
        assert!(drawn.contains(&(20_001.0, Some(9.0))));
        series.points.truncate(3);
        assert_eq!(watched(1, &series, 240).lines.remove(0).points.len(), 3);
        series.points.clear();
        assert!(watched(1, &series, 240).lines.remove(0).points.is_empty());
    }

    #[test]
    fn generator_of_a_run_that_took_no_time_kept_no_number_of_cores_busy() {
        assert_eq!(format::digits(super::super::figures::cores(&Outcome::default())), "–");
    }
}
