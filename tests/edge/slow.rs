//! No client holds a connection for longer than is configured, and meanwhile others are answered.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{metric, server_with};
use crate::support::Server;

/// Far above every bound that these tests set, far below what a connection would otherwise be held for.
const PATIENCE: Duration = Duration::from_secs(15);

const WHOLE: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
const HALF_A_HEAD: &[u8] = b"GET /livez HTTP/1.1\r\nx-slow: ";
const HALF_A_BODY: &[u8] =
    b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";

fn server() -> Server {
    server_with(&[
        "server.head_timeout=1s",
        "server.body_timeout=1s",
        "server.write_timeout=1s",
        "server.keep_alive=2s",
        "server.connections=64",
    ])
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.authority()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    stream
}

/// Sends a byte every tenth of a second until the service closes the connection; what it said, and after how long.
fn trickle(mut stream: TcpStream) -> (String, Duration) {
    let (begin, mut said) = (Instant::now(), Vec::new());
    let mut piece = [0; 4096];
    while begin.elapsed() < PATIENCE {
        let taken = stream.write(b"x");
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        if taken.is_err() {
            break;
        }
    }
    (String::from_utf8_lossy(&said).into_owned(), begin.elapsed())
}

#[test]
fn heads_and_bodies_that_trickle_are_cut_in_time_while_others_are_answered() {
    let server = server();
    let cases: [(&str, &[&[u8]]); 4] = [
        ("first head", &[HALF_A_HEAD]),
        ("second head", &[WHOLE, HALF_A_HEAD]),
        ("first body", &[HALF_A_BODY]),
        ("second body", &[WHOLE, HALF_A_BODY]),
    ];
    std::thread::scope(|scope| {
        for (case, pieces) in cases {
            let server = &server;
            scope.spawn(move || {
                let mut stream = connect(server);
                for piece in pieces {
                    stream.write_all(piece).unwrap();
                    // The answer to a whole request comes before the next one begins.
                    std::thread::sleep(Duration::from_millis(300));
                }
                let (said, took) = trickle(stream);
                assert!(took < PATIENCE, "{case}: still open");
                assert!(
                    said.is_empty() || said.contains("408 Request Timeout") || said.contains("200 OK"),
                    "{case}: {said}"
                );
            });
        }
        for _ in 0..20 {
            assert_eq!(server.get("/livez").status, 200);
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(metric(&server, r#"cauce_slow_clients_total{kind="head"}"#) >= 2.0);
    assert!(metric(&server, r#"cauce_slow_clients_total{kind="body"}"#) >= 2.0);
}

#[test]
fn client_that_never_reads_its_answers_is_let_go_and_does_not_fill_memory() {
    let server = server();
    let mut stream = TcpStream::connect(server.authority()).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let begin = Instant::now();
    let many = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    // More answers than any socket buffers; at the end the service closes the connection.
    let mut sent = 0;
    while stream.write_all(&many).is_ok() {
        sent += 100;
        assert!(begin.elapsed() < PATIENCE, "still open after {sent} requests");
    }
    assert!(begin.elapsed() < PATIENCE, "the service took {sent} requests, then waited without end");
    assert_eq!(metric(&server, r#"cauce_slow_clients_total{kind="write"}"#), 1.0);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process_id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 1_000_000, "{peak} kB");
}

#[test]
fn connections_that_say_nothing_leave_their_places_to_others() {
    let server = server();
    let begin = Instant::now();
    let silent: Vec<_> = (0..200).map(|_| connect(&server)).collect();
    // Beyond 64 it waits in the backlog until others are let go.
    assert_eq!(server.get("/livez").status, 200);
    assert!(begin.elapsed() < PATIENCE);
    drop(silent);
}

#[test]
fn connection_between_two_requests_is_closed_after_a_while_without_an_error() {
    let server = server();
    let mut stream = TcpStream::connect(server.authority()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(WHOLE).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 200 OK") && !said.contains("408"), "{said}");
}
