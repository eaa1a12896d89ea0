//! What one scored request costs the server, beside a bare actix handler that parses the same body and answers the same bytes.
//!
//! Both servers run in this process with one worker each and take turns, round by round, so that a shared machine slows them
//! alike; the figure is the median round. A server's CPU time is the process's less the client's: the client is one thread
//! that writes prepared requests to two kept connections and allocates nothing, so the allocations counted are the server's too.
//!
//! Sketch: the bare handler about 15 µs, mostly the kernel's sockets; inference 22 to 24; the rest of a scored request
//! (exact JSON 2 µs, two visits to a person 1 µs, 40 features 1 µs, answer 2 µs, metrics 0.5 µs) within 8.

#[path = "../../loadtest/baselines/bare/handler.rs"]
mod bare;

use std::alloc::{GlobalAlloc, Layout};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use cauce_service::app::{App, Recovery};
use cauce_service::config::{Config, Override};
use cpu_time::{ProcessTime, ThreadTime};
use mimalloc::MiMalloc;

const PEOPLE: usize = 20_000;
const EVENTS_EACH: usize = 20;
const REQUESTS: usize = 4_000;
const ROUNDS: usize = 15;

/// The service's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on unchanged to `MiMalloc`, which upholds the contract; counting touches no memory of its own.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { MiMalloc.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { MiMalloc.realloc(at, layout, size) }
    }
}

fn main() {
    let cauce = start_cauce();
    post_histories(cauce);
    let requests: Vec<Vec<u8>> = (0..REQUESTS).map(|index| score_request(index, index)).collect();
    let answer = Client::new(cauce).body(&requests[0]);
    println!("request {} bytes, answer {} bytes", requests[0].len(), answer.len());
    let bare = start_bare(answer);

    let (mut scored, mut plain, mut allocations, mut bare_allocations) = (vec![], vec![], vec![], vec![]);
    for round in 0..=ROUNDS {
        // Every round has applications of its own, as a live service would.
        let requests: Vec<Vec<u8>> = (0..REQUESTS).map(|i| score_request(i, (round + 1) * REQUESTS + i)).collect();
        let (cpu, count) = measure(cauce, &requests);
        let (bare_cpu, bare_count) = measure(bare, &requests);
        if round > 0 {
            scored.push(cpu);
            plain.push(bare_cpu);
            allocations.push(count);
            bare_allocations.push(bare_count);
        }
    }
    let mut over: Vec<f64> = scored.iter().zip(&plain).map(|(scored, plain)| scored - plain).collect();
    let figures = serde_json::json!({
        "http_cpu_us": median(&mut scored),
        "http_bare_cpu_us": median(&mut plain),
        "http_over_bare_us": median(&mut over),
        "http_allocations": median(&mut allocations),
        "http_bare_allocations": median(&mut bare_allocations),
    });
    println!("{figures:#}");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench");
    std::fs::create_dir_all(folder).expect("target is writable");
    std::fs::write(format!("{folder}/http.json"), format!("{figures:#}\n")).expect("target is writable");
    // The servers have no more to do, and waiting for their idle connections would only take time.
    std::process::exit(0);
}

/// CPU time of the server per request in microseconds, and allocations per request.
fn measure(server: SocketAddr, requests: &[Vec<u8>]) -> (f64, f64) {
    let mut clients = [Client::new(server), Client::new(server)];
    let (process, client, allocations) = (ProcessTime::now(), ThreadTime::now(), ALLOCATIONS.load(Ordering::Relaxed));
    for pair in requests.chunks_exact(2) {
        // Two in flight: the server finds the next request waiting, as it does under load.
        clients.iter_mut().zip(pair).for_each(|(client, request)| client.send(request));
        clients.iter_mut().for_each(|client| assert_eq!(client.receive(), 200, "every request is scored"));
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - allocations;
    let server = process.elapsed().saturating_sub(client.elapsed());
    let each = requests.len() as f64;
    (server.as_secs_f64() * 1e6 / each, allocations as f64 / each)
}

fn start_cauce() -> SocketAddr {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench/http-data");
    let _ = std::fs::remove_dir_all(data);
    let flags = [
        ("server.listen", "127.0.0.1:0".to_owned()),
        ("server.workers", "1".to_owned()),
        ("model.bundle", format!("{root}/model/artifacts/ahorro-valle")),
        ("log.directory", format!("{data}/log")),
        ("store.directory", format!("{data}/state")),
        ("ledger.directory", format!("{data}/decisions")),
        ("cache.directory", format!("{data}/cache")),
        ("alerts.file", format!("{data}/alerts.json")),
        // Nothing is refused because the machine was elsewhere for a moment: every request is the same work.
        ("admission.delay", "10s".to_owned()),
    ];
    let mut flags: Vec<_> = flags.map(|(path, value)| Override { path: path.into(), value }).into();
    // Other settings to hold against these: `SET="ledger.keep=0s cache.disk_entries=0"`.
    let more = std::env::var("SET").unwrap_or_default();
    flags.extend(more.split_whitespace().map(|setting| Override::parse(setting).expect("a setting")));
    let config = Config::load(None, std::iter::empty(), flags).expect("a valid configuration");
    let (tell, told) = mpsc::channel();
    let app = App::build(config, Recovery::default()).expect("the shipped bundle loads");
    thread::spawn(move || app.run(|address| tell.send(address).expect("main waits")));
    told.recv().expect("the service tells its address")
}

fn start_bare(answer: Vec<u8>) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let (server, address) = bare::bind("127.0.0.1:0", answer).expect("a free port");
            tell.send(address).expect("main waits");
            server.await
        })
    });
    told.recv().expect("the bare server tells its address")
}

