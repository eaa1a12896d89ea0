//! Those who look on: dashboards over WebSocket, and a Prometheus. Each reads what it is sent and does nothing with it, so that what they
//! take of the load's core is little.

use std::iter;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::Server;
use crate::support::client::Client;
use crate::support::live::Live;

const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// Dashboards that are connected and a scraper that runs.
pub(crate) struct Watching {
    dashboards: Vec<(TcpStream, JoinHandle<u64>)>,
    scraper: JoinHandle<()>,
    /// Dropped to end it.
    scrapes: Sender<()>,
}

impl Watching {
    /// Returns once all are connected.
    pub(crate) fn start(server: &Server, clients: usize) -> Self {
        let dashboards = (0..clients).map(|_| dashboard(server)).collect();
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
        let end = |(stream, reader): (TcpStream, JoinHandle<u64>)| {
            // Nothing is lost if the service was first.
            let _ = stream.shutdown(Shutdown::Both);
            reader.join().expect("it only reads")
        };
        self.dashboards.into_iter().map(end).collect()
    }
}

/// A connection that is shown every snapshot, and the thread that counts them until it is shut down.
fn dashboard(server: &Server) -> (TcpStream, JoinHandle<u64>) {
    let mut live = Live::connect(server, "/v1/kpis/live");
    let stream = live.socket().try_clone().expect("a socket has as many handles as are wanted");
    (stream, thread::spawn(move || iter::from_fn(|| live.next().ok()).count() as u64))
}
