//! A soak from outside: the command, and a service that leaks or does not.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const SCENARIO: &str = r#"
name = "soak"
target = "http://127.0.0.1:1"
connections = 4
[load]
shape = "soak"
rate = 100
duration = "3s"
[[traffic]]
kind = "replay"
file = "lines.ndjson"
path = "/score"
body = "{{line}}"
[watch]
every = "100ms"
settle = "500ms"
[[watch.series]]
name = "open handles"
metric = "process_open_fds"
tolerance = "5%"
"#;

/// A service that scores, and has so many handles open after so many scores.
fn service(handles: fn(u64) -> u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let scored = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let scored = Arc::clone(&scored);
            thread::spawn(move || answer(&stream, &scored, handles));
        }
    });
    address
}

/// Answers what comes on a connection until it ends, or the metrics page once.
fn answer(mut stream: &TcpStream, scored: &AtomicU64, handles: fn(u64) -> u64) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
        reader.read_exact(&mut vec![0; head.lines().find_map(length).unwrap_or(0)]).ok()?;
        let is_page = head.starts_with("GET /metrics");
        let body = match is_page {
            true => format!("process_open_fds {}\n", handles(scored.load(Ordering::Relaxed))),
            false => "{}".to_owned(),
        };
        scored.fetch_add(u64::from(!is_page), Ordering::Relaxed);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).ok()?;
        if is_page {
            return Some(());
        }
    }
}

/// The exit code of a short soak, and what it says.
fn soak(name: &str, handles: fn(u64) -> u64) -> (Option<i32>, String) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("lines.ndjson"), "{\"amount\": 5000}\n").unwrap();
    fs::write(directory.join("soak.toml"), SCENARIO).unwrap();
    let target = format!("http://{}", service(handles));
    let ran = Command::new(env!("CARGO_BIN_EXE_cauce-loadtest"))
        .args(["run", "soak.toml", "--quiet", "--target", &target])
        .current_dir(&directory)
        .output()
        .unwrap();
    fs::remove_dir_all(&directory).unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn soak_of_a_service_that_leaks_ends_with_1_and_says_what_grows() {
    let (code, said) = soak("soak-leaks", |scored| 100 + scored / 4);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("open handles") && said.contains("grows by "), "{said}");
}

#[test]
fn soak_of_a_service_that_is_steady_ends_well() {
    let (code, said) = soak("soak-steady", |scored| 100 + scored % 3);
    assert_eq!(code, Some(0), "{said}");
}
