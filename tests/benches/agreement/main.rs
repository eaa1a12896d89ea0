//! Whether the generator's percentiles are those of another open-loop tool: vegeta, which `scripts/vegeta` builds.
//!
//! A server answers after delays that are the quantiles of a log-normal distribution (median 8 ms, 99th percentile 32 ms), in a shuffled
//! order that begins anew after a thousand: whoever asks is given the same thousand, and two tools differ by how they measure
//! alone. They ask in turns, ABBA, at the same constant rate. Then the server stands still for a second, as services do: an open loop
//! goes on asking, so that the requests of that second are in its percentiles.
//!
//! vegeta counts from when a request is sent and opens as many connections as it needs; here, too, there are enough.
//! What its p99 has to be then follows: of all requests one of a hundred waited longer. Both tools are held against that, too.
//! `SECONDS=` makes shorter turns. Ends with 1 if a percentile differs by more than [`DIFFERENCE_MOST`].

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is made for all benchmarks")]
mod common;
/// Answers after known delays.
mod server;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use cauce_loadtest::drive::Drive;
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::traffic::Prepared;
use common::{figures, median, millis, some};
use serde_json::{Value, json};
use server::Delaying;

const RATE: u64 = 500;
/// ABBA, twice.
const TURNS: [Tool; 8] = {
    use Tool::{Cauce, Vegeta};
    [Cauce, Vegeta, Vegeta, Cauce, Cauce, Vegeta, Vegeta, Cauce]
};
const PERCENTILES: [(&str, f64); 3] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0)];
const DIFFERENCE_MOST: f64 = 0.05;
const STALL: Duration = Duration::from_secs(1);
/// Enough for all that is due during a stall.
const CONNECTIONS: usize = 600;
/// A turn in which the generator was late itself is taken again, so often in all.
const TRIES: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Cauce,
    Vegeta,
}

/// Percentiles in milliseconds, by place.
type Told = [f64; PERCENTILES.len()];

fn main() -> ExitCode {
    let seconds = some("SECONDS", 20);
    let server = Delaying::start();
    println!("{RATE} requests/s for {seconds} s a turn; what is drawn has {:.2?} ms", server.drawn());
    let mut told: BTreeMap<&str, Vec<Told>> = BTreeMap::new();
    for tool in TURNS {
        let of_turn = tool.ask(&server, seconds, false);
        println!("{tool:?}: {of_turn:.2?} ms");
        told.entry(tool.name()).or_default().push(of_turn);
    }
    let [ours, theirs] = [Tool::Cauce, Tool::Vegeta].map(|tool| medians(&told[tool.name()]));
    let differences: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs - 1.0).collect();
    let stalled = [Tool::Cauce, Tool::Vegeta].map(|tool| {
        let told = tool.ask(&server, seconds, true);
        println!("{tool:?} beside a stall of {STALL:?}: {told:.2?} ms");
        told
    });

    // Beyond the percentile lie the requests of the begin of the stall, of which each waits for the rest of it.
    let expected_ms = (STALL.as_secs_f64() - seconds as f64 / 100.0) * 1e3;
    for (tool, told) in ["cauce-loadtest", "vegeta"].iter().zip(&stalled).filter(|_| expected_ms > 0.0) {
        let off = told[told.len() - 1] / expected_ms - 1.0;
        println!("{tool}: p99 with the stall {:+.1} % of the {expected_ms:.0} ms that it has to be", off * 100.0);
    }

    let worst = differences.iter().fold(0.0, |worst: f64, difference| worst.max(difference.abs()));
    let agrees = worst <= DIFFERENCE_MOST;
    let settings = json!({"seconds": seconds, "turns": TURNS.len(), "rate_per_s": RATE});
    let mut measured = document(&ours, &theirs, &stalled, worst);
    measured["expected_stalled_p99_ms"] = json!(expected_ms);
    figures::write("agreement", &settings, measured);
    for ((name, _), difference) in PERCENTILES.iter().zip(&differences) {
        println!("{name}: {:+.2} % of vegeta's", difference * 100.0);
    }
    println!("they {} within {} %", if agrees { "agree" } else { "do NOT agree" }, DIFFERENCE_MOST * 100.0);
    if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn document(ours: &Told, theirs: &Told, [ours_stalled, theirs_stalled]: &[Told; 2], worst: f64) -> Value {
    let by_name = |told: &Told| -> Value {
        PERCENTILES.iter().zip(told).map(|((name, _), value)| (format!("{name}_ms"), json!(value))).collect()
    };
    json!({
        "difference_max": worst,
        "cauce_loadtest": by_name(ours),
        "vegeta": by_name(theirs),
        "cauce_loadtest_stalled": by_name(ours_stalled),
        "vegeta_stalled": by_name(theirs_stalled),
    })
}

fn medians(turns: &[Told]) -> Told {
    std::array::from_fn(|place| median(turns.iter().map(|told| told[place]).collect()))
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Cauce => "cauce-loadtest",
            Self::Vegeta => "vegeta",
        }
    }

    fn ask(self, server: &Delaying, seconds: u64, is_stalled: bool) -> Told {
        let turn = || {
            if is_stalled {
                server.stall_after((RATE * seconds / 2) as usize, STALL);
            }
            match self {
                Self::Cauce => ask_ourselves(server.address, seconds),
                Self::Vegeta => Ok(have_vegeta_ask(server.address, seconds)),
            }
        };
        let told = (0..TRIES).find_map(|_| turn().inspect_err(|reason| println!("not told: {reason}")).ok());
        told.expect("a turn in which the generator is not late itself: on a busy machine nothing can be compared")
    }
}

fn ask_ourselves(target: SocketAddr, seconds: u64) -> Result<Told, String> {
    let traffic = Prepared { kind: "delays".to_owned(), requests: vec![b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()] };
    let phases = vec![Phase::steady(RATE as f64, Duration::from_secs(seconds))];
    let schedule = Schedule { phases, pace: Pace::Constant, seed: 1 };
    let drive = Drive { connections: CONNECTIONS, ..Drive::to(target, &traffic, &schedule) };
    let outcome = drive.run().expect("the server listens");
    assert_eq!(outcome.error_rate(), 0.0, "everything is answered");
    let latency = outcome.good().from_due;
    let mut told = [0.0; PERCENTILES.len()];
    for (told, (_, percent)) in told.iter_mut().zip(PERCENTILES) {
        *told = millis(&outcome, &latency, percent)?;
    }
    Ok(told)
}

fn have_vegeta_ask(target: SocketAddr, seconds: u64) -> Told {
    let vegeta = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.runtime/vegeta/vegeta");
    let run = |arguments: &[String], input: Vec<u8>| {
        let mut process = Command::new(&vegeta)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`scripts/vegeta` has built it");
        let mut stdin = process.stdin.take().expect("it is piped");
        // Beside, since it may answer before it has read all.
        let writer = thread::spawn(move || stdin.write_all(&input));
        let output = process.wait_with_output().expect("it runs");
        assert!(output.status.success(), "vegeta failed");
        let _ = writer.join();
        output.stdout
    };
    let attack = ["attack".to_owned(), format!("-rate={RATE}/s"), format!("-duration={seconds}s")];
    let results = run(&attack, format!("GET http://{target}/\n").into_bytes());
    let report = run(&["report".to_owned(), "-type=json".to_owned()], results);
    let report: Value = serde_json::from_slice(&report).expect("a report is JSON");
    assert_eq!(report["success"], 1.0, "everything is answered");
    let millis = |name: &str| report["latencies"][name].as_f64().expect("it has percentiles") / 1e6;
    ["50th", "90th", "99th"].map(millis)
}
