//! What is held of the latency budget from outside: more than can be answered, clients that send a byte a second, bundles that are
//! swapped under load, and what a score from the cache costs. `SECONDS=`, `CONNECTIONS=`, `SLOW=` and `RELOADS=` make a smaller run.
//!
//! The generator is a thread of this process and keeps to the second core, the service to the first, where there are two: so what is generated
//! takes nothing from what is answered, and the peak is that of one core, with one worker and everything else of the service on it. Latency counts from when a request was sent; from when it was
//! due it would count the wait for a free connection, of which there are as many as the clients that are modelled.
//!
//! Sketch: an answer costs 60 µs of CPU and a refusal 8; a connection is refused once in 30 ms at most, so of 400 connections 13,000 times
//! a second: a tenth of one core. What is let in waits 5 ms for its turn, and at most 30 for its connection to be read again.

/// What a score from the cache costs.
mod cache;
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is made for all benchmarks")]
mod common;
/// Bundles that are swapped under load.
mod reload;
#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, reason = "it is made for the tests, which use all of it")]
mod support;

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cache::metric;
use cauce_loadtest::outcome::{Latency, Outcome};
use cauce_loadtest::traffic::{Prepared, Verdict};
use common::{figures, keep_to, median, millis, number, offer, some};
use reload::Bundles;
use serde_json::json;
use support::Server;
use support::client::request;
use support::history::{JSON, NOW, Random, application_of};

const PEOPLE: u64 = 10_000;
/// Clients that keep the service busy and make no queue.
const BUSY_CLIENTS: usize = 24;
/// Said where ten seconds were not enough.
const NOT_RECOVERED_S: f64 = 99.0;
/// The default budget of a score.
const BUDGET_MS: f64 = 50.0;

fn main() {
    let (seconds, connections) = (some("SECONDS", 60), some("CONNECTIONS", 400) as usize);
    let (slow_clients, reloads) = (number("SLOW", 2_000), some("RELOADS", 100));
    let bundles = Bundles::new();
    let bundle = bundles.first.to_str().expect("a path of this repository").to_owned();
    keep_to(std::process::id(), 1);
    let server =
        Server::start(["--bundle", &bundle, "--clock", NOW, "--workers", "1", "--set", "server.head_timeout=1h"]);
    keep_to(server.process_id(), 0);
    let (cache_hit_cost_ratio, _) = cache::measure(&server);
    let bench = Bench { server: &server, connections, seconds: (seconds / 6).max(2) };

    let peak = bench.peak();
    println!("peak: {peak:.0} answers/s");
    let normal = bench.offer(peak / 2.0, bench.seconds);
    println!("half of it:\n{normal}");
    let memory_before = resident_bytes(&server);
    let over = bench.offer(peak * 10.0, seconds);
    let memory_after = resident_bytes(&server);
    println!("ten times of it:\n{over}");
    println!(
        "{:.0} offered and {:.0} sent a second; memory {} MiB before, {} MiB after",
        over.due as f64 / seconds as f64,
        over.sent as f64 / seconds as f64,
        memory_before >> 20,
        memory_after >> 20
    );
    let recovery = bench.recovery(peak / 2.0, &scored(&normal));
    let slow = bench.beside_slow_clients(peak / 2.0, slow_clients as usize);
    let reloaded = bench.beside_reloads(&bundles, peak / 2.0, reloads);
    let (admitted, refused) = (scored(&over), over.of(None, Some(Verdict::Refused)).from_sent);
    let settings = json!({"seconds": seconds, "connections": connections, "slow": slow_clients, "reloads": reloads});
    let measured = json!({
        "overload_goodput_ratio": admitted.count() as f64 / seconds as f64 / peak,
        "admitted_p99_ms": p99_ms(&over, &admitted),
        "budget_ms": BUDGET_MS,
        "refused_p99_ms": p99_ms(&over, &refused),
        "recovery_s": recovery.map_or(NOT_RECOVERED_S, |recovery| recovery.as_secs_f64()),
        "over_budget": metric(&server, "cauce_over_budget_total"),
        "dropped_connections": over.dropped + normal.dropped + reloaded.dropped,
        "cache_hit_cost_ratio": cache_hit_cost_ratio,
        "reloads": reloaded.reloads,
        "reload_failed": reloaded.failed,
        "reload_p99_ratio": reloaded.p99_ratio,
        "slow_clients_p99_ratio": slow,
    });
    figures::write("budget", &settings, measured);
    assert_eq!(server.stop(), Some(0));
}

/// What swaps under load did.
struct Reloaded {
    reloads: u64,
    /// Swaps that were refused, and requests that did not get a score.
    failed: u64,
    dropped: u64,
    /// None where the generator was late itself.
    p99_ratio: Option<f64>,
}

#[derive(Clone, Copy)]
struct Bench<'a> {
    server: &'a Server,
    connections: usize,
    seconds: u64,
}

