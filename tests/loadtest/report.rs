//! The report of a real run, as somebody sees it who opens the file. Pictures stay in `target/screenshots/`.

use std::time::{Duration, SystemTime};

use cauce_loadtest::drive::Drive;
use cauce_loadtest::limits::Judged;
use cauce_loadtest::outcome::{NotDriven, Outcome};
use cauce_loadtest::report::{self, Report};
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::search::{Search, Step};
use cauce_loadtest::traffic::{Prepared, Sent, Traffic, Verdict, write_request};
use cauce_loadtest::watch::Series;
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::history::{BUNDLE, JSON, NOW, application, payment};
use crate::support::{Directory, Server};

const PHONE: (u32, u32) = (360, 740);
const DESK: (u32, u32) = (1280, 900);

/// An event after every two scores.
struct Both([Prepared; 2]);

impl Traffic for Both {
    fn kinds(&self) -> Vec<String> {
        self.0.iter().map(|prepared| prepared.kind.clone()).collect()
    }

    fn write(&self, number: u64, out: &mut Vec<u8>) -> Sent {
        let kind = usize::from(number.is_multiple_of(3));
        Sent { kind, ..self.0[kind].write(number, out) }
    }

    fn judge(&self, _: Sent, status: u16, _: &[u8]) -> Verdict {
        Verdict::of_status(status)
    }
}

fn both(authority: &str) -> Both {
    let request = |path: &str, body: Value| {
        let mut bytes = Vec::new();
        write_request("POST", path, authority, JSON, body.to_string().as_bytes(), &mut bytes);
        bytes
    };
    let numbers = || (0..500).map(|number| (format!("c-{}", number % 50), number.to_string()));
    let scores = numbers().map(|(person, id)| request("/v1/score", application(&person, &id))).collect();
    let events = numbers().map(|(person, id)| request("/v1/events", payment(&person, &id, NOW, 0))).collect();
    Both([Prepared { kind: "score".into(), requests: scores }, Prepared { kind: "events".into(), requests: events }])
}

/// Eight seconds of load that a build without optimisation can bear, and two to warm up.
fn drive(server: &Server) -> Outcome {
    let phases = vec![
        Phase { is_warm_up: true, ..Phase::steady(60.0, Duration::from_secs(2)) },
        Phase::steady(150.0, Duration::from_secs(8)),
    ];
    let schedule = Schedule { phases, pace: Pace::Poisson, seed: 7 };
    let traffic = both(server.authority());
    let drive = Drive { connections: 8, ..Drive::to(server.authority().parse().unwrap(), &traffic, &schedule) };
    drive.run().unwrap()
}

/// What a search and a watch would add; the page has to show them beside a run.
fn search() -> Search {
    let step = |offered: f64, p99: u64, not_driven: Option<NotDriven>| {
        let told = |time| not_driven.clone().map_or(Ok(time), Err);
        Step {
            offered,
            good: offered.min(5_200.0),
            p50: told(Duration::from_micros(300 + offered as u64 / 10)),
            p99: told(Duration::from_millis(p99)),
            error_rate: if p99 > 50 { 0.02 } else { 0.0 },
            holds: p99 <= 50,
            not_driven,
        }
    };
    let behind = NotDriven::Behind { in_time: 9_000, due: 16_000 };
    let steps = [(1_000.0, 2), (2_000.0, 3), (4_000.0, 9), (8_000.0, 900), (5_000.0, 30), (6_000.0, 400)];
    let mut steps: Vec<_> = steps.into_iter().map(|(offered, p99)| step(offered, p99, None)).collect();
    steps.push(step(16_000.0, 900, Some(behind)));
    Search { steps, highest: Some(5_000.0), limited_by_generator: true }
}

fn watched() -> Vec<Series> {
    let points = |value: fn(f64) -> f64| (0..60).map(|at| (f64::from(at) * 10.0, value(f64::from(at)))).collect();
    let grown = "grows by 12 % an hour, more than 5 %";
    vec![
        Series {
            name: "resident memory".into(),
            unit: "B".into(),
            points: points(|at| 2e8 + 3e5 * at),
            trend: Some(grown.into()),
        },
        Series {
            name: "open handles".into(),
            unit: String::new(),
            points: points(|at| 40.0 + (at / 7.0).sin().round()),
            trend: None,
        },
    ]
}

/// A figure of the page in milliseconds.
fn millis(text: &str) -> f64 {
    let (digits, unit) = text.split_once(' ').unwrap_or_else(|| panic!("`{text}` has no unit"));
    let scale = match unit {
        "µs" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        unit => panic!("`{unit}` is no unit of time"),
    };
    digits.replace(',', "").parse::<f64>().unwrap() * scale
}

