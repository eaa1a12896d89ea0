//! Damaged files: the start says in one line what is damaged, goes on only when told to, and never serves something else.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::settings;
use crate::support::crash::digest;
use crate::support::history::{JSON, LINES, NOW, NOW_MS, Random, lines, payment};
use crate::support::{Directory, Finished, Server, cauce, copy, files, serve};

const EVENTS: u32 = 3_000;

/// A data directory as a kill left it: several sealed segments and an open one, a checkpoint half way.
struct Kept(Directory);

impl Kept {
    /// A copy of its own for each test: it is made once.
    fn new(name: &str) -> Self {
        static ORIGINAL: OnceLock<Directory> = OnceLock::new();
        let original = ORIGINAL.get_or_init(|| {
            let data = Directory::new("damage-original");
            let server = Server::start_in(data.root(), kept_settings());
            for from in (0..EVENTS).step_by(100) {
                let answer = server.post("/v1/events/batch", LINES, batch(from..from + 100)).json();
                assert_eq!(answer["positions"], json!({"first": from, "last": from + 99}), "{answer}");
                if from == EVENTS / 2 {
                    assert_eq!(server.post("/v1/admin/checkpoint", JSON, "").status, 200);
                }
            }
            server.kill();
            data
        });
        let data = Directory::new(name);
        copy(original.root(), data.root());
        let kept = Self(data);
        assert!(kept.segments().len() >= 4, "{:?}", kept.segments());
        kept
    }

    /// Segments of the log, oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
        files(&self.0.path("log")).into_iter().filter(is_segment).collect()
    }

    fn last_segment(&self) -> PathBuf {
        self.segments().pop().expect("a log has a segment")
    }

    fn start(&self, more: &[&str]) -> Result<Server, Finished> {
        let arguments = kept_settings().into_iter().chain(more.iter().map(|flag| (*flag).to_owned()));
        Server::try_launch(&mut serve(self.0.root(), arguments))
    }

    /// The one line with which the start ends.
    #[track_caller]
    fn refused(&self, more: &[&str]) -> String {
        let Err(ended) = self.start(more) else { panic!("the damage was not noticed") };
        let said = ended.stderr();
        assert_eq!(ended.code(), Some(1), "{said}");
        assert!(!said.contains("panic"), "{said}");
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{said}");
        errors[0].to_owned()
    }

    #[track_caller]
    fn started(&self, more: &[&str]) -> Server {
        self.start(more).unwrap_or_else(|ended| panic!("{}", ended.stderr()))
    }

    /// `cauce verify`: its code and what it said.
    fn verify(&self) -> (Option<i32>, String) {
        let finished = cauce(["verify".as_ref(), "--data".as_ref(), self.0.root().as_os_str()]);
        (finished.code(), finished.stdout() + &finished.stderr())
    }

    /// The log is damaged: both the start and `cauce verify` say where, and the start says the way on.
    #[track_caller]
    fn expect_named(&self, name: &str) {
        let refused = self.refused(&[]);
        assert!(refused.contains(name) && refused.contains("--accept-data-loss"), "{refused}");
        self.expect_verified(1, name);
    }

    #[track_caller]
    fn expect_verified(&self, expected: i32, named: &str) {
        let (code, said) = self.verify();
        assert!(code == Some(expected) && said.contains(named), "{code:?}: {said}");
    }

    /// Goes on without what is damaged; how many records that costs, and how many events are new when all come again.
    #[track_caller]
    fn accept(&self) -> (u64, u64) {
        let server = self.started(&["--accept-data-loss"]);
        let lost = lost_records(&server.log()).unwrap_or_else(|| panic!("no number of records: {}", server.log()));
        server.kill();
        // It was told once; from then on the directory is whole.
        self.expect_verified(0, "");
        let server = self.started(&[]);
        let new = post_all(&server);
        server.kill();
        (lost, new)
    }
}

fn kept_settings() -> Vec<String> {
    settings(&["log.segment=64KiB", "store.checkpoint_every=1h"])
}

fn batch(numbers: std::ops::Range<u32>) -> String {
    let event =
        |number: u32| payment(&format!("c-{}", number % 40), &number.to_string(), "2026-06-19T10:00:00Z", number % 40);
    let events: Vec<Value> = numbers.map(event).collect();
    lines(&events)
}

/// Posts everything once more; how much of it is new.
fn post_all(server: &Server) -> u64 {
    let starts = (0..EVENTS).step_by(500);
    let new = starts.map(|from| {
        let answer = server.post("/v1/events/batch", LINES, batch(from..from + 500));
        assert_eq!((answer.status, &answer.json()["refused"]), (200, &json!(0)), "{}", answer.text());
        answer.json()["new"].as_u64().unwrap()
    });
    new.sum()
}

/// How many records the start has logged as gone.
fn lost_records(log: &str) -> Option<u64> {
    let (_, rest) = log.split_once("going on without what is damaged records=")?;
    rest.split(' ').next()?.parse().ok()
}

