//! Cauce beside what it replaces: a Flask service with a pandas row, LightGBM and a dictionary as a cache; beside FastAPI with ONNX Runtime;
//! and beside a bare actix-web handler that parses the same body, answers the same bytes and does nothing else. `SECONDS=2
//! PEOPLE=4000` makes a smaller run.
//!
//! All answer with the same model for the same applications: the trees of the bundle, for LightGBM in its own format, and the rows of
//! features that Cauce itself makes of people's histories. The others are *given* these rows. What it takes to have them (histories from
//! events, windows, a durable log) is in Cauce's figures only, as are deadlines, metrics and the ledger of decisions. Every row is asked of
//! Cauce, FastAPI and Flask once before any load, and of the latter two again under it; all answers have to agree within 1e-5, or this
//! fails. Under load Cauce is asked for applications that are new, and the bare handler computes nothing.
//!
//! Each has one worker and all of its threads and processes on the first core, one system at a time; the generator keeps to the second,
//! where there are two. The peak is the highest rate at which everything is answered and 99 % within 50 ms; the figures stand at half of
//! *its own* peak. CPU time is that of all processes of a system, for an answer. No answer comes from a cache: Cauce is asked for new
//! applications only (`application_id` and amount are new, and so is the vector), Flask for 4,000 rows by turns while its cache holds the
//! last 1,000. What repetitions cost stands on lines of its own, with four of five requests asked before.
//!
//! Sketch, in CPU time a request: bare 15 µs, Cauce 70, FastAPI 400, Flask 2,000 to 5,000, most of it the making of the row.

/// The handler that does nothing else.
#[path = "../common/bare.rs"]
mod bare;
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is made for all benchmarks")]
mod common;
/// What a system does under load.
mod measure;
/// Applications, and the rows of features that are made of them.
mod rows;
#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, reason = "it is made for the tests, which use all of it")]
mod support;
/// A running server and its processes.
mod system;
/// What is told.
mod table;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use bare::Bare;
use common::{figures, keep_to, some};
use measure::{Bench, Peak, Subject};
use rows::{Applications, Prepared, Requests, Rows, post_histories};
use serde_json::json;
use support::history::{BUNDLE, NOW};
use support::{Directory, Server, repository};
use system::{System, keep_family_to};
use table::Comparison;

/// The most that an answer may differ from Cauce's.
const DIFFERENCE_MAX: f64 = 1e-5;
/// Four times what Flask's cache holds: by turns, none of them is found there.
const ROWS: u64 = 4_000;
/// At full length.
const SECONDS: u64 = 10;
const PEOPLE: u64 = 20_000;
const PYTHON: &str = ".venv-baselines/bin/python";

fn main() -> ExitCode {
    let (seconds, people) = (some("SECONDS", SECONDS), some("PEOPLE", PEOPLE).max(ROWS));
    let compare = Compare {
        bench: Bench { duration: Duration::from_secs(seconds), place: Cell::new(0) },
        people,
        directory: Directory::new("bench-compare"),
    };
    keep_to(std::process::id(), 1);
    let mut comparison = Comparison::default();
    let (rows, answer) = compare.service(&mut comparison);
    compare.bare(&mut comparison, &answer);
    compare.fastapi(&mut comparison, &rows);
    compare.flask(&mut comparison, &rows);
    let difference = rows.difference();
    comparison.tell(rows.count(), difference);
    let settings = json!({"seconds": seconds, "people": people});
    let written = figures::write("compare", &settings, comparison.figures(difference));
    if seconds >= SECONDS && people >= PEOPLE {
        figures::write_loadtest("compare", &written);
    }
    if difference <= DIFFERENCE_MAX {
        return ExitCode::SUCCESS;
    }
    eprintln!("answers differ by {difference:.1e}, and may by {DIFFERENCE_MAX:.0e}");
    ExitCode::FAILURE
}

struct Compare {
    bench: Bench,
    people: u64,
    directory: Directory,
}

impl Compare {
    /// Cauce, and what it says: rows with their probabilities, and one answer as it is sent.
    fn service(&self, comparison: &mut Comparison) -> (Rows, Vec<u8>) {
        // The others refuse nothing: beyond what they can do they queue, and so does it here, up to the same limit.
        let arguments = ["--bundle", BUNDLE, "--clock", NOW, "--workers", "1", "--set", "admission.delay=10s"];
        let server = Server::start(arguments);
        keep_family_to(server.process_id(), 0);
        post_histories(&server, self.people);
        let (rows, answer) = (Rows::new(&server, ROWS), rows::answer(&server));
        let subject = Subject {
            process: server.process_id(),
            address: server.authority().parse().expect("it says its address"),
            first_rate: 1_000.0,
            requests: &Applications { people: self.people },
        };
        let peak = self.measure(comparison, "service", "Cauce", &subject);
        self.measure_repeats(comparison, "service_repeats", "Cauce", &subject, peak);
        assert_eq!(server.stop(), Some(0), "the service ends as it should");
        (rows, answer)
    }

