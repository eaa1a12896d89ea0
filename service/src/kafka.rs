//! Kafka as the log: its topics hold what was accepted, and people's histories are made of them.
//!
//! [`Cluster`] is what every client is made from: brokers, names, and the properties that the guarantees rest on. Nothing outside this
//! module names rdkafka; what becomes of a record is decided in `stream`, which knows no client.
//!
//! Chosen of librdkafka 2.12: `cooperative-sticky`, since its members of the newer group protocol may be rejected for good after a
//! slow poll; a unique `client.id`, since a shared one has sent clients into an endless loop; no automatic commit or offset reset, since
//! positions belong to the state.

pub mod applied;
pub mod dead_letters;
pub mod front;
pub mod lag;
pub mod partitioner;
pub mod partitions;
pub mod reading;
pub mod replay;
pub mod tending;
pub mod topics;
pub mod worker;
pub mod writing;

use std::fs;
use std::io;
use std::time::Duration;

use cauce_features::time::Span;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::config::{self, Kafka as Settings};
use crate::log::embedded::OpenError;
use crate::machine;
use crate::stream::Rules;

/// How long a question to the brokers may take before it counts as unanswered.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Headers that say where a record came from and what became of it.
pub mod header {
    /// Of a record in the events topic: `application` or `fields` for an application that was scored over HTTP.
    pub const KIND: &str = "cauce-kind";
    /// Its application id; of a score, the place of its application: `TOPIC/PARTITION/OFFSET`.
    pub const ID: &str = "cauce-id";
    /// When it was scored, in milliseconds since 1970.
    pub const AS_OF: &str = "cauce-as-of";
    /// Why a record is a dead letter.
    pub const REASON: &str = "cauce-reason";
    /// Its wrong fields, as JSON.
    pub const ERRORS: &str = "cauce-errors";
    /// Where a dead letter or a deferred application stood first.
    pub const TOPIC: &str = "cauce-topic";
    pub const PARTITION: &str = "cauce-partition";
    pub const OFFSET: &str = "cauce-offset";
    pub const TIMESTAMP: &str = "cauce-timestamp";
    /// Of a record in the topic of dead letters: the one at this `PARTITION/OFFSET` of the same topic was sent again.
    pub const REPLAYED: &str = "cauce-replayed";
    /// `high` for an application that is scored whatever the lag.
    pub const PRIORITY: &str = "priority";
}

/// Properties that a properties file may not set: guarantees rest on them, or a setting of its own is there.
const OWN_PROPERTIES: [&str; 12] = [
    "bootstrap.servers",
    "client.id",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "partition.assignment.strategy",
    "transactional.id",
    "enable.idempotence",
    "acks",
    "partitioner",
];

/// A Kafka cluster, and this instance's place in it.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub settings: config::Kafka,
    /// The name of this instance.
    pub instance: String,
    properties: Vec<(String, String)>,
}

