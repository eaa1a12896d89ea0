//! Pages of a real little server, and what is said of a service whose figures grow, stay, or cannot be read.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Shows a page to whoever asks; `body` is told how often it was asked before.
fn served(body: impl Fn(u64) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for (asked, stream) in listener.incoming().flatten().enumerate() {
            show(stream, &body(asked as u64));
        }
    });
    authority
}

fn show(mut stream: TcpStream, answer: &str) {
    let mut request = [0; 1024];
    let count = stream.read(&mut request).unwrap();
    assert!(request[..count].starts_with(b"GET /metrics HTTP/1.0\r\n"));
    let _ = stream.write_all(answer.as_bytes());
}

fn page(lines: &str) -> String {
    format!("HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n{lines}")
}

fn watch(text: &str) -> Watch {
    toml::from_str(text).unwrap()
}

/// What a watch of a page says, read so often.
fn watched(text: &str, authority: &str, readings: u32) -> Vec<Series> {
    let watching = watch(text).begin(authority).unwrap();
    thread::sleep(Duration::from_millis(100) * readings);
    watching.end(&Outcome::default())
}

const HANDLES: &str = r#"
every = "100ms"
settle = "1ms"
[[series]]
name = "handles"
metric = "open_fds"
tolerance = "5%"
[[series]]
name = "bytes a record"
metric = "bytes_total{file=\"log\"}"
per = "records"
unit = "B"
[[series]]
name = "typo"
metric = "open_fdz"
tolerance = "5%"
"#;

#[test]
fn growing_figure_fails_its_run_and_a_steady_one_does_not() {
    let lines = |handles: u64, asked: u64| {
        page(&format!(
            "open_fds {handles}\nbytes_total{{file=\"log\"}} {}\nbytes_total{{file=\"x\"}} 9\nrecords {asked}\n",
            asked * 40
        ))
    };
    for (name, leaks) in [("a leak", true), ("none", false)] {
        let authority = served(move |asked| lines(if leaks { 100 + 5 * asked } else { 100 + asked % 2 }, asked));
        let series = watched(HANDLES, &authority, 16);
        let failures: Vec<_> = series.iter().map(|series| series.trend.as_deref()).collect();
        assert_eq!(failures[0].is_some_and(|why| why.starts_with("grows by ")), leaks, "{name}: {series:?}");
        // The first reading is of no records: it has no quotient.
        assert!(series[1].points.iter().all(|(_, value)| *value == 40.0), "{name}");
        assert_eq!(failures[1..3], [None, Some("`open_fdz` is not on the page")], "{name}");
        assert_eq!(series[1].unit, "B");
    }
}

#[test]
fn watch_that_cannot_tell_fails_its_run() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let cases = [
        (gone, "the metrics page cannot be read: "),
        (served(|_| "HTTP/1.0 404 Not Found\r\n\r\n".to_owned()), "the metrics page is answered with 404"),
        (served(|_| "open_fds 3\n".to_owned()), "the metrics page is no answer over HTTP"),
        (served(|_| page("open_fds 3\n")), "too short to tell: "),
    ];
    for (authority, expected) in cases {
        let series = watched(HANDLES, &authority, 3);
        let trend = series[0].trend.as_deref().unwrap_or_default();
        assert!(trend.starts_with(expected), "{expected}: {trend}");
    }
}

#[test]
fn service_that_is_slow_for_once_costs_a_reading_and_not_the_watch() {
    let asked_in_all = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked_in_all);
    let authority = served(move |asked| {
        counter.store(asked + 1, Ordering::Relaxed);
        if asked == 2 { String::new() } else { page("open_fds 3\n") }
    });
    let series = watched(HANDLES, &authority, 8);
    assert_eq!(series[0].points.len() as u64 + 1, asked_in_all.load(Ordering::Relaxed));
}

#[test]
fn run_that_was_not_seen_to_its_end_fails() {
    let watch = watch(&HANDLES.replace("settle = \"1ms\"", "").replace("100ms", "5s"));
    // (second of the last reading, length of the run, what is said)
    for (last, length, expected) in [
        (600, 600, None),
        // Three pauses and a tenth of the run.
        (185, 200, None),
        (540, 600, None),
        (530, 600, Some("not seen after 530 s: the page says 503")),
        (10, 600, Some("not seen after 10 s: the page says 503")),
        // Half of the run is left out, not of what was seen of it.
        (95, 105, None),
        (75, 82, Some("too short to tell: 7 readings since it settled, 8 are needed")),
    ] {
        let points: Vec<_> = (0..=last).step_by(5).map(|second| (f64::from(second), 7.0)).collect();
        let problem = Some("the page says 503".to_owned());
        let readings = Readings { points: vec![points, Vec::new(), Vec::new()], problem };
        let series = watch.judged(readings, Duration::from_secs(length), &Outcome::default());
        assert_eq!(series[0].trend.as_deref(), expected, "{last} of {length}");
    }
}

#[test]
fn tolerance_is_told_as_it_was_written() {
    let points: Vec<_> = (0..20).map(|second| (f64::from(second), f64::from(second) + 1.0)).collect();
    let said = failure(&points, 0.0, Tolerance::try_from("7%".to_owned()).unwrap()).unwrap();
    assert!(said.ends_with(", 7 % are tolerated"), "{said}");
}

#[test]
fn p99_is_a_series_of_its_own_without_the_seconds_that_the_generator_was_late_in() {
    // (how late it was at p99 in every third second and in the others, what is said)
    let (in_time, late) = (Duration::from_micros(100), Duration::from_millis(20));
    for (third, others, points, expected) in [
        (in_time, in_time, 55, "grows by "),
        (late, in_time, 37, "grows by "),
        (late, late, 0, "not told: the generator was late itself in 55 of 55 seconds"),
    ] {
        let second = |place: u64| crate::outcome::Second {
            is_warm_up: place < 5,
            good: 100,
            p99: Duration::from_millis(2 + place),
            lag_p99: if place.is_multiple_of(3) { third } else { others },
            ..Default::default()
        };
        let outcome = Outcome { seconds: (0..60).map(second).collect(), ..Outcome::default() };
        let series = Watch::default().p99_over_time(&outcome);
        assert_eq!(series.points.len(), points);
        assert!(series.trend.as_deref().is_some_and(|why| why.starts_with(expected)), "{:?}", series.trend);
        let unjudged = Watch { p99_tolerance: None, ..Watch::default() };
        assert_eq!(unjudged.p99_over_time(&outcome).trend, None);
    }
}

#[test]
fn wrong_section_is_refused_by_what_is_wrong_in_it() {
    let cases = [
        ("every = \"10ms\"", "`every` is 100ms at least, not 10ms"),
        ("every = \"fast\"", "a duration is a number and a unit as `30ms` or `5s`, not `fast`"),
        ("p99_tolerance = \"5\"", "a tolerance is a share as `5%`, not `5`"),
        ("often = 1", "unknown field `often`"),
        ("[[series]]\nname = \"x\"\nmetric = \"a b\"", "a metric is a name as"),
    ];
    for (text, expected) in cases {
        let error = toml::from_str::<Watch>(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert_eq!(watch("").series.len(), OF_CAUCE.len() + 1);
}

#[test]
fn readings_of_a_long_run_are_thinned() {
    let mut readings = Readings { points: vec![(0..5).map(|time| (f64::from(time), 1.0)).collect()], problem: None };
    readings.thin();
    assert_eq!(readings.points[0], [(0.0, 1.0), (2.0, 1.0), (4.0, 1.0)]);
}
