//! What a topic has to be like, and why: a pure judgement of what the brokers say of it.

use std::collections::BTreeMap;
use std::fmt;

use cauce_features::spec::{Definition, Specification, Window};
use cauce_features::time::Span;

use crate::config;

const DAY_MS: i64 = 86_400_000;

/// On top of what histories need: an instance that was away so long still finds everything, and an application may be scored as of so
/// long ago.
const MARGIN_MS: i64 = 7 * DAY_MS;

/// How long a topic of dead letters that is created keeps them: time to mend what refused them.
const DEAD_LETTERS_MS: i64 = 30 * DAY_MS;

/// What Cauce writes beside the bytes of a record, at most: its place, and what is wrong with it.
const HEADER_BYTES: u64 = 64 << 10;

/// The largest record of the topics that hold another topic's records with headers of Cauce's: room for the 1 MiB that brokers
/// take by default.
const LARGEST_COPY: u64 = 2 << 20;

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Events,
    Applications,
    Deferred,
    Scores,
    DeadLetters,
}

/// How long the topics that histories are made of have to keep records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// A lifetime window counts what no other window reaches any more: only the whole topic tells it again.
    Forever,
    /// As long as an event can be in a window: the horizon, and how far ahead of its arrival it may lie.
    For { millis: i64 },
}

/// A topic, as the brokers know it.
#[derive(Debug, Clone)]
pub(super) struct TopicFacts {
    pub role: Role,
    pub name: String,
    /// `None` if it is not there.
    pub facts: Option<Facts>,
}

/// What the brokers say of a topic.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub partitions: usize,
    /// Copies of the partition that has the fewest.
    pub replicas: usize,
    /// Its properties, those that the brokers default to among them.
    pub properties: BTreeMap<String, String>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub topic: String,
    /// Whether a guarantee is broken; otherwise it is weaker than it could be.
    pub is_wrong: bool,
    /// What is not right, and what would be.
    pub says: String,
}

impl Role {
    /// In the order in which they are created and judged.
    pub(super) const ALL: [Self; 5] =
        [Self::Events, Self::Applications, Self::Deferred, Self::Scores, Self::DeadLetters];

    /// The name of the topic with this role.
    pub(super) fn name(self, settings: &config::Kafka) -> &str {
        match self {
            Self::Events => &settings.events,
            Self::Applications => &settings.applications,
            Self::Deferred => &settings.deferred,
            Self::Scores => &settings.scores,
            Self::DeadLetters => &settings.dead_letters,
        }
    }

    /// Whether histories are made of its records: then it is a lane of each slice of people.
    fn is_lane(self) -> bool {
        matches!(self, Self::Events | Self::Applications | Self::Deferred)
    }

    /// Whether its records are others' with headers of Cauce's.
    fn holds_copies(self) -> bool {
        matches!(self, Self::Deferred | Self::DeadLetters)
    }

    /// The properties that it is created with.
    pub(super) fn properties(self, keep: Keep, replicas: i32) -> Vec<(&'static str, String)> {
        let mut properties = vec![("cleanup.policy", "delete".to_owned())];
        if self.is_lane() {
            properties.push(("retention.ms", keep.with_margin().to_string()));
        }
        if self == Self::DeadLetters {
            properties.push(("retention.ms", DEAD_LETTERS_MS.to_string()));
        }
        // `dead-letters --since` asks when a record became a dead letter.
        if self.is_lane() || self == Self::DeadLetters {
            properties.push(("message.timestamp.type", "LogAppendTime".to_owned()));
        }
        if self.holds_copies() {
            properties.push(("max.message.bytes", LARGEST_COPY.to_string()));
        }
        if replicas >= 3 {
            properties.push(("min.insync.replicas", "2".to_owned()));
        }
        properties
    }
}

impl Keep {
    /// What the features of a specification need.
    pub(super) fn of(specification: &Specification) -> Self {
        let is_lifetime = |definition: &Definition| matches!(definition, Definition::Aggregate(aggregate) if aggregate.window == Window::Lifetime);
        match specification.features.iter().any(|feature| is_lifetime(&feature.definition)) {
            true => Self::Forever,
            false => Self::For { millis: specification.horizon.millis() + specification.clock_skew.millis() },
        }
    }

    /// `retention.ms` of a topic that is created.
    fn with_margin(self) -> i64 {
        match self {
            Self::Forever => -1,
            Self::For { millis } => millis + MARGIN_MS,
        }
    }
}

impl Facts {
    /// A property that is a number.
    fn number(&self, key: &str) -> Option<i64> {
        self.properties.get(key)?.parse().ok()
    }

    fn text(&self, key: &str) -> &str {
        self.properties.get(key).map_or("", String::as_str)
    }
}

/// All problems, topic by topic.
pub(super) fn problems(topics: &[TopicFacts], keep: Keep) -> Vec<Problem> {
    let mut found = Vec::new();
    for topic in topics {
        let mut add = |is_wrong, says: String| found.push(Problem { topic: topic.name.clone(), is_wrong, says });
        if let Some(other) = topics.iter().find(|other| other.role != topic.role && other.name == topic.name) {
            add(true, format!("it is {} and {} at once: give each a topic of its own", topic.role, other.role));
        }
        let Some(facts) = &topic.facts else {
            add(true, "it is not there: `cauce topics create` makes it".into());
            continue;
        };
        partitions(topics, topic, facts, &mut add);
        cleanup(topic, facts, &mut add);
        if topic.role.is_lane() {
            retention(facts, keep, &mut add);
            timestamps(facts, &mut add);
        }
        if topic.role.holds_copies() {
            size(topics, facts, &mut add);
        }
        copies(facts, &mut add);
    }
    found
}