fn name(segment: &Path) -> &str {
    segment.file_name().and_then(|name| name.to_str()).expect("names of segments are numbers")
}

/// Cuts off the last bytes that hold something.
fn cut(path: &Path, bytes: usize) {
    let mut content = fs::read(path).unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    content.truncate(end - bytes);
    fs::write(path, content).unwrap();
}

fn flip_bit(path: &Path, at: usize) {
    let mut content = fs::read(path).unwrap();
    content[at] ^= 1;
    fs::write(path, content).unwrap();
}

/// The middle of what is written in a file.
fn middle(path: &Path) -> usize {
    fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() / 2
}

#[test]
fn directory_of_a_killed_process_is_whole() {
    let kept = Kept::new("damage-none");
    kept.expect_verified(0, "");
    assert_eq!(post_all(&kept.started(&[])), 0);
}

#[test]
fn record_that_was_never_acknowledged_and_half_written_is_dropped_without_a_word() {
    let kept = Kept::new("damage-unacknowledged");
    let segment = kept.last_segment();
    let mut content = fs::read(&segment).unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let half: Vec<u8> = content[end - 60..end - 20].to_vec();
    content.truncate(end);
    content.extend(half);
    fs::write(&segment, content).unwrap();
    assert_eq!(post_all(&kept.started(&[])), 0);
}

#[test]
fn torn_tail_of_acknowledged_records_is_refused_and_costs_one_record_when_accepted() {
    let kept = Kept::new("damage-torn");
    cut(&kept.last_segment(), 5);
    kept.expect_named(name(&kept.last_segment()));
    assert_eq!(kept.accept(), (1, 1));
}

#[test]
fn flipped_bit_in_a_sealed_segment_is_named() {
    let kept = Kept::new("damage-flipped-sealed");
    let segment = &kept.segments()[1];
    flip_bit(segment, middle(segment));
    kept.expect_named(name(segment));
    let (lost, new) = kept.accept();
    assert!(lost >= 1 && new <= lost, "{lost} lost, {new} new");
}

#[test]
fn flipped_bit_in_the_last_segment_is_named() {
    let kept = Kept::new("damage-flipped-last");
    let segment = kept.last_segment();
    flip_bit(&segment, middle(&segment));
    kept.expect_named(name(&segment));
    let (lost, new) = kept.accept();
    assert!(lost >= 1 && new <= lost, "{lost} lost, {new} new");
}

#[test]
fn truncated_sealed_segment_is_named() {
    let kept = Kept::new("damage-truncated");
    let segment = &kept.segments()[1];
    let half = middle(segment);
    cut(segment, half);
    kept.expect_named(name(segment));
    let (lost, new) = kept.accept();
    assert!(lost >= 1 && new <= lost, "{lost} lost, {new} new");
}

#[test]
fn missing_segment_is_named_by_its_first_position() {
    let kept = Kept::new("damage-missing");
    let segment = &kept.segments()[1];
    fs::remove_file(segment).unwrap();
    let first = name(segment).trim_start_matches('0').trim_end_matches(".log");
    kept.expect_named(&format!("position {first}"));
    let (lost, new) = kept.accept();
    assert!(lost >= 1 && new <= lost, "{lost} lost, {new} new");
}

#[test]
fn missing_manifest_is_named() {
    let kept = Kept::new("damage-manifest");
    fs::remove_file(kept.0.path("log/manifest.json")).unwrap();
    kept.expect_named("manifest.json");
    let server = kept.started(&["--accept-data-loss"]);
    assert_eq!(post_all(&server), 0, "every segment was there");
}

#[test]
fn flipped_bit_anywhere_in_the_log_is_named_or_does_no_harm() {
    let mut random = Random(4);
    for case in 0..12 {
        let kept = Kept::new("damage-anywhere-log");
        let files = files(&kept.0.path("log"));
        flip_somewhere(&files, &mut random);
        match kept.start(&[]) {
            Ok(server) => assert_eq!(post_all(&server), 0, "case {case}"),
            Err(ended) => assert!(ended.code() == Some(1) && !ended.stderr().contains("panic"), "{}", ended.stderr()),
        }
    }
}

#[test]
fn flipped_bit_in_the_state_is_named_and_the_state_rebuilt_when_told_to() {
    let kept = Kept::new("damage-state-original");
    let server = kept.started(&[]);
    let expected = digest(&server, NOW_MS);
    // Told to stop, it leaves everything in the state.
    assert_eq!(server.stop(), Some(0));

    let (mut random, mut named) = (Random(5), 0);
    for case in 0..12 {
        let damaged = Kept(Directory::new("damage-state"));
        copy(kept.0.root(), damaged.0.root());
        flip_somewhere(&files(&damaged.0.path("state")), &mut random);
        let server = match damaged.start(&[]) {
            Ok(server) => server,
            Err(ended) => {
                let said = ended.stderr();
                assert!(ended.code() == Some(1) && said.contains("--rebuild-state"), "case {case}: {said}");
                assert_eq!(damaged.verify().0, Some(1), "case {case}: {said}");
                named += 1;
                damaged.started(&["--rebuild-state"])
            }
        };
        assert_eq!(digest(&server, NOW_MS), expected, "case {case}");
    }
    assert!(named > 0, "no bit that was flipped mattered");
}

