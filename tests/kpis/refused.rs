//! Who may not listen, and what a client may not say.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{LIVE, server_with};
use crate::support::history::{JSON, application};
use crate::support::live::Live;
use crate::support::{Answer, Server};

const ASKED: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";

/// Asks with these headers, and reads a refusal.
fn ask(server: &Server, method: &str, path: &str, headers: &str) -> Answer {
    let mut connection = server.connect();
    connection.write(format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", server.authority()).as_bytes());
    connection.close_write();
    connection.answer()
}

#[test]
fn request_without_an_upgrade_is_told_what_to_ask_for() {
    let server = server_with(&[]);
    for path in LIVE {
        for (headers, part) in [
            ("", "Upgrade: websocket"),
            ("connection: upgrade\r\n", "Upgrade: websocket"),
            (&ASKED.replace("upgrade: websocket\r\n", "upgrade: h2c\r\n"), "Upgrade: websocket"),
            (&ASKED.replace("13", "12"), "Sec-WebSocket-Version: 13"),
            (&ASKED.replace("MDEy", "x"), "Sec-WebSocket-Key"),
            (&format!("{ASKED}transfer-encoding: chunked\r\n"), "no body"),
        ] {
            let answer = ask(&server, "GET", path, headers);
            let problem = answer.json();
            assert_eq!((answer.status, &problem["code"]), (426, &"upgrade_required".into()), "{path} {headers}");
            assert!(problem["detail"].as_str().unwrap().contains(part), "{headers}: {problem}");
            assert_eq!(answer.header("upgrade"), Some("websocket"));
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        }
        assert_eq!(ask(&server, "POST", path, "content-length: 0\r\n").status, 405);
    }
}

#[test]
fn page_of_another_origin_may_not_listen() {
    let server = server_with(&[]);
    for path in LIVE {
        for origin in ["http://evil.example", "null"] {
            let answer = ask(&server, "GET", path, &format!("{ASKED}origin: {origin}\r\n"));
            assert_eq!((answer.status, &answer.json()["code"]), (403, &"origin_refused".into()), "{origin}");
        }
    }
    let own = format!("{ASKED}origin: http://{}\r\n", server.authority());
    assert_eq!(ask(&server, "GET", LIVE[0], &own).status, 101);
}

#[test]
fn clients_beyond_the_bound_are_refused_until_another_leaves() {
    let server = server_with(&["kpi.live_clients=2"]);
    let mut lives = vec![Live::connect(&server, LIVE[0]), Live::connect(&server, LIVE[1])];
    let answer = ask(&server, "GET", LIVE[2], ASKED);
    assert_eq!((answer.status, &answer.json()["code"]), (503, &"too_many_live_clients".into()));
    assert!(answer.header("retry-after").is_some());
    lives.pop().unwrap().leave();
    let begin = Instant::now();
    while Live::try_connect(&server, LIVE[2]).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(50));
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

/// A masked frame, its mask being zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[first, 0x80 | 126][..], &length, &[0; 4], payload].concat()
}

#[test]
fn message_that_is_too_large_or_against_the_protocol_closes_with_its_code() {
    let server = server_with(&[]);
    let large = [b'x'; 3000];
    // A megabyte is announced, and not all of it comes.
    let endless = [&[0x81, 0x80 | 127, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0][..], &[b'x'; 5000]].concat();
    for (case, bytes, code) in [
        ("a text of 4097 bytes", frame(0x81, &[b'x'; 4097]), 1009),
        ("a large frame, in parts", endless, 1009),
        ("a large message of small frames", [frame(0x02, &large), frame(0x80, &large)].concat(), 1009),
        ("no mask", vec![0x81, 1, b'x'], 1002),
        ("reserved bits", frame(0xc1, b"x"), 1002),
        ("an unknown kind of frame", frame(0x83, b"x"), 1002),
        ("a message that never began", frame(0x80, b"x"), 1002),
        ("a message within another", [frame(0x01, b"x"), frame(0x81, b"x")].concat(), 1002),
        ("a ping in parts", frame(0x09, b"x"), 1002),
        ("a ping of 126 bytes", frame(0x89, &[b'x'; 126]), 1002),
        ("a close without a code", frame(0x88, b"x"), 1002),
        ("a goodbye", frame(0x88, &1000_u16.to_be_bytes()), 1000),
        ("a goodbye without a word", vec![0x88, 0x80, 0, 0, 0, 0], 1000),
    ] {
        let mut live = Live::connect(&server, LIVE[0]);
        drop(live.document());
        live.socket().write_all(&bytes).unwrap();
        assert_eq!(live.close_code(), Some(code), "{case}");
    }
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn service_that_keeps_no_kpis_says_so_and_scores_on() {
    let server = server_with(&["kpi.window=0s"]);
    for path in ["/v1/kpis", "/v1/alerts", "/api/metricas-tiempo-real"] {
        let answer = server.get(path);
        assert_eq!((answer.status, &answer.json()["code"]), (404, &"no_kpis".into()), "{path}");
    }
    for path in LIVE {
        let answer = ask(&server, "GET", path, ASKED);
        assert_eq!((answer.status, &answer.json()["code"]), (404, &"no_kpis".into()), "{path}");
    }
    let page = server.get("/metrics").text();
    assert!(page.contains("cauce_error_ratio NaN\n") && page.contains("cauce_memory_ratio NaN\n"), "{page}");
    assert_eq!(server.log().matches("no alerts are raised").count(), 1, "{}", server.log());
    let application = application("c-1", "a").to_string();
    let scored = server.send("POST", "/v1/score", &[("content-type", JSON)], application.as_bytes());
    assert_eq!(scored.status, 200, "{}", scored.text());
}
