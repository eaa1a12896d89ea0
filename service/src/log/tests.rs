//! What the log of one machine promises, against real files.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cauce_features::event::{Event, EventId};
use cauce_features::time::Timestamp;

use super::embedded::{EmbeddedLog, OpenError, Opened};
use super::*;
use crate::config::{self, Config};

/// A directory of its own for one test, removed behind it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cauce-log-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn settings(&self) -> config::Log {
        let mut settings = Config::load(None, std::iter::empty(), Vec::new()).unwrap().log;
        settings.directory.clone_from(&self.0);
        // Small enough for several segments, each of which a test may damage.
        settings.segment = size("1KiB");
        settings
    }

    fn log(&self) -> EmbeddedLog {
        self.try_log(false).unwrap()
    }

    fn try_log(&self, accept_data_loss: bool) -> Result<EmbeddedLog, OpenError> {
        Opened::open(&self.settings(), accept_data_loss)?.start(Position(u64::MAX), Box::new(|_| Ok(Taken::New)))
    }

    /// What is said of the damage that a start meets.
    fn refusal(&self) -> String {
        self.try_log(false).err().expect("damage is refused").to_string()
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|of| of == extension)).collect();
        files.sort();
        files
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn size(text: &str) -> config::Size {
    config::Size::try_from(text.to_owned()).unwrap()
}

