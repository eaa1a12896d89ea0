//! A server that takes as long as it is told: a thread for each connection, so that no answer waits for another.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const MEDIAN_MS: f64 = 8.0;
/// Of the logarithm: a 99th percentile of four times the median.
const DEVIATION: f64 = 0.6;
const DELAYS: usize = 1000;
/// A step through the delays that meets all of them, far from each other: a prime that does not divide their number.
const STEP: usize = 389;

pub(crate) struct Delaying {
    pub(crate) address: SocketAddr,
    delays: Arc<Delays>,
}

struct Delays {
    sorted: Vec<Duration>,
    asked: AtomicUsize,
    stall: Mutex<Stall>,
}

struct Stall {
    /// At which request the next one begins, and how long it is.
    next: Option<(usize, Duration)>,
    /// Nothing is answered before.
    until: Instant,
}

impl Delaying {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let quantile = |place| (place as f64 + 0.5) / DELAYS as f64;
        let delay = |place| Duration::from_secs_f64(MEDIAN_MS / 1e3 * (DEVIATION * normal(quantile(place))).exp());
        let delays = Arc::new(Delays {
            sorted: (0..DELAYS).map(delay).collect(),
            asked: AtomicUsize::new(0),
            stall: Mutex::new(Stall { next: None, until: Instant::now() }),
        });
        let of_connections = Arc::clone(&delays);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let delays = Arc::clone(&of_connections);
                thread::spawn(move || delays.answer(stream));
            }
        });
        Self { address, delays }
    }

    /// The median, the 90th and the 99th percentile of what is drawn, in milliseconds.
    pub(crate) fn drawn(&self) -> [f64; 3] {
        [500, 900, 990].map(|place| self.delays.sorted[place].as_secs_f64() * 1e3)
    }

    /// Answers nothing for so long once so many more requests have come.
    pub(crate) fn stall_after(&self, requests: usize, stall: Duration) {
        let at = self.delays.asked.load(Ordering::Relaxed) + requests;
        self.delays.stall().next = Some((at, stall));
    }
}

impl Delays {
    /// Answers what comes on a connection, one after another.
    fn answer(&self, mut stream: TcpStream) {
        let mut request = [0; 4096];
        let mut length = 0;
        let _ = stream.set_nodelay(true);
        while let Ok(count @ 1..) = stream.read(&mut request[length..]) {
            length += count;
            if !request[..length].ends_with(b"\r\n\r\n") {
                continue;
            }
            length = 0;
            thread::sleep(self.delay());
            thread::sleep(self.stall().until.saturating_duration_since(Instant::now()));
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    }

    /// How long the next answer takes; a stall that begins with its request begins now.
    fn delay(&self) -> Duration {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut stall = self.stall();
        if let Some((_, length)) = stall.next.take_if(|(at, _)| *at <= asked) {
            stall.until = Instant::now() + length;
        }
        self.sorted[asked * STEP % DELAYS]
    }

    fn stall(&self) -> MutexGuard<'_, Stall> {
        self.stall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The quantile of the standard normal distribution, by halving on its distribution function: a thousand of them are made once.
fn normal(probability: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if distribution(middle) < probability { low = middle } else { high = middle }
    }
    low
}

/// The normal distribution function by its series around 0 (M. Abramowitz and I. A. Stegun, 1964, formula 26.2.11).
fn distribution(z: f64) -> f64 {
    let (mut term, mut sum, mut odd) = (z, z, 1.0);
    while term.abs() > 1e-16 {
        odd += 2.0;
        term *= z * z / odd;
        sum += term;
    }
    0.5 + (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
}
