//! What the edge holds from outside: more than can be answered, and clients that send a byte a second. `SECONDS=`, `CONNECTIONS=` and
//! `SLOW=` make a smaller run.
//!
//! The generator is a thread of this process and takes most of one of two cores, so the service has little more than the other: its peak
//! is what it answers beside that generator, and all else is a ratio to it. Latency counts from when a request was sent; from when it was
//! due it would count the wait for a free connection, of which there are as many as the clients that are modelled.
//!
//! Sketch: an answer costs 60 µs of CPU and a refusal 8; a connection is refused once in 30 ms at most, so of 400 connections 13,000 times
//! a second: a tenth of one core. What is let in waits 5 ms for its turn, and at most 30 for its connection to be read again.

#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, reason = "it is made for the tests, which use all of it")]
mod support;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use support::Server;
use support::client::request;
use support::history::{BUNDLE, JSON, NOW, Random, application_of};
use support::load::{Kind, Latencies, Load, Report};

const PEOPLE: u64 = 10_000;

fn main() {
    let (seconds, connections) = (number("SECONDS", 10), number("CONNECTIONS", 400) as usize);
    let server = Server::start(["--bundle", BUNDLE, "--clock", NOW, "--set", "server.head_timeout=1h"]);
    let bench = Bench { server: &server, connections, seconds };

    let peak = bench.peak();
    println!("peak: {peak:.0} answers/s");
    let normal = bench.offer(peak / 2.0, seconds);
    println!("half of it:\n{}", normal.summary());
    let memory_before = resident_bytes(&server);
    let over = bench.offer(peak * 10.0, seconds * 3);
    let memory_after = resident_bytes(&server);
    println!("ten times of it:\n{}", over.summary());
    let recovery = bench.recovery(peak / 2.0, &scored(&normal));
    let slow = bench.beside_slow_clients(peak / 2.0, number("SLOW", 2_000) as usize);

    let goodput = scored(&over).count() as f64 / (seconds * 3) as f64;
    println!(
        "{:#}",
        json!({
            "peak_answers_per_second": peak,
            "offered_per_second": (over.sent + over.unsent) as f64 / (seconds * 3) as f64,
            "sent_per_second": over.sent as f64 / (seconds * 3) as f64,
            "goodput_of_peak": goodput / peak,
            "admitted_ms_p99": millis(scored(&over).after_sent(0.99)),
            "normal_ms_p99": millis(scored(&normal).after_sent(0.99)),
            "recovered_after_ms": recovery.map(millis),
            "memory_before_mib": memory_before >> 20,
            "memory_after_mib": memory_after >> 20,
            "p99_ratio_beside_slow_clients": slow,
            "dropped": over.dropped + normal.dropped,
        })
    );
    assert_eq!(server.stop(), Some(0));
}

struct Bench<'a> {
    server: &'a Server,
    connections: usize,
    seconds: u64,
}

impl Bench<'_> {
    /// The most that is answered with a score in a second, over rates that double.
    fn peak(&self) -> f64 {
        let (mut best, mut rate) = (0.0_f64, 1_000.0);
        loop {
            let report = self.offer(rate, 3);
            let answered = scored(&report).count() as f64 / 3.0;
            println!("{rate:.0} offered: {answered:.0} scored");
            best = best.max(answered);
            if answered < rate * 0.7 {
                return best;
            }
            rate *= 1.5;
        }
    }

    fn offer(&self, rate: f64, seconds: u64) -> Report {
        let mut random = Random(3);
        let body = |person| application_of(&mut random, person, "a").to_string();
        let requests: Vec<_> = (0..PEOPLE).map(body).map(|body| request("/v1/score", JSON, body.as_bytes())).collect();
        Load {
            authority: self.server.authority(),
            connections: self.connections,
            rate,
            poisson: true,
            duration: Duration::from_secs(seconds),
            patience: Duration::from_secs(5),
            kinds: vec![Kind { weight: 1, requests }],
        }
        .run()
    }

    /// How long after an overload a second of normal load is as it was before, and nothing is refused.
    fn recovery(&self, rate: f64, normal: &Latencies) -> Option<Duration> {
        self.offer(rate * 20.0, 3);
        let begin = Instant::now();
        (0..10).find_map(|_| {
            let since = begin.elapsed();
            let report = self.offer(rate, 1);
            let scored = scored(&report);
            let is_normal = scored.after_sent(0.99) <= normal.after_sent(0.99) * 2 + Duration::from_millis(2);
            (is_normal && report.statuses().len() == 1).then_some(since)
        })
    }

    /// The p99 beside so many connections that send a byte a second, by that without, in turns.
    fn beside_slow_clients(&self, rate: f64, count: usize) -> f64 {
        let mut slow: Vec<_> =
            (0..count).map(|_| TcpStream::connect(self.server.authority()).expect("it listens")).collect();
        let mut ratios: Vec<f64> = (0..3)
            .map(|_| {
                let alone = self.offer(rate, self.seconds);
                let stop = AtomicBool::new(false);
                let beside = thread::scope(|scope| {
                    scope.spawn(|| {
                        while !stop.load(Ordering::Relaxed) {
                            // Spread over the second, as clients that know nothing of each other are.
                            for part in slow.chunks_mut(count.div_ceil(100)) {
                                let begin = Instant::now();
                                part.iter_mut().for_each(|stream| drop(stream.write_all(b"G")));
                                thread::sleep(Duration::from_millis(10).saturating_sub(begin.elapsed()));
                            }
                        }
                    });
                    let report = self.offer(rate, self.seconds);
                    stop.store(true, Ordering::Relaxed);
                    report
                });
                let p99 = |report: &Report| scored(report).after_sent(0.99).as_secs_f64();
                println!(
                    "p99 alone {:.2} ms, beside {count} slow clients {:.2} ms",
                    p99(&alone) * 1e3,
                    p99(&beside) * 1e3
                );
                p99(&beside) / p99(&alone)
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios[1]
    }
}

fn scored(report: &Report) -> Latencies {
    report.of(0, |status| status == 200)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn resident_bytes(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process_id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
