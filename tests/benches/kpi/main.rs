//! What it costs the scoring path to be watched: a service with KPIs, scraped every second and shown on ten dashboards, beside one that
//! records none (`kpi.window=0s`) and that nobody asks. `PAIRS=`, `SECONDS=` and `CLIENTS=` make a smaller run.
//!
//! The two take turns, watched first and then last (ABBA), so that a machine whose speed drifts favours neither; the figure is the median
//! of the pairs' ratios, with the interval that the median is in with 95 %. Turns are short and many: on a shared machine the speed of a
//! core changes by half within seconds, and only what changes more slowly than a pair takes is in no ratio.
//!
//! While one has its turn the other is halted (SIGSTOP): not even its threads that wake once a second run. Each has one worker, and
//! everything else of it on the same core; load, dashboards and scrapes come from the other core. So whatever thread of the service does
//! the work, it is taken from what is scored. Throughput is that of a few clients that ask without a pause; beside it stands the CPU time
//! of the service per score.
//!
//! Sketch: a score costs 120 µs. To record it costs below 1 µs, near 0.5 %. A second's snapshot is made once, about 1 ms, and written ten
//! times at 20 µs, a scrape is about 1 ms: 0.2 % of a core.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is made for all benchmarks")]
mod common;
#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, reason = "it is made for the tests, which use all of it")]
mod support;
/// Dashboards that look on, and a Prometheus that scrapes.
mod watch;

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use cauce_loadtest::traffic::Prepared;
use common::{figures, keep_to, median, number, offer, some};
use serde_json::{Map, Value, json};
use support::client::request;
use support::history::{BUNDLE, JSON, NOW, Random, application_of};
use support::{Server, repository};
use watch::Watching;

const PEOPLE: u64 = 10_000;
/// Clients that ask without a pause: so few that nothing has to be refused.
const BUSY_CLIENTS: usize = 24;

fn main() {
    let (pairs, clients, seconds) = (some("PAIRS", 60), number("CLIENTS", 10) as usize, some("SECONDS", 1));
    let turns = Turns { duration: Duration::from_secs(seconds), traffic: requests() };
    keep_to(std::process::id(), 1);
    let (watched, alone) = (start(&[]), start(&["--set", "kpi.window=0s"]));
    // What is done once, and what the first people cost, is in no figure.
    for server in [&watched, &alone] {
        turns.run(server);
    }
    signal(&watched, "STOP");
    signal(&alone, "STOP");
    let (mut throughput, mut cpu, mut shown) = (Vec::new(), Vec::new(), clients);
    for pair in 0..pairs {
        let mut beside = || {
            let (turn, clients) = turns.watched(&watched, clients);
            shown = shown.min(clients);
            turn
        };
        let (with, without) = if pair % 2 == 0 {
            let with = beside();
            (with, turns.alone(&alone))
        } else {
            let without = turns.alone(&alone);
            (beside(), without)
        };
        throughput.push(with.per_second / without.per_second);
        cpu.push(without.cpu_us / with.cpu_us);
        println!(
            "watched {:.0}/s at {:.1} µs of CPU a score, alone {:.0}/s at {:.1} µs: {:.3} × and {:.3} ×",
            with.per_second,
            with.cpu_us,
            without.per_second,
            without.cpu_us,
            throughput[throughput.len() - 1],
            cpu[cpu.len() - 1],
        );
    }
    let interval = interval(&mut throughput);
    let settings = json!({"pairs": pairs, "clients": clients, "seconds": seconds});
    report(
        &settings,
        [
            ("throughput_ratio", json!(median(throughput))),
            ("throughput_ratio_low", json!(interval.map(|(low, _)| low))),
            ("throughput_ratio_high", json!(interval.map(|(_, high)| high))),
            ("cpu_ratio", json!(median(cpu))),
            ("dashboard_clients", json!(shown)),
        ],
    );
    for server in [watched, alone] {
        signal(&server, "CONT");
        assert_eq!(server.stop(), Some(0));
    }
}

