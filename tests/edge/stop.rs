//! A stop fails no request that was let in, and ends in time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{scores, server_with};
use crate::support::Server;
use crate::support::client::Client;

const WHOLE: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.authority()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Reads one answer that is shorter than a packet.
fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..count]).to_ascii_lowercase()
}

#[test]
fn request_on_a_kept_connection_is_answered_with_connection_close_while_the_service_drains() {
    let server = server_with(&["server.drain=2s"]);
    let (mut kept, mut idle) = (connect(&server), connect(&server));
    for stream in [&mut kept, &mut idle] {
        stream.write_all(WHOLE).unwrap();
        assert!(!answer(stream).contains("connection: close"));
    }
    server.terminate();
    while !server.log().contains("told to stop") {}
    std::thread::sleep(Duration::from_millis(100));
    // Not ready, and still there for those who have not noticed: on this connection, and on a new one.
    let ready = server.get("/readyz");
    assert_eq!((ready.status, &ready.json()["code"]), (503, &"stopping".into()));
    kept.write_all(WHOLE).unwrap();
    let said = answer(&mut kept);
    assert!(said.starts_with("http/1.1 200 ok") && said.contains("connection: close"), "{said}");
    assert_eq!(kept.read(&mut [0; 1]).unwrap(), 0, "and then it is closed");
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0, "at the end an idle one is");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn idle_connections_do_not_hold_the_end_up() {
    let server = server_with(&["server.shutdown_timeout=20s"]);
    let mut idle: Vec<_> = (0..50).map(|_| connect(&server)).collect();
    for stream in &mut idle {
        stream.write_all(WHOLE).unwrap();
        answer(stream);
    }
    let begin = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[test]
fn sigterm_under_load_fails_no_request_three_times_over() {
    for round in 0..3 {
        let server = server_with(&[]);
        let (requests, answered) = (scores(50), AtomicU64::new(0));
        let began = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| until_closed(&server, &requests, &answered))).collect();
            while answered.load(Ordering::Relaxed) < 200 {
                std::thread::yield_now();
            }
            let began = Instant::now();
            server.terminate();
            for client in clients {
                client.join().unwrap();
            }
            began
        });
        assert_eq!(server.stop(), Some(0), "round {round}");
        assert!(began.elapsed() < Duration::from_secs(15), "round {round}: {:?}", began.elapsed());
    }
}

/// Asks one request after another until the service says that it closes the connection.
fn until_closed(server: &Server, requests: &[Vec<u8>], answered: &AtomicU64) {
    let mut stream = connect(server);
    for request in requests.iter().cycle() {
        stream.write_all(request).unwrap();
        let mut said = String::new();
        while !is_whole(&said) {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "closed without an answer after `{said}`");
            said.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        // A busy machine may refuse some; an answer it is all the same.
        assert!(said.starts_with("HTTP/1.1 200 ") || said.starts_with("HTTP/1.1 503 "), "{said}");
        answered.fetch_add(1, Ordering::Relaxed);
        if said.to_ascii_lowercase().contains("connection: close") {
            return;
        }
    }
}

fn is_whole(said: &str) -> bool {
    let lower = said.to_ascii_lowercase();
    let Some((head, body)) = lower.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    body.len() >= length.parse::<usize>().unwrap()
}

#[test]
fn request_that_never_ends_does_not_hold_the_end_up() {
    let server = server_with(&["server.shutdown_timeout=2s", "server.body_timeout=1h", "server.head_timeout=1h"]);
    let mut waiting = connect(&server);
    let head = "POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    waiting.write_all(head.as_bytes()).unwrap();
    let mut client = Client::connect(server.authority()).unwrap();
    assert_eq!(client.get("/livez").unwrap().status, 200);
    let begin = Instant::now();
    server.terminate();
    while !server.log().contains("connections are cut") {
        assert!(begin.elapsed() < Duration::from_secs(15));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.stop(), Some(0), "what was let in is cut, and nothing else is lost");
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}
