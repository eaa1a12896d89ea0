//! What durability costs from outside, and that it holds: crashes, ingest, acknowledgement, restart, size and checkpoints of the
//! release binary over HTTP. `ROUNDS=`, `PEOPLE=` and `TURNS=` make a smaller run, `SEED=` other crashes.
//!
//! The client shares the two cores with the server, so its part is cheap: lines are templates whose digits are filled in. Events
//! come as they happen: the oldest of everybody first, then the next, so that no two events of a batch are of one person.
//! Acknowledgement is held against the machine's own `fdatasync` in the same directory, in turns with it; scoring during a
//! checkpoint against scoring just before. Latencies count from when a request was due, not from when it could be sent.
//!
//! A smaller run leaves out what it measured too seldom to tell.
//!
//! Sketch: an event of a batch costs 3 µs to parse, 0.6 to apply and 0.2 KiB of log, so two cores take 250 k/s less what the
//! client takes; an event that comes just after a sync began waits for two; a million timelines of 200 bytes are read in a second.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "it is made for all benchmarks")]
mod common;
/// Requests made of templates.
mod events;
/// Requests at a steady rate, and how long each took.
mod pace;
#[path = "../../support/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used, reason = "it is made for the tests, which use all of it")]
mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{figures, median, number};
use events::{EACH, Load};
use pace::{Steady, Times};
use serde_json::json;
use support::client::Client;
use support::crash::{Crash, Report};
use support::history::{BUNDLE, NOW};
use support::{Directory, Server, files};

const BATCH: u64 = 1_000;
const CONNECTIONS: u64 = 4;
/// Of acknowledgement and `fdatasync`, at full length.
const TURNS: u64 = 10;
/// From so many people on, what they take is told: below, most of it is what a service takes that has none.
const PEOPLE_TOLD: u64 = 500_000;
/// No checkpoint but those that are asked for.
const QUIET: [&str; 2] = ["store.checkpoint_every=1d", "store.checkpoint_records=1000000000000"];

fn main() {
    let (rounds, people) = (number("ROUNDS", 200), number("PEOPLE", 1_000_000).next_multiple_of(BATCH));
    let crashes = crash(rounds);
    let data = Directory::new("bench-durable");
    let empty_bytes = resident_bytes(&start(&data, &[]));

    let server = start(&data, &[]);
    let load = Load::new(people);
    let (rate, cpu_us) = ingest(&server, &load);
    println!("batches: {rate:.0} events/s, {cpu_us:.2} µs of server CPU each");
    let restart_s = restart(server, &data);
    let server = start(&data, &["store.checkpoint_every=2s"]);
    let events = (people * EACH) as f64;
    println!("log: {:.1} bytes an event", disk_bytes(&data.path("log")) / events);
    let are_many = people >= PEOPLE_TOLD;
    let state = are_many.then(|| settled_bytes(&data.path("state")));
    let memory = are_many.then(|| resident_bytes(&server) - empty_bytes);
    drop(server);
    let server = start(&data, &QUIET);
    let (ack, sync) = acknowledgement(&server, &data, people);
    let ratio = scoring_ratio(&server, &load);

    let settings = json!({"rounds": rounds, "people": people, "turns": number("TURNS", TURNS)});
    let measured = json!({
        "crash_rounds": crashes.rounds,
        "acknowledged_lost": crashes.acknowledged_lost,
        "applied_twice": crashes.applied_twice,
        "batch_events_per_s": rate,
        "ack_p50_ms": ack.sure_ms(50.0),
        "ack_p99_ms": ack.sure_ms(99.0),
        "fdatasync_p50_ms": sync.sure_ms(50.0),
        "restart_s": restart_s,
        "people": people,
        "bytes_per_person": memory.map(|memory| memory / people as f64),
        "disk_bytes_per_event": state.map(|state| state / events),
        "scoring_p99_ratio_in_checkpoint": ratio,
    });
    figures::write("durable", &settings, measured);
}

fn start(data: &Directory, settings: &[&str]) -> Server {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    Server::start_in(data.root(), ["--bundle", BUNDLE, "--clock", NOW].into_iter().chain(settings))
}

fn crash(rounds: u64) -> Report {
    let begin = Instant::now();
    let mut crash = Crash::new("bench-crash", number("SEED", 1));
    (0..rounds).for_each(|_| crash.round());
    let report = crash.finish();
    let Report { acknowledged, digests_compared, .. } = report;
    println!(
        "crashes: {acknowledged} events acknowledged, {digests_compared} digests compared with a replay, {:.0} s",
        begin.elapsed().as_secs_f64()
    );
    assert!(report.faults.is_empty(), "{:#?}", report.faults);
    report
}

/// Posts all histories; events a second, and the server's CPU time for each in microseconds.
fn ingest(server: &Server, load: &Load) -> (f64, f64) {
    let (begin, cpu) = (Instant::now(), cpu_seconds(server));
    load.post(server.authority(), 0..EACH, CONNECTIONS, BATCH);
    let (taken, events) = (begin.elapsed().as_secs_f64(), (load.people() * EACH) as f64);
    (events / taken, (cpu_seconds(server) - cpu) * 1e6 / events)
}

