//! What is posted and what is promised of it, against librdkafka's mock of a cluster. A real one is in `tests/`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cauce_features::event::{Event, EventId};
use cauce_features::time::Timestamp;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::KafkaLog;
use crate::config::{self, Config, Override};
use crate::ingest::Taken;
use crate::kafka::Cluster;
use crate::kafka::applied::Applied;
use crate::kafka::partitioner::partition_of;
use crate::log::{Accepted, Change, Entry, EventLog, Kind, LogError, Promise, Receipt, Settled, Stored};

const PARTITIONS: usize = 3;

/// A cluster of one broker, and what is configured; the outbox is removed behind a test.
struct Fixture {
    mock: MockCluster<'static, DefaultProducerContext>,
    settings: Config,
    applied: Arc<Applied>,
    directory: PathBuf,
}

impl Fixture {
    fn new(when_down: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("cauce-outbox-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let mock = MockCluster::new(1).unwrap();
        let set = |path: &str, value: String| Override { path: path.into(), value };
        let settings = Config::load(
            None,
            std::iter::empty(),
            vec![
                set("kafka.brokers", mock.bootstrap_servers()),
                set("kafka.outbox", directory.display().to_string()),
                set("kafka.when_down", when_down.into()),
                set("kafka.ack_timeout", "2s".into()),
            ],
        )
        .unwrap();
        for topic in [&settings.kafka.events, &settings.kafka.applications] {
            mock.create_topic(topic, PARTITIONS as i32, 1).unwrap();
        }
        Self { mock, settings, applied: Arc::new(Applied::new(PARTITIONS)), directory }
    }

    fn log(&self) -> KafkaLog {
        self.log_with(&self.settings.log)
    }

    fn log_with(&self, log: &config::Log) -> KafkaLog {
        let cluster = Cluster::of(&self.settings.kafka).unwrap();
        KafkaLog::new(&cluster, self.applied.clone(), log, false).unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn entry(person: &str, id: u64) -> Entry {
    let time = Timestamp::from_millis(1000);
    let event = Event::new(person, EventId::from_bits(id), time, 0, vec![]);
    let body = Bytes::from(format!(r#"{{"person_id":"{person}","event_id":"{id}"}}"#));
    Entry { kind: Kind::Event, arrived_at: time, person: "".into(), id: "".into(), body, change: Change::Apply(event) }
}

fn submit(log: &KafkaLog, entries: Vec<Entry>) -> Result<Receipt, LogError> {
    log.submit(entries, Promise::Durable)
}

/// What became of one entry.
fn take(log: &KafkaLog, entry: Entry) -> Result<Accepted, LogError> {
    only(submit(log, vec![entry])?.wait())
}

fn only(settled: Settled) -> Result<Accepted, LogError> {
    settled?.into_iter().next().expect("an outcome for the entry")
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn partition(person: &str) -> usize {
    partition_of(person, PARTITIONS)
}

#[test]
fn an_acknowledged_event_has_the_offset_of_its_persons_partition() {
    let fixture = Fixture::new("refuse");
    let log = fixture.log();
    for offset in 0..2 {
        let accepted = take(&log, entry("c-1", offset)).unwrap();
        assert_eq!((accepted.position.0, accepted.outcome), (offset, Ok(Taken::Accepted)));
        assert_eq!(accepted.stored, Stored::Kafka { partition: partition("c-1") });
        assert_eq!(accepted.stored, log.home("c-1"));
    }
    assert_eq!((log.status().waiting_records, log.status().waiting_bytes), (0, 0));
}

#[test]
fn an_event_whose_history_is_kept_here_is_new_once_that_has_it() {
    let fixture = Fixture::new("refuse");
    let log = fixture.log();
    let here = partition("c-1");
    fixture.applied.advance(here, 0);
    let receipt = submit(&log, vec![entry("c-1", 1)]).unwrap();
    until("it is acknowledged", || log.status().waiting_records == 0);
    fixture.applied.advance(here, 1);
    assert_eq!(only(receipt.wait()).unwrap().outcome, Ok(Taken::New));
    // Nobody comes to this one: the answer leaves all the same.
    let started = Instant::now();
    assert_eq!(take(&log, entry("c-1", 2)).unwrap().outcome, Ok(Taken::Accepted));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn while_no_broker_is_there_events_are_refused_without_waiting() {
    let fixture = Fixture::new("refuse");
    fixture.mock.broker_down(1).unwrap();
    let log = fixture.log();
    until("the broker is missed", || log.status().refuses.is_some());
    let started = Instant::now();
    assert!(matches!(take(&log, entry("c-1", 1)), Err(LogError::Unavailable(_))));
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    assert!(!log.status().brokers.unwrap().reachable);
    fixture.mock.broker_up(1).unwrap();
    until("the broker is found again", || log.status().refuses.is_none());
    take(&log, entry("c-1", 1)).unwrap();
}

#[test]
fn what_no_broker_takes_is_kept_and_forwarded_once_one_does() {
    let fixture = Fixture::new("forward");
    fixture.mock.broker_down(1).unwrap();
    let log = fixture.log();
    let entries = (0..50).map(|id| entry(&format!("c-{}", id % 3), id)).collect();
    let settled = submit(&log, entries).unwrap().wait().unwrap();
    assert!(settled.iter().all(|settled| settled.as_ref().unwrap().stored == Stored::Outbox));
    assert_eq!(log.status().brokers.unwrap().outbox_records, 50);
    let erasure = log.erasure("c-1", Timestamp::from_millis(0));
    assert!(matches!(take(&log, erasure), Err(LogError::Unavailable(_))));
    fixture.mock.broker_up(1).unwrap();
    until("all is forwarded", || log.status().brokers.unwrap().outbox_records == 0);
    until("the broker is found again", || log.status().brokers.unwrap().reachable);
    for person in ["c-0", "c-1", "c-2"] {
        let bodies: Vec<_> = log.reading().all_of_person(person).unwrap().into_iter().map(|one| one.body).collect();
        let expected: Vec<_> = (0..50).map(|id| entry(&format!("c-{}", id % 3), id)).collect();
        let expected =
            expected.iter().filter(|entry| matches!(&entry.change, Change::Apply(e) if e.person() == person));
        assert_eq!(bodies, expected.map(|entry| entry.body.clone()).collect::<Vec<_>>(), "{person}");
    }
    assert_eq!(take(&log, entry("c-1", 60)).unwrap().stored, log.home("c-1"));
}

#[test]
fn what_a_former_process_left_is_forwarded_even_if_nothing_is_kept_any_more() {
    let mut fixture = Fixture::new("forward");
    fixture.mock.broker_down(1).unwrap();
    let log = fixture.log();
    assert_eq!(take(&log, entry("c-1", 7)).unwrap().stored, Stored::Outbox);
    drop(log);
    fixture.settings.kafka.when_down = config::WhenDown::Refuse;
    fixture.mock.broker_up(1).unwrap();
    let log = fixture.log();
    until("it is forwarded", || log.status().brokers.unwrap().outbox_records == 0);
    assert_eq!(log.reading().all_of_person("c-1").unwrap()[0].body, entry("c-1", 7).body);
}

#[test]
fn a_full_outbox_takes_nothing_more() {
    let fixture = Fixture::new("forward");
    fixture.mock.broker_down(1).unwrap();
    let log = fixture.log_with(&config::Log {
        retain_size: config::Size::try_from("1KiB".to_owned()).unwrap(),
        ..fixture.settings.log.clone()
    });
    let outcomes: Vec<_> = (0..20).map(|id| take(&log, entry("c-1", id))).collect();
    assert!(outcomes[0].is_ok());
    assert!(matches!(outcomes[19], Err(LogError::Full)), "{:?}", outcomes[19]);
    assert!(matches!(log.status().refuses, Some(LogError::Full)));
}

#[test]
fn what_stands_before_an_erasure_is_not_shown() {
    let fixture = Fixture::new("refuse");
    let log = fixture.log();
    take(&log, entry("c-1", 1)).unwrap();
    take(&log, log.erasure("c-1", Timestamp::from_millis(0))).unwrap();
    let application =
        Entry { kind: Kind::Fields, id: "a-1".into(), arrived_at: Timestamp::from_millis(77), ..entry("c-1", 2) };
    take(&log, application.clone()).unwrap();
    let records = log.reading().all_of_person("c-1").unwrap();
    assert_eq!(records.len(), 1);
    let shown = (records[0].kind, &*records[0].id, records[0].arrived_at, records[0].position.0);
    assert_eq!(shown, (Kind::Fields, "a-1", Timestamp::from_millis(77), 2));
    assert_eq!(records[0].body, application.body);
}

#[test]
fn what_is_relaxed_is_not_state_before_the_consumer_comes_to_it() {
    let fixture = Fixture::new("refuse");
    let log = fixture.log();
    fixture.applied.advance(partition("c-1"), 0);
    let receipt = log.submit(vec![entry("c-1", 1)], Promise::Relaxed(&|_| panic!("it is state at once"))).unwrap();
    assert_eq!(only(receipt.wait()).unwrap().outcome, Ok(Taken::Accepted));
}

#[test]
fn a_batch_is_taken_by_partition_each_on_its_own() {
    let fixture = Fixture::new("refuse");
    let log = fixture.log();
    let other = (2..).map(|n| format!("c-{n}")).find(|other| partition(other) != partition("c-1")).unwrap();
    take(&log, entry("c-1", 0)).unwrap();
    // The next request is refused, whichever partition it is for.
    fixture.mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let settled = submit(&log, vec![entry("c-1", 1), entry(&other, 2)]).unwrap().wait().unwrap();
    let refused = settled.iter().filter(|settled| matches!(settled, Err(LogError::Unavailable(_)))).count();
    assert_eq!((settled.len(), refused), (2, 1), "{settled:?}");
    assert!(log.status().refuses.is_none());
}

#[test]
fn more_than_may_wait_is_refused() {
    let fixture = Fixture::new("refuse");
    fixture.mock.broker_round_trip_time(1, Duration::from_millis(100)).unwrap();
    let log = fixture.log_with(&config::Log {
        queue: config::Size::try_from("256B".to_owned()).unwrap(),
        ..fixture.settings.log.clone()
    });
    let receipts: Vec<_> = (0..20).map(|id| submit(&log, vec![entry("c-1", id)])).collect();
    assert!(matches!(receipts[19], Err(LogError::Busy)));
    only(receipts.into_iter().next().unwrap().unwrap().wait()).unwrap();
}
