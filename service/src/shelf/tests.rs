//! What a shelf keeps, for how long, and what it does when the disk does not.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::generations::{Turn, turn};
use super::*;

const HOUR_MS: i64 = 3_600_000;
const BOUNDS: Bounds =
    Bounds { entries: 1_000, bytes: 1 << 30, keep: Duration::from_millis(HOUR_MS as u64), queue: 1 << 20 };

/// A directory that goes with its test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cauce-shelf-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self, bounds: Bounds, now: Timestamp) -> Shelf {
        Shelf::open(&self.0, bounds, OnDamage::Refuse, now).unwrap()
    }

    fn generations(&self) -> Vec<PathBuf> {
        let found = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        // One that is on its way out is out of sight.
        let mut found: Vec<_> = found.filter(|path| !path.to_string_lossy().ends_with(".gone")).collect();
        found.sort();
        found
    }

    /// What a process that was killed would leave behind at this moment.
    fn as_if_killed(&self) -> Self {
        let copy = Self::new();
        copy_all(&self.0, &copy.0);
        copy
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_768_485_600_000 + ms)
}

/// Spread over all bits, as hashes are.
fn key(number: u64) -> u128 {
    xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes())
}

fn value(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Puts a value and waits until it is on disk.
fn keep(shelf: &Shelf, number: u64, text: &str, now: Timestamp) {
    let receipt = shelf.put_durable(key(number), value(text), now).expect("there is room");
    assert_eq!(receipt.0.blocking_recv().unwrap(), Ok(()));
}

#[track_caller]
fn expect(shelf: &Shelf, number: u64, now: Timestamp, text: Option<&str>) {
    let found = shelf.get(key(number), now).unwrap().map(|shelved| shelved.value);
    assert_eq!(found, text.map(value), "{number}");
}

#[test]
fn a_value_is_read_at_once_and_again_after_a_restart() {
    let directory = Directory::new();
    let long = "x".repeat(100_000);
    let shelf = directory.open(BOUNDS, at(0));
    assert!(shelf.put(key(1), value("one"), at(0)));
    assert!(shelf.put(key(2), value(&long), at(0)));
    let check = |shelf: &Shelf| {
        expect(shelf, 1, at(1), Some("one"));
        expect(shelf, 2, at(1), Some(&long));
        expect(shelf, 3, at(1), None);
        assert!(shelf.holds(key(1)) && shelf.holds(key(2)) && !shelf.holds(key(3)));
        assert_eq!(shelf.status().entries, 2);
    };
    check(&shelf);
    shelf.stop();
    drop(shelf);
    check(&directory.open(BOUNDS, at(1)));
}

#[test]
fn what_reached_the_writer_outlives_a_process_that_is_killed() {
    let directory = Directory::new();
    let shelf = directory.open(BOUNDS, at(0));
    (0..500).for_each(|number| assert!(shelf.put(key(number), value(&format!("value {number}")), at(0))));
    let until = Instant::now() + Duration::from_secs(20);
    while shelf.status().waiting_bytes > 0 && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
    }
    let killed = directory.as_if_killed();
    let shelf = killed.open(BOUNDS, at(1));
    (0..500).for_each(|number| expect(&shelf, number, at(1), Some(&format!("value {number}"))));
}

#[test]
fn the_last_value_under_a_key_counts_whether_it_is_on_disk_or_not() {
    let directory = Directory::new();
    let shelf = directory.open(BOUNDS, at(0));
    keep(&shelf, 1, "first", at(0));
    assert!(shelf.put(key(1), value("second"), at(1)));
    expect(&shelf, 1, at(2), Some("second"));
    keep(&shelf, 1, "third", at(2));
    expect(&shelf, 1, at(3), Some("third"));
    drop(shelf);
    expect(&directory.open(BOUNDS, at(3)), 1, at(3), Some("third"));
}

