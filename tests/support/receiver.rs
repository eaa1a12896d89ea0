//! A receiver of what the service posts: a real HTTP server of the smallest kind, which answers as it is told and keeps what it is sent.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How one request is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u32>,
    pub(crate) delay: Duration,
}

/// What was sent.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) path: String,
    /// The lines before the body, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// It listens until it is dropped.
pub(crate) struct Receiver {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// Answers to the first requests; all others get 200.
    script: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
    is_away: AtomicBool,
    is_over: AtomicBool,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a notice is JSON")
    }
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, retry_after: None, delay: Duration::ZERO }
    }
}

impl Receiver {
    pub(crate) fn start(script: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            script: Mutex::new(script.iter().copied().collect()),
            received: Mutex::default(),
            is_away: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.is_over.load(Ordering::Relaxed) {
                    break;
                }
                if serving.is_away.load(Ordering::Relaxed) {
                    continue;
                }
                let shared = serving.clone();
                std::thread::spawn(move || shared.answer(stream));
            }
        });
        Self { port, shared }
    }

    /// One that hangs up on whoever connects. It has its port all the same, so nobody else can take it.
    pub(crate) fn start_away() -> Self {
        let receiver = Self::start(&[]);
        receiver.shared.is_away.store(true, Ordering::Relaxed);
        receiver
    }

    pub(crate) fn come_back(&self) {
        self.shared.is_away.store(false, Ordering::Relaxed);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All that was sent to an address so far.
    pub(crate) fn received(&self, path: &str) -> Vec<Received> {
        let all = self.shared.received.lock().unwrap();
        all.iter().filter(|one| one.path == path).cloned().collect()
    }
}

impl Shared {
    /// Answers one request and closes the connection.
    fn answer(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        let Some(received) = take(&mut reader) else { return };
        let reply = self.script.lock().unwrap().pop_front().unwrap_or(Reply::status(200));
        self.received.lock().unwrap().push(received);
        std::thread::sleep(reply.delay);
        let after = reply.retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
        let answer = format!("HTTP/1.1 {} .\r\n{after}connection: close\r\ncontent-length: 0\r\n\r\n", reply.status);
        // Who has given up waiting does not read it.
        let _ = reader.get_mut().write_all(answer.as_bytes());
    }
}

/// Reads one request.
fn take(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).ok().filter(|read| *read > 0)?;
    }
    let path = head.split(' ').nth(1)?.to_owned();
    head.make_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { at: Instant::now(), path, head, body })
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // It waits for a connection.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}
