//! The commands of an operator: `cauce topics`, `cauce lag`, `cauce dead-letters` and `cauce replay`.

use serde_json::{Value, json};

use super::{Group, record};
use crate::support::history::{self, BUNDLE, DAY_MS, MINUTE_MS, NOW, NOW_MS, application, instant, payment};
use crate::support::kafka::Broker;
use crate::support::kafka::chaos::now_ms;
use crate::support::kafka::topics::{Input, Topics, await_true};
use crate::support::{Finished, cauce};

/// Runs a command with the settings of these topics.
fn run(topics: &Topics, arguments: &[&str]) -> Finished {
    let settings = topics.settings(Broker::shared()).into_iter();
    let settings = settings.chain(["--bundle", BUNDLE].map(str::to_owned));
    cauce(arguments.iter().map(|argument| (*argument).to_owned()).chain(settings))
}

fn lag(topics: &Topics) -> Value {
    let said = run(topics, &["lag", "--json", "--interval", "100ms"]);
    serde_json::from_str(&said.stdout()).unwrap_or_else(|_| panic!("{}", said.stderr()))
}

#[test]
fn topics_that_were_created_are_right_and_wrong_ones_are_told() {
    let topics = Topics::named("commands-topics", 3);
    let missing = run(&topics, &["topics", "check"]);
    assert_eq!(missing.code(), Some(1), "{}", missing.stdout());
    run(&topics, &["topics", "create", "--partitions", "3", "--replication", "1"]).expect_success();
    let checked = run(&topics, &["topics", "check"]).expect_success().stdout();
    assert!(topics.inputs().iter().chain(&topics.outputs()).all(|name| checked.contains(name)), "{checked}");
    assert_eq!(Broker::shared().ends(&topics.applications).len(), 3);

    let wrong = Topics { applications: "commands-topics.narrow".to_owned(), ..topics };
    Broker::shared().create(&wrong.applications, 2, &[("cleanup.policy", "compact")]);
    let told = run(&wrong, &["topics", "check"]);
    assert_eq!(told.code(), Some(1));
    let lines: Vec<String> = told.stdout().lines().filter(|line| line.contains("WRONG")).map(str::to_owned).collect();
    assert!(lines.iter().all(|line| line.contains("narrow")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("partitions")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("compact")), "{lines:?}");
}

#[test]
fn lag_is_what_the_group_has_not_committed() {
    let group = Group::start("commands-lag", &[]);
    let events = |ids: std::ops::Range<u32>| -> Vec<Input> {
        ids.map(|id| record(&payment(&format!("c-{id}"), "1", "2026-06-19T08:00:00Z", 0), 0)).collect()
    };
    group.events(events(0..30));
    assert_eq!(lag(&group.topics)["total"]["lag"], json!(0));
    group.server.kill();
    group.broker.write(&group.topics.events, events(30..70));
    let said = lag(&group.topics);
    assert_eq!(said["total"]["lag"], json!(40), "{said}");
    let partitions = said["partitions"].as_array().unwrap().iter();
    let of_events: i64 = partitions
        .filter(|partition| partition["topic"] == json!(group.topics.events))
        .map(|partition| partition["end"].as_i64().unwrap() - partition["committed"].as_i64().unwrap())
        .sum();
    assert_eq!(of_events, 40, "{said}");
}

#[test]
fn dead_letters_are_listed_and_sent_again_once_what_refused_them_is_over() {
    let Group { broker, topics, server: _server } = Group::of_today("commands-dead-letters");
    // Refused for a few seconds more: clocks may differ by five minutes.
    let due_ms = now_ms() + 5 * MINUTE_MS + 4_000;
    let early = payment("c-1", "early", &instant(due_ms), 0);
    broker.write(&topics.events, [Input::new("c-1", early.to_string()), Input::new("c-1", "no JSON")]);
    broker.read_until(&topics.dead_letters, 2);
    let listed = run(&topics, &["dead-letters", "list"]).expect_success().stdout();
    assert!(listed.contains("event_in_future") && listed.contains("malformed_json"), "{listed}");

    await_true("its time has come", || now_ms() + 5 * MINUTE_MS > due_ms + 10);
    let since = instant(now_ms() - DAY_MS);
    let again = ["dead-letters", "replay", "--reason", "event_in_future", "--since", since.as_str()];
    let ends = broker.ends(&topics.events);
    run(&topics, &[&again[..], &["--dry-run"]].concat()).expect_success();
    assert_eq!(broker.ends(&topics.events), ends);
    run(&topics, &again).expect_success();
    broker.await_caught_up(&topics);
    let letters = broker.read(&topics.dead_letters);
    let refused = letters.iter().filter(|letter| letter.header("cauce-reason").is_some()).count();
    assert_eq!(refused, 2, "{letters:#?}");
    broker.write(&topics.applications, [Input::new("c-1", application("c-1", "a").to_string())]);
    assert_eq!(broker.read_until(&topics.scores, 1)[0].json()["history"]["known"], json!(true));
}

#[test]
fn topics_are_worked_off_again_to_the_same_state_and_the_same_scores() {
    let group = Group::start("commands-replay", &[]);
    let (broker, topics) = (group.broker, &group.topics);
    let people = 40;
    let applications = history::applications(people);
    broker.write(&topics.events, history::events(people, 5).iter().map(|event| record(event, 0)));
    let scores = group.scores(applications.iter().map(|one| record(one, 1)), people as usize);
    broker.await_caught_up(topics);
    let as_of = instant(NOW_MS + DAY_MS);
    let of_events = ["replay", "--topic", &topics.events, "--as-of", &as_of, "--clock", NOW];
    let told = run(topics, &of_events).expect_success().stdout();
    let digest = group.server.get(&format!("/v1/admin/digest?as_of={as_of}")).json()["digest"].clone();
    assert!(told.contains(digest.as_str().unwrap()), "{told} {digest}");

    let to = "commands-replay.again";
    broker.create(to, 2, &[("cleanup.policy", "compact")]);
    let of_applications = ["replay", "--topic", &topics.applications, "--to", to, "--set", "kafka.vectors=true"];
    for round in 1..=2 {
        run(topics, &of_applications).expect_success();
        let again = broker.read(to);
        assert_eq!(again.len(), round * people as usize);
        for score in &scores {
            let id = score.header("cauce-id").unwrap();
            let same = again.iter().filter(|other| other.key.as_deref() == Some(id.as_bytes()));
            assert!(same.clone().count() == round && same.clone().all(|other| other.value == score.value), "{id}");
        }
    }
}
