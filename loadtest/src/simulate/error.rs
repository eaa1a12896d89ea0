//! Why nothing more is made.

use std::io;
use std::path::Path;

use rdkafka::error::KafkaError;

/// The longest history.
pub(super) const DAYS_MOST: u32 = 36_500;

/// Of a simulation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("`--to` is not a day or more behind `--from`: a history has whole days")]
    Days,
    #[error("from `--from` to `--to` there are {0} days: a history has at most {DAYS_MOST}")]
    TooManyDays(u32),
    #[error("`--rate` is for standard output and for Kafka: files are written as fast as it goes")]
    Rate,
    #[error("cannot write `{path}`: {cause}")]
    Write { path: String, cause: io::Error },
    #[error("cannot read `{path}`: {cause}")]
    Read { path: String, cause: io::Error },
    #[error("`{path}`, line {line}: a property is written `name=value`")]
    Property { path: String, line: usize },
    #[error("nobody reads any more")]
    NobodyReads,
    #[error("no broker at `{brokers}` answers: {cause}")]
    Brokers { brokers: String, cause: KafkaError },
    #[error("there is no topic `{0}`: `cauce topics create` makes it")]
    Topic(String),
    #[error("of {sent} records {delivered} were delivered: {cause}")]
    Undelivered { sent: u64, delivered: u64, cause: KafkaError },
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

impl Error {
    pub(super) fn write(path: &Path, cause: io::Error) -> Self {
        Self::Write { path: path.display().to_string(), cause }
    }
}