/// Between which of the values, by their ranks, the median of all that could have been lies with 95 %. Fewer than six cannot tell.
fn interval(values: &mut [f64]) -> Option<(f64, f64)> {
    if values.len() < 6 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let (middle, spread) = (values.len() as f64 / 2.0, 0.98 * (values.len() as f64).sqrt());
    let at = |rank: f64| values[(rank.max(0.0) as usize).min(values.len() - 1)];
    Some((at((middle - spread).floor()), at((middle + spread).ceil())))
}

/// Nothing is refused or answered on a lower rung because the machine was elsewhere for a moment: every score is the same work.
const PATIENT: [&str; 4] = ["--set", "admission.delay=10s", "--set", "budget.score=5s"];

/// A service of one worker, all of it on the first core.
fn start(settings: &[&str]) -> Server {
    let arguments = ["--bundle", BUNDLE, "--clock", NOW, "--workers", "1"];
    let server = Server::start(arguments.iter().chain(&PATIENT).chain(settings));
    keep_to(server.process_id(), 0);
    server
}

/// Applications without an id of their own: the second time they would be answered as before.
fn requests() -> Prepared {
    let mut random = Random(3);
    let body = |person| {
        let mut application = application_of(&mut random, person, "a");
        application.as_object_mut().expect("an application is an object").remove("application_id");
        application.to_string()
    };
    let requests = (0..PEOPLE).map(body).map(|body| request("/v1/score", JSON, body.as_bytes())).collect();
    Prepared { kind: "score".to_owned(), requests }
}

struct Turns {
    duration: Duration,
    traffic: Prepared,
}

/// What a turn gave.
struct Turn {
    per_second: f64,
    /// Of the service, for each score.
    cpu_us: f64,
}

impl Turns {
    /// A turn with scrapes and so many dashboards; how many of these were shown every snapshot.
    fn watched(&self, server: &Server, clients: usize) -> (Turn, usize) {
        resume(server);
        let watching = Watching::start(server, clients);
        let turn = self.run(server);
        let shown = watching.stop();
        signal(server, "STOP");
        // The first and the last second may not be whole, but the newest snapshot is shown at once.
        let least = self.duration.as_secs().saturating_sub(1).max(1);
        (turn, shown.into_iter().filter(|snapshots| *snapshots >= least).count())
    }

    fn alone(&self, server: &Server) -> Turn {
        resume(server);
        let turn = self.run(server);
        signal(server, "STOP");
        turn
    }

    fn run(&self, server: &Server) -> Turn {
        let before = cpu_time(server);
        // More than can be answered: a connection that is free is used at once.
        let outcome = offer(server.authority(), &self.traffic, BUSY_CLIENTS, 100_000.0, self.duration);
        let spent = cpu_time(server) - before;
        let (scored, all) = (outcome.good().from_sent.count() as f64, outcome.of(None, None).from_sent.count() as f64);
        assert!(all - scored <= scored / 100.0, "nearly all are scored:\n{outcome}");
        Turn { per_second: outcome.rate(), cpu_us: spent.as_secs_f64() * 1e6 / scored }
    }
}

/// Lets it go on, and its event loop find that it is no longer late.
fn resume(server: &Server) {
    signal(server, "CONT");
    thread::sleep(Duration::from_millis(200));
}

/// Halts a process or lets it go on.
fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &server.process_id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "a process of ours can be sent {name}");
}

/// What all threads have spent on a core, as the scheduler counts it.
fn cpu_time(server: &Server) -> Duration {
    let threads = fs::read_dir(format!("/proc/{}/task", server.process_id())).expect("it runs");
    let spent = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or_default()
    };
    Duration::from_nanos(threads.flatten().map(spent).sum())
}

/// Beside what other parts have measured of KPIs.
fn report<const N: usize>(settings: &Value, figures: [(&str, Value); N]) {
    let kept = fs::read(repository().join("target/bench/kpi.json")).ok();
    let mut all: Map<String, Value> = kept.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    all.extend(figures.map(|(name, value)| (name.to_owned(), value)));
    figures::write("kpi", settings, Value::Object(all));
}
