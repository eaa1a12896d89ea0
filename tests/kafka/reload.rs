//! Another bundle in service while applications come in through Kafka.

use super::{Group, arguments, record, start, topics};
use crate::reload::{APPROVES, DECLINES, bundles, decided_by, reload};
use crate::support::history::application;
use crate::support::kafka::Broker;

#[test]
fn stream_is_scored_by_the_bundle_in_service_and_what_was_scored_before_stays() {
    let (directory, broker, topics) = (bundles("stream"), Broker::shared(), topics("reload"));
    let mut arguments = arguments(broker, &topics, &[]);
    let bundle = arguments.iter().position(|argument| argument == "--bundle").unwrap() + 1;
    arguments[bundle] = directory.path(APPROVES).display().to_string();
    let group = Group { broker, topics, server: start(&arguments) };
    let mut scored = 0;
    for version in [APPROVES, DECLINES, APPROVES] {
        let answer = reload(&group.server, &directory.path(version));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let ids = scored..scored + 20;
        scored = ids.end;
        let scores = group.scores(ids.map(|id| record(&application(&format!("c-{id}"), "a"), id as i64)), scored);
        let by = |version: &str| scores.iter().filter(|score| decided_by(&score.json()) == version).count();
        assert_eq!(by(APPROVES) + by(DECLINES), scored);
        assert!(by(version) >= 20, "{version} scores what comes after its reload");
    }
}
