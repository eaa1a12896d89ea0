//! What the service does on this machine: the highest rate that it keeps up with, and its latency at a quarter, half, three quarters and nine
//! tenths of it, for four workloads; and whether the generator could have seen more. `SECONDS=` and `TURNS=` make a smaller run.
//!
//! The load is open and latency counts from when requests are due. The service has one worker and the first core, the generator the second,
//! where there are two. A rate is kept up with if for a while every request is answered as meant, its p99 within [`GOAL`]; one that is
//! not is tried once more, since a pause of the machine fails a try and a limit of the service fails both. What the generator was too late for is not told.
//!
//! Sketch: a request costs the generator 6 to 10 µs and as much again to make, the bare handler 15, a score 60 on the service's core: the
//! peak is 12,000 to 15,000/s, and the generator would see four times that.

/// The handler that Cauce is held against.
mod bare;
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is made for all benchmarks")]
mod common;
#[path = "../common/figures.rs"]
mod figures;
#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, reason = "it is made for the tests, which use all of it")]
mod support;
/// What is offered.
mod workload;

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use bare::Bare;
use cauce_features::time::Timestamp;
use cauce_loadtest::drive::Drive;
use cauce_loadtest::outcome::{Latency, Outcome};
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::search::{Goal, Growth, Search, Step, Steps};
use cauce_loadtest::simulate::Bank;
use common::{keep_to, median, number};
use serde_json::{Map, Value, json};
use support::client::Client;
use support::history::{JSON, NOW, NOW_MS};
use support::{Server, repository};
use workload::{Kind, Workload};

/// What has to hold at the peak: p99 within the default budget of a score.
const GOAL: Goal = Goal { p99: Some(Duration::from_millis(50)), error_rate: 0.0 };
/// Parts of the peak at which latency is told.
const PARTS: [u32; 4] = [25, 50, 75, 90];
/// Halvings between the last step of a fifth that held and the one that did not: the peak is found to 5 %, and the median of three closer.
const HALVINGS: usize = 2;
/// More than anything here answers.
const TOO_MUCH: f64 = 250_000.0;

fn main() {
    let seconds = number("SECONDS", 15);
    let repeats = number("TURNS", if seconds < 5 { 1 } else { 3 }) as usize;
    let day_ms = 86_400_000;
    let bank = Bank {
        seed: 11,
        start: Timestamp::from_millis(NOW_MS as i64 - 90 * day_ms),
        end: Timestamp::from_millis(NOW_MS as i64),
    };
    keep_to(std::process::id(), 1);
    let bundle = repository().join("model/artifacts/ahorro-valle");
    let bundle = bundle.to_str().expect("a path of this repository");
    // What is refused beyond it would miss the limit anyway; with less, a moment in which the machine was elsewhere costs answers.
    let admission = "admission.delay=50ms";
    let server = Server::start(["--bundle", bundle, "--clock", NOW, "--workers", "1", "--set", admission]);
    keep_to(server.process_id(), 0);
    let mut client = Client::connect(server.authority()).expect("it listens");
    workload::histories(&bank).for_each(|request| assert_eq!(client.ask(&request).expect("it answers").status, 200));
    let mut answer = Vec::new();
    for request in workload::known(&bank) {
        answer = client.ask(&request).expect("it answers").body.to_vec();
    }

    let bench = Bench { bank: &bank, seconds, repeats, run: Cell::new(1) };
    let mut figures = Map::new();
    let bare = Bare::start(&answer);
    let highest = bench.most(bare.address, Kind::Cold);
    let bare_peak = bench.peak(bare.address, Kind::Cold);
    drop(bare);
    let service = server.authority().parse().expect("an address");
    // What was posted is written before anything is measured, and memory that is taken for the first time is there.
    assert_eq!(server.post("/v1/admin/checkpoint", JSON, "").status, 200);
    bench.most(service, Kind::Mixed);
    for (kind, name) in Kind::ALL {
        let peak = bench.peak(service, kind);
        figures.insert(format!("{name}_peak_per_s"), json!(peak));
        let Some(peak) = peak else {
            println!("{name}: no peak is told");
            continue;
        };
        println!("{name}: peak {peak:.0} requests/s");
        for part in PARTS {
            bench.latency_at(service, kind, peak, part, name, &mut figures);
        }
    }
    let ceiling = highest.rate();
    let told = |name| figures.get(name).cloned().unwrap_or_default();
    let service_peak = told("cold_peak_per_s");
    let cpu_us = highest.generator_cpu.as_secs_f64() * 1e6 / highest.sent.max(1) as f64;
    println!("generator: {ceiling:.0}/s against the bare handler, {cpu_us:.1} µs of CPU a request");
    if service_peak.as_f64().is_some_and(|peak| ceiling < 2.0 * peak) {
        println!("the generator is the limit: it cannot offer twice the service's peak");
    }
    for (name, value) in [
        ("generator_ceiling_per_s", json!(ceiling)),
        ("generator_cpu_us", json!(cpu_us)),
        ("bare_peak_per_s", json!(bare_peak)),
        ("service_peak_per_s", service_peak),
        ("p99_ms_at_half_peak", told("cold_p99_ms_at_50")),
        ("p999_ms_at_half_peak", told("cold_p999_ms_at_50")),
    ] {
        figures.insert(name.to_owned(), value);
    }
    figures::write("workloads", &json!(figures));
    figures::write_loadtest();
    assert_eq!(server.stop(), Some(0));
}

