//! A full disk and a failing one: writes are refused for a while, scoring goes on, nothing acknowledged is lost (S2).
//!
//! The full disk is a small tmpfs in a mount namespace of its own. The failing one ([`FailingDisk`]) fails on command, and loses what it
//! failed to sync, as disks do.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::settings;
use crate::support::disk::FailingDisk;
use crate::support::history::{JSON, LINES, application, lines, payment};
use crate::support::{Answer, Directory, Server, binary, repository, serve};

/// How long the service may take to find out that its disk is well again.
const RECOVERY: Duration = Duration::from_secs(20);
const SETTINGS: [&str; 3] = ["log.segment=1MiB", "log.retry=200ms", "store.checkpoint_every=500ms"];

/// A tmpfs of 48 MiB that nobody else sees; gone when dropped.
struct SmallDisk {
    /// Keeps the namespace for as long as its input is open.
    holder: Child,
    mount: Directory,
}

impl SmallDisk {
    fn new(name: &str) -> Self {
        let mount = Directory::new(name);
        let script =
            format!("mount -t tmpfs -o size=48m tmpfs '{}' && echo mounted && exec cat", mount.root().display());
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`unshare` is part of util-linux, which every Debian has");
        let mut said = [0; 8];
        let read = std::io::Read::read_exact(holder.stdout.as_mut().expect("it is piped"), &mut said);
        assert!(
            read.is_ok() && &said == b"mounted\n",
            "this test fills a small tmpfs of its own, and this machine does not allow `unshare --user --map-root-user --mount`: \
             allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1; in a container, --privileged)"
        );
        Self { holder, mount }
    }

    fn serve(&self) -> Server {
        let plain = serve(self.mount.root(), settings(&SETTINGS));
        let mut command = Command::new("nsenter");
        command.args(["--user", "--mount", "--preserve-credentials", "--target", &self.holder.id().to_string()]);
        command.arg(format!("--wd={}", repository().display())).arg(binary()).args(plain.get_args());
        Server::launch(&mut command)
    }

    /// The file system as it is seen from within.
    fn root(&self) -> PathBuf {
        let inside = self.mount.root().strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside)
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.root().join("filler")).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.root().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Posts the payment of this number.
fn post(server: &Server, number: u32) -> Answer {
    server.post("/v1/events", JSON, numbered(number).to_string())
}

fn numbered(number: u32) -> Value {
    payment(&format!("c-{}", number % 50), &number.to_string(), "2026-06-19T10:00:00Z", number % 40)
}

/// A batch of 200 payments from this number on.
fn post_batch(server: &Server, from: u32) -> Answer {
    let events: Vec<Value> = (from..from + 200).map(numbered).collect();
    server.post("/v1/events/batch", LINES, lines(&events))
}