/// Flips one of the bits that hold something, in any of these files.
fn flip_somewhere(files: &[PathBuf], random: &mut Random) {
    let files: Vec<&PathBuf> =
        files.iter().filter(|path| fs::read(path).unwrap().iter().any(|byte| *byte != 0)).collect();
    let path = files[random.below(files.len() as u64) as usize];
    let end = fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    flip_bit(path, random.below(end) as usize);
}

#[test]
fn state_of_another_specification_is_refused_and_rebuilt_when_told_to() {
    let kept = Kept::new("damage-specification");
    let server = kept.started(&[]);
    let expected = digest(&server, NOW_MS);
    assert_eq!(server.stop(), Some(0));

    let taiwan = ["--set", "model.bundle=model/artifacts/taiwan"];
    let refused = kept.refused(&taiwan);
    assert!(refused.contains("specification") && refused.contains("--rebuild-state"), "{refused}");
    let other = kept.started(&[&taiwan[..], &["--rebuild-state"]].concat());
    assert_eq!(other.get("/v1/bundle").json()["name"], "taiwan");
    assert_eq!(other.stop(), Some(0));
    // The log has lost nothing by it.
    let back = kept.started(&["--rebuild-state"]);
    assert_eq!(digest(&back, NOW_MS), expected);
}

#[test]
fn missing_state_is_rebuilt_from_the_log() {
    let kept = Kept::new("damage-no-state");
    let expected = digest(&kept.started(&[]), NOW_MS);
    fs::remove_dir_all(kept.0.path("state")).unwrap();
    let server = kept.started(&["--rebuild-state"]);
    assert_eq!(digest(&server, NOW_MS), expected);
    assert_eq!(post_all(&server), 0);
}

#[test]
fn second_process_on_a_directory_is_refused_and_the_first_goes_on() {
    let kept = Kept::new("damage-two");
    let first = kept.started(&[]);
    let refused = kept.refused(&[]);
    assert!(refused.contains("another process"), "{refused}");
    assert_eq!(post_all(&first), 0);
}

#[test]
fn replay_from_the_start_and_inspection_see_what_is_there() {
    let kept = Kept::new("damage-tools");
    let expected = digest(&kept.started(&[]), NOW_MS);
    let run = |command: &str, arguments: &[&str]| {
        let data: [OsString; 3] = [command.into(), "--data".into(), kept.0.root().into()];
        cauce(data.into_iter().chain(arguments.iter().map(OsString::from))).expect_success().stdout()
    };
    let replayed = run("replay", &["--as-of", NOW]);
    assert!(replayed.contains(&expected) && replayed.contains(&format!("{EVENTS} records")), "{replayed}");
    let tail = run("replay", &["--as-of", NOW, "--from", "2000"]);
    assert!(!tail.contains(&expected) && tail.contains("1000 records"), "{tail}");
    for (what, holds) in [("log", "3000"), ("state", "40")] {
        let said = run("inspect", &[what]);
        assert!(said.contains(holds), "{what}: {said}");
    }
    assert_eq!(run("inspect", &["person", "c-7"]).matches("\"event_id\"").count(), EVENTS as usize / 40);
}

#[test]
fn damage_older_than_what_a_start_verifies_is_told_when_it_is_read() {
    let kept = Kept::new("damage-old");
    // Its end puts the sealed segments in order: the next start trusts their indexes.
    let server = kept.started(&[]);
    assert_eq!(server.post("/v1/events", JSON, payment("c-1", "new", NOW, 1).to_string()).status, 201);
    assert_eq!(server.stop(), Some(0));
    let segment = &kept.segments()[1];
    flip_bit(segment, middle(segment));

    let server = kept.started(&["--set", "log.verify_at_start=64KiB"]);
    let told = (0..40).filter(|person| {
        let answer = server.get(&format!("/v1/people/c-{person}/timeline?limit=1000"));
        match answer.status {
            200 => assert!(answer.json()["events"].as_array().unwrap().len() >= EVENTS as usize / 40, "{person}"),
            status => assert_eq!((status, &answer.json()["code"]), (503, &json!("log_unavailable"))),
        }
        answer.status == 503
    });
    assert_eq!(told.count(), 1, "the record is of one person");
    assert!(server.log().contains(name(segment)), "{}", server.log());
    server.kill();
    kept.expect_verified(1, name(segment));
}
