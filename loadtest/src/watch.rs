//! What the service uses while it is under load: memory, handles, the size of its log, read from its metrics page.
//!
//! ```toml
//! [watch]
//! page = "/metrics"
//! every = "5s"
//! settle = "1m"
//!
//! [[watch.series]]
//! name = "log bytes a record"
//! metric = "cauce_log_bytes"
//! per = "cauce_log_end_position"
//! unit = "B"
//! tolerance = "5%"
//! ```
//!
//! A thread of its own reads the page, so that a service that is slow to show it does not hold up the load. A series with a tolerance is
//! judged by its [`trend`](crate::trend), and fails the run, too, where nothing can be told: a soak that could not look is none.

mod page;

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cauce_features::time::Span;
use serde::{Deserialize, Deserializer};

use crate::outcome::{NotDriven, Outcome, Second};
use crate::trend::Trend;
pub use page::{Page, Selector};

/// What was read of one figure, and whether it goes up.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// As the metrics page calls it, or as it was derived from what stands there.
    pub name: String,
    pub unit: String,
    /// Seconds after the begin of the run, and the value.
    pub points: Vec<(f64, f64)>,
    /// Why the run fails by it; empty if it does not.
    pub trend: Option<String>,
}

/// The section `[watch]` of a scenario.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watch {
    /// Where figures stand in the text format of Prometheus: a path of the target, or a whole address.
    pub page: String,
    #[serde(deserialize_with = "interval")]
    pub every: Duration,
    /// How long it takes until all that is bounded is full; half of the whole run where it is not said.
    #[serde(deserialize_with = "settling")]
    pub settle: Option<Duration>,
    /// How much the p99 of good answers may grow over the run; without, it is not judged.
    #[serde(default)]
    pub p99_tolerance: Option<Tolerance>,
    pub series: Vec<Figure>,
}

/// A series to read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    pub name: String,
    /// As `process_open_fds`, or with labels as `cauce_events_total{outcome="new"}`; what fits it is added up.
    pub metric: Selector,
    /// What it is divided by.
    pub per: Option<Selector>,
    #[serde(default)]
    pub unit: String,
    /// How much it may grow over the watched time; without, it is shown and not judged.
    pub tolerance: Option<Tolerance>,
}

/// A share of what a series is at its beginning, written as `5%`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Tolerance(f64);

/// What is watched of Cauce: name, metric, unit, tolerated growth. What has a tolerance is bounded by settings, which have to be so small
/// that the bounds are reached while it settles: `scripts/soak.toml` has such ones. The state on disk holds all that the horizon holds,
/// and its journal is cut beyond 64 MB: it is shown.
const OF_CAUCE: [(&str, &str, &str, Option<f64>); 6] = [
    ("resident memory", "process_resident_memory_bytes", "B", Some(0.10)),
    ("memory of histories", "cauce_history_memory_bytes", "B", Some(0.10)),
    ("open handles", "process_open_fds", "", Some(0.05)),
    ("threads", "process_threads", "", Some(0.05)),
    ("log on disk", "cauce_log_bytes", "B", Some(0.10)),
    ("state on disk", "cauce_state_disk_bytes", "B", None),
];
/// One second's p99 differs from the next by far more than memory does.
const P99_TOLERANCE: f64 = 0.5;

/// So often at most: the page of a busy service takes it a millisecond.
const EVERY_LEAST: Duration = Duration::from_millis(100);
/// A machine that stands still for a moment has not stopped seeing.
const UNSEEN_LEAST: Duration = Duration::from_secs(2);
/// Readings kept of a series; beyond, every second one goes and it is read half as often.
const READINGS_MOST: usize = 4096;

impl Default for Watch {
    fn default() -> Self {
        let figure = |(name, metric, unit, tolerance): &(&str, &str, &str, Option<f64>)| Figure {
            name: (*name).to_owned(),
            metric: Selector::metric(metric),
            per: None,
            unit: (*unit).to_owned(),
            tolerance: tolerance.map(Tolerance),
        };
        let mut series: Vec<_> = OF_CAUCE.iter().map(figure).collect();
        // With a log that drops its oldest segments this falls; without, it tells records that become larger from more records.
        series.push(Figure {
            name: "log bytes a record".to_owned(),
            metric: Selector::metric("cauce_log_bytes"),
            per: Some(Selector::metric("cauce_log_end_position")),
            unit: "B".to_owned(),
            tolerance: Some(Tolerance(0.05)),
        });
        Self {
            page: "/metrics".to_owned(),
            every: Duration::from_secs(5),
            settle: None,
            p99_tolerance: Some(Tolerance(P99_TOLERANCE)),
            series,
        }
    }
}

impl Watch {
    /// Begins to read, with the first reading now; the run begins now, too. `authority` is the target's host and port.
    pub fn begin(self, authority: &str) -> Result<Watching, String> {
        let page = Page::parse(&self.page, authority)?;
        let (stop, stopped) = mpsc::channel::<()>();
        let mut readings = Readings { points: vec![Vec::new(); self.series.len()], problem: None };
        let (begin, series, mut every) = (Instant::now(), self.series.clone(), self.every);
        let thread = thread::spawn(move || {
            let mut due = begin;
            loop {
                // The end of the watch is the end of the channel.
                match stopped.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return readings,
                }
                let time_s = begin.elapsed().as_secs_f64();
                readings.take(&series, time_s, page.read());
                if readings.points.iter().any(|points| points.len() >= READINGS_MOST) {
                    readings.thin();
                    every *= 2;
                }
                // A reading that took longer than the pause puts off the next.
                due = (due + every).max(Instant::now());
            }
        });
        Ok(Watching { watch: self, begin, stop, thread })
    }
}