/// A refusal for a while: this status and code, and when to come again.
#[track_caller]
fn expect_refusal(answer: &Answer, status: u16, code: &str) {
    let said = answer.json();
    assert_eq!((answer.status, &said["code"]), (status, &json!(code)), "{said}");
    let after = answer.header("retry-after").expect("a refusal for a while says when to come again");
    assert!(after.parse::<u32>().is_ok_and(|seconds| (1..=60).contains(&seconds)), "{after}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
}

/// Posts payments until one is refused; the number of that one.
#[track_caller]
fn write_until_refused(server: &Server, from: u32, status: u16, code: &str) -> u32 {
    // A page that was written in part may still take some.
    let refused = (from..from + 200).find(|number| post(server, *number).status >= 500).expect("the disk is full");
    expect_refusal(&post(server, refused), status, code);
    refused
}

/// Waits until the same payment is taken, without anything done to the service.
#[track_caller]
fn write_until_taken(server: &Server, number: u32) {
    let start = Instant::now();
    loop {
        let answer = post(server, number);
        match answer.status {
            200 | 201 => return,
            503 | 507 => assert!(start.elapsed() < RECOVERY, "still {} after {RECOVERY:?}", answer.text()),
            _ => panic!("{}", answer.text()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Scoring and reading need no disk.
#[track_caller]
fn expect_reads(server: &Server) {
    for number in 0..20 {
        let body = application(&format!("c-{number}"), &format!("during {number}")).to_string();
        let scored = server.post("/v1/score", JSON, body);
        assert_eq!((scored.status, &scored.json()["mode"]), (200, &json!("full")), "{}", scored.text());
    }
    assert_eq!(server.get("/v1/people/c-1/features").status, 200);
    assert_eq!(server.get("/livez").status, 200);
}

/// All of these were acknowledged, so none of them is new.
#[track_caller]
fn expect_all(server: &Server, numbers: impl Iterator<Item = u32>) {
    let events: Vec<Value> = numbers.map(numbered).collect();
    for events in events.chunks(500) {
        let answer = server.post("/v1/events/batch", LINES, lines(events));
        let said = answer.json();
        assert_eq!((answer.status, &said["duplicate"]), (200, &json!(events.len())), "{said}");
    }
}

#[test]
fn full_disk_refuses_writes_and_serves_scores_until_there_is_space_again() {
    let disk = SmallDisk::new("full-disk");
    let server = disk.serve();
    (0..1_000).step_by(200).for_each(|from| assert_eq!(post_batch(&server, from).status, 200));

    disk.fill();
    let refused = write_until_refused(&server, 1_000, 507, "disk_full");
    expect_refusal(&post_batch(&server, 5_000), 507, "disk_full");
    expect_reads(&server);
    disk.free();
    write_until_taken(&server, refused);
    assert_eq!(post_batch(&server, 6_000).status, 200);

    server.kill();
    let server = disk.serve();
    expect_all(&server, (0..=refused).chain(6_000..6_200));
}

#[test]
fn kill_on_a_full_disk_loses_nothing_either() {
    let disk = SmallDisk::new("killed-full");
    let server = disk.serve();
    assert_eq!(post_batch(&server, 0).status, 200);
    disk.fill();
    let refused = write_until_refused(&server, 200, 507, "disk_full");
    server.kill();
    // Started without any space, it serves what it has.
    let server = disk.serve();
    expect_all(&server, 0..refused);
    expect_reads(&server);
    disk.free();
    write_until_taken(&server, refused);
    server.kill();
    expect_all(&disk.serve(), 0..=refused);
}

#[test]
fn failed_sync_acknowledges_nothing_and_writing_resumes_by_itself() {
    let disk = FailingDisk::new("failing-sync");
    let server = disk.serve(settings(&SETTINGS));
    let mut acknowledged: Vec<u32> = Vec::new();
    for outage in 0..5 {
        let from = outage * 1_000;
        assert_eq!(post_batch(&server, from).status, 200, "before outage {outage}");
        acknowledged.extend(from..from + 200);

        disk.fail("sync", 5);
        expect_refusal(&post(&server, from + 200), 503, "log_unavailable");
        expect_refusal(&post_batch(&server, from + 300), 503, "log_unavailable");
        expect_reads(&server);
        disk.heal();
        write_until_taken(&server, from + 200);
        acknowledged.push(from + 200);
    }
    server.kill();
    let server = disk.serve(settings(&SETTINGS));
    expect_all(&server, acknowledged.into_iter());
}

#[test]
fn disk_that_fails_now_and_then_under_load_loses_nothing_acknowledged() {
    let disk = FailingDisk::new("flaky-sync");
    let server = disk.serve(settings(&SETTINGS));
    let acknowledged: Vec<u32> = std::thread::scope(|scope| {
        let writer = |first: u32| {
            let server = &server;
            move || {
                let numbers = (first..first + 120).filter(|number| match post(server, *number).status {
                    201 => true,
                    503 => false,
                    status => panic!("answered {status}"),
                });
                numbers.collect::<Vec<_>>()
            }
        };
        let writers: Vec<_> = [10_000, 20_000, 30_000, 40_000].map(|first| scope.spawn(writer(first))).into();
        for call in ["sync", "write", "sync"] {
            std::thread::sleep(Duration::from_millis(150));
            disk.fail(call, 5);
            std::thread::sleep(Duration::from_millis(100));
            disk.heal();
        }
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    write_until_taken(&server, 1);
    server.kill();
    assert!(!acknowledged.is_empty());
    expect_all(&disk.serve(settings(&SETTINGS)), acknowledged.into_iter());
}

#[test]
fn failed_write_is_answered_by_its_cause() {
    let disk = FailingDisk::new("failing-write");
    let server = disk.serve(settings(&SETTINGS));
    for (number, errno, status, code) in [(1, 28, 507, "disk_full"), (2, 5, 503, "log_unavailable")] {
        disk.fail("write", errno);
        expect_refusal(&post(&server, number), status, code);
        disk.heal();
        write_until_taken(&server, number);
    }
}

#[test]
fn checkpoint_that_cannot_be_written_is_tried_again_and_loses_nothing() {
    let disk = FailingDisk::new("failing-checkpoint");
    let server = disk.serve(settings(&SETTINGS));
    assert_eq!(post_batch(&server, 0).status, 200);
    for call in ["sync", "write"] {
        disk.fail(call, 5);
        let answer = server.post("/v1/admin/checkpoint", JSON, "");
        assert!(answer.status >= 500, "{}", answer.text());
        disk.heal();
        let start = Instant::now();
        while server.post("/v1/admin/checkpoint", JSON, "").status != 200 {
            assert!(start.elapsed() < RECOVERY, "no checkpoint within {RECOVERY:?}: {}", server.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    server.kill();
    expect_all(&disk.serve(settings(&SETTINGS)), 0..200);
}

/// Scores an application of its own; whether it was a repetition.
#[track_caller]
fn is_repeated(server: &Server, id: &str) -> bool {
    let scored = server.post("/v1/score", JSON, application("c-1", id).to_string());
    assert_eq!(scored.status, 200, "{}", scored.text());
    scored.json()["replayed"] == json!(true)
}

/// Waits until the page of metrics has this line.
#[track_caller]
fn wait_for(server: &Server, line: &str) {
    let start = Instant::now();
    while !server.get("/metrics").text().lines().any(|found| found == line) {
        assert!(start.elapsed() < RECOVERY, "no `{line}` within {RECOVERY:?}: {}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn decisions_are_made_while_they_cannot_be_kept_and_kept_again_by_themselves() {
    let disk = FailingDisk::new("failing-decisions");
    let server = disk.serve(settings(&SETTINGS));
    // What nobody waits for is synced within a second of being written, and this disk loses what is not.
    let synced = || std::thread::sleep(Duration::from_secs(3));
    assert!(!is_repeated(&server, "before"));
    synced();
    for (outage, call) in ["sync", "write"].into_iter().enumerate() {
        disk.fail(call, 5);
        assert!(!is_repeated(&server, &format!("first during {outage}")));
        wait_for(&server, "cauce_ledger_writable 0");
        (0..20).for_each(|number| assert!(!is_repeated(&server, &format!("{number} during {outage}"))));
        assert!(is_repeated(&server, "before"), "what is there is still read");
        disk.heal();
        wait_for(&server, "cauce_ledger_writable 1");
        assert!(!is_repeated(&server, &format!("after {outage}")));
        synced();
    }
    server.kill();
    let server = disk.serve(settings(&SETTINGS));
    ["before", "after 0", "after 1"].iter().for_each(|id| assert!(is_repeated(&server, id), "{id}"));
}

#[test]
fn disk_that_never_answers_does_not_hold_the_end_up() {
    let disk = FailingDisk::new("stalled-sync");
    let server = disk.serve(settings(&[&SETTINGS[..], &["server.shutdown_timeout=3s"]].concat()));
    assert_eq!(post_batch(&server, 0).status, 200);
    disk.stall_in("/", "sync", 600_000);
    let begin = Instant::now();
    server.terminate();
    while !server.log().contains("without the last checkpoint") {
        assert!(begin.elapsed() < RECOVERY, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.stop(), Some(1), "an end that is not as it should be");
    assert!(begin.elapsed() < RECOVERY, "{:?}", begin.elapsed());
    disk.heal();
    expect_all(&disk.serve(settings(&SETTINGS)), 0..200);
}
