//! What comes of stream records, with plain values: any arrival, any batching, any restart gives the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use cauce_features::time::{Span, Timestamp};
use cauce_model::onnx::OnnxModel;

use super::output::To;
use super::*;
use crate::ingest::tests::bundle;

/// 2026-01-15T14:00:00Z, and a day.
const NOW_MS: i64 = 1_768_485_600_000;
const DAY_MS: i64 = 86_400_000;
const RULES: Rules =
    Rules { deferring: false, vectors: true, oldest_as_of: Span::from_millis(7 * DAY_MS), most: usize::MAX };

struct Fixture {
    bundle: Arc<Bundle>,
    batch: Batch,
    slice: Slice,
}

impl Fixture {
    fn new() -> Self {
        let bundle = bundle("ahorro-valle");
        let batch = Batch::new(bundle.clone(), OnnxModel::new(&bundle).unwrap());
        let slice = fresh(Arc::new(Store::for_tests(1000, bundle.plan())), [0; 3]);
        Self { bundle, batch, slice }
    }

    fn push(&mut self, lane: Lane, records: impl IntoIterator<Item = Record>) {
        records.into_iter().for_each(|record| self.slice.queue(lane).push(record));
    }

    fn work(&mut self) -> Worked {
        self.slice.work(&mut self.batch, &RULES, &mut |_, _, _| ())
    }

    /// Works with every lane known to be at its end.
    fn work_to_the_end(&mut self) -> Worked {
        Lane::ALL.into_iter().for_each(|lane| self.slice.queue(lane).is_at_end = true);
        self.work()
    }

    fn digest(&self) -> String {
        self.slice.store.digest(self.bundle.plan(), Timestamp::from_millis(NOW_MS)).unwrap().to_string()
    }
}

fn fresh(store: Arc<Store>, next: [i64; 3]) -> Slice {
    Slice::new(3, store, Arc::new(["events", "applications", "deferred"].map(String::from)), next)
}

fn record(offset: i64, after_ms: i64, key: &str, value: &str) -> Record {
    Record {
        offset,
        timestamp: Timestamp::from_millis(NOW_MS + after_ms),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Vec::new(),
    }
}

fn payment(offset: i64, after_ms: i64, person: &str, ago_ms: i64) -> Record {
    let time = Timestamp::from_millis(NOW_MS + after_ms - ago_ms);
    let json = format!(
        r#"{{"person_id":"{person}","event_id":"{offset}","type":"payment","time":"{time}","data":{{"amount":10.5,"days_past_due":{}}}}}"#,
        offset % 40
    );
    record(offset, after_ms, person, &json)
}

fn application(offset: i64, after_ms: i64, person: &str) -> Record {
    let json = format!(r#"{{"application":{{"monthly_income":1200.5,"amount":{}}}}}"#, 1000 + offset);
    record(offset, after_ms, person, &json)
}

fn with(mut record: Record, name: &str, value: &str) -> Record {
    record.headers.push((name.into(), Bytes::copy_from_slice(value.as_bytes())));
    record
}

/// Values of what goes to a topic, in order of their ids.
fn sent(worked: &[Worked], to: To) -> Vec<(String, String)> {
    let outputs = worked.iter().flat_map(|worked| &worked.outputs).filter(|output| output.to == to);
    let text = |bytes: &Option<Bytes>| String::from_utf8(bytes.as_deref().unwrap_or_default().to_vec()).unwrap();
    let mut all: Vec<_> = outputs.map(|output| (named(output, header::ID), text(&output.value))).collect();
    all.sort();
    all
}

fn named(output: &Output, name: &str) -> String {
    let found = output.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| String::from_utf8(value.to_vec()).unwrap()).unwrap_or_default()
}

/// Events of three people, one in ten late by days, and an application after every few of them.
fn traffic() -> (Vec<Record>, Vec<Record>) {
    let people = ["a", "b", "c"];
    let late = |number: i64| if number % 10 == 3 { 5 * DAY_MS } else { 1_000 };
    let events = (0..60).map(|number| payment(number, number * 7, people[number as usize % 3], late(number)));
    let applications = (0..20).map(|number| application(number, number * 21 + 14, people[number as usize % 3]));
    (events.collect(), applications.collect())
}