/// A page that is being read.
#[derive(Debug)]
pub struct Watching {
    watch: Watch,
    begin: Instant,
    stop: Sender<()>,
    thread: JoinHandle<Readings>,
}

#[derive(Debug)]
struct Readings {
    /// By series: seconds after the begin, and the value.
    points: Vec<Vec<(f64, f64)>>,
    /// Why the page could not be read the last time that it could not.
    problem: Option<String>,
}

impl Watching {
    /// Ends it, and judges what was read; beside it the p99 of the run's answers.
    pub fn end(self, outcome: &Outcome) -> Vec<Series> {
        let length = self.begin.elapsed();
        drop(self.stop);
        // A thread that panicked has read nothing.
        let readings = self.thread.join().unwrap_or_else(|_| Readings {
            points: vec![Vec::new(); self.watch.series.len()],
            problem: Some("the watch ended with a defect".to_owned()),
        });
        self.watch.judged(readings, length, outcome)
    }
}

impl Watch {
    /// What was read in a run of that length, and why it fails.
    fn judged(&self, readings: Readings, length: Duration, outcome: &Outcome) -> Vec<Series> {
        let Readings { points, problem } = readings;
        let judge = |figure: &Figure, points: &[(f64, f64)]| {
            let tolerance = figure.tolerance?;
            let unread = || problem.clone().unwrap_or_else(|| format!("`{}` is not on the page", figure.metric));
            match points.last() {
                None => Some(unread()),
                Some((last_s, _)) if length.as_secs_f64() - last_s > self.unseen_most(length).as_secs_f64() => {
                    Some(format!("not seen after {last_s:.0} s: {}", unread()))
                }
                Some(_) => failure(points, self.settled_s(length), tolerance),
            }
        };
        let series = self.series.iter().zip(points).map(|(figure, points)| Series {
            name: figure.name.clone(),
            unit: figure.unit.clone(),
            trend: judge(figure, &points),
            points,
        });
        series.chain([self.p99_over_time(outcome)]).collect()
    }

    fn settled_s(&self, length: Duration) -> f64 {
        self.settle.unwrap_or(length / 2).as_secs_f64()
    }

    /// How long before the end of a run the last reading may be: what happened since is not known.
    fn unseen_most(&self, length: Duration) -> Duration {
        (3 * self.every).max(length / 10).max(UNSEEN_LEAST)
    }

    /// The p99 by the second, of those in which it was the service's: the generator's own pauses say nothing about it.
    fn p99_over_time(&self, outcome: &Outcome) -> Series {
        let measured = outcome.seconds.iter().enumerate().filter(|(_, second)| !second.is_warm_up && second.good > 0);
        let (driven, late): (Vec<_>, Vec<_>) =
            measured.partition(|(_, second)| NotDriven::unless_late(99.0, second.lag_p99, second.p99).is_ok());
        let point = |(time, second): &(usize, &Second)| (*time as f64, second.p99.as_secs_f64() * 1e3);
        let points: Vec<_> = driven.iter().map(point).collect();
        let settled_s = self.settled_s(Duration::from_secs(outcome.seconds.len() as u64));
        let judge = |tolerance| match failure(&points, settled_s, tolerance) {
            Some(_) if late.len() > driven.len() => {
                let all = late.len() + driven.len();
                Some(format!("not told: the generator was late itself in {} of {all} seconds", late.len()))
            }
            failure => failure,
        };
        let trend = self.p99_tolerance.and_then(judge);
        Series { name: "latency p99".to_owned(), unit: "ms".to_owned(), points, trend }
    }
}

/// Why a series fails, if it does.
fn failure(points: &[(f64, f64)], settled_s: f64, tolerance: Tolerance) -> Option<String> {
    // In decimal places that somebody has written.
    let percent = (tolerance.0 * 1e8).round() / 1e6;
    match Trend::of(points, settled_s, tolerance.0) {
        Trend::Steady => None,
        grows @ Trend::Grows { .. } => Some(format!("{grows}, {percent} % are tolerated")),
        too_short @ Trend::TooShort { .. } => Some(too_short.to_string()),
    }
}

impl Readings {
    fn take(&mut self, series: &[Figure], time_s: f64, text: Result<String, String>) {
        let text = match text {
            Ok(text) => text,
            Err(problem) => {
                self.problem = Some(problem);
                return;
            }
        };
        for (figure, points) in series.iter().zip(&mut self.points) {
            let value = figure.metric.sum(&text).zip(figure.per.as_ref().map_or(Some(1.0), |per| per.sum(&text)));
            // What is divided by nothing yet has no value.
            let quotient = value.map(|(value, per)| value / per);
            points.extend(quotient.filter(|quotient| quotient.is_finite()).map(|quotient| (time_s, quotient)));
        }
    }

    fn thin(&mut self) {
        for points in &mut self.points {
            let mut place = 0;
            points.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
    }
}

impl TryFrom<String> for Tolerance {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        percent
            .filter(|percent| (0.0..=1000.0).contains(percent))
            .map(|percent| Self(percent / 100.0))
            .ok_or_else(|| format!("a tolerance is a share as `5%`, not `{text}`"))
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let millis = Span::parse(&text).ok().and_then(|span| u64::try_from(span.millis()).ok());
    let wrong =
        || serde::de::Error::custom(format!("a duration is a number and a unit as `30ms` or `5s`, not `{text}`"));
    millis.map(Duration::from_millis).ok_or_else(wrong)
}

fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let every = duration(from)?;
    let wrong = || serde::de::Error::custom(format!("`every` is {EVERY_LEAST:?} at least, not {every:?}"));
    if every >= EVERY_LEAST { Ok(every) } else { Err(wrong()) }
}

fn settling<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

#[cfg(test)]
mod tests;