    fn bare(&self, comparison: &mut Comparison, answer: &[u8]) {
        let bare = Bare::start(answer);
        let requests = &Prepared::new(ROWS);
        let subject = Subject { process: bare.process_id(), address: bare.address, first_rate: 4_000.0, requests };
        self.measure(comparison, "bare", "bare actix-web handler", &subject);
    }

    fn fastapi(&self, comparison: &mut Comparison, rows: &Rows) {
        let system = System::start("fastapi", &self.directory, |address| {
            let mut command = python("uvicorn", &repository().join(BUNDLE).join("model.onnx"));
            command.args(["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]);
            command.args(["--port", &address.port().to_string(), "fastapi_onnx:app"]);
            command
        });
        self.ask_all(&system, rows);
        self.measure(comparison, "fastapi", "FastAPI, ONNX Runtime", &of(&system, 250.0, rows));
    }

    fn flask(&self, comparison: &mut Comparison, rows: &Rows) {
        let model = self.lightgbm_model();
        let system = System::start("flask", &self.directory, |address| {
            let mut command = python("gunicorn", &model);
            command.args(["--worker-class", "gthread", "--workers", "1", "--threads", "4", "--keep-alive", "75"]);
            command.args(["--bind", &address.to_string(), "flask_lightgbm:app"]);
            command
        });
        self.ask_all(&system, rows);
        let subject = of(&system, 50.0, rows);
        let peak = self.measure(comparison, "flask", "Flask, pandas, LightGBM", &subject);
        self.measure_repeats(comparison, "flask_repeats", "Flask, pandas, LightGBM", &subject, peak);
    }

    /// Asks for every row. Once that is done, all processes of it have come up, and keep to their core.
    fn ask_all(&self, system: &System, rows: &Rows) {
        rows.ask_all(system.address, self.bench.place.get());
        keep_family_to(system.process_id(), 0);
    }

    /// Gives the peak.
    fn measure(&self, comparison: &mut Comparison, key: &str, name: &str, subject: &Subject<'_>) -> Peak {
        let peak = self.bench.peak(subject);
        let figures = peak.per_s.and_then(|per_s| self.bench.at(subject, per_s / 2.0, false));
        let kept = figures.as_ref().map_or(0.0, |figures| figures.kept);
        assert!(kept == 0.0, "{name}: {:.1} % of answers come from a cache", kept * 100.0);
        comparison.add(key, name, Some(peak), figures);
        peak
    }

    fn measure_repeats(&self, comparison: &mut Comparison, key: &str, name: &str, subject: &Subject<'_>, peak: Peak) {
        let figures = peak.per_s.and_then(|per_s| self.bench.at(subject, per_s / 2.0, true));
        let kept = figures.as_ref().map_or(0.0, |figures| figures.kept);
        comparison.add(key, &format!("{name}, {:.0} % repeats", kept * 100.0), None, figures);
    }

    /// The trees of the bundle as LightGBM reads them.
    fn lightgbm_model(&self) -> PathBuf {
        let path = self.directory.path("model.txt");
        let mut command = Command::new(repository().join(".venv/bin/python"));
        command.args(["-m", "training.booster"]).arg(repository().join(BUNDLE)).arg(&path);
        let made = command.current_dir(repository().join("model")).status();
        assert!(
            made.is_ok_and(|status| status.success()),
            "the trees are written: `make python-env` installs what it needs"
        );
        path
    }
}

fn of<'a>(system: &System, first_rate: f64, requests: &'a dyn Requests) -> Subject<'a> {
    Subject { process: system.process_id(), address: system.address, first_rate, requests }
}

/// A server of the baselines' packages, in their directory.
fn python(server: &str, model: &Path) -> Command {
    let path = repository().join(PYTHON);
    assert!(path.exists(), "`{PYTHON}` is missing: `make compare` installs it");
    let mut command = Command::new(path);
    command
        .args(["-m", server])
        .current_dir(repository().join("loadtest/baselines"))
        .env("MODEL", model)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