#[test]
fn an_application_is_scored_on_what_arrived_before_it_whatever_is_in_hand_first() {
    let (events, applications) = traffic();
    let mut whole = Fixture::new();
    whole.push(Lane::Events, events.clone());
    whole.push(Lane::Applications, applications.clone());
    let expected = sent(&[whole.work_to_the_end()], To::Scores);
    assert_eq!(expected.len(), applications.len());

    for (events_first, step) in [(true, 1), (false, 1), (true, 7), (false, 13)] {
        let mut fixture = Fixture::new();
        let (mut events, mut applications) = (events.iter(), applications.iter());
        let mut worked = Vec::new();
        for round in 0.. {
            let lanes = if (round % 2 == 0) == events_first { [0, 1] } else { [1, 0] };
            for lane in lanes {
                match lane {
                    0 => fixture.push(Lane::Events, events.by_ref().take(step).cloned()),
                    _ => fixture.push(Lane::Applications, applications.by_ref().take(1).cloned()),
                }
            }
            // What is not in hand yet may still be older than what is.
            fixture.slice.queue(Lane::Events).is_at_end = events.len() == 0;
            fixture.slice.queue(Lane::Applications).is_at_end = applications.len() == 0;
            fixture.slice.queue(Lane::Deferred).is_at_end = true;
            worked.push(fixture.work());
            if events.len() + applications.len() == 0 {
                break;
            }
        }
        assert_eq!(sent(&worked, To::Scores), expected, "{events_first} {step}");
        assert_eq!(fixture.digest(), whole.digest());
    }
}

#[test]
fn a_record_waits_while_another_lane_may_still_hold_an_older_one() {
    let mut fixture = Fixture::new();
    fixture.push(Lane::Applications, [application(0, 10, "a")]);
    fixture.slice.queue(Lane::Deferred).is_at_end = true;
    assert_eq!(fixture.work().records, 0);
    fixture.push(Lane::Events, [payment(0, 5, "a", 0)]);
    // The event's turn has come, the application's only if no further event is older.
    assert_eq!(fixture.work().records, 1);
    assert_eq!(fixture.slice.next(), [1, 0, 0]);
    fixture.slice.queue(Lane::Events).is_at_end = true;
    let worked = fixture.work();
    assert_eq!((worked.records, worked.scored), (1, 1));
}

#[test]
fn what_was_committed_makes_state_and_nothing_else_and_what_follows_is_the_same_bytes() {
    let (events, applications) = traffic();
    let mut whole = Fixture::new();
    whole.push(Lane::Events, events.clone());
    whole.push(Lane::Applications, applications.clone());
    let all = sent(&[whole.work_to_the_end()], To::Scores);

    // Committed after the thirtieth event and all that was in turn by then; the state at rest knows nothing.
    let split = NOW_MS + 30 * 7;
    let before = |records: &[Record]| records.iter().filter(|record| record.timestamp.millis() < split).count();
    let committed = [before(&events) as i64, before(&applications) as i64, 0];
    let mut again = Fixture::new();
    for lane in Lane::ALL {
        again.slice.queue(lane).state_only_before = committed[lane as usize];
    }
    again.push(Lane::Events, events);
    again.push(Lane::Applications, applications);
    let worked = again.work_to_the_end();
    let rest: Vec<_> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let scored = sent(&[worked], To::Scores);
    assert_eq!(scored.len(), 20 - committed[1] as usize);
    assert!(scored.iter().all(|score| rest.contains(score)));
    assert_eq!(again.digest(), whole.digest());
}

