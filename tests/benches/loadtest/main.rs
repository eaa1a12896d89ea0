//! What the service does on this machine: the highest rate that it keeps up with, and its latency at a quarter, half, three quarters and nine
//! tenths of it, for four workloads; and whether the generator could have seen more. `SECONDS=` and `TURNS=` make a smaller run.
//!
//! The load is open and latency counts from when requests are due. The service has one worker and the first core, the generator the second,
//! where there are two. A rate is kept up with if for a while every request is answered as meant, its p99 within [`GOAL`]; one that is
//! not is tried once more, since a pause of the machine fails a try and a limit of the service fails both. What the generator was too late
//! for is measured again, and not told where that does not help. The bare handler has the core to itself: the service has ended by then.
//!
//! Sketch: a request costs the generator 6 to 10 µs and as much again to make, the bare handler 15, a score 60 on the service's core: the
//! peak is 12,000 to 15,000/s, and the generator would see four times that.

/// The handler that Cauce is held against.
#[path = "../common/bare.rs"]
#[allow(dead_code, reason = "it is made for all benchmarks")]
mod bare;
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is made for all benchmarks")]
mod common;
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
use cauce_loadtest::outcome::Outcome;
use cauce_loadtest::schedule::{Pace, Phase, Schedule};
use cauce_loadtest::search::{Goal, Growth, Search, Steps};
use cauce_loadtest::simulate::Bank;
use cauce_loadtest::traffic::Verdict;
use common::{figures, keep_to, median, millis, some};
use serde_json::{Map, Value, json};
use support::client::Client;
use support::history::{JSON, NOW, NOW_MS};
use support::{Server, repository};
use workload::{Kind, Workload};

/// What has to hold at the peak: p99 within the default budget of a score.
const GOAL: Goal = Goal { p99: Some(Duration::from_millis(50)), error_rate: 0.0 };
/// How long latency is measured for at each part of a peak, in seconds, and how often each peak is looked for: at full length.
const SECONDS: u64 = 10;
const TURNS: u64 = 2;
/// Parts of the peak at which latency is told; the half alone in a short run.
const PARTS: [u32; 4] = [25, 50, 75, 90];
/// A rate has failed when it failed so often, and a latency is not told where the generator was late so often.
const TRIES: usize = 2;
const LATENCY_TRIES: u32 = 2;
/// More than anything here answers.
const TOO_MUCH: f64 = 250_000.0;

fn main() {
    let seconds = some("SECONDS", SECONDS);
    let turns = some("TURNS", if seconds < 5 { 1 } else { TURNS });
    let day_ms = 86_400_000;
    let bank = Bank {
        seed: 11,
        start: Timestamp::from_millis(NOW_MS as i64 - 90 * day_ms),
        end: Timestamp::from_millis(NOW_MS as i64),
    };
    keep_to(std::process::id(), 1);
    let bundle = repository().join("model/artifacts/ahorro-valle");
    let bundle = bundle.to_str().expect("a path of this repository");
    // Nothing is refused: a rate is kept up with by its latency, and a moment in which the machine was elsewhere costs no answers.
    let admission = "admission.delay=10s";
    let server = Server::start(["--bundle", bundle, "--clock", NOW, "--workers", "1", "--set", admission]);
    keep_to(server.process_id(), 0);
    let mut client = Client::connect(server.authority()).expect("it listens");
    workload::histories(&bank).for_each(|request| assert_eq!(client.ask(&request).expect("it answers").status, 200));
    let mut answer = Vec::new();
    for request in workload::known(&bank) {
        answer = client.ask(&request).expect("it answers").body.to_vec();
    }
    drop(client);

    let bench = Bench { bank: &bank, seconds, turns, run: Cell::new(1) };
    let mut figures = Map::new();
    let service = server.authority().parse().expect("an address");
    // What was posted is written before anything is measured, and memory that is taken for the first time is there.
    assert_eq!(server.post("/v1/admin/checkpoint", JSON, "").status, 200);
    bench.most(service, Kind::Mixed);
    for (kind, name) in Kind::ALL {
        bench.measure(service, kind, name, &mut figures);
    }
    assert_eq!(server.stop(), Some(0));
    bench.measure_generator(&answer, &mut figures);
    for (figure, is) in [
        ("service_peak_per_s", "cold_peak_per_s"),
        ("service_peak_is_of_generator", "cold_peak_is_of_generator"),
        ("p99_ms_at_half_peak", "cold_p99_ms_at_50"),
        ("p999_ms_at_half_peak", "cold_p999_ms_at_50"),
    ] {
        figures.insert(figure.to_owned(), figures.get(is).cloned().unwrap_or_default());
    }
    let peak = figures["service_peak_per_s"].as_f64().unwrap_or_default();
    if figures["generator_ceiling_per_s"].as_f64().is_some_and(|ceiling| ceiling < 2.0 * peak) {
        println!("the generator is the limit: it cannot offer twice the service's peak");
    }
    let written = figures::write("workloads", &json!({"seconds": seconds, "turns": turns}), json!(figures));
    if seconds >= SECONDS && turns >= TURNS {
        figures::write_loadtest("workloads", &written);
    }
}

struct Bench<'a> {
    bank: &'a Bank,
    /// How long latency is measured for at each part of a peak.
    seconds: u64,
    turns: u64,
    run: Cell<u64>,
}

/// The highest rate that was kept up with, if any was.
struct Peak {
    per_s: Option<f64>,
    /// Whether it was the generator that gave way above it.
    is_of_generator: bool,
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