impl Bench<'_> {
    /// The most that is answered with a score in a second: a few clients ask without a pause, so few that nothing has to be refused. The
    /// median of three.
    fn peak(&self) -> f64 {
        let answered = (0..3)
            .map(|_| {
                let few = Bench { connections: BUSY_CLIENTS, seconds: self.seconds.min(5), ..*self };
                let outcome = few.offer(100_000.0, few.seconds);
                println!("{BUSY_CLIENTS} busy clients: {:.0} scored a second", outcome.rate());
                outcome.rate()
            })
            .collect();
        median(answered)
    }

    fn offer(&self, rate: f64, seconds: u64) -> Outcome {
        let mut random = Random(3);
        // Without an id of its own, or the second time it would be answered as before.
        let body = |person| {
            let mut application = application_of(&mut random, person, "a");
            application.as_object_mut().expect("an application is an object").remove("application_id");
            application.to_string()
        };
        let requests = (0..PEOPLE).map(body).map(|body| request("/v1/score", JSON, body.as_bytes())).collect();
        let traffic = Prepared { kind: "score".to_owned(), requests };
        offer(self.server.authority(), &traffic, self.connections, rate, Duration::from_secs(seconds))
    }

    /// How long after an overload a second of normal load is as it was before, and nothing is refused.
    fn recovery(&self, rate: f64, normal: &Latency) -> Option<Duration> {
        self.offer(rate * 20.0, 3);
        let begin = Instant::now();
        (0..10).find_map(|_| {
            let since = begin.elapsed();
            let outcome = self.offer(rate, 1);
            let scored = scored(&outcome);
            let is_normal = scored.percentile(99.0) <= normal.percentile(99.0) * 2 + Duration::from_millis(2);
            (is_normal && scored.count() == answered(&outcome)).then_some(since)
        })
    }

    /// Swaps bundles under load, and holds the latency meanwhile against that before.
    fn beside_reloads(&self, bundles: &Bundles, rate: f64, reloads: u64) -> Reloaded {
        let before = self.offer(rate, self.seconds);
        let done = AtomicBool::new(false);
        let (load, refused) = bundles.swap_during(self.server, reloads, &done, || {
            let mut outcomes = Vec::new();
            while !done.load(Ordering::Relaxed) {
                outcomes.push(self.offer(rate, 2));
            }
            outcomes
        });
        // Whatever became of a request that was sent, but for a score.
        let unscored = |outcome: &Outcome| outcome.sent - scored(outcome).count();
        let p99 = |outcome: &Outcome| p99_ms(outcome, &scored(outcome));
        load.iter().for_each(|outcome| println!("{outcome}"));
        let during = median(load.iter().filter_map(p99).collect());
        Reloaded {
            reloads,
            failed: refused + load.iter().map(unscored).sum::<u64>(),
            dropped: load.iter().map(|outcome| outcome.dropped).sum(),
            p99_ratio: p99(&before).map(|before| during / before),
        }
    }

    /// The p99 beside so many connections that send a byte a second, over that beside as many that send theirs to nobody, in turns: what
    /// sending takes of the machine is in both. No number where the generator was late itself in all of them.
    fn beside_slow_clients(&self, rate: f64, count: usize) -> f64 {
        let nobody = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = nobody.local_addr().expect("it is bound").to_string();
        // Taken and kept open, and never read.
        thread::spawn(move || nobody.incoming().collect::<Vec<_>>());
        let mut idle = connect(&address, count);
        let mut slow = connect(self.server.authority(), count);
        let ratio = |_| {
            let [alone, beside] = [&mut idle, &mut slow].map(|clients| self.beside(rate, clients));
            println!("p99 {alone:.2?} ms, beside {count} slow clients {beside:.2?} ms");
            Some(beside? / alone?)
        };
        median((0..5).filter_map(ratio).collect())
    }

    /// The p99 in milliseconds while each of these sends a byte a second.
    fn beside(&self, rate: f64, slow: &mut [TcpStream]) -> Option<f64> {
        let stop = AtomicBool::new(false);
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                let pause = Duration::from_secs(1) / slow.len().max(1) as u32;
                let mut due = Instant::now();
                for stream in (0..slow.len()).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let _ = slow[stream].write_all(b"G");
                    due += pause;
                    // Some at a time, since a sleep takes longer than the pause between two.
                    if stream % 20 == 0 {
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                    }
                }
            });
            let outcome = self.offer(rate, self.seconds);
            stop.store(true, Ordering::Relaxed);
            outcome
        });
        p99_ms(&outcome, &scored(&outcome))
    }
}

fn connect(address: &str, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).expect("it listens")).collect()
}

fn scored(outcome: &Outcome) -> Latency {
    outcome.good().from_sent
}

fn answered(outcome: &Outcome) -> u64 {
    outcome.of(None, None).from_sent.count()
}

/// None where the generator was late itself, which is said.
fn p99_ms(outcome: &Outcome, latency: &Latency) -> Option<f64> {
    millis(outcome, latency, 99.0).inspect_err(|reason| println!("p99 not told: {reason}")).ok()
}

fn resident_bytes(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process_id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}
