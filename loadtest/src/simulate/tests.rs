//! A made-up bank: the same for the same seed, valid by the shipped specification, and plausible in what it shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cauce_features::application::{Application, HistoricApplication, StreamedApplication};
use cauce_features::event::Event;
use cauce_features::spec::Specification;
use proptest::prelude::*;

use super::error::Error;
use super::faults::Faults;
use super::live::{Live, Pace, Sink};
use super::run::{Order, PERSON_DAYS_AT_ONCE, Run};
use super::*;

const RIGHT: Faults = Faults { seed: 1, duplicate_share: 0.0, invalid_share: 0.0 };

fn bank(seed: u64) -> Bank {
    let at = |text| Timestamp::parse(text).unwrap();
    Bank { seed, start: at("2025-10-01T00:00:00Z"), end: at("2026-07-01T00:00:00Z") }
}

fn run(people: u64, order: Order, threads: usize) -> Run {
    Run { bank: bank(1), people, late_share: 0.05, order, threads }
}

/// Everything that happens, in the order in which it is handed over.
fn all(run: &Run) -> Vec<Record> {
    let mut all = Vec::new();
    run.each(<[Record]>::to_vec, |piece| {
        all.extend(piece.formed);
        Ok(())
    })
    .unwrap();
    all
}

fn specification() -> &'static Specification {
    static PARSED: OnceLock<Specification> = OnceLock::new();
    PARSED.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/artifacts/ahorro-valle/features.toml");
        Specification::parse("features.toml", &fs::read_to_string(path).unwrap()).unwrap()
    })
}

/// A directory that is gone with its value.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cauce-simulate-{name}-{}", std::process::id()));
        Self(path)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Vec<(Timestamp, bool, Vec<u8>)>);

impl Sink for Kept {
    fn take(&mut self, record: Live<'_>) -> Result<(), Error> {
        self.0.push((record.arrived_at, record.is_application, record.line.to_vec()));
        Ok(())
    }