    /// The peak of one kind of load, and latency at parts of it.
    fn measure(&self, target: SocketAddr, kind: Kind, name: &str, figures: &mut Map<String, Value>) {
        let peak = self.peak(target, kind);
        peak.write(name, figures);
        let Some(peak) = peak.per_s else { return };
        for part in PARTS.into_iter().filter(|part| !self.is_short() || *part == 50) {
            self.latency_at(target, kind, peak, part, name, figures);
        }
    }

    /// What goes through at most where answers cost nothing, and what a request costs the generator.
    fn measure_generator(&self, answer: &[u8], figures: &mut Map<String, Value>) {
        let bare = Bare::start(answer);
        let highest = self.most(bare.address, Kind::Cold);
        self.peak(bare.address, Kind::Cold).write("bare", figures);
        let (ceiling, sent) = (highest.rate(), highest.sent.max(1) as f64);
        let cpu_us = highest.generator_cpu.as_secs_f64() * 1e6 / sent;
        println!("generator: {ceiling:.0}/s against the bare handler, {cpu_us:.1} µs of CPU a request");
        figures.insert("generator_ceiling_per_s".to_owned(), json!(ceiling));
        figures.insert("generator_cpu_us".to_owned(), json!(cpu_us));
    }

    /// As much as goes through, at whatever latency: what is due while no connection is free is not sent.
    fn most(&self, target: SocketAddr, kind: Kind) -> Outcome {
        self.offer(target, kind, TOO_MUCH, self.hold(), 0)
    }

    /// Of several turns, those in which the service gave way say it.
    fn peak(&self, target: SocketAddr, kind: Kind) -> Peak {
        let searches: Vec<_> = (0..self.turns).map(|_| self.search(target, kind)).collect();
        let held = |of_generator: bool| {
            let searches = searches.iter().filter(move |search| search.limited_by_generator == of_generator);
            searches.filter_map(|search| search.highest).collect::<Vec<_>>()
        };
        let (of_service, of_generator) = (held(false), held(true));
        match (of_service.is_empty(), of_generator.is_empty()) {
            (false, _) => Peak { per_s: Some(median(of_service)), is_of_generator: false },
            (true, false) => Peak { per_s: Some(median(of_generator)), is_of_generator: true },
            (true, true) => {
                Peak { per_s: None, is_of_generator: searches.iter().all(|search| search.limited_by_generator) }
            }
        }
    }

    fn search(&self, target: SocketAddr, kind: Kind) -> Search {
        let most = self.most(target, kind).rate();
        // The last step of a fifth is halved twice, so that a peak is found to 5 %, and the median of three closer.
        let (growth, halvings) = if self.is_short() { (1.25, 1) } else { (1.2, 2) };
        let growth = Growth::Factor(growth);
        let steps = Steps { from: 0.6 * most, growth, up_to: 1.1 * most, halvings, tries: TRIES };
        let search = Search::by_steps(&steps, &GOAL, |rate| {
            // With more that waits, the limit of latency is missed anyway; what waits is answered before the next step begins.
            let waiting = (4.0 * rate * GOAL.p99.unwrap_or_default().as_secs_f64()).ceil() as usize;
            Ok(self.offer(target, kind, rate, self.hold(), waiting))
        });
        search.expect("nothing ends it")
    }

    fn hold(&self) -> u64 {
        (self.seconds / 5).clamp(1, 3)
    }

    fn is_short(&self) -> bool {
        self.seconds < 5
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
        let offer = || self.offer(target, kind, peak * f64::from(part) / 100.0, self.seconds, 100_000);
        let is_told = |outcome: &Outcome| outcome.trusted(&outcome.good().from_due, 99.0).is_ok();
        let (mut outcome, mut tries) = (offer(), 1);
        while !is_told(&outcome) && tries < LATENCY_TRIES {
            (outcome, tries) = (offer(), tries + 1);
        }
        let mut told = |figure: &str, value: Value| figures.insert(format!("{name}_{figure}_at_{part}"), value);
        for (of, kind) in ["", "events_"].iter().enumerate().take(if kind == Kind::Mixed { 2 } else { 1 }) {
            let latency = outcome.of(Some(of), Some(Verdict::Good)).from_due;
            for (percent, percentile) in [(50.0, "p50"), (99.0, "p99"), (99.9, "p999")] {
                let figure = format!("{kind}{percentile}_ms");
                let millis = millis(&outcome, &latency, percent);
                match &millis {
                    Ok(millis) => println!("{name} at {part} %: {figure} {millis:.2}"),
                    Err(reason) => println!("{name} at {part} %: {figure} not told, {reason}"),
                }
                told(&figure, json!(millis.ok()));
            }
        }
        let error_rate = outcome.error_rate();
        told("error_rate", json!(error_rate));
        told("tries", json!(tries));
        println!("{name} at {part} %: of {} requests {:.4} % not answered as meant", outcome.due, error_rate * 100.0);
    }
}

impl Peak {
    fn write(&self, name: &str, figures: &mut Map<String, Value>) {
        match self.per_s {
            Some(peak) if self.is_of_generator => {
                println!("{name}: peak {peak:.0} requests/s, where the generator gave way");
            }
            Some(peak) => println!("{name}: peak {peak:.0} requests/s"),
            None => println!("{name}: no rate was kept up with"),
        }
        figures.insert(format!("{name}_peak_per_s"), json!(self.per_s));
        figures.insert(format!("{name}_peak_is_of_generator"), json!(self.is_of_generator));
    }
}
