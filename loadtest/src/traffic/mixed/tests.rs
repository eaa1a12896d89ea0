//! What is sent, over many numbers: the same bytes for the same seed, the shares that were asked for, and answers judged.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use cauce_features::application::Application;
use cauce_features::event::Event;
use cauce_features::spec::Specification;

use super::*;
use crate::traffic::mistakes;

const BANK: &str = include_str!("../../../../model/artifacts/ahorro-valle/features.toml");

fn scenario(traffic: &str) -> Scenario {
    let text = format!(
        "name = \"s\"\nseed = 3\n[load]\nshape = \"steady\"\nrate = 1000\nduration = \"100s\"\n[people]\ncount = 1000\nzipf = 1.0\n{traffic}"
    );
    Scenario::parse("s.toml", &text, "").unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// A file, which goes with it.
struct Records(PathBuf);

impl Records {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cauce-loadtest-{}-{name}.ndjson", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn mixed(traffic: &str) -> Mixed {
    let scenario = scenario(traffic);
    let files = Files::load(&scenario).unwrap();
    Mixed::new(&scenario, &files, &scenario.schedule(None), Timestamp::parse("2026-06-20T12:00:00Z").unwrap())
}

fn body(traffic: &Mixed, number: u64) -> (Sent, String) {
    let mut out = Vec::new();
    let sent = traffic.write(number, &mut out);
    let text = String::from_utf8(out).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = head.rsplit_once("content-length:").unwrap().1.trim();
    assert_eq!(length.parse(), Ok(body.len()), "{head}");
    (sent, body.to_owned())
}

/// Within four standard deviations of a share.
fn assert_share(count: usize, of: usize, share: f64, what: &str) {
    let (part, deviation) = (count as f64 / of as f64, (share * (1.0 - share) / of as f64).sqrt());
    assert!((part - share).abs() <= 4.0 * deviation, "{what}: {part} of {share}");
}

#[test]
fn a_request_is_made_from_its_number_alone() {
    let text = "[[traffic]]\nkind = \"score\"\nrepeated = 0.3\ninvalid = 0.1\n[[traffic]]\nkind = \"events\"\nlate = 0.1\nduplicate = 0.1";
    let (one, other) = (mixed(text), mixed(text));
    let forwards: Vec<_> = (0..3000).map(|number| body(&one, number)).collect();
    let backwards: Vec<_> = (0..3000).rev().map(|number| body(&other, number)).collect();
    assert!(forwards.iter().eq(backwards.iter().rev()));
}

#[test]
fn kinds_come_as_often_as_their_weights_say() {
    let traffic = mixed(
        "[[traffic]]\nkind = \"score\"\nweight = 8\n[[traffic]]\nkind = \"events\"\nsize = 1\nweight = 1.5\n[[traffic]]\nkind = \"batch\"\nweight = 0.5",
    );
    let mut counts = [0; 3];
    (0..100_000).for_each(|number| counts[traffic.kind(number)] += 1);
    for (kind, share) in [(0, 0.8), (1, 0.15), (2, 0.05)] {
        assert_share(counts[kind], 100_000, share, &traffic.makers[kind].name);
    }
}

#[test]
fn repetitions_are_earlier_requests_byte_for_byte_and_as_many_as_said() {
    let traffic = mixed(
        "[[traffic]]\nkind = \"score\"\nrepeated = 0.8\n[[traffic]]\nkind = \"events\"\nsize = 1\nduplicate = 0.1",
    );
    let mut seen: HashMap<String, u64> = HashMap::new();
    let (mut repeated, mut all) = ([0, 0], [0, 0]);
    for number in 0..100_000_u64 {
        let (sent, body) = body(&traffic, number);
        if let Some(first) = seen.get(&body) {
            // So long ago that it has been answered, at 1,000 requests a second.
            assert!(number - first >= 1000, "{first} {number}");
            repeated[sent.kind] += 1;
        } else {
            seen.insert(body, number);
        }
        all[sent.kind] += 1;
    }
    // In the first second there is nothing to repeat.
    for (kind, share) in [(0, 0.8), (1, 0.1)] {
        let part = f64::from(repeated[kind]) / f64::from(all[kind]);
        assert!((share * 0.97..share * 1.01).contains(&part), "{kind}: {part}");
    }
}

#[test]
fn what_is_sent_is_valid_unless_it_is_made_to_be_refused() {
    let bank = Specification::parse("features.toml", BANK).unwrap();
    let traffic = mixed(
        "[[traffic]]\nkind = \"score\"\ninvalid = 0.2\nrepeated = 0.2\n[[traffic]]\nkind = \"events\"\nsize = 1\ninvalid = 0.2\nduplicate = 0.2\nlate = 0.2",
    );
    for number in 0..20_000 {
        let (sent, body) = body(&traffic, number);
        let is_valid = match sent.kind {
            0 => Application::from_json(&bank, body.as_bytes(), "1").is_ok(),
            _ => Event::from_json(&bank, body.as_bytes()).is_ok() && !body.contains("2001-"),
        };
        assert_eq!(is_valid, !sent.is_invalid, "{body}");
    }
    for (what, text) in mistakes::APPLICATIONS {
        assert!(Application::from_json(&bank, text.as_bytes(), "1").is_err(), "{what}");
    }
    for (what, text) in mistakes::EVENTS.iter().filter(|(what, _)| !what.contains("long past")) {
        assert!(Event::from_json(&bank, text.as_bytes()).is_err(), "{what}");
    }
}

#[test]
fn late_and_invalid_events_are_as_many_as_said() {
    let traffic = mixed("[[traffic]]\nkind = \"events\"\nsize = 50\nlate = 0.05\ninvalid = 0.02");
    let bank = Specification::parse("features.toml", BANK).unwrap();
    let (mut late, mut invalid, mut all) = (0, 0, 0);
    for number in 0..2_000 {
        // A thousand requests a second: the time goes on with the number.
        let now = Timestamp::parse("2026-06-20T12:00:00Z").unwrap().millis() + number as i64;
        for line in body(&traffic, number).1.lines() {
            all += 1;
            match Event::from_json(&bank, line.as_bytes()) {
                Ok(event) if event.time().millis() > 1_000_000_000_000 => {
                    let age_ms = now - event.time().millis();
                    assert!((1_000..30 * 86_400_000 + 11_000).contains(&age_ms), "{line}");
                    late += usize::from(age_ms > 3_600_000);
                }
                _ => invalid += 1,
            }
        }
        assert_eq!(traffic.clients.invalid(items(&traffic), number) as usize, {
            let text = body(&traffic, number).1;
            text.lines().filter(|line| mistakes::EVENTS.iter().any(|(_, mistake)| mistake == line)).count()
        });
    }
    assert_share(late, all, 0.05, "late");
    assert_share(invalid, all, 0.02, "invalid");
}

fn items(traffic: &Mixed) -> &Items {
    match &traffic.makers[0].what {
        Makes::One(items, _) | Makes::Many(items, _) => items,
        Makes::Records(_) => panic!("no items"),
    }
}

#[test]
fn few_people_are_met_often_by_the_law_of_zipf() {
    let traffic = mixed("[[traffic]]\nkind = \"score\"");
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for number in 0..100_000 {
        let text = body(&traffic, number).1;
        let person = text.split('"').nth(3).unwrap().rsplit('-').next().unwrap().parse().unwrap();
        *counts.entry(person).or_default() += 1;
    }
    // Of 1,000 people with exponent 1, person n is met 1/n of the sum of 1/1 to 1/1000.
    let harmonic: f64 = (1..=1000).map(|n| 1.0 / f64::from(n)).sum();
    // They are those of `simulate`, from 1 on.
    for person in [1, 2, 10, 100] {
        assert_share(counts[&person], 100_000, 1.0 / person as f64 / harmonic, &format!("person {person}"));
    }
    assert!(!counts.contains_key(&0));
}

#[test]
fn no_id_and_no_application_is_sent_twice_by_two_runs_or_two_kinds() {
    let scenario = scenario("[[traffic]]\nkind = \"score\"\n[[traffic]]\nkind = \"batch\"\nsize = 50");
    let files = Files::load(&scenario).unwrap();
    let (mut ids, mut applications) = (std::collections::HashSet::new(), std::collections::HashSet::new());
    for start in ["2026-06-20T12:00:00Z", "2026-06-20T12:00:02Z"] {
        let traffic = Mixed::new(&scenario, &files, &scenario.schedule(None), Timestamp::parse(start).unwrap());
        for number in 0..2_000 {
            for line in body(&traffic, number).1.lines() {
                let id = line.split("\"application_id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
                assert!(applications.insert(line.replace(&id, "")), "{line}");
                assert!(ids.insert(id), "{line}");
            }
        }
    }
}

#[test]
fn ids_of_a_run_are_over_before_those_of_the_next_begin_at_any_rate() {
    for (rate, size, is_short) in [(2_000, 100, true), (20_000, 100, false), (250_000, 1_000, false)] {
        let text = format!(
            "name = \"s\"\n[load]\nshape = \"steady\"\nrate = {rate}\nduration = \"30s\"\n[[traffic]]\nkind = \"batch\"\nsize = {size}"
        );
        let scenario = Scenario::parse("s.toml", &text, "").unwrap();
        let (files, schedule) = (Files::load(&scenario).unwrap(), scenario.schedule(None));
        let started_at = Timestamp::parse("2026-06-20T12:00:00Z").unwrap().millis();
        let id = |after_s: i64, number| {
            let start = Timestamp::from_millis(started_at + after_s * 1_000);
            Mixed::new(&scenario, &files, &schedule, start).clients.id(number)
        };
        // Half as many again as are expected, for a run that ends as its load does and for one that is stopped.
        for seconds in [1, 30] {
            assert!(id(0, rate * 3 / 2 * seconds) < id(seconds as i64, 0), "{rate} {size} {seconds}");
        }
        assert_eq!(id(30, rate * 30) < 1 << 47, is_short, "{rate} {size}");
    }
}

#[test]
fn an_event_is_sent_after_it_happened_however_its_arrivals_are_drawn() {
    for (rate, seconds) in [("0.2", 200_000), ("50", 400)] {
        let text = format!(
            "name = \"s\"\n[load]\nshape = \"steady\"\nrate = {rate}\nduration = \"{seconds}s\"\n[[traffic]]\nkind = \"events\"\nsize = 1"
        );
        let start = Timestamp::parse("2026-06-20T12:00:00Z").unwrap();
        for seed in 0..8 {
            let mut scenario = Scenario::parse("s.toml", &text, "").unwrap();
            scenario.seed = seed;
            let schedule = scenario.schedule(None);
            let traffic = Mixed::new(&scenario, &Files::load(&scenario).unwrap(), &schedule, start);
            for arrival in schedule.arrivals().step_by(97) {
                let body = body(&traffic, arrival.number).1;
                let time = body.split("\"time\":\"").nth(1).unwrap().split('"').next().unwrap();
                let ahead = Timestamp::parse(time).unwrap().millis() - start.millis() - arrival.due.as_millis() as i64;
                // The service allows for clocks that are five minutes fast.
                assert!(ahead < 150_000, "{rate} {seed} {arrival:?}: {ahead} ms");
            }
        }
    }
}

#[test]
fn an_answer_is_good_if_it_is_what_its_request_was_meant_to_get() {
    let traffic = mixed(
        "[[traffic]]\nkind = \"score\"\nmode = \"full\"\ninvalid = 0.5\n[[traffic]]\nkind = \"events\"\nsize = 2\ninvalid = 0.5\n[[traffic]]\nkind = \"batch\"\nsize = 2\nmode = \"full\"",
    );
    let find = |kind: usize, invalid: u32| {
        let number = (0..).find(|number| {
            traffic.kind(*number) == kind
                && match &traffic.makers[kind].what {
                    Makes::One(items, _) | Makes::Many(items, _) => traffic.clients.invalid(items, *number) == invalid,
                    Makes::Records(_) => false,
                }
        });
        body(&traffic, number.unwrap()).0
    };
    let scored = r#"{"probability_of_default":0.25,"mode":"full"}"#;
    for (sent, status, body, verdict) in [
        (find(0, 0), 200, scored, Verdict::Good),
        (find(0, 0), 200, r#"{"probability_of_default":0.25,"mode":"fallback"}"#, Verdict::Failed),
        (find(0, 0), 200, r#"{"probability_of_default":null,"mode":"full"}"#, Verdict::Failed),
        (find(0, 0), 400, "{}", Verdict::Failed),
        (find(0, 0), 503, "{}", Verdict::Refused),
        (find(0, 0), 429, "{}", Verdict::Refused),
        (find(0, 0), 500, scored, Verdict::Failed),
        (find(0, 1), 400, "{}", Verdict::Good),
        (find(0, 1), 422, "{}", Verdict::Good),
        (find(0, 1), 401, "{}", Verdict::Failed),
        (find(0, 1), 404, "{}", Verdict::Failed),
        (find(0, 1), 200, scored, Verdict::Failed),
        (find(0, 1), 503, "{}", Verdict::Refused),
        (find(1, 1), 200, r#"{"count":2,"new":1,"refused":1}"#, Verdict::Good),
        (find(1, 1), 200, r#"{"count":2,"new":2,"refused":0}"#, Verdict::Failed),
        (find(1, 0), 200, r#"{"count":2,"new":1,"refused":1}"#, Verdict::Failed),
        (find(2, 0), 200, &format!("[{scored},{scored}]"), Verdict::Good),
        (find(2, 0), 200, &format!("[{scored},{{}}]"), Verdict::Failed),
        (find(2, 0), 200, &format!("[{scored},{}]", scored.replace("full", "fallback")), Verdict::Failed),
        (find(2, 0), 200, &format!("[{scored},{}]", scored.replace("0.25", "null")), Verdict::Failed),
    ] {
        assert_eq!(traffic.judge(sent, status, body.as_bytes()), verdict, "{sent:?} {status} {body}");
    }
}

#[test]
fn lines_of_a_file_are_sent_in_order_and_their_answers_noted() {
    let records = Records::new("lines", "{\"a\":1}\n\n  {\"a\":\"x\"}\r\n{\"b\":3}\n");
    let traffic = mixed(&format!(
        "[[traffic]]\nkind = \"replay\"\nfile = {:?}\npath = \"/p\"\nbatch = 2\nitem = '<{{{{/a or 0}}}}>'\nbody = '[{{{{items}}}}] {{{{line}}}} {{{{number}}}}'\nanswer = \"/s\"",
        records.0
    ));
    let answers = Arc::<Answers>::default();
    let traffic = traffic.with_answers(answers.clone());
    let (first, body_of_first) = body(&traffic, 0);
    assert_eq!((first.items, body_of_first.as_str()), (2, r#"[<1>,<"x">] {"a":1} 0"#));
    let (second, body_of_second) = body(&traffic, 1);
    assert_eq!((second.items, body_of_second.as_str()), (1, r#"[<0>] {"b":3} 1"#));
    assert_eq!(body(&traffic, 2).1, r#"[<1>,<"x">] {"a":1} 2"#);
    assert_eq!(traffic.judge(second, 200, br#"{"s": [0.5, 1]}"#), Verdict::Good);
    assert_eq!(traffic.judge(first, 200, br#"{"s": null}"#), Verdict::Failed);
    assert_eq!(traffic.judge(first, 302, br#"{"s": 1}"#), Verdict::Failed);
    let mut written = Vec::new();
    answers.write(&mut written).unwrap();
    let expected = r#"{"number":1,"kind":"replay","line":4,"status":200,"answer":[0.5, 1]}
{"number":0,"kind":"replay","line":1,"status":200,"answer":null}
{"number":0,"kind":"replay","line":1,"status":302,"answer":1}
"#;
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}

#[test]
fn lines_of_one_request_are_together_what_its_content_type_says() {
    let records = Records::new("together", "{\"a\":1}\n{\"a\":2}\n");
    for (content_type, expected) in
        [("application/json", r#"[{"a":1},{"a":2}]"#), ("application/x-ndjson", "{\"a\":1}\n{\"a\":2}")]
    {
        let traffic = mixed(&format!(
            "[[traffic]]\nkind = \"replay\"\nfile = {:?}\npath = \"/p\"\nbatch = 2\ncontent_type = \"{content_type}\"",
            records.0
        ));
        assert_eq!(body(&traffic, 0).1, expected, "{content_type}");
    }
}

#[test]
fn a_replay_may_be_meant_to_be_turned_away() {
    let records = Records::new("turned-away", "{}");
    let traffic =
        mixed(&format!("[[traffic]]\nkind = \"replay\"\nfile = {:?}\npath = \"/p\"\nstatus = [429]", records.0));
    let sent = body(&traffic, 0).0;
    for (status, verdict) in [(429, Verdict::Good), (503, Verdict::Refused), (200, Verdict::Failed)] {
        assert_eq!(traffic.judge(sent, status, b"{}"), verdict, "{status}");
    }
}

#[test]
fn a_file_that_cannot_be_sent_is_named_with_its_line() {
    for (name, text, body, message) in [
        ("none", None, "{{line}}", "cannot read `"),
        ("empty", Some("\n \n"), "{{line}}", "has no lines: one JSON record a line is expected"),
        (
            "broken",
            Some("{}\n{\"a\":\n"),
            "{{line}}",
            "broken.ndjson`, line 2: a JSON record is expected; it is none from column 5 on",
        ),
        ("absent", Some("{\"a\":1}\n{\"b\":1}"), "{{/a}}", "absent.ndjson`, line 2: there is no `/a`"),
    ] {
        let records = text.map(|text| Records::new(name, text));
        let path = records.as_ref().map_or_else(|| PathBuf::from("none.ndjson"), |records| records.0.clone());
        let scenario =
            scenario(&format!("[[traffic]]\nkind = \"replay\"\nfile = {path:?}\npath = \"/p\"\nbody = '{body}'"));
        let said = Files::load(&scenario).unwrap_err().to_string();
        assert!(said.contains(message), "{said}");
    }
}