/// Twenty events a person over the last 80 days, so that vectors and rows differ.
fn post_histories(server: SocketAddr) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let mut client = Client::new(server);
    for people in (0..PEOPLE).collect::<Vec<_>>().chunks(50) {
        let mut lines = String::new();
        for &person in people {
            for event in 0..EVENTS_EACH {
                let mixed = (person * 31 + event * 17) % 997;
                let time = now - (80 * 86_400 / EVENTS_EACH * event + mixed * 60 + 60) as u64;
                let time = cauce_features::time::Timestamp::from_millis(time as i64 * 1_000);
                let data = match event % 3 {
                    0 => format!(r#""payment","data":{{"amount":{mixed}.25,"days_past_due":{}}}"#, mixed % 40),
                    1 => format!(
                        r#""transaction","data":{{"amount":{mixed}.5,"direction":"out","channel":"card","counterparty":"shop-{}"}}"#,
                        mixed % 9
                    ),
                    _ => format!(
                        r#""statement","data":{{"balance":{mixed},"credit_limit":2000,"minimum_due":{}}}"#,
                        mixed % 50
                    ),
                };
                lines += &format!(
                    "{{\"person_id\":\"p-{person}\",\"event_id\":\"{event}\",\"time\":\"{time}\",\"type\":{data}}}\n"
                );
            }
        }
        let request = request("/v1/events/batch", "application/x-ndjson", &lines);
        client.send(&request);
        assert!(client.receive() < 300, "histories are taken");
    }
}

fn score_request(person: usize, id: usize) -> Vec<u8> {
    let (purposes, jobs) = (["home", "vehicle", "health", "debt"], ["salaried", "retired", "informal"]);
    let body = format!(
        concat!(
            r#"{{"person_id":"p-{}","application_id":"{}","application":{{"monthly_income":{}.50,"amount":{}.25,"#,
            r#""credit_score":{},"term_months":{},"purpose":"{}","employment":"{}","age":{}}}}}"#
        ),
        person % PEOPLE,
        id,
        900 + id * 7 % 4_000,
        1_000 + id * 13 % 20_000,
        400 + id * 3 % 400,
        6 + id % 60,
        purposes[id % purposes.len()],
        jobs[id % jobs.len()],
        20 + id % 50,
    );
    request("/v1/score", "application/json", &body)
}

fn request(path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// One kept connection; its buffer is made once.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    length: usize,
    body_start: usize,
}

impl Client {
    fn new(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP option");
        Self { stream, buffer: vec![0; 1 << 20], length: 0, body_start: 0 }
    }

    fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("the server reads");
    }

    /// Reads one answer whole and returns its status.
    fn receive(&mut self) -> u16 {
        self.length = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[self.length..]).expect("the server answers");
            assert!(read > 0, "the server keeps the connection");
            self.length += read;
            let text = &self.buffer[..self.length];
            let Some(end) = text.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&text[..end]).expect("heads are text");
            let wanted = head.split("\r\n").find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().expect("a length"))
            });
            self.body_start = end + 4;
            if self.length >= self.body_start + wanted.expect("answers say their length") {
                return head[9..12].parse().expect("a status");
            }
        }
    }

    fn body(&mut self, request: &[u8]) -> Vec<u8> {
        self.send(request);
        assert_eq!(self.receive(), 200);
        self.buffer[self.body_start..self.length].to_vec()
    }
}

fn median(taken: &mut [f64]) -> f64 {
    taken.sort_by(f64::total_cmp);
    taken[taken.len() / 2]
}