#[test]
fn a_value_lives_as_long_as_asked_and_is_then_not_shown() {
    let directory = Directory::new();
    let shelf = directory.open(BOUNDS, at(0));
    keep(&shelf, 1, "one", at(HOUR_MS / 2));
    // The generations change places on the way.
    keep(&shelf, 2, "two", at(HOUR_MS));
    expect(&shelf, 1, at(HOUR_MS * 3 / 2 - 1), Some("one"));
    expect(&shelf, 1, at(HOUR_MS * 3 / 2), None);
    expect(&shelf, 2, at(HOUR_MS * 3 / 2), Some("two"));
    assert_eq!(shelf.status().evicted_early, 0);
}

#[test]
fn a_generation_leaves_the_disk_when_all_of_it_is_too_old_and_its_age_survives_restarts() {
    let directory = Directory::new();
    for (hour, generations) in [(0, 1), (1, 2), (2, 2), (3, 2)] {
        let shelf = directory.open(BOUNDS, at(hour * HOUR_MS));
        keep(&shelf, hour as u64, "value", at(hour * HOUR_MS));
        assert_eq!(directory.generations().len(), generations, "hour {hour}");
        assert_eq!(shelf.status().entries, generations);
        drop(shelf);
    }
    // Half an hour later the same generation goes on.
    let before = directory.generations();
    let shelf = directory.open(BOUNDS, at(HOUR_MS * 7 / 2));
    keep(&shelf, 9, "value", at(HOUR_MS * 7 / 2));
    assert_eq!(directory.generations(), before);
}

#[test]
fn too_many_values_are_bounded_and_what_goes_before_its_time_is_counted() {
    let directory = Directory::new();
    let bounds = Bounds { entries: 100, ..BOUNDS };
    let shelf = directory.open(bounds, at(0));
    for number in 0..200 {
        keep(&shelf, number, "value", at(0));
        assert!(shelf.status().entries <= 100, "{number}");
    }
    expect(&shelf, 199, at(0), Some("value"));
    expect(&shelf, 0, at(0), None);
    assert_eq!(shelf.status().evicted_early, 100);
    assert_eq!(directory.generations().len(), 2);
}

#[test]
fn generations_change_places_by_age_by_number_and_by_bytes() {
    let bounds = Bounds { entries: 10, bytes: 1_000, ..BOUNDS };
    let fill = |entries, bytes| Fill { entries, bytes };
    for (fill, age_ms, expected) in [
        (fill(0, 0), 0, Turn::Stay),
        (fill(4, 499), HOUR_MS - 1, Turn::Stay),
        (fill(4, 0), HOUR_MS, Turn::Due),
        (fill(5, 0), 0, Turn::Early),
        (fill(1, 500), 0, Turn::Early),
        (fill(5, 0), HOUR_MS, Turn::Due),
        // A clock that was set back.
        (fill(4, 0), -HOUR_MS, Turn::Stay),
    ] {
        assert_eq!(turn(fill, at(0), at(age_ms), &bounds), expected, "{fill:?} {age_ms}");
    }
}

#[test]
fn a_full_queue_takes_nothing_and_counts_what_it_did_not_take() {
    let directory = Directory::new();
    let shelf = directory.open(Bounds { queue: 10_000, ..BOUNDS }, at(0));
    let large = value(&"x".repeat(9_000));
    let taken = (0..100).filter(|number| shelf.put(key(*number), large.clone(), at(0))).count();
    assert!((1..100).contains(&taken), "{taken}");
    assert_eq!(shelf.status().dropped, 100 - taken as u64);
    assert!(shelf.status().waiting_bytes <= 10_000);
}

#[test]
fn a_shelf_is_open_once() {
    let directory = Directory::new();
    let _shelf = directory.open(BOUNDS, at(0));
    let second = Shelf::open(&directory.0, BOUNDS, OnDamage::StartAnew, at(0)).err();
    assert!(matches!(second, Some(ShelfError::InUse(_))), "{second:?}");
}

