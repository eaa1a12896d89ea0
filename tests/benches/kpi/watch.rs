//! Those who look on: dashboards over WebSocket, and a Prometheus. Each reads what it is sent and does nothing with it, so that what they
//! take of the load's core is little.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::Server;
use crate::support::client::Client;

const SCRAPE_EVERY: Duration = Duration::from_secs(1);
const TEXT_FRAME: u8 = 0x81;

/// Dashboards that are connected and a scraper that runs.
pub(crate) struct Watching {
    dashboards: Vec<(Arc<TcpStream>, JoinHandle<u64>)>,
    scraper: JoinHandle<()>,
    /// Dropped to end it.
    scrapes: Sender<()>,
}

impl Watching {
    /// Returns once all are connected.
    pub(crate) fn start(server: &Server, clients: usize) -> Self {
        let dashboards = (0..clients).map(|_| dashboard(server.authority())).collect();
        let (scrapes, ended) = mpsc::channel::<()>();
        let mut prometheus = Client::connect(server.authority()).expect("it listens");
        let scraper = thread::spawn(move || {
            // The first half way into the first second.
            let mut wait = SCRAPE_EVERY / 2;
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(wait) {
                assert_eq!(prometheus.get("/metrics").expect("it answers").status, 200);
                wait = SCRAPE_EVERY;
            }
        });
        Self { dashboards, scraper, scrapes }
    }

    /// Ends all; how many snapshots each dashboard was sent.
    pub(crate) fn stop(self) -> Vec<u64> {
        drop(self.scrapes);
        self.scraper.join().expect("every scrape is answered");
        let end = |(stream, reader): (Arc<TcpStream>, JoinHandle<u64>)| {
            // Nothing is lost if the service was first.
            let _ = stream.shutdown(Shutdown::Both);
            reader.join().expect("it only reads")
        };
        self.dashboards.into_iter().map(end).collect()
    }
}

/// A connection that is shown every snapshot, and the thread that counts them until it is shut down.
fn dashboard(authority: &str) -> (Arc<TcpStream>, JoinHandle<u64>) {
    let stream = Arc::new(TcpStream::connect(authority).expect("it listens"));
    let upgrade = format!(
        "GET /v1/kpis/live HTTP/1.1\r\nhost: {authority}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    (&*stream).write_all(upgrade.as_bytes()).expect("it reads");
    let mut reader = BufReader::new(SharedStream(stream.clone()));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).is_ok_and(|read| read > 0), "the service answers: {head}");
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "a WebSocket is opened: {head}");
    let count = move || {
        let (mut snapshots, mut payload) = (0, Vec::new());
        while let Ok(kind) = read_frame(&mut reader, &mut payload) {
            snapshots += u64::from(kind == TEXT_FRAME && !payload.is_empty());
        }
        snapshots
    };
    (stream, thread::spawn(count))
}

/// Reads one frame of RFC 6455 as a server sends it, without a mask; its first byte.
fn read_frame(reader: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<u8> {
    let mut head = [0; 2];
    reader.read_exact(&mut head)?;
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length)?;
            u64::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            reader.read_exact(&mut length)?;
            u64::from_be_bytes(length)
        }
        length => u64::from(length),
    };
    payload.clear();
    let read = reader.by_ref().take(length).read_to_end(payload)?;
    if read as u64 == length { Ok(head[0]) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Read on one thread, shut down on another.
struct SharedStream(Arc<TcpStream>);

impl Read for SharedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}