/// The page says what the JSON says, to three digits, or that it was not driven where that has `null`.
fn assert_same_figures(browser: &mut Browser, json: &Value) {
    for (figure, key) in [("p50", "latency_ms_p50"), ("p99", "latency_ms_p99"), ("p99.9", "latency_ms_p999")] {
        let text = browser.text(&format!("[data-figure='{figure}']"));
        match json[key].as_f64() {
            Some(exact) => assert!((millis(&text) / exact - 1.0).abs() < 0.006, "{key}: {exact}, {text}"),
            None => assert_eq!(text, "not driven", "{key}"),
        }
    }
    let told = browser.evaluate(
        "[...document.querySelectorAll('[aria-labelledby=time-heading] tbody tr')].map((row) => row.cells[6].textContent)",
    );
    let seconds = json["seconds"].as_array().unwrap();
    assert_eq!(told.as_array().map(Vec::len), Some(seconds.len()));
    for (told, second) in told.as_array().into_iter().flatten().zip(seconds) {
        let (told, exact) = (told.as_str().unwrap(), second["latency_ms_p99"].as_f64());
        assert!(exact.map_or(told == "–", |exact| (millis(told) / exact - 1.0).abs() < 0.006), "{second}: {told}");
    }
    let rows = browser.evaluate(
        "[...document.querySelectorAll('[aria-labelledby=answers-heading] table:first-of-type tbody tr')]
           .map((row) => [...row.cells].map((cell) => cell.textContent).slice(0, 4))",
    );
    let answers = json["answers"].as_array().unwrap().iter().map(|row| {
        let text = |key: &str| row[key].to_string().trim_matches('"').to_owned();
        json!([text("kind"), text("verdict"), text("status"), text("count")])
    });
    // No count of this run has a comma.
    assert_eq!(rows, answers.collect::<Value>());
}

/// Drawings without a line or an area that can be seen.
const EMPTY_DRAWINGS: &str = r#"
[...document.querySelectorAll("figure")].filter((figure) =>
  ![...figure.querySelectorAll("path.line, path.band")].some((path) => path.getTotalLength() > 0 && path.getBBox().width > 0))
  .map((figure) => figure.id)
"#;

#[test]
fn page_of_a_real_run_is_read_on_a_phone_and_a_desk_in_light_and_dark() {
    let server = Server::start(["--bundle", BUNDLE, "--clock", NOW]);
    let outcome = drive(&server);
    assert!(outcome.good().from_due.count() > 100, "{outcome:?}");
    let (search, watched) = (search(), watched());
    let limits = [("p99 ≤ 50 ms", true), ("error rate ≤ 0", false)].map(|(limit, holds)| Judged {
        limit: limit.into(),
        measured: "as it was".into(),
        holds,
        not_driven: None,
    });
    let target = format!("http://{}", server.authority());
    let report = Report {
        name: "mixed",
        scenario: "name = \"mixed\"\n# <script>document.title = 'taken'</script>\n\n[load]\nshape = \"steady\"\nrate = 150\n",
        target: &target,
        command: "cauce-loadtest run mixed.toml --max-p99 50ms --max-error-rate 0 --html report.html --json report.json",
        started_at: SystemTime::now(),
        outcome: &outcome,
        limits: &limits,
        search: Some(&search),
        watched: &watched,
    };
    println!("{}", report::table(&report));
    let directory = Directory::new("loadtest-report");
    let address = format!("file://{}", directory.write("report.html", &report::html(&report)).display());

    let mut browser = Browser::start("en");
    browser.resize(DESK.0, DESK.1);
    browser.open(&address);
    assert_eq!(browser.evaluate("document.title"), "mixed · load test");
    let json = report::json(&report);
    assert_same_figures(&mut browser, &json);
    assert_eq!(browser.evaluate("document.querySelectorAll('figure').length"), 8);
    // On a machine with so much else to do that not even the median was driven, nothing is drawn of latency.
    let undrawn = if json["latency_ms_p50"].is_null() { json!(["percentiles", "latency"]) } else { json!([]) };
    assert_eq!(browser.evaluate(EMPTY_DRAWINGS), undrawn);
    assert_eq!(browser.unnamed(), json!([]));
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for (size, name) in [(PHONE, "phone"), (DESK, "desk")] {
            browser.resize(size.0, size.1);
            assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), size.0, "{name}");
            browser.picture(&format!("report-{name}-{scheme}"));
        }
        browser.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })");
        assert_eq!(browser.faint(), json!([]), "{scheme}");
    }
    assert_eq!(browser.requested(), [address]);
    assert_eq!(browser.errors(), Vec::<Value>::new());
}
