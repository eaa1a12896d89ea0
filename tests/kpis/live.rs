//! One snapshot a second, the newest to whoever can take one, and a word at the end.

use std::io::Write;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{LIVE, metric, server_with};
use crate::support::Server;
use crate::support::history::{JSON, application};
use crate::support::live::Live;

/// Far above what these tests wait for on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn uptime(snapshot: &Value) -> f64 {
    snapshot["uptime_seconds"].as_f64().unwrap()
}

/// Megabytes that the service holds.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process_id())).unwrap();
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    held.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn one_snapshot_comes_each_second_and_the_newest_can_be_asked_for() {
    let server = server_with(&[]);
    let mut live = Live::connect(&server, "/v1/kpis/live");
    let first = live.document();
    let begin = Instant::now();
    let mut before = uptime(&first);
    for _ in 0..3 {
        let next = uptime(&live.document());
        assert!(next - before > 0.5, "{next} after {before}");
        before = next;
    }
    assert!(begin.elapsed() > Duration::from_millis(1500) && begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    let newest = server.get("/v1/kpis");
    assert_eq!(newest.status, 200);
    let newest = newest.json();
    assert!(uptime(&newest) >= before, "{newest}");
    let minute = newest["last_minute"].as_array().unwrap();
    assert!((4..=60).contains(&minute.len()) && minute.last() == Some(&newest["point"]), "{newest}");
    for key in first.as_object().unwrap().keys() {
        assert!(newest.get(key).is_some(), "`{key}` is in the stream alone");
    }
    live.leave();
}

#[test]
fn no_second_is_shorter_and_each_is_of_the_machine_even_where_the_clock_stands_still() {
    let server = server_with(&["server.clock=2026-06-15T12:00:00Z"]);
    let mut live = Live::connect(&server, "/v1/kpis/live");
    (0..4).for_each(|_| drop(live.document()));
    let newest = server.get("/v1/kpis").json();
    let minute = newest["last_minute"].as_array().unwrap();
    let of = |key: &str| minute.iter().map(|point| point[key].as_f64().unwrap()).collect::<Vec<_>>();
    assert!(of("cpu_ratio").iter().all(|ratio| (0.0..=1.0).contains(ratio)), "{newest}");
    let (first, others) = (of("seconds")[0], &of("seconds")[1..]);
    assert!(first == 0.0 && others.iter().all(|seconds| (1.0..20.0).contains(seconds)), "{newest}");
    // Written alike, they are in order as text.
    assert!(minute.is_sorted_by(|one, next| one["timestamp"].as_str() < next["timestamp"].as_str()), "{newest}");
    let known = server.get("/api/metricas-tiempo-real").json();
    let mut seconds = known["historial_ultimo_minuto"].as_array().unwrap().iter();
    assert!(seconds.all(|one| (0.0..=100.0).contains(&one["uso_cpu"].as_f64().unwrap())), "{known}");
}

#[test]
fn numbers_move_under_load() {
    let server = server_with(&[]);
    let mut live = Live::connect(&server, "/v1/kpis/live");
    let decisions = |snapshot: &Value| snapshot["business"]["window"]["decisions"].as_u64().unwrap();
    assert_eq!(decisions(&live.document()), 0);
    for number in 0..50 {
        let one = application(&format!("c-{number}"), "a");
        assert_eq!(server.post("/v1/score", JSON, one.to_string()).status, 200);
    }
    let begin = Instant::now();
    while decisions(&live.document()) < 50 {
        assert!(begin.elapsed() < PATIENCE);
    }
    let newest = server.get("/v1/kpis").json();
    assert!(newest["performance"]["response_seconds"]["p99"].as_f64() > Some(0.0), "{newest}");
}

#[test]
fn reader_that_has_stopped_for_a_while_goes_on_with_the_newest() {
    let server = server_with(&["server.write_timeout=30s"]);
    let mut live = Live::connect(&server, "/v1/kpis/live");
    let before = uptime(&live.document());
    sleep(Duration::from_secs(5));
    // Nothing of the seconds between waits anywhere.
    let next = uptime(&live.document());
    assert!(next - before > 3.0, "{next} after {before}");
    let after = uptime(&live.document());
    assert!(after - next > 0.5, "{after} after {next}");
}

#[test]
fn readers_that_do_not_read_cost_no_memory_and_are_let_go() {
    let server = server_with(&["server.write_timeout=3s"]);
    let held = memory(&server);
    let mut silent: Vec<_> = (0..40).map(|_| Live::connect(&server, "/v1/kpis/live")).collect();
    assert_eq!(server.get("/livez").status, 200);
    let begin = Instant::now();
    while metric(&server, r#"cauce_slow_clients_total{kind="write"}"#) < 40.0 {
        assert!(begin.elapsed() < PATIENCE);
        sleep(Duration::from_millis(200));
    }
    assert!(memory(&server) < held + 64, "{held} MB before, {} MB after", memory(&server));
    assert_eq!(silent[0].close_code(), Some(1008));
}

#[test]
fn client_that_asks_for_pongs_and_never_reads_them_is_cut_off_and_does_not_fill_memory() {
    let server = server_with(&["server.write_timeout=1s"]);
    let (held, begin) = (memory(&server), Instant::now());
    let mut live = Live::connect(&server, "/v1/kpis/live");
    let pings = [&[0x89, 0x80 | 100, 0, 0, 0, 0][..], &[b'x'; 100]].concat().repeat(1000);
    while live.socket().write_all(&pings).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "still open");
    }
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    assert!(memory(&server) < held + 64, "{held} MB before, {} MB after", memory(&server));
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn client_that_floods_is_sent_away_and_others_are_served_meanwhile() {
    let server = server_with(&[]);
    let texts = [&[0x81, 0x80 | 100, 0, 0, 0, 0][..], &[b'x'; 100]].concat().repeat(500);
    let mut told = Live::connect(&server, "/v1/kpis/live");
    told.socket().write_all(&texts).unwrap();
    assert_eq!(told.close_code(), Some(1008));
    // Others do not wait to hear it.
    let deaf: Vec<_> = (0..3).map(|_| Live::connect(&server, "/v1/kpis/live")).collect();
    let mut listening = Live::connect(&server, "/v1/kpis/live");
    let flood = |mut live: Live| {
        let (texts, begin) = (texts.clone(), Instant::now());
        spawn(move || {
            while live.socket().write_all(&texts).is_ok() {
                assert!(begin.elapsed() < PATIENCE, "still open");
            }
        })
    };
    let floods: Vec<_> = deaf.into_iter().map(flood).collect();
    let mut before = uptime(&listening.document());
    while floods.iter().any(|flood| !flood.is_finished()) {
        let next = uptime(&listening.document());
        assert!(next - before < 5.0, "{next} after {before}");
        before = next;
    }
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    assert_eq!(metric(&server, "cauce_live_clients"), 1.0);
}