#[test]
fn a_damaged_directory_is_refused_or_begun_anew_as_was_asked() {
    let directory = Directory::new();
    keep(&directory.open(BOUNDS, at(0)), 1, "one", at(0));
    fs::remove_file(directory.generations()[0].join("version")).unwrap();
    let refused = Shelf::open(&directory.0, BOUNDS, OnDamage::Refuse, at(0)).err();
    assert!(matches!(refused, Some(ShelfError::Damaged(_))), "{refused:?}");
    let shelf = Shelf::open(&directory.0, BOUNDS, OnDamage::StartAnew, at(0)).unwrap();
    expect(&shelf, 1, at(0), None);
    keep(&shelf, 1, "again", at(0));
    expect(&shelf, 1, at(0), Some("again"));
}

#[test]
fn what_never_became_whole_or_should_be_gone_is_removed_at_the_next_start() {
    let directory = Directory::new();
    for hour in 0..3 {
        keep(&directory.open(BOUNDS, at(hour * HOUR_MS)), hour as u64, "value", at(hour * HOUR_MS));
    }
    let generations = directory.generations();
    copy_all(&generations[0], &directory.0.join(format!("1-{}", at(0).millis())));
    copy_all(&generations[0], &directory.0.join("9.new"));
    copy_all(&generations[0], &directory.0.join("1-0.gone"));
    let shelf = directory.open(BOUNDS, at(2 * HOUR_MS));
    assert_eq!(directory.generations(), generations);
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), generations.len());
    expect(&shelf, 2, at(2 * HOUR_MS), Some("value"));
}

#[test]
fn a_disk_that_fails_is_said_nobody_waits_and_what_is_there_is_still_read() {
    let directory = Directory::new();
    let shelf = directory.open(BOUNDS, at(0));
    keep(&shelf, 1, "one", at(0));
    // No generation can be made where a file stands in the way.
    fs::write(directory.0.join("2.new"), "").unwrap();
    let receipt = shelf.put_durable(key(2), value("two"), at(HOUR_MS)).unwrap();
    assert!(receipt.0.blocking_recv().unwrap().is_err());
    let status = shelf.status();
    assert!(status.refuses.is_some() && status.dropped == 1 && status.waiting_bytes == 0, "{status:?}");
    assert!(
        !shelf.put(key(3), value("three"), at(HOUR_MS)) && shelf.put_durable(key(3), value("three"), at(0)).is_none()
    );
    expect(&shelf, 1, at(1), Some("one"));
    fs::remove_file(directory.0.join("2.new")).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while shelf.status().refuses.is_some() && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    keep(&shelf, 2, "two", at(HOUR_MS));
    expect(&shelf, 1, at(1), Some("one"));
    expect(&shelf, 2, at(HOUR_MS), Some("two"));
}

#[test]
fn it_shows_what_a_map_would_whatever_is_put_read_and_reopened() {
    let directory = Directory::new();
    let mut shelf = directory.open(BOUNDS, at(0));
    let mut map: HashMap<u64, (i64, String)> = HashMap::new();
    let (mut random, mut now) = (7_u64, 0);
    let mut below = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    for step in 0..3_000 {
        now += below(20_000) as i64;
        let number = below(200);
        match below(100) {
            0..50 => {
                let text = "x".repeat(below(400) as usize) + &step.to_string();
                assert!(shelf.put(key(number), value(&text), at(now)));
                map.insert(number, (now, text));
            }
            50..99 => {
                let expected = map.get(&number).filter(|(put, _)| now - put < HOUR_MS);
                expect(&shelf, number, at(now), expected.map(|(_, text)| text.as_str()));
            }
            _ => {
                drop(shelf);
                shelf = directory.open(BOUNDS, at(now));
            }
        }
    }
    assert_eq!((shelf.status().dropped, shelf.status().evicted_early), (0, 0));
}