/// Seconds from a start after SIGKILL to ready, the median of three. The first kill comes in the middle of the ingest, with all that came
/// after the last checkpoint still to be applied; that one is told and not counted.
fn restart(server: Server, data: &Directory) -> f64 {
    let (behind, server) = start_after_kill(server, data);
    let log = server.log();
    let applied = log.lines().find_map(|line| line.split("replayed=").nth(1)).unwrap_or("nothing").to_owned();
    println!("restart out of the ingest: {behind:.2} s, replayed {applied}");
    checkpoint(&server);
    let (mut taken, mut server) = (Vec::new(), server);
    for _ in 0..3 {
        let (seconds, next) = start_after_kill(server, data);
        taken.push(seconds);
        server = next;
    }
    println!("restarts: {taken:.2?} s");
    median(taken)
}

fn start_after_kill(server: Server, data: &Directory) -> (f64, Server) {
    server.kill();
    let begin = Instant::now();
    let server = start(data, &QUIET);
    assert_eq!(server.get("/readyz").status, 200, "it listens once it is ready");
    (begin.elapsed().as_secs_f64(), server)
}

/// What the files of a directory take once nothing comes in and they were put in order: seen when it stays the same.
fn settled_bytes(directory: &Path) -> f64 {
    let (mut before, mut now) = (f64::NAN, disk_bytes(directory));
    for _ in 0..12 {
        if before == now {
            break;
        }
        std::thread::sleep(Duration::from_secs(5));
        (before, now) = (now, disk_bytes(directory));
    }
    now
}

/// Single events under load, in turns with the machine's own syncs, and with requests that need no disk: what those take at the same
/// pace is not durability's doing. All count from when they were due, so that a pause of the disk is felt alike.
fn acknowledgement(server: &Server, data: &Directory, people: u64) -> (Times, Times) {
    let pace = Steady { per_second: 1_000.0, connections: 32, expected: 201 };
    let (mut acknowledged, mut syncs, mut plain) = (Times::default(), Times::default(), Times::default());
    for round in 0..=number("TURNS", TURNS) {
        let probe = sync_alone(&data.path("probe"), Duration::from_secs(1));
        let live = Steady { expected: 200, ..pace }.run(server.authority(), Duration::from_secs(1), |_| events::live());
        let posted = pace.run(server.authority(), Duration::from_secs(2), |number| {
            events::single(number * 7919 % people, round << 32 | number)
        });
        // The first round wakes everything up.
        if round > 0 {
            syncs.add(&probe);
            plain.add(&live);
            acknowledged.add(&posted);
        }
    }
    println!("single events: {acknowledged}; fdatasync: {syncs}; `GET /livez` at the same pace: {plain}");
    let times = |percent| acknowledged.ms(percent) / syncs.ms(percent);
    println!("acknowledged in {:.1} × fdatasync at p50, {:.1} × at p99 (aim: 2.5)", times(50.0), times(99.0));
    (acknowledged, syncs)
}

/// Appends 4 KiB and syncs, at a steady pace for so long. One that begins late waited for the one before it: that is the disk's doing.
fn sync_alone(path: &Path, span: Duration) -> Times {
    let mut file = File::options().create(true).append(true).open(path).expect("the directory is writable");
    let (begin, gap) = (Instant::now(), Duration::from_millis(5));
    let due = (0..).map(|number| begin + gap * number).take_while(|due| due.duration_since(begin) < span);
    let mut times = Times::default();
    for due in due {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        file.write_all(&[7; 4096]).expect("there is space");
        file.sync_data().expect("the disk is well");
        times.taken.record(due.elapsed());
    }
    times
}

/// p99 of scoring while everybody is written to disk, over p99 just before; the median of three, less those in which too few were
/// scored meanwhile.
fn scoring_ratio(server: &Server, load: &Load) -> f64 {
    let pace = Steady { per_second: 500.0, connections: 8, expected: 200 };
    let mut ratios = Vec::new();
    for turn in 0..3 {
        // One more event of everybody, so that everybody has to be written.
        load.post(server.authority(), EACH + turn..EACH + turn + 1, CONNECTIONS, BATCH);
        let score = |offset: u64| move |number: u64| events::score(number * 7919 % load.people(), offset + number);
        let before = pace.run(server.authority(), Duration::from_secs(5), score(turn << 32));
        let (during, took) = pace.run_beside(server.authority(), score(turn << 32 | 1 << 31), || checkpoint(server));
        println!("checkpoint of everybody: {:.1} s; scoring: {during}; before: {before}", took.as_secs_f64());
        ratios.extend(during.sure_ms(99.0).zip(before.sure_ms(99.0)).map(|(during, before)| during / before));
    }
    median(ratios)
}

fn checkpoint(server: &Server) {
    let mut client = Client::connect(server.authority()).expect("the server listens");
    let reply = client.post("/v1/admin/checkpoint", "application/json", "").expect("the server answers");
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(reply.body));
}

/// What the files of a directory take of the disk.
fn disk_bytes(directory: &Path) -> f64 {
    files(directory).iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.blocks() as f64 * 512.0).sum()
}

/// Memory of the server's process that is in use.
fn resident_bytes(server: &Server) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process_id())).expect("the server runs");
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<f64>().ok()).expect("Linux tells the resident set in kB") * 1024.0
}

/// CPU time that the server has used, of the fields that follow the name in parentheses.
fn cpu_seconds(server: &Server) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.process_id())).expect("the server runs");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<f64>().expect("a count of ticks");
    (ticks(11) + ticks(12)) / 100.0
}