/// Why Kafka cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("no brokers are named: set `kafka.brokers`, as in `--set kafka.brokers=127.0.0.1:9092`")]
    NoBrokers,
    #[error("cannot read the properties `{path}`: {cause}")]
    Unreadable { path: String, cause: io::Error },
    #[error("`{path}`, line {line}: {problem}")]
    Property { path: String, line: usize, problem: String },
    #[error("there is no topic `{0}`; `cauce topics create` creates what is missing")]
    NoTopic(String),
    #[error(
        "the topics of events, applications and deferred applications differ in partitions: see `cauce topics check`"
    )]
    Uneven,
    #[error("{doing}: {cause}")]
    Client { doing: &'static str, cause: KafkaError },
    #[error("what waits for the brokers: {0}")]
    Outbox(#[from] OpenError),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

impl Cluster {
    /// The cluster that a configuration names.
    pub fn of(settings: &config::Kafka) -> Result<Self, ClusterError> {
        if settings.brokers.is_empty() {
            return Err(ClusterError::NoBrokers);
        }
        let instance = match settings.instance.as_str() {
            "" => machine::host_name(),
            name => name.to_owned(),
        };
        let path = &settings.properties;
        let properties = match path.as_os_str().is_empty() {
            true => Vec::new(),
            false => {
                let path = path.display().to_string();
                let text = fs::read_to_string(&path)
                    .map_err(|cause| ClusterError::Unreadable { path: path.clone(), cause })?;
                properties(&path, &text)?
            }
        };
        Ok(Self { settings: settings.clone(), instance, properties })
    }

    /// Names of a slice's topics, by lane.
    pub fn topics(&self) -> [String; 3] {
        let Settings { events, applications, deferred, .. } = &self.settings;
        [events, applications, deferred].map(String::clone)
    }

    /// What so many records at most are worked off by.
    pub fn rules(&self, deferring: bool, most: usize) -> Rules {
        let Settings { vectors, oldest_as_of, .. } = &self.settings;
        let oldest_ms = i64::try_from(oldest_as_of.get().as_millis()).unwrap_or(i64::MAX);
        Rules { deferring, vectors: *vectors, oldest_as_of: Span::from_millis(oldest_ms), most }
    }

    /// How many partitions the topics of a slice have; and that the others are there.
    pub fn partitions(&self) -> Result<usize, ClusterError> {
        let unreachable = |cause| ClusterError::Client { doing: "no broker answers", cause };
        let reader =
            BaseConsumer::<Plain>::from_config_and_context(&self.reader("start"), Plain).map_err(unreachable)?;
        let Settings { events, applications, deferred, scores, dead_letters, .. } = &self.settings;
        let mut counts = Vec::new();
        for topic in [events, applications, deferred, scores, dead_letters] {
            let found = reader.fetch_metadata(Some(topic), ANSWER_TIMEOUT).map_err(unreachable)?;
            let count = found.topics().first().map_or(0, |topic| topic.partitions().len());
            if count == 0 {
                return Err(ClusterError::NoTopic(topic.clone()));
            }
            counts.push(count);
        }
        match counts[..3].iter().all(|count| *count == counts[0]) {
            true => Ok(counts[0]),
            false => Err(ClusterError::Uneven),
        }
    }

    /// What every client has; `role` tells the clients of one instance apart.
    fn client(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.settings.brokers);
        config.set("client.id", format!("cauce-{}-{}-{role}", self.instance, std::process::id()));
        // A broker that is back is found soon, and one that is gone costs little.
        config.set("reconnect.backoff.max.ms", "1000");
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// Of a member of the group.
    pub fn member(&self) -> ClientConfig {
        let mut config = self.reader("member");
        config.set("group.id", &self.settings.group);
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("session.timeout.ms", self.settings.session_timeout.get().as_millis().to_string());
        config.set("heartbeat.interval.ms", (self.settings.session_timeout.get().as_millis() / 4).to_string());
        config
    }

    /// Of a consumer that reads partitions of its choice and commits nothing. What a transaction has aborted is not read.
    pub fn reader(&self, role: &str) -> ClientConfig {
        let mut config = self.client(role);
        // Required even of a consumer that joins no group.
        config.set("group.id", format!("{}-{role}", self.settings.group));
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "error");
        config.set("isolation.level", "read_committed");
        config.set("fetch.wait.max.ms", "100");
        config.set("queued.max.messages.kbytes", "65536");
        config.set("allow.auto.create.topics", "false");
        config
    }

    /// Of a producer whose records are there once and in order, acknowledged by all replicas.
    pub fn producer(&self, role: &str) -> ClientConfig {
        let mut config = self.client(role);
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config.set("partitioner", "murmur2_random");
        // A dead letter is the largest record that the topics take, with headers more.
        config.set("message.max.bytes", "2097152");
        config.set("linger.ms", "1");
        config.set("compression.type", "lz4");
        config
    }

    /// Of the producer whose records and offsets are committed together; it fences off an earlier process of this instance.
    pub fn transactional_producer(&self) -> ClientConfig {
        let mut config = self.producer("scores");
        config.set("transactional.id", format!("{}-{}", self.settings.group, self.instance));
        config.set("transaction.timeout.ms", self.settings.transaction_timeout.get().as_millis().to_string());
        config.set("queue.buffering.max.messages", "1000000");
        // The brokers are still ending one transaction when the next begins, and say so: with the default that is asked again after 100 ms.
        config.set("retry.backoff.ms", "5");
        config.set("retry.backoff.max.ms", "200");
        config
    }

    /// Of a client that asks and changes topics.
    pub fn admin(&self) -> ClientConfig {
        self.client("admin")
    }
}

/// A client without callbacks of its own: what librdkafka says of itself is handed on.
pub struct Plain;

impl ClientContext for Plain {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

impl ConsumerContext for Plain {}

/// One line of librdkafka's own log. It names brokers and topics, never a record.
pub fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
            tracing::debug!(facility, message, "kafka");
        }
        _ => tracing::warn!(facility, message, "kafka"),
    }
}

/// `key=value` lines; `#` begins a comment line.
fn properties(path: &str, text: &str) -> Result<Vec<(String, String)>, ClusterError> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let property = |(line, text): (usize, &str)| {
        let wrong = |problem: String| ClusterError::Property { path: path.to_owned(), line, problem };
        let (key, value) = text.split_once('=').ok_or_else(|| wrong("a property is written `key=value`".into()))?;
        let (key, value) = (key.trim(), value.trim());
        if OWN_PROPERTIES.contains(&key) {
            return Err(wrong(format!("`{key}` is set by the section `kafka` of the configuration, or rests on it")));
        }
        Ok((key.to_owned(), value.to_owned()))
    };
    lines.map(property).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_line_by_line_and_those_that_guarantees_rest_on_are_refused_by_name() {
        let read = properties("p", "# comment\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n").unwrap();
        let expected = [("security.protocol", "SASL_SSL"), ("sasl.password", "a=b")];
        assert_eq!(read, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        for (text, message) in [
            ("x", "`p`, line 1: a property is written `key=value`"),
            ("#\nacks=0", "`p`, line 2: `acks` is set by the section `kafka` of the configuration, or rests on it"),
        ] {
            assert_eq!(properties("p", text).unwrap_err().to_string(), message);
        }
    }
}