#[test]
fn a_late_event_is_in_its_window_for_who_applies_after_it_arrived_and_not_before() {
    let score_with = |event_after_ms: i64| {
        let mut fixture = Fixture::new();
        let late = |offset: i64| payment(offset + 9, event_after_ms, "a", DAY_MS);
        fixture.push(Lane::Events, (0..3).map(late));
        fixture.push(Lane::Applications, [application(0, 10, "a")]);
        let worked = fixture.work_to_the_end();
        (sent(&[worked], To::Scores)[0].1.clone(), fixture.digest())
    };
    let (before, after) = (score_with(5), score_with(20));
    assert!(before.0.contains(r#""known":true"#) && after.0.contains(r#""known":false"#));
    assert_ne!(before.0, after.0);
}

#[test]
fn a_record_that_cannot_be_taken_goes_out_as_it_came_with_the_reason() {
    let mut fixture = Fixture::new();
    let no_key = Record { key: None, ..payment(2, 2, "a", 0) };
    let events = [
        record(0, 0, "a", "{nonsense"),
        record(1, 1, "a", r#"{"person_id":"a"}"#),
        no_key,
        record(3, 3, "b", std::str::from_utf8(payment(3, 3, "a", 0).value.as_deref().unwrap()).unwrap()),
        payment(4, 4, "a", 400 * DAY_MS),
        payment(5, 5, "a", -DAY_MS),
        with(payment(6, 6, "a", 0), header::KIND, "riddle"),
        payment(7, 7, "a", 0),
    ];
    fixture.push(Lane::Events, events.clone());
    fixture.push(Lane::Applications, [record(0, 8, "a", r#"{"application":{"amount":"much"}}"#)]);
    let worked = fixture.work_to_the_end();
    let reasons: Vec<_> = worked.outputs.iter().map(|output| named(output, header::REASON)).collect();
    let expected = [
        "malformed_json",
        "invalid_fields",
        "missing_key",
        "key_mismatch",
        "event_too_late",
        "event_in_future",
        "unknown_kind",
        "invalid_fields",
    ];
    assert_eq!(reasons, expected);
    assert_eq!((worked.records, worked.taken[0]), (9, 1));
    for (output, record) in worked.outputs.iter().zip(&events[..7]) {
        assert_eq!((&output.key, &output.value, output.to), (&record.key, &record.value, To::DeadLetters));
        assert_eq!(named(output, header::OFFSET), record.offset.to_string());
    }
    let errors = named(worked.outputs.last().unwrap(), header::ERRORS);
    assert!(errors.contains(r#""path":"application.amount""#) && !errors.contains("much"), "{errors}");
}

#[test]
fn under_pressure_only_high_priority_is_scored_and_what_waited_is_scored_as_of_its_own_time() {
    let mut fixture = Fixture::new();
    Lane::ALL.into_iter().for_each(|lane| fixture.slice.queue(lane).is_at_end = true);
    fixture.push(Lane::Events, [payment(0, 0, "a", 0)]);
    fixture.push(Lane::Applications, [application(0, 1, "a"), with(application(1, 2, "b"), "priority", "high")]);
    let worked = fixture.slice.work(&mut fixture.batch, &Rules { deferring: true, ..RULES }, &mut |_, _, _| ());
    assert_eq!((worked.scored, worked.deferred), (1, 1));
    let waiting = worked.outputs.iter().find(|output| output.to == To::Deferred).unwrap();
    let headers = waiting.headers.iter().map(|(name, value)| (name.as_ref().into(), value.clone())).collect();
    let deferred = Record { headers, ..record(0, 60_000, "a", "") };
    fixture.push(Lane::Deferred, [Record { value: waiting.value.clone(), ..deferred }]);
    let later = fixture.work_to_the_end();

    let mut calm = Fixture::new();
    calm.push(Lane::Events, [payment(0, 0, "a", 0)]);
    calm.push(Lane::Applications, [application(0, 1, "a")]);
    let expected = sent(&[calm.work_to_the_end()], To::Scores);
    let of = |scores: Vec<(String, String)>| scores.into_iter().find(|(id, _)| id == "applications/3/0").unwrap();
    let vector = |score: &str| serde_json::from_str::<serde_json::Value>(score).unwrap()["vector"].clone();
    let (waited, at_once) = (of(sent(&[later], To::Scores)), of(expected));
    assert_eq!(vector(&waited.1), vector(&at_once.1));
}

#[test]
fn a_record_without_a_value_erases_its_person() {
    let mut fixture = Fixture::new();
    let erasure = Record { value: None, ..record(1, 1, "a", "") };
    fixture.push(Lane::Events, [payment(0, 0, "a", 0), erasure, payment(2, 2, "b", 0)]);
    fixture.work_to_the_end();
    assert_eq!(fixture.slice.store.people(), 1);
}

#[test]
fn cloud_events_are_the_same_events() {
    let plain = payment(7, 0, "a", 5_000);
    let value: serde_json::Value = serde_json::from_slice(plain.value.as_deref().unwrap()).unwrap();
    let data = value["data"].to_string();
    let mut binary = Record { value: Some(data.clone().into()), ..plain.clone() };
    for (name, text) in [
        ("ce_specversion", "1.0"),
        ("ce_id", "7"),
        ("ce_source", "/core"),
        ("ce_type", "com.bank.payment"),
        ("ce_time", value["time"].as_str().unwrap()),
    ] {
        binary = with(binary, name, text);
    }
    let structured = format!(
        r#"{{"specversion":"1.0","id":"7","source":"/core","type":"payment","subject":"a","time":{},"data":{data}}}"#,
        value["time"]
    );
    let structured = with(
        Record { value: Some(structured.into()), ..plain.clone() },
        "content-type",
        "application/cloudevents+json; charset=utf-8",
    );
    let digest_of = |record: Record| {
        let mut fixture = Fixture::new();
        fixture.push(Lane::Events, [record]);
        let worked = fixture.work_to_the_end();
        assert_eq!(worked.taken[0], 1, "{:?}", worked.outputs);
        fixture.digest()
    };
    let expected = digest_of(plain);
    assert_eq!([binary, structured].map(digest_of), [expected.clone(), expected]);
}

#[test]
fn a_scored_application_is_an_event_of_the_history() {
    let mut fixture = Fixture::new();
    fixture.push(Lane::Applications, [application(0, 0, "a"), application(1, 5_000, "a")]);
    let scores = sent(&[fixture.work_to_the_end()], To::Scores);
    assert!(
        scores[0].1.contains(r#""known":false"#) && scores[1].1.contains(r#""newest_event_age_seconds":5.0"#),
        "{scores:?}"
    );
}

#[test]
fn an_application_may_stand_only_so_far_behind_its_arrival() {
    let as_of = |days: i64| {
        let time = Timestamp::from_millis(NOW_MS - days * DAY_MS);
        record(days, days, "a", &format!(r#"{{"as_of":"{time}","application":{{"monthly_income":1,"amount":9}}}}"#))
    };
    let mut fixture = Fixture::new();
    fixture.push(Lane::Applications, [as_of(6), as_of(8)]);
    let worked = fixture.work_to_the_end();
    assert_eq!((worked.scored, worked.refused), (1, vec![(false, Reason::EventTooLate, 1)]));
}

#[test]
fn events_are_counted_once_and_applications_on_their_way_back_are_none() {
    let body = format!(r#"{{"person_id":"a",{}"#, r#""application":{"monthly_income":1200.5,"amount":9}}"#);
    let scored = |offset: i64| with(record(offset, offset, "a", &body), header::KIND, "application");
    let records = [
        payment(0, 0, "a", 0),
        record(1, 1, "a", "{nonsense"),
        // What follows was not answered for before.
        payment(2, 2, "a", 3),
        Record { offset: 3, ..payment(2, 2, "a", 3) },
        record(4, 4, "a", "{nonsense"),
        payment(5, 5, "a", -DAY_MS),
        with(scored(6), header::ID, "b"),
        with(payment(8, 8, "a", 0), header::KIND, "riddle"),
    ];
    for (state_only_before, taken, refused, newest_ms) in
        [(2, [1, 1, 0], 2, NOW_MS + 6), (0, [2, 1, 0], 3, NOW_MS + 6), (9, [0, 0, 0], 0, 0)]
    {
        let mut fixture = Fixture::new();
        fixture.slice.queue(Lane::Events).state_only_before = state_only_before;
        fixture.push(Lane::Events, records.clone());
        let worked = fixture.work_to_the_end();
        let of_events = worked.refused.iter().filter(|(is_event, ..)| *is_event).map(|(.., count)| count);
        let newest = fixture.slice.newest_event.map_or(0, Timestamp::millis);
        assert_eq!((worked.taken, of_events.sum(), newest), (taken, refused, newest_ms), "{state_only_before}");
    }
}

#[test]
fn an_application_is_new_to_the_history_once() {
    let mut fixture = Fixture::new();
    fixture.push(Lane::Applications, [application(0, 7, "a")]);
    fixture.work_to_the_end();
    assert_eq!(fixture.slice.newest_event.take(), Some(Timestamp::from_millis(NOW_MS + 7)));
    // It was so from its first turn on.
    fixture.push(Lane::Deferred, [application(0, 60_000, "a")]);
    fixture.work_to_the_end();
    assert_eq!(fixture.slice.newest_event, None);
}

#[test]
fn a_deferred_application_waits_until_the_state_is_again_what_it_was() {
    let mut fixture = Fixture::new();
    Lane::ALL.into_iter().for_each(|lane| fixture.slice.queue(lane).is_at_end = true);
    fixture.slice.queue(Lane::Events).state_only_before = 2;
    fixture.push(Lane::Deferred, [application(0, 0, "a")]);
    fixture.push(Lane::Events, [payment(0, 5, "a", DAY_MS)]);
    assert_eq!(fixture.work().scored, 0);
    fixture.push(Lane::Events, [payment(1, 6, "a", DAY_MS)]);
    let worked = fixture.work();
    assert_eq!((worked.records, worked.scored, fixture.slice.is_recovering()), (2, 1, false));
}

#[test]
fn a_refused_event_does_not_move_the_watermark() {
    let mut fixture = Fixture::new();
    fixture.push(Lane::Events, [payment(0, 0, "a", -9 * DAY_MS), payment(1, 1, "a", 0), payment(2, 2, "a", 5)]);
    let worked = fixture.work_to_the_end();
    assert_eq!((worked.late, fixture.slice.watermark), (1, Some(Timestamp::from_millis(NOW_MS + 1))));
}

#[test]
fn an_erased_person_is_not_brought_back_by_what_waited() {
    let mut fixture = Fixture::new();
    let erasure = Record { value: None, ..record(0, 5, "a", "") };
    let origin = [("cauce-topic", "applications"), ("cauce-partition", "3"), ("cauce-offset", "0")];
    let waited = origin.iter().fold(application(0, 9, "a"), |record, (name, text)| with(record, name, text));
    let waited = with(waited, header::TIMESTAMP, &NOW_MS.to_string());
    fixture.push(Lane::Events, [erasure]);
    fixture.push(Lane::Deferred, [waited]);
    assert_eq!((fixture.work_to_the_end().scored, fixture.slice.store.people()), (1, 0));
}
