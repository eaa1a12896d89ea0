//! What a request meets that came before, in whatever way it came before.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::config::{Config, Override};

const HOUR_MS: i64 = 3_600_000;

/// A ledger in a directory that goes with its test.
struct Fixture {
    directory: PathBuf,
    ledger: Arc<Ledger>,
    settings: config::Ledger,
}

impl Fixture {
    fn new(settings: &[&str]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("cauce-ledger-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let flags = settings.iter().map(|text| Override::parse(text).unwrap()).collect();
        let mut settings = Config::load(None, std::iter::empty(), flags).unwrap().ledger;
        settings.directory.clone_from(&directory);
        Self { ledger: open(&settings), directory, settings }
    }

    fn restarted(&mut self) {
        self.ledger.stop();
        self.ledger = open(&self.settings);
    }

    fn begin(&self, key: &str, body: &str, ms: i64) -> Begin {
        let asked = Asked::new(Key::given("/v1/score", key), body.as_bytes(), "");
        match self.ledger.begin(asked, ["c-1"], at(ms)) {
            Begin::OnDisk(fetch) => fetch.read(),
            begun => begun,
        }
    }

    /// Answers a request that is new.
    fn answer(&self, key: &str, body: &str, ms: i64) {
        match self.begin(key, body, ms) {
            Begin::Fresh(reservation) => drop(reservation.keep(stored(body))),
            other => panic!("it is not new: {}", name(&other)),
        }
    }

    #[track_caller]
    fn expect(&self, key: &str, body: &str, ms: i64, expected: &str) {
        let begun = self.begin(key, body, ms);
        assert_eq!(name(&begun), expected, "{key} {body}");
        if let Begin::Replay(found) = begun {
            assert_eq!(found, stored(body));
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.ledger.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn open(settings: &config::Ledger) -> Arc<Ledger> {
    Arc::new(Ledger::open(settings, Durability::Relaxed, OnDamage::Refuse, at(0)).unwrap())
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_768_485_600_000 + ms)
}

fn stored(body: &str) -> Stored {
    Stored { status: 200, body: format!("answer to {body}").into() }
}

fn name(begun: &Begin) -> &'static str {
    match begun {
        Begin::Fresh(_) => "fresh",
        Begin::Replay(_) => "replay",
        Begin::Mismatch => "mismatch",
        Begin::InFlight => "in flight",
        Begin::OnDisk(_) => "on disk",
    }
}

#[test]
fn the_same_request_again_gets_the_answer_that_it_got_and_another_is_refused() {
    let mut fixture = Fixture::new(&[]);
    fixture.answer("k", "body", 0);
    for _ in 0..2 {
        fixture.expect("k", "body", 1, "replay");
        fixture.expect("k", "other", 1, "mismatch");
        fixture.expect("other", "body", 1, "fresh");
        fixture.restarted();
    }
    assert_eq!(fixture.ledger.status().shelf.entries, 1);
}

#[test]
fn a_key_is_one_requests_until_it_is_answered_or_given_up() {
    let fixture = Fixture::new(&[]);
    let first = fixture.begin("k", "body", 0);
    assert_eq!(name(&first), "fresh");
    fixture.expect("k", "body", 0, "in flight");
    fixture.expect("k", "other", 0, "in flight");
    drop(first);
    let Begin::Fresh(second) = fixture.begin("k", "other", 0) else { panic!("a request that failed is tried again") };
    let _ = second.keep(stored("other"));
    fixture.expect("k", "other", 0, "in flight");
    drop(second);
    fixture.expect("k", "other", 0, "replay");
}

#[test]
fn what_is_not_in_memory_is_read_from_the_disk_on_whatever_thread_the_caller_chooses() {
    let fixture = Fixture::new(&["ledger.memory=0B"]);
    fixture.answer("k", "body", 0);
    fixture.ledger.front.run_pending_tasks();
    let asked = || Asked::new(Key::given("/v1/score", "k"), b"body", "");
    let Begin::OnDisk(fetch) = fixture.ledger.begin(asked(), [], at(1)) else { panic!("nothing is in memory") };
    let read = std::thread::spawn(|| fetch.read()).join().unwrap();
    assert!(matches!(read, Begin::Replay(found) if found == stored("body")));
    // A key that was never seen is no reason to look.
    let new = Asked::new(Key::given("/v1/score", "new"), b"body", "");
    assert_eq!(name(&fixture.ledger.begin(new, [], at(1))), "fresh");
}

#[test]
fn an_answer_is_kept_as_long_as_configured() {
    let fixture = Fixture::new(&["ledger.keep=1h"]);
    fixture.answer("k", "body", 0);
    fixture.expect("k", "body", HOUR_MS - 1, "replay");
    fixture.expect("k", "other", HOUR_MS, "fresh");
    fixture.answer("k", "other", HOUR_MS);
    fixture.expect("k", "other", HOUR_MS + 1, "replay");
}

#[test]
fn an_answer_that_is_too_large_is_counted_and_not_kept() {
    let fixture = Fixture::new(&["ledger.answer=5B"]);
    fixture.answer("k", "body", 0);
    fixture.expect("k", "body", 1, "fresh");
    let status = fixture.ledger.status();
    assert_eq!((status.too_large, status.shelf.entries), (1, 0));
}

#[test]
fn what_was_answered_before_a_person_was_erased_is_not_repeated() {
    let mut fixture = Fixture::new(&[]);
    fixture.answer("k", "body", 0);
    let _ = fixture.ledger.forget("c-1", at(10));
    let _ = fixture.ledger.forget("c-2", at(10));
    fixture.expect("k", "body", 20, "fresh");
    fixture.restarted();
    fixture.expect("k", "body", 20, "fresh");
    fixture.answer("k", "body", 20);
    fixture.expect("k", "body", 30, "replay");
    fixture.restarted();
    fixture.expect("k", "body", 30, "replay");
}

#[test]
fn many_threads_with_one_key_answer_it_once() {
    let fixture = Fixture::new(&[]);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..500 {
                    let key = number.to_string();
                    loop {
                        match fixture.begin(&key, &key, 0) {
                            Begin::Fresh(reservation) => {
                                answered.fetch_add(1, Ordering::Relaxed);
                                let _ = reservation.keep(stored(&key));
                            }
                            Begin::InFlight => continue,
                            other => assert_eq!(name(&other), "replay"),
                        }
                        break;
                    }
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), 500);
}