fn partitions(topics: &[TopicFacts], topic: &TopicFacts, facts: &Facts, add: &mut impl FnMut(bool, String)) {
    let events = topics.iter().find(|topic| topic.role == Role::Events);
    let Some((events, expected)) = events.and_then(|events| Some((&events.name, events.facts.as_ref()?.partitions)))
    else {
        return;
    };
    let has = facts.partitions;
    if topic.role.is_lane() && has != expected {
        let why = "what belongs to a person has to be in partitions of one number";
        let right = "make it anew with as many (partitions that are added would part people from their records)";
        add(true, format!("it has {has} partitions and `{events}` has {expected}: {why}; {right}"));
    }
    if topic.role == Role::Scores && has != expected {
        let why = "a score is not in the partition with its application's number, but where its key belongs";
        add(false, format!("it has {has} partitions and `{events}` has {expected}: {why}"));
    }
}

fn cleanup(topic: &TopicFacts, facts: &Facts, add: &mut impl FnMut(bool, String)) {
    let policy = facts.text("cleanup.policy");
    if policy.split(',').any(|word| word.trim() == "compact") {
        let lost = match topic.role {
            Role::Events => "all events of a person but the last, and the whole history with a tombstone",
            Role::Applications | Role::Deferred => "all applications of a person but the last",
            Role::Scores => "all scores of a person but the last",
            Role::DeadLetters => "all dead letters of a person but the last",
        };
        add(true, format!("`cleanup.policy` is `{policy}`, which removes {lost}: `delete` is right"));
    }
}

fn retention(facts: &Facts, keep: Keep, add: &mut impl FnMut(bool, String)) {
    let kept = facts.number("retention.ms").unwrap_or(-1);
    match keep {
        _ if kept < 0 => {}
        Keep::Forever => add(
            true,
            format!(
                "records are kept for {}, and the bundle has lifetime windows, which only the whole topic tells again: `retention.ms` \
                 of -1 is right",
                days(kept)
            ),
        ),
        Keep::For { millis } if kept < millis => add(
            true,
            format!(
                "records are kept for {}, and windows reach back {}: `retention.ms` of at least {} is right",
                days(kept),
                days(millis),
                keep.with_margin()
            ),
        ),
        Keep::For { .. } => {}
    }
    let bytes = facts.number("retention.bytes").unwrap_or(-1);
    if bytes >= 0 {
        let why = "however young they are";
        add(false, format!("a partition drops records above {bytes} bytes, {why}: `retention.bytes` of -1 is right"));
    }
}

fn timestamps(facts: &Facts, add: &mut impl FnMut(bool, String)) {
    let kind = facts.text("message.timestamp.type");
    if kind != "LogAppendTime" {
        let why = "the order of events and applications hangs on the clocks of those who send them";
        add(true, format!("`message.timestamp.type` is `{kind}`, and {why}: `LogAppendTime` is right"));
    }
}

/// A copy that does not fit would stop its partition.
fn size(topics: &[TopicFacts], facts: &Facts, add: &mut impl FnMut(bool, String)) {
    let originals = topics.iter().filter(|topic| topic.role.is_lane() && !topic.role.holds_copies());
    let largest = originals.filter_map(|topic| topic.facts.as_ref()?.number("max.message.bytes")).max().unwrap_or(0);
    let (has, right) = (facts.number("max.message.bytes").unwrap_or(0), largest + HEADER_BYTES as i64);
    if has < right {
        let why = format!("a record may have {largest} bytes where it comes from, and gets headers on top");
        add(true, format!("`max.message.bytes` is {has}, and {why}: at least {right} is right"));
    }
}

fn copies(facts: &Facts, add: &mut impl FnMut(bool, String)) {
    let (replicas, insync) = (facts.replicas as i64, facts.number("min.insync.replicas").unwrap_or(1));
    if insync > replicas {
        let right = (replicas - 1).max(1);
        add(true, format!("`min.insync.replicas` is {insync} of {replicas}, so nothing is accepted: {right} is right"));
    } else if replicas == 1 {
        add(false, "there is one copy of each record, lost with its broker's disk: 3 are right".into());
    } else if insync == replicas {
        let right = replicas - 1;
        add(false, format!("nothing is accepted while one broker is away: `min.insync.replicas` of {right} is right"));
    } else if insync == 1 && replicas > 2 {
        let why = "what one broker alone has may be acknowledged, and is lost with it";
        add(false, format!("`min.insync.replicas` is 1: {why}; 2 is right"));
    }
    if facts.text("unclean.leader.election.enable") == "true" {
        let why = "a broker that lacks acknowledged records may take over";
        add(false, format!("`unclean.leader.election.enable` is true: {why}; false is right"));
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events => "`kafka.events`",
            Self::Applications => "`kafka.applications`",
            Self::Deferred => "`kafka.deferred`",
            Self::Scores => "`kafka.scores`",
            Self::DeadLetters => "`kafka.dead_letters`",
        })
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = match self.number("retention.ms").unwrap_or(-1) {
            kept if kept < 0 => "for good".to_owned(),
            kept => format!("for {}", days(kept)),
        };
        write!(f, "partitions {}, copies {}, records kept {kept}", self.partitions, self.replicas)
    }
}

/// `90d`; brokers take longer spans than a [`Span`] is.
fn days(millis: i64) -> String {
    if millis > 36_500 * DAY_MS { "more than 100 years".to_owned() } else { Span::from_millis(millis).to_string() }
}

#[cfg(test)]
mod tests;
