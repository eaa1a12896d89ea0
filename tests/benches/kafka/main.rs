//! What Kafka costs from outside, and that it holds: kills, throughput and latency of the release binary, with the broker on the same
//! machine. `KILLS=`, `EVENTS=`, `APPLICATIONS=`, `TURNS=` and `SECONDS=` make a smaller run, `SEED=` other kills.
//!
//! Throughput is held against what the client library alone allows for the same bytes (events), and against what the model alone allows
//! for the same rows (applications). All take turns in one run, since what a shared machine takes away, it takes from all.
//!
//! Sketch: reading and writing 250 bytes costs librdkafka and the broker 2 to 3 µs together, half of it in either, so two cores move
//! 400 k/s; an event costs 3 µs to parse and 0.6 to apply, and nothing is written for it, so 0.6 of that is in reach. An
//! application costs 12 µs in a batch of the model, 2 to read its vector, 2 to write its score.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is made for all benchmarks")]
mod common;
/// From produced to seen.
mod latency;
#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, reason = "it is made for the tests, which use all of it")]
mod support;
/// Events applied and applications scored in a second, and what bounds both.
mod throughput;

use common::{figures, number, some};
use serde_json::json;
use support::kafka::chaos::{Plan, Report, run};

fn main() {
    let (kills, events, applications) = (number("KILLS", 50), some("EVENTS", 1_000_000), some("APPLICATIONS", 200_000));
    let (turns, seconds) = (some("TURNS", 3), some("SECONDS", 20));
    let chaos = chaos(kills);
    let of = |figure: fn(&Report) -> u64| chaos.as_ref().map(figure);
    let rates = throughput::measure(events, applications, turns);
    let (p50, p99) = latency::measure(&rates, seconds);
    let settings = json!({
        "kills": kills, "events": events, "applications": applications, "turns": turns, "seconds": seconds,
    });
    let measured = json!({
        "kills": of(|chaos| chaos.kills),
        "lost": of(|chaos| chaos.lost + chaos.different),
        "duplicated": of(|chaos| chaos.duplicated),
        "dead_letters_expected": of(|chaos| chaos.dead_letters_expected),
        "dead_letters_seen": of(|chaos| chaos.dead_letters_seen),
        "digest_equal": chaos.as_ref().map(|chaos| chaos.digest_equal),
        "events_per_s": rates.events,
        "raw_events_per_s": rates.raw_events,
        "applications_per_s": rates.applications,
        "batch_inference_per_s": rates.inference,
        "end_to_end_p50_ms": p50,
        "end_to_end_p99_ms": p99,
    });
    figures::write("kafka", &settings, measured);
}

/// `KILLS=0` leaves it out, and its figures.
fn chaos(kills: u64) -> Option<Report> {
    if kills == 0 {
        return None;
    }
    let report = run(Plan {
        name: "bench-chaos",
        seed: number("SEED", 1),
        kills,
        outages: kills.div_ceil(8),
        pace: 2_000,
        transactions: true,
    });
    println!(
        "chaos: {} kills and {} outages; {} records, {} applications, {} of them scored before the last kill; {} records aborted; \
         {} scores different; all done {:.1} s after the last kill",
        report.kills,
        report.outages,
        report.records,
        report.applications,
        report.scored_meanwhile,
        report.aborted,
        report.different,
        report.caught_up_s
    );
    assert!(report.faults.is_empty(), "{:#?}", report.faults);
    Some(report)
}
