//! Figures as files under target/bench, each with what it was measured on, and those of two benchmarks that are told together.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use cauce_features::time::Timestamp;
use cauce_loadtest::machine::Machine;
use serde_json::{Map, Value, json};

/// What loadtest.json tells, of which benchmark, and what that calls it. All that is held against each other is of one benchmark: of one run,
/// with one meaning of a peak.
const LOADTEST_FIGURES: [(&str, &str, &str); 13] = [
    ("service_peak_per_s", "compare", "service_peak_per_s"),
    ("service_peak_is_of_generator", "compare", "service_peak_is_of_generator"),
    ("bare_peak_per_s", "compare", "bare_peak_per_s"),
    ("bare_peak_is_of_generator", "compare", "bare_peak_is_of_generator"),
    ("flask_peak_per_s", "compare", "flask_peak_per_s"),
    ("flask_peak_is_of_generator", "compare", "flask_peak_is_of_generator"),
    ("fastapi_peak_per_s", "compare", "fastapi_peak_per_s"),
    ("fastapi_peak_is_of_generator", "compare", "fastapi_peak_is_of_generator"),
    ("p99_ms_at_half_peak", "compare", "service_p99_ms"),
    ("p999_ms_at_half_peak", "compare", "service_p999_ms"),
    ("answers_max_difference", "compare", "answers_max_difference"),
    ("generator_ceiling_per_s", "workloads", "generator_ceiling_per_s"),
    ("generator_cpu_us", "workloads", "generator_cpu_us"),
];

/// Writes target/bench/NAME.json: figures, and below `about` when, of which commit and machine, and with which settings.
pub(crate) fn write(name: &str, settings: &Value, figures: Value) -> Value {
    let mut figures = figures;
    figures["about"] = json!({
        "date": date(),
        "commit": commit(),
        "machine": Machine { cores: cores(), ..Machine::here() },
        "settings": settings,
    });
    save(name, &figures);
    figures
}

/// Brings loadtest.json up to what a benchmark has just written; what the other one wrote stays, and what was never measured is null. For
/// runs of full length: a short one would take the place of better figures.
pub(crate) fn write_loadtest(bench: &str, written: &Value) {
    let before: Value =
        fs::read(path("loadtest")).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    save("loadtest", &combined(&before, bench, written));
}

fn combined(before: &Value, bench: &str, written: &Value) -> Value {
    let figures = LOADTEST_FIGURES.map(|(figure, of_bench, there)| {
        let value = if of_bench == bench { &written[there] } else { &before[figure] };
        (figure.to_owned(), value.clone())
    });
    let mut figures = json!(Map::from_iter(figures));
    let mut about = before["about"].clone();
    about[bench] = written["about"].clone();
    figures["about"] = about;
    figures
}

fn save(name: &str, figures: &Value) {
    fs::create_dir_all(folder()).expect("the target directory can be written");
    fs::write(path(name), format!("{figures:#}\n")).expect("it can be written");
}

fn path(name: &str) -> PathBuf {
    folder().join(format!("{name}.json"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench")
}

fn date() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_secs() as i64 * 1_000).to_string()
}

/// All of the machine: this process may keep to one of them.
fn cores() -> usize {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpus.lines().filter(|line| line.starts_with("processor")).count()
}

/// The commit, and whether files differ from it; nothing where there is no git.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let said = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    git(&["rev-parse", "--short=12", "HEAD"]).map(|commit| commit + if changed { "-changed" } else { "" })
}
