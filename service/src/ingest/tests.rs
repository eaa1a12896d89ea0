//! What is taken in and what is not, with the real log in a directory and a state in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use cauce_model::bundle::Limits;

use super::*;
use crate::config::Config;
use crate::log::embedded::Opened;

/// Log, store and what takes records into both, of the default bundle; removed behind a test.
pub(crate) struct Fixture {
    directory: PathBuf,
    pub(crate) store: Arc<Store>,
    pub(crate) histories: Arc<Histories>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) bundle: Arc<Bundle>,
}

impl Fixture {
    pub(crate) fn new(people: usize, applications: Durability) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("cauce-ingest-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let bundle = bundle("ahorro-valle");
        let store = Arc::new(Store::for_tests(people, bundle.plan()));
        let mut settings = Config::load(None, std::iter::empty(), Vec::new()).unwrap().log;
        settings.directory.clone_from(&directory);
        let (delivered, of) = (store.clone(), bundle.clone());
        let deliver = Box::new(move |entry: &Entry| apply(&delivered, of.plan(), entry));
        let log = Opened::open(&settings, false).unwrap().start(Position(0), deliver).unwrap();
        let histories = Arc::new(Histories::whole(store.clone()));
        let ingest = Arc::new(Ingest::new(Arc::new(log), histories.clone(), bundle.clone(), applications));
        Self { directory, store, histories, ingest, bundle }
    }

    /// Takes a payment in and waits until it is state.
    fn take(&self, person: &str, id: &str, time_ms: i64, amount: i64) -> Result<Taken, Refusal> {
        let json = payment(person, id, time_ms, amount);
        let event = Event::from_json(self.bundle.plan().specification(), json.as_bytes()).unwrap();
        match self.ingest.admit(event, json.into(), Timestamp::from_millis(NOW_MS)) {
            Ok(Admitted::Standing(taken)) => Ok(taken),
            Ok(Admitted::New(entry)) => {
                self.ingest.submit(vec![entry]).unwrap().wait().unwrap()[0].clone().unwrap().outcome
            }
            Err(IngestError::Refused(refusal)) => Err(refusal),
            Err(error) => panic!("{error}"),
        }
    }

    fn held(&self, person: &str) -> Option<usize> {
        let plan = self.bundle.plan();
        self.store.read(plan, person, |timeline| timeline.map(|timeline| timeline.len(plan))).unwrap()
    }

    /// The state that a replay of this log gives, beside this one.
    fn replayed(&self) -> Store {
        let fresh = Store::for_tests(1000, self.bundle.plan());
        replay(&fresh, self.bundle.plan(), self.ingest.log().reading(), Position(0), at(NOW_MS), |_| ()).unwrap();
        fresh
    }