fn entry(person: &str, id: u64, arrived_ms: i64) -> Entry {
    let time = Timestamp::from_millis(arrived_ms);
    let event = Event::new(person, EventId::from_bits(id), time, 0, vec![]);
    let body = Bytes::from(format!(r#"{{"person_id":"{person}","event_id":"{id}"}}"#));
    Entry { kind: Kind::Event, arrived_at: time, person: "".into(), id: "".into(), body, change: Change::Apply(event) }
}

fn write(log: &EmbeddedLog, entries: Vec<Entry>) -> Vec<Position> {
    let accepted = log.submit(entries, Promise::Durable).unwrap().wait().unwrap();
    accepted.into_iter().map(|accepted| accepted.unwrap().position).collect()
}

/// Records one by one, so that segments are small: person `p0`, `p1` and `p2` in turn, a second apart.
fn write_each(log: &EmbeddedLog, ids: std::ops::Range<u64>) {
    for id in ids {
        write(log, vec![entry(&format!("p{}", id % 3), id, id as i64 * 1000)]);
    }
}

fn read(log: &EmbeddedLog, from: u64) -> Vec<(u64, Kind)> {
    let mut found = Vec::new();
    let take = &mut |records: Vec<Record>| {
        found.extend(records.iter().map(|record| (record.position.0, record.kind)));
        ControlFlow::Continue(())
    };
    log.reading().read(Position(from), take).unwrap();
    found
}

fn of_person(log: &EmbeddedLog, person: &str) -> Vec<Record> {
    log.reading().all_of_person(person).unwrap()
}

fn maintain(log: &EmbeddedLog, covered: u64, now: Timestamp) -> Maintained {
    log.maintain(&log.pending(), Position(covered), now).unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, bytes: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

#[test]
fn positions_are_dense_over_segments_and_restarts() {
    let directory = Directory::new();
    for start in [0, 50] {
        let log = directory.log();
        write_each(&log, start..start + 50);
        assert_eq!(log.reading().range(), Position(0)..Position(start + 50));
    }
    assert!(directory.files("log").len() > 5);
    let expected: Vec<_> = (37..100).map(|position| (position, Kind::Event)).collect();
    assert_eq!(read(&directory.log(), 37), expected);
}

#[test]
fn what_waits_together_goes_to_disk_together_in_order() {
    let directory = Directory::new();
    let log = directory.log();
    let receipts: Vec<_> = (0..20)
        .map(|n| log.submit((0..10).map(|i| entry("p", n * 10 + i, 0)).collect(), Promise::Durable).unwrap())
        .collect();
    let positions: Vec<_> = receipts
        .into_iter()
        .flat_map(|receipt| receipt.wait().unwrap())
        .map(|accepted| accepted.unwrap().position.0)
        .collect();
    assert_eq!(positions, (0..200).collect::<Vec<_>>());
}

#[test]
fn an_instant_is_found_in_any_segment() {
    let directory = Directory::new();
    let log = directory.log();
    write_each(&log, 0..60);
    for (second, expected) in [(-5, 0), (0, 0), (17, 17), (59, 59), (60, 60)] {
        let instant = Timestamp::from_millis(second * 1000);
        assert_eq!(log.reading().position_at(instant).unwrap(), Position(expected), "{second}");
    }
}

#[test]
fn a_persons_records_are_found_in_sealed_segments_and_in_the_one_being_written() {
    let directory = Directory::new();
    let log = directory.log();
    write_each(&log, 0..40);
    maintain(&log, 0, Timestamp::from_millis(0));
    write_each(&log, 40..45);
    let positions =
        |log: &EmbeddedLog| -> Vec<u64> { of_person(log, "p1").iter().map(|record| record.position.0).collect() };
    let expected: Vec<u64> = (0..45).filter(|position| position % 3 == 1).collect();
    assert_eq!(positions(&log), expected);
    drop(log);
    assert_eq!(positions(&directory.log()), expected);
    assert!(of_person(&directory.log(), "nobody").is_empty());
}

#[test]
fn a_write_cut_short_that_nobody_was_told_of_is_cut_off() {
    let directory = Directory::new();
    write_each(&directory.log(), 0..3);
    let last = directory.files("log").pop().unwrap();
    let whole = fs::read(&last).unwrap();
    fs::write(&last, [&whole[..], &whole[48..80]].concat()).unwrap();
    let log = directory.log();
    assert_eq!(log.reading().range().end, Position(3));
    assert_eq!(fs::read(&last).unwrap(), whole);
    assert_eq!(write(&log, vec![entry("p", 9, 0)]), [Position(3)]);
}

#[test]
fn an_acknowledged_end_that_is_gone_is_refused_and_leaves_its_positions_empty_if_accepted() {
    let directory = Directory::new();
    write_each(&directory.log(), 0..20);
    cut(directory.files("log").last().unwrap(), 5);
    let refusal = directory.refusal();
    assert!(refusal.contains("position 19") && refusal.contains("1 record(s) cannot be read"), "{refusal}");
    assert!(refusal.contains("--accept-data-loss"), "{refusal}");
    let log = directory.try_log(true).unwrap();
    assert_eq!(write(&log, vec![entry("p", 9, 0)]), [Position(20)]);
    assert_eq!(read(&log, 18), [(18, Kind::Event), (19, Kind::Lost), (20, Kind::Event)]);
    drop(log);
    assert_eq!(directory.log().reading().range().end, Position(21));
}

#[test]
fn a_flipped_bit_costs_the_record_it_is_in_and_no_other() {
    let directory = Directory::new();
    write_each(&directory.log(), 0..60);
    let damaged = directory.files("log").remove(1);
    let first: u64 = damaged.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    // In the head, so that not even the record's length can be believed.
    let second_record = 48 + 32 + entry("p0", first, 0).body.len();
    flip(&damaged, second_record + 1);
    let refusal = directory.refusal();
    let lost = first + 1;
    assert!(refusal.contains(&format!("position {lost} (1 record)")), "{refusal}");
    let log = directory.try_log(true).unwrap();
    let lost_kinds: Vec<_> = read(&log, 0).into_iter().filter(|(_, kind)| *kind != Kind::Event).collect();
    assert_eq!(lost_kinds, [(lost, Kind::Lost)]);
}

#[test]
fn every_kind_of_missing_file_is_named() {
    let broken = |break_it: &dyn Fn(&[PathBuf])| {
        let directory = Directory::new();
        write_each(&directory.log(), 0..60);
        break_it(&directory.files("log"));
        let refusal = directory.refusal();
        let log = directory.try_log(true).unwrap();
        let (kept, end) = (read(&log, 0), log.reading().range().end);
        assert_eq!(end, Position(60), "{refusal}");
        (refusal, kept.iter().filter(|(_, kind)| *kind == Kind::Event).count() as u64)
    };
    let (refusal, kept) = broken(&|files| fs::remove_file(&files[2]).unwrap());
    assert!(refusal.contains("the next segment begins at") && kept < 60, "{refusal}");
    let (refusal, kept) = broken(&|files| fs::remove_file(files.last().unwrap()).unwrap());
    assert!(refusal.contains("but 60 was acknowledged") && kept < 60, "{refusal}");
    let (refusal, kept) = broken(&|files| fs::remove_file(&files[0]).unwrap());
    assert!(refusal.contains("the segments from position 0 to") && kept < 60, "{refusal}");
    let (refusal, kept) = broken(&|files| cut(&files[1], 3));
    assert!(refusal.contains("is damaged at byte") && kept == 59, "{refusal}");
    let (refusal, kept) = broken(&|files| flip(&files[1], 20));
    assert!(refusal.contains("the header of") && kept == 60, "{refusal}");
    let (refusal, kept) = broken(&|files| fs::remove_file(files[0].with_file_name("manifest.json")).unwrap());
    assert!(refusal.contains("`manifest.json` is missing") && kept == 60, "{refusal}");
    let (refusal, kept) = broken(&|files| files.iter().for_each(|file| fs::remove_file(file).unwrap()));
    assert!(refusal.contains("the segments from position 0 to 60 are missing") && kept == 0, "{refusal}");
}

#[test]
fn an_index_that_is_missing_or_damaged_is_made_anew() {
    let directory = Directory::new();
    let log = directory.log();
    write_each(&log, 0..60);
    maintain(&log, 0, Timestamp::from_millis(0));
    drop(log);
    let indexes = directory.files("index");
    fs::remove_file(&indexes[0]).unwrap();
    flip(&indexes[1], 30);
    let log = directory.log();
    assert_eq!(of_person(&log, "p0").len(), 20);
    maintain(&log, 0, Timestamp::from_millis(0));
    assert_eq!(directory.files("index"), indexes);
}

#[test]
fn an_erased_person_is_in_no_answer_and_soon_in_no_file_and_nobody_else_moves() {
    let directory = Directory::new();
    let log = directory.log();
    write_each(&log, 0..30);
    write(&log, vec![log.erasure("p1", Timestamp::from_millis(0))]);
    write(&log, vec![entry("p1", 99, 0)]);
    assert_eq!(of_person(&log, "p1").len(), 1, "what came after the erasure stands");
    let contains = |text: &str| {
        directory
            .files("log")
            .iter()
            .any(|file| fs::read(file).unwrap().windows(text.len()).any(|w| w == text.as_bytes()))
    };
    assert!(contains(r#""p1","event_id":"4""#));
    let done = maintain(&log, 0, Timestamp::from_millis(0));
    assert_eq!(done.records_erased, 10);
    assert!(!contains(r#""p1","event_id":"4""#) && contains(r#""p1","event_id":"99""#));
    assert_eq!(log.status().erasures_pending, 0);
    drop(log);
    let log = directory.log();
    assert_eq!(log.status().erasures_pending, 0);
    let kinds = read(&log, 0);
    assert!(kinds.iter().all(|(position, kind)| match position {
        30 => *kind == Kind::Erasure,
        31 => *kind == Kind::Event,
        _ => (*kind == Kind::Erased) == (position % 3 == 1),
    }));
    assert_eq!(kinds.len(), 32);
    assert!(log.reading().erasures().cover("p1", Position(29)) && !log.reading().erasures().cover("p1", Position(31)));
    assert!(!log.reading().erasures().cover("p2", Position(0)));
}

#[test]
fn an_erasure_that_was_interrupted_is_finished_after_the_next_start() {
    let directory = Directory::new();
    let log = directory.log();
    write_each(&log, 0..30);
    write(&log, vec![log.erasure("p1", Timestamp::from_millis(0))]);
    drop(log);
    let log = directory.log();
    assert_eq!(log.status().erasures_pending, 1);
    assert!(of_person(&log, "p1").is_empty());
    assert_eq!(maintain(&log, 0, Timestamp::from_millis(0)).records_erased, 10);
}

#[test]
fn an_erasure_turns_no_damage_of_others_into_loss() {
    let directory = Directory::new();
    let log = directory.log();
    write_each(&log, 0..30);
    write(&log, vec![log.erasure("p1", Timestamp::from_millis(0))]);
    let first = &directory.files("log")[0];
    let length = entry("p0", 0, 0).bytes();
    // In the body of the third record, which is of somebody else.
    flip(first, 48 + 2 * length + 40);
    let error = log.maintain(&log.pending(), Position(0), Timestamp::from_millis(0)).unwrap_err().to_string();
    assert!(error.contains("is damaged at byte"), "{error}");
    assert_eq!(log.pending().len(), 1);
    drop(log);
    assert!(directory.refusal().contains("position 2 (1 record)"));
}

#[test]
fn a_relaxed_entry_is_handed_over_before_anything_behind_it_can_be_state() {
    let directory = Directory::new();
    let order = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let seen = order.clone();
    let deliver = Box::new(move |entry: &Entry| {
        seen.lock().push((entry.kind, "durable"));
        Ok(Taken::New)
    });
    let log = Opened::open(&directory.settings(), false).unwrap().start(Position(u64::MAX), deliver).unwrap();
    let at_once = |entry: &Entry| order.lock().push((entry.kind, "at once"));
    log.submit(vec![entry("p", 1, 0)], Promise::Relaxed(&at_once)).unwrap();
    write(&log, vec![log.erasure("p", Timestamp::from_millis(0))]);
    let expected = [(Kind::Event, "at once"), (Kind::Event, "durable"), (Kind::Erasure, "durable")];
    assert_eq!(*order.lock(), expected);
}

#[test]
fn a_writer_that_meets_a_defect_starts_again_and_loses_nothing_that_was_acknowledged() {
    let directory = Directory::new();
    let deliver = Box::new(|entry: &Entry| match entry.person.as_ref() {
        "poison" => panic!("a defect"),
        _ => Ok(Taken::New),
    });
    let settings = config::Log { retry: config::Duration::try_from("1ms".to_owned()).unwrap(), ..directory.settings() };
    let log = Opened::open(&settings, false).unwrap().start(Position(u64::MAX), deliver).unwrap();
    write_each(&log, 0..3);
    for id in 3..5 {
        let poison = Entry { person: "poison".into(), ..entry("somebody", id, 0) };
        assert!(log.submit(vec![poison], Promise::Durable).unwrap().wait().is_err());
        while log.submit(vec![], Promise::Durable).and_then(|receipt| receipt.wait()).is_err() {}
    }
    write_each(&log, 5..7);
    assert_eq!(log.status().waiting_records, 0);
    drop(log);
    let after = directory.log();
    assert_eq!(read(&after, 0).len(), 5, "what was acknowledged, and nothing else");
}

#[test]
fn old_segments_go_only_once_a_checkpoint_covers_them() {
    let directory = Directory::new();
    let log = directory.log();
    write_each(&log, 0..60);
    let much_later = Timestamp::from_millis(1000 * 86_400_000);
    assert_eq!(maintain(&log, 0, much_later).segments_dropped, 0);
    assert!(maintain(&log, 20, much_later).segments_dropped > 0);
    let first = log.reading().range().start;
    assert!(first > Position(0) && first <= Position(20));
    let left = log.status().segments;
    assert_eq!(maintain(&log, 60, much_later).segments_dropped, left - 1);
    drop(log);
    let log = directory.log();
    assert!(log.reading().range().start > Position(20) && log.reading().range().end == Position(60));
}

#[test]
fn one_process_writes_a_log() {
    let directory = Directory::new();
    let _log = directory.log();
    assert!(directory.refusal().contains("in use by another process"));
}