struct Bench<'a> {
    bank: &'a Bank,
    /// How long latency is measured for at each part of a peak.
    seconds: u64,
    repeats: usize,
    run: Cell<u64>,
}

impl Bench<'_> {
    fn offer(&self, target: SocketAddr, kind: Kind, rate: f64, seconds: u64, waiting: usize) -> Outcome {
        let run = self.run.replace(self.run.get() + 1);
        let workload = Workload { kind, bank: self.bank, run };
        let warm_up = Phase { is_warm_up: true, ..Phase::steady(rate, Duration::from_millis(500)) };
        let phases = vec![warm_up, Phase::steady(rate, Duration::from_secs(seconds))];
        let schedule = Schedule { phases, pace: Pace::Poisson, seed: run };
        Drive { waiting, ..Drive::to(target, &workload, &schedule) }.run().expect("the target listens")
    }

    /// As much as goes through, at whatever latency: what is due while no connection is free is not sent.
    fn most(&self, target: SocketAddr, kind: Kind) -> Outcome {
        self.offer(target, kind, TOO_MUCH, self.hold(), 0)
    }

    /// The highest rate that is kept up with.
    fn peak(&self, target: SocketAddr, kind: Kind) -> Option<f64> {
        let peak = |_| {
            let most = self.most(target, kind).rate();
            let steps = Steps {
                from: 0.5 * most,
                growth: Growth::Factor(1.2),
                up_to: 1.1 * most,
                halvings: HALVINGS,
                tries: 1,
            };
            let search = Search::by_steps(&steps, &GOAL, |rate| {
                let offer = || self.offer(target, kind, rate, self.hold(), 100_000);
                let first = offer();
                Ok(if Step::of(&first, &GOAL).holds { first } else { offer() })
            });
            let search = search.expect("the target listens");
            if search.limited_by_generator {
                println!("{kind:?}: the generator, not the service, gave way; {most:.0}/s went through at most");
            }
            // What the generator could not go beyond is no peak of the service.
            search.highest.filter(|_| !search.limited_by_generator)
        };
        let peaks: Vec<_> = (0..self.repeats).filter_map(peak).collect();
        (!peaks.is_empty()).then(|| median(peaks))
    }

    fn hold(&self) -> u64 {
        (self.seconds / 5).clamp(1, 3)
    }

    /// Latency at a part of the peak, as figures by kind of request.
    fn latency_at(
        &self,
        target: SocketAddr,
        kind: Kind,
        peak: f64,
        part: u32,
        name: &str,
        figures: &mut Map<String, Value>,
    ) {
        let outcome = self.offer(target, kind, peak * f64::from(part) / 100.0, self.seconds, 100_000);
        for (of, kind) in ["", "events_"].iter().enumerate().take(if kind == Kind::Mixed { 2 } else { 1 }) {
            let latency = outcome.of(Some(of), None).from_due;
            for (percent, percentile) in [(50.0, "p50"), (99.0, "p99"), (99.9, "p999")] {
                let figure = format!("{name}_{kind}{percentile}_ms_at_{part}");
                let told = millis(&outcome, &latency, percent);
                match &told {
                    Ok(millis) => println!("{figure}: {millis:.2}"),
                    Err(reason) => println!("{figure}: not told, {reason}"),
                }
                figures.insert(figure, told.map_or(Value::Null, |millis| json!(millis)));
            }
        }
        println!(
            "{name} at {part} %: of {} requests {:.4} % not answered as meant",
            outcome.due,
            outcome.error_rate() * 100.0
        );
    }
}

/// A percentile in milliseconds, or why it is none.
fn millis(outcome: &Outcome, latency: &Latency, percent: f64) -> Result<f64, String> {
    // Of so few the percentile is the longest, whatever it is called.
    if latency.count() as f64 * (1.0 - percent / 100.0) < 1.0 {
        return Err(format!("there are only {} answers", latency.count()));
    }
    let told = outcome.trusted(latency, percent).map_err(|reason| reason.to_string())?;
    Ok(told.as_secs_f64() * 1e3)
}