    fn digest(&self, store: &Store) -> String {
        store.digest(self.bundle.plan(), Timestamp::from_millis(NOW_MS)).unwrap().to_string()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn bundle(name: &str) -> Arc<Bundle> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/artifacts").join(name);
    Arc::new(Bundle::load(&directory, &Limits::default()).unwrap())
}

/// 2026-01-15T14:00:00Z.
const NOW_MS: i64 = 1_768_485_600_000;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn payment(person: &str, id: &str, time_ms: i64, amount: i64) -> String {
    let time = Timestamp::from_millis(time_ms);
    format!(
        r#"{{"person_id":"{person}","event_id":"{id}","type":"payment","time":"{time}","data":{{"amount":{amount},"days_past_due":0}}}}"#
    )
}

fn application(bundle: &Bundle, person: &str, id: &str) -> (Application, Posted) {
    let json = format!(
        r#"{{"person_id":"{person}","application_id":"{id}","application":{{"monthly_income":1200.5,"amount":5000,"credit_score":640}}}}"#
    );
    let read = Application::from_json(bundle.plan().specification(), json.as_bytes(), "none").unwrap();
    (read, Posted::Envelope(json.into()))
}

#[test]
fn an_event_is_taken_between_the_horizon_and_the_clock_skew() {
    let fixture = Fixture::new(10, Durability::Relaxed);
    let specification = fixture.bundle.plan().specification();
    let (horizon, skew) = (specification.horizon.millis(), specification.clock_skew.millis());
    let cases = [
        (NOW_MS - horizon, Err(Refusal::TooLate)),
        (NOW_MS - horizon + 1, Ok(Taken::New)),
        (NOW_MS + skew, Ok(Taken::New)),
        (NOW_MS + skew + 1, Err(Refusal::InFuture)),
    ];
    for (time_ms, expected) in cases {
        assert_eq!(fixture.take("c-1", "1", time_ms, 5), expected, "{time_ms}");
    }
}

#[test]
fn the_same_event_again_is_not_written_again_and_lesser_content_never_is() {
    let fixture = Fixture::new(10, Durability::Relaxed);
    for (amount, expected) in [(1, Taken::New), (1, Taken::Duplicate), (2, Taken::Conflict), (1, Taken::Conflict)] {
        assert_eq!(fixture.take("c-1", "1", NOW_MS, amount), Ok(expected), "{amount}");
    }
    assert_eq!(fixture.ingest.log().reading().range().end, Position(2));
    let id = EventId::parse("1").unwrap();
    let position = |time| fixture.ingest.position_of("c-1", id, Timestamp::from_millis(time)).unwrap();
    assert_eq!((position(NOW_MS), position(NOW_MS + 1)), (Some(Position(0)), None));
}

#[test]
fn a_full_store_still_takes_events_of_people_it_knows() {
    let fixture = Fixture::new(2, Durability::Relaxed);
    for (person, expected) in [("a", Ok(Taken::New)), ("b", Ok(Taken::New)), ("c", Err(Refusal::StoreFull))] {
        assert_eq!(fixture.take(person, "1", NOW_MS, 5), expected, "{person}");
    }
    assert_eq!(fixture.take("a", "2", NOW_MS, 5), Ok(Taken::New));
    assert_eq!(fixture.store.people(), 2);
}

#[test]
fn an_application_is_state_at_once_or_once_it_is_durable_as_is_configured() {
    for durability in [Durability::Relaxed, Durability::Durable] {
        let fixture = Fixture::new(10, durability);
        let (application, posted) = application(&fixture.bundle, "c-1", "a-1");
        let recording = fixture.ingest.record(vec![(&application, posted)], Timestamp::from_millis(NOW_MS));
        assert_eq!(recording.recorded, [true]);
        match durability {
            Durability::Relaxed => assert!(recording.receipt.is_none() && fixture.held("c-1") == Some(1)),
            Durability::Durable => {
                assert_eq!(recording.receipt.unwrap().wait().unwrap()[0].clone().unwrap().outcome, Ok(Taken::New));
                assert_eq!(fixture.held("c-1"), Some(1));
            }
        }
    }
}

#[test]
fn a_replay_gives_the_state_that_was_served() {
    let fixture = Fixture::new(100, Durability::Durable);
    for n in 0..60 {
        let person = format!("c-{}", n % 7);
        let time_ms = NOW_MS - (n * 37 % 80) * DAY_MS - n * MINUTE_MS;
        fixture.take(&person, &n.to_string(), time_ms, n).unwrap();
    }
    let (envelope, fields) = (application(&fixture.bundle, "c-1", "a-1"), application(&fixture.bundle, "c-2", "a-2").0);
    let posted =
        Posted::Fields(Bytes::from_static(br#"{"monthly_income":1200.5,"amount":5000,"credit_score":640,"x":1}"#));
    let applications = vec![(&envelope.0, envelope.1), (&fields, posted)];
    let recording = fixture.ingest.record(applications, Timestamp::from_millis(NOW_MS));
    recording.receipt.unwrap().wait().unwrap();
    assert_eq!(fixture.digest(&fixture.replayed()), fixture.digest(&fixture.store));
}

#[test]
fn a_replay_meets_the_bound_on_a_persons_events_where_the_service_did() {
    let fixture = Fixture::new(100, Durability::Durable);
    let specification = fixture.bundle.plan().specification();
    let entries = |from: i64| -> Vec<Entry> {
        let admit = |n: i64| {
            let json = payment("busy", &n.to_string(), NOW_MS - (3000 - n) * MINUTE_MS, n);
            let event = Event::from_json(specification, json.as_bytes()).unwrap();
            match fixture.ingest.admit(event, json.into(), at(NOW_MS)).unwrap() {
                Admitted::New(entry) => entry,
                Admitted::Standing(taken) => panic!("{taken:?}"),
            }
        };
        (from..from + 1000).map(admit).collect()
    };
    for from in [0, 1000, 2000] {
        fixture.ingest.submit(entries(from)).unwrap().wait().unwrap();
    }
    assert!(fixture.store.coarsened() > 0, "the bound was not met");
    assert_eq!(fixture.digest(&fixture.replayed()), fixture.digest(&fixture.store));
}

#[test]
fn an_erased_person_is_gone_and_a_replay_leaves_them_out() {
    let fixture = Fixture::new(100, Durability::Relaxed);
    for (person, id) in [("a", "1"), ("b", "1"), ("a", "2")] {
        fixture.take(person, id, NOW_MS, 5).unwrap();
    }
    fixture.ingest.erase("a", Timestamp::from_millis(NOW_MS)).unwrap().wait().unwrap();
    assert_eq!((fixture.held("a"), fixture.held("b")), (None, Some(1)));
    fixture.take("a", "3", NOW_MS, 5).unwrap();
    let replayed = fixture.replayed();
    assert_eq!(fixture.digest(&replayed), fixture.digest(&fixture.store));
    assert_eq!(fixture.held("a"), Some(1));
}