#[test]
fn stream_outlives_what_requests_are_given_and_holds_no_permit() {
    let server = server_with(&["server.head_timeout=1s", "server.body_timeout=1s", "server.keep_alive=1s"]);
    let mut lives = LIVE.map(|path| Live::connect(&server, path));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        lives.iter_mut().for_each(|live| drop(live.document()));
    }
    assert_eq!(metric(&server, r#"cauce_requests_in_flight{worker="0"}"#), 0.0);
    assert_eq!(metric(&server, "cauce_live_clients"), 3.0);
    assert_eq!(metric(&server, r#"cauce_slow_clients_total{kind="head"}"#), 0.0);
    lives[0].ping(b"still there?");
    // A client may say something, within bounds.
    lives[0].say("x".repeat(4096));
    drop(lives[0].document());
    lives.into_iter().for_each(Live::leave);
    let begin = Instant::now();
    while metric(&server, "cauce_live_clients") > 0.0 {
        assert!(begin.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn kpis_are_there_for_a_client_that_is_over_its_limit() {
    let server = server_with(&["limits.requests_per_second=1", "limits.burst=1"]);
    for _ in 0..5 {
        assert_eq!(server.get("/v1/kpis").status, 200);
        assert_eq!(server.get("/api/metricas-tiempo-real").status, 200);
    }
    let begin = Instant::now();
    let refused = (0..5).filter(|_| server.get("/v1/bundle").status == 429).count() as u64;
    // One at once, and one for each second that these took.
    assert!(refused + 1 + begin.elapsed().as_secs() >= 5, "{refused} in {:?}", begin.elapsed());
}

#[test]
fn stop_says_so_at_once_and_is_not_held_up_by_those_who_do_not_hear_it() {
    // While it drains, requests are answered still; there is nothing new to follow.
    let server = server_with(&["server.drain=3s", "server.shutdown_timeout=60s", "server.write_timeout=60s"]);
    let mut lives = LIVE.map(|path| Live::connect(&server, path));
    lives.iter_mut().for_each(|live| drop(live.document()));
    let _deaf: Vec<_> = (0..3).map(|_| Live::connect(&server, "/v1/kpis/live")).collect();
    let begin = Instant::now();
    server.terminate();
    for live in &mut lives {
        assert_eq!(live.close_code(), Some(1001));
    }
    assert_eq!(server.get("/livez").status, 200, "it drains");
    assert_eq!(Live::try_connect(&server, "/v1/kpis/live").err(), Some(503));
    assert_eq!(server.stop(), Some(0));
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
}
