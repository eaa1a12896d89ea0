//! Topics with one thing wrong, each over five that are right.

use super::*;

/// The horizon of the cases.
const KEEP: Keep = Keep::For { millis: 90 * DAY_MS };

/// Five topics as `create` makes them on three brokers or more.
fn right() -> Vec<TopicFacts> {
    let topic = |role: Role| {
        let brokers = [
            ("message.timestamp.type", "CreateTime"),
            ("max.message.bytes", "1048588"),
            ("retention.ms", "604800000"),
            ("retention.bytes", "-1"),
            ("min.insync.replicas", "1"),
            ("unclean.leader.election.enable", "false"),
        ];
        let mut properties: BTreeMap<String, String> =
            brokers.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        properties.extend(role.properties(KEEP, 3).into_iter().map(|(key, value)| (key.to_owned(), value)));
        TopicFacts {
            role,
            name: format!("{role:?}").to_lowercase(),
            facts: Some(Facts { partitions: 12, replicas: 3, properties }),
        }
    };
    Role::ALL.map(topic).into()
}

/// What is found once the topic with a role is changed: topic, whether it is wrong, and what is said.
fn found(role: Role, keep: Keep, change: impl FnOnce(&mut TopicFacts)) -> Vec<(String, bool, String)> {
    let mut topics = right();
    change(topics.iter_mut().find(|topic| topic.role == role).unwrap());
    problems(&topics, keep).into_iter().map(|problem| (problem.topic, problem.is_wrong, problem.says)).collect()
}

/// The one problem with the topic of a role whose property has this value: whether it is wrong, and what is said.
fn with(role: Role, key: &str, value: &str) -> (bool, String) {
    let set = |topic: &mut TopicFacts| {
        topic.facts.as_mut().unwrap().properties.insert(key.to_owned(), value.to_owned());
    };
    let mut found = found(role, KEEP, set);
    assert_eq!(found.len(), 1, "{key}={value}: {found:?}");
    let (_, is_wrong, says) = found.remove(0);
    (is_wrong, says)
}

#[test]
fn topics_as_they_are_created_are_right() {
    assert_eq!(problems(&right(), KEEP), []);
}

#[test]
fn a_topic_that_is_not_there_is_wrong_and_the_others_are_judged_without_it() {
    let says = "it is not there: `cauce topics create` makes it".to_owned();
    assert_eq!(found(Role::Events, KEEP, |topic| topic.facts = None), [("events".into(), true, says)]);
}

#[test]
fn a_property_that_breaks_or_weakens_a_guarantee_is_named_with_what_would_be_right() {
    for (role, key, value, is_wrong, part) in [
        (Role::Events, "cleanup.policy", "compact", true, "the whole history with a tombstone: `delete` is right"),
        (Role::Events, "cleanup.policy", "compact,delete", true, "`compact,delete`, which removes"),
        (Role::Scores, "cleanup.policy", "compact", true, "all scores of a person but the last"),
        (Role::DeadLetters, "cleanup.policy", "delete, compact", true, "all dead letters of a person but the last"),
        (Role::Events, "retention.ms", "604800000", true, "kept for 7d, and windows reach back 90d"),
        (Role::Applications, "retention.ms", "1", true, "`retention.ms` of at least 8380800000 is right"),
        (Role::Deferred, "retention.ms", "0", true, "windows reach back 90d"),
        (Role::Events, "retention.bytes", "1000", false, "above 1000 bytes, however young they are"),
        (Role::Events, "message.timestamp.type", "CreateTime", true, "`LogAppendTime` is right"),
        (Role::Deferred, "message.timestamp.type", "CreateTime", true, "hangs on the clocks"),
        (Role::DeadLetters, "max.message.bytes", "1048588", true, "at least 1114124 is right"),
        (Role::Deferred, "max.message.bytes", "1000000", true, "gets headers on top"),
        (Role::Events, "min.insync.replicas", "1", false, "`min.insync.replicas` is 1: what one broker alone has"),
        (Role::Scores, "min.insync.replicas", "3", false, "while one broker is away: `min.insync.replicas` of 2"),
        (Role::Scores, "min.insync.replicas", "4", true, "4 of 3, so nothing is accepted: 2 is right"),
        (Role::Events, "unclean.leader.election.enable", "true", false, "may take over; false is right"),
    ] {
        let (wrong, says) = with(role, key, value);
        assert_eq!(wrong, is_wrong, "{role:?} {key}={value}");
        assert!(says.contains(part), "{role:?} {key}={value}: {says}");
    }
}