    fn rest(&mut self, _: Duration) {}

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

fn live(people: u64, faults: &Faults) -> Vec<(Timestamp, bool, Vec<u8>)> {
    let mut kept = Kept::default();
    live::send(&run(people, Order::Arrival, 2), faults, false, None, &mut kept, || ()).unwrap();
    kept.0
}

#[test]
fn same_seed_makes_the_same_bank_with_any_number_of_threads() {
    let written = |name: &str, threads| {
        let directory = Directory::new(name);
        files::write(&run(60, Order::Time, threads), &RIGHT, false, &directory.0, || ()).unwrap();
        ["events.ndjson", "applications.ndjson", "labels.ndjson", "people.ndjson"].map(|file| directory.read(file))
    };
    let one = written("one", 1);
    assert!(one == written("again", 1) && one == written("three", 3));
    assert_ne!(all(&run(60, Order::Time, 1)), all(&Run { bank: bank(2), ..run(60, Order::Time, 1) }));
}

#[test]
fn days_of_many_people_are_those_of_few() {
    // A slice is of a day here, and of a month there.
    let person = bank(1).person(7);
    let (mut whole, mut by_days) = (Vec::new(), Vec::new());
    person.events(0..273, 0.05, &mut whole);
    person.applications(0..273, 0.05, &mut whole);
    for day in 0..273 {
        person.events(day..day + 1, 0.05, &mut by_days);
        person.applications(day..day + 1, 0.05, &mut by_days);
    }
    whole.sort_by_key(|record| record.time);
    by_days.sort_by_key(|record| record.time);
    assert_eq!(whole, by_days);
}

#[test]
fn ids_rise_with_time_and_leave_none_out() {
    let records = all(&run(60, Order::Time, 2));
    assert!(records.iter().map(|record| record.number).eq(1..=records.len() as u64));
    assert!(records.is_sorted_by_key(|record| record.time));
    assert!(records.iter().all(|record| (bank(1).start..bank(1).end).contains(&record.time)));
}

#[test]
fn nothing_arrives_before_it_happened_and_a_few_transactions_late() {
    let records = all(&run(200, Order::Time, 2));
    let is_transaction = |record: &&Record| matches!(record.content, Content::Transaction { .. });
    let transactions = records.iter().filter(is_transaction).count();
    let late: Vec<_> = records.iter().filter(|record| record.arrived_at != record.time).collect();
    assert!(late.iter().all(|record| record.arrived_at > record.time && is_transaction(record)));
    let share = late.len() as f64 / transactions as f64;
    assert!((0.04..0.06).contains(&share), "{share}");
}

#[test]
fn people_without_history_and_short_forms_are_among_them() {
    let records = all(&run(200, Order::Time, 2));
    let of = |is_application| {
        let some = records.iter().filter(move |record| record.content.is_application() == is_application);
        some.map(|record| record.person).collect::<BTreeSet<_>>()
    };
    assert_eq!(of(true), (1..=200).collect(), "everybody applies");
    let without = 200 - of(false).len();
    assert!((15..50).contains(&without), "{without}");
    let short =
        |record: &&Record| matches!(&record.content, Content::Application { form, .. } if form.details.is_none());
    assert!(records.iter().any(|record| short(&record)));
}

#[test]
fn defaults_are_as_frequent_as_propensities_say() {
    let mut by_tenth = BTreeMap::<u32, (f64, f64)>::new();
    let (mut defaults, mut count) = (0.0, 0.0);
    for record in all(&run(2_000, Order::Time, 2)) {
        if let Content::Application { propensity, defaulted, .. } = record.content {
            let tenth = by_tenth.entry((propensity * 10.0) as u32).or_default();
            *tenth = (tenth.0 + f64::from(u8::from(defaulted)), tenth.1 + 1.0);
            defaults += f64::from(u8::from(defaulted));
            count += 1.0;
        }
    }
    assert!((0.08..0.20).contains(&(defaults / count)), "{}", defaults / count);
    for (tenth, (defaults, count)) in by_tenth.into_iter().filter(|(_, (_, count))| *count > 100.0) {
        let expected = f64::from(tenth) / 10.0;
        assert!((expected - 0.05..expected + 0.15).contains(&(defaults / count)), "{tenth}: {defaults} of {count}");
    }
}

#[test]
fn who_is_less_disciplined_pays_later() {
    let mut by_discipline = [(0.0, 0.0); 2];
    for record in all(&run(400, Order::Time, 2)) {
        if let Content::Payment { days_past_due, .. } = record.content {
            let half = &mut by_discipline[usize::from(bank(1).person(record.person).discipline > 0.0)];
            *half = (half.0 + f64::from(days_past_due), half.1 + 1.0);
        }
    }
    let [less, more] = by_discipline.map(|(days, payments)| days / payments);
    assert!(less > 1.5 * more, "{less} {more}");
}

#[test]
fn files_hold_what_backfill_reads() {
    let (specification, directory) = (specification(), Directory::new("valid"));
    let counts = files::write(&run(150, Order::Time, 2), &RIGHT, false, &directory.0, || ()).unwrap();
    let lines = |name: &str| directory.read(name).split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (mut events, mut late) = (0, 0);
    for line in lines("events.ndjson").iter().filter(|line| !line.is_empty()) {
        let event = Event::from_history(specification, line).unwrap();
        late += u64::from(event.arrived_at().is_some_and(|arrived_at| arrived_at > event.time()));
        events += 1;
    }
    let (mut applications, mut defaulted) = (0, 0);
    for line in lines("applications.ndjson").iter().filter(|line| !line.is_empty()) {
        let application = HistoricApplication::from_json(specification, line, "").unwrap();
        applications += 1;
        defaulted += u64::from(application.label.unwrap());
    }
    assert_eq!((events, applications, defaulted), (counts.events, counts.applications, counts.defaulted));
    assert!(late > 100, "{late}");
    assert_eq!(lines("labels.ndjson").len() as u64, applications + 1);
    let truths: Vec<serde_json::Value> = [lines("labels.ndjson"), lines("people.ndjson")]
        .concat()
        .iter()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert!(truths.iter().all(|truth| (0.0..1.0).contains(&truth["propensity"].as_f64().unwrap())));
}

#[test]
fn stream_comes_in_the_order_of_arrival_and_is_what_the_files_hold() {
    let specification = specification();
    let stream = live(150, &RIGHT);
    assert!(stream.is_sorted_by_key(|(arrived_at, ..)| *arrived_at));
    for (_, is_application, line) in &stream {
        if *is_application {
            StreamedApplication::from_json(specification, line, "").unwrap();
        } else {
            Event::from_json(specification, line).unwrap();
        }
    }
    assert_eq!(stream.len(), all(&run(150, Order::Time, 1)).len());
    let late = stream.iter().filter(|(arrived_at, is_application, line)| {
        !is_application && Event::from_json(specification, line).unwrap().time() < *arrived_at
    });
    assert!(late.count() > 100);
}

#[test]
fn faults_stand_beside_the_history_and_change_nothing_in_it() {
    let specification = specification();
    let is_valid = |is_application: bool, line: &[u8]| match is_application {
        true => StreamedApplication::from_json(specification, line, "").is_ok(),
        false => Event::from_json(specification, line).is_ok(),
    };
    let right = live(40, &RIGHT);
    let (mut valid, mut invalid) = (Vec::new(), 0);
    for record in live(40, &Faults { duplicate_share: 0.1, invalid_share: 0.1, ..RIGHT }) {
        match is_valid(record.1, &record.2) {
            true => valid.push(record),
            false => invalid += 1,
        }
    }
    let share = |count: usize| count as f64 / right.len() as f64;
    assert!((0.08..0.12).contains(&share(invalid)), "{invalid}");
    assert!((1.08..1.12).contains(&share(valid.len())), "{}", valid.len());
    valid.dedup();
    assert_eq!(valid, right);
}

#[test]
fn a_day_of_many_people_is_made_by_fewer_threads() {
    for (people, threads) in [(1, 32), (1 << 18, 32), (1 << 20, 8), (PERSON_DAYS_AT_ONCE, 1)] {
        let most = run(people, Order::Time, 1_000).threads_at_once();
        assert!(most <= threads && most as u64 * people <= PERSON_DAYS_AT_ONCE, "{people}: {most}");
    }
}

#[test]
fn a_pace_begins_with_the_first_record_and_makes_up_for_no_pause() {
    let (begin, at) = (Instant::now(), Duration::from_millis);
    let mut pace = Pace::new(10.0);
    for (now, due) in [
        // Whenever the first one is there; then a tenth of a second between them, also if one is a little late …
        (5_000, 5_000),
        (5_000, 5_100),
        (5_150, 5_200),
        (6_000, 5_300),
        // … but not what was due in a minute at once.
        (66_000, 66_000),
        (66_000, 66_100),
    ] {
        assert_eq!(pace.due(begin + at(now)).duration_since(begin), at(due), "at {now} ms");
    }
}

#[test]
fn events_alone_leave_no_applications_of_another_history_beside_them() {
    let directory = Directory::new("alone");
    for events_only in [false, true] {
        files::write(&run(20, Order::Time, 2), &RIGHT, events_only, &directory.0, || ()).unwrap();
        for name in ["applications.ndjson", "labels.ndjson"] {
            assert_eq!(directory.0.join(name).exists(), !events_only, "{name}");
        }
    }
    assert!(!directory.read("events.ndjson").is_empty());
}

#[test]
fn properties_are_read_line_by_line() {
    let directory = Directory::new("properties");
    fs::create_dir_all(&directory.0).unwrap();
    let read = |text: &str| {
        let path = directory.0.join("kafka.properties");
        fs::write(&path, text).unwrap();
        kafka::properties(&path).map_err(|error| error.to_string())
    };
    let expected = [("security.protocol", "SASL_SSL"), ("sasl.password", "a=b")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    assert_eq!(read("# comment\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n"), Ok(expected));
    // What stands there may be a secret.
    let wrong = read("#\nhunter2").unwrap_err();
    assert!(wrong.ends_with("kafka.properties`, line 2: a property is written `name=value`"), "{wrong}");
}

#[test]
fn what_fails_ends_the_run() {
    struct Full(u32);
    impl Sink for Full {
        fn take(&mut self, _: Live<'_>) -> Result<(), Error> {
            self.0 += 1;
            if self.0 < 10 { Ok(()) } else { Err(Error::NobodyReads) }
        }
        fn rest(&mut self, _: Duration) {}
        fn finish(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }
    for threads in [1, 2, 5] {
        let ended = live::send(&run(20_000, Order::Arrival, threads), &RIGHT, false, None, &mut Full(0), || ());
        assert!(matches!(ended, Err(Error::NobodyReads)), "{threads}");
    }
}

proptest! {
    #[test]
    fn what_load_is_made_of_is_valid_and_always_the_same(
        seed: u64, number in 1_u64.., index: u64, seconds in 0_i64..31_536_000, millis in 0_i64..1_000,
    ) {
        let specification = specification();
        let (bank, time) = (bank(seed), Timestamp::from_millis(1_767_225_600_000 + seconds * 1_000 + millis));
        let made = |write: &dyn Fn(&Person, &mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&bank.person(number), &mut out);
            out
        };
        let event = made(&|person, out| person.write_event(index, time, out));
        let application = made(&|person, out| person.write_application(index, out));
        let read = Event::from_json(specification, &event).unwrap();
        prop_assert_eq!(read.time(), time);
        prop_assert_eq!(read.person().as_bytes(), made(&|person, out| person.write_id(out)));
        let envelope = [br#"{"person_id":"av-1","application":"#.as_slice(), &application, b"}"].concat();
        prop_assert!(Application::from_json(specification, &envelope, "a").is_ok());
        prop_assert_eq!(event, made(&|person, out| person.write_event(index, time, out)));
        prop_assert_eq!(application, made(&|person, out| person.write_application(index, out)));
    }
}