#[test]
fn what_no_guarantee_rests_on_is_not_judged() {
    for (role, key, value) in [
        (Role::Events, "retention.ms", "-1"),
        (Role::Events, "retention.ms", "9223372036854775807"),
        (Role::Scores, "retention.ms", "1000"),
        (Role::Scores, "message.timestamp.type", "LogAppendTime"),
        (Role::DeadLetters, "message.timestamp.type", "CreateTime"),
    ] {
        let set = |topic: &mut TopicFacts| {
            topic.facts.as_mut().unwrap().properties.insert(key.to_owned(), value.to_owned());
        };
        assert_eq!(found(role, KEEP, set), [], "{role:?} {key}={value}");
    }
}

#[test]
fn lanes_of_a_slice_have_as_many_partitions_as_the_events() {
    let six = |topic: &mut TopicFacts| topic.facts.as_mut().unwrap().partitions = 6;
    for (role, is_wrong) in [
        (Role::Applications, Some(true)),
        (Role::Deferred, Some(true)),
        (Role::Scores, Some(false)),
        (Role::DeadLetters, None),
    ] {
        let found = found(role, KEEP, six);
        assert_eq!(found.first().map(|problem| problem.1), is_wrong, "{role:?}: {found:?}");
        assert!(found.iter().all(|problem| problem.2.contains("it has 6 partitions and `events` has 12")), "{found:?}");
    }
    // Three topics differ from the events topic then.
    assert_eq!(found(Role::Events, KEEP, six).len(), 3);
}

#[test]
fn one_copy_is_a_warning_as_acknowledged_records_hang_on_one_disk() {
    let one = |topic: &mut TopicFacts| {
        let facts = topic.facts.as_mut().unwrap();
        facts.replicas = 1;
        facts.properties.insert("min.insync.replicas".into(), "1".into());
    };
    let says = "there is one copy of each record, lost with its broker's disk: 3 are right".to_owned();
    assert_eq!(found(Role::Scores, KEEP, one), [("scores".into(), false, says)]);
}

#[test]
fn lifetime_windows_need_the_whole_topic() {
    let found = found(Role::Events, Keep::Forever, |_| ());
    let lanes: Vec<&str> = found.iter().map(|problem| problem.0.as_str()).collect();
    assert_eq!(lanes, ["events", "applications", "deferred"]);
    assert!(found.iter().all(|problem| problem.1 && problem.2.contains("`retention.ms` of -1 is right")), "{found:?}");
}

#[test]
fn one_topic_for_two_purposes_is_wrong() {
    let found = found(Role::Deferred, KEEP, |topic| topic.name = "events".into());
    assert!(
        found.iter().any(|problem| problem.2.starts_with("it is `kafka.events` and `kafka.deferred` at once")),
        "{found:?}"
    );
}

#[test]
fn what_is_kept_follows_from_the_horizon_unless_a_window_is_for_life() {
    let specification = |window: &str| {
        let text = format!(
            "name = \"t\"\nhorizon = \"90d\"\nclock_skew = \"5m\"\n[application.fields]\namount = {{ type = \"integer\" }}\n\
             [events.payment.fields]\namount = {{ type = \"integer\" }}\n[[features]]\nname = \"payments\"\nfrom = \"payment\"\n\
             aggregate = \"count\"\nwindow = {window}\n"
        );
        Specification::parse("t", &text).unwrap()
    };
    let keep = Keep::of(&specification("{ sliding = \"90d\" }"));
    assert_eq!(keep, Keep::For { millis: 90 * DAY_MS + 5 * 60_000 });
    assert_eq!(keep.with_margin(), 97 * DAY_MS + 5 * 60_000);
    let lifetime = Keep::of(&specification("\"lifetime\""));
    assert_eq!((lifetime, lifetime.with_margin()), (Keep::Forever, -1));
}
