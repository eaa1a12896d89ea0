//! What comes of a record and goes out again: a score, a dead letter, an application that has to wait.
//!
//! A score is made of the application, the history and the bundle alone, never of a clock or of how often it was made: repeated, it is
//! the same bytes under the same `cauce-id`.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use cauce_features::time::Timestamp;
use cauce_model::bundle::Bundle;
use serde::Serialize;

use super::decode::Refused;
use super::{Pending, Record};
use crate::kafka::header;
use crate::scoring::Decision;
use crate::scoring::answer::{BundleRef, InstantText, Kept, Scored};

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub to: To,
    /// That of the record it comes from: what waits has to come back to its slice.
    pub partition: i32,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Cow<'static, str>, Bytes)>,
}

/// Which topic a record is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Scores,
    DeadLetters,
    Deferred,
}

/// Where a record stood first, and when it arrived there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    topic: Box<str>,
    partition: i32,
    offset: i64,
    pub timestamp: Timestamp,
}

impl Origin {
    /// Of a record in a partition. An application that had to wait, or a dead letter sent again, carries it in its headers.
    pub fn of(record: &Record, topic: &str, partition: i32) -> Self {
        let number = |name| record.header(name).and_then(|text| text.parse::<i64>().ok());
        let carried = || {
            Some(Self {
                topic: record.header(header::TOPIC)?.into(),
                partition: i32::try_from(number(header::PARTITION)?).ok()?,
                offset: number(header::OFFSET)?,
                timestamp: record.instant(header::TIMESTAMP)?,
            })
        };
        let own = || Self { topic: topic.into(), partition, offset: record.offset, timestamp: record.timestamp };
        if record.headers.is_empty() { own() } else { carried().unwrap_or_else(own) }
    }

    /// The id of an application that has none of its own.
    pub fn id(&self) -> String {
        format!("{}-{}-{}", self.topic, self.partition, self.offset)
    }

    fn headers(&self) -> [(Cow<'static, str>, Bytes); 4] {
        let text = |name: &'static str, value: String| (Cow::Borrowed(name), Bytes::from(value));
        [
            text(header::TOPIC, self.topic.to_string()),
            text(header::PARTITION, self.partition.to_string()),
            text(header::OFFSET, self.offset.to_string()),
            text(header::TIMESTAMP, self.timestamp.millis().to_string()),
        ]
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

#[derive(Serialize)]
struct ScoreRecord<'a> {
    score_id: &'a str,
    #[serde(flatten)]
    scored: Scored<'a>,
    bundle: BundleRef<'a>,
    as_of: InstantText,
    source: Source<'a>,
}

#[derive(Serialize)]
struct Source<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: InstantText,
}

/// The score of an application, keyed by the person.
pub(super) fn score(partition: i32, bundle: &Bundle, of: &Pending, decision: &Decision<'_>, vectors: bool) -> Output {
    let Pending { application, origin, as_of, .. } = of;
    let score_id = origin.to_string();
    let document = ScoreRecord {
        score_id: &score_id,
        scored: Scored::new(application, decision, *as_of, vectors, Kept::Durable),
        bundle: BundleRef::of(bundle),
        as_of: InstantText(*as_of),
        source: Source {
            topic: &origin.topic,
            partition: origin.partition,
            offset: origin.offset,
            timestamp: InstantText(origin.timestamp),
        },
    };
    let value = serde_json::to_vec(&document).expect("a score is text and numbers");
    Output {
        to: To::Scores,
        partition,
        key: Some(Bytes::copy_from_slice(application.person().as_bytes())),
        value: Some(value.into()),
        headers: vec![(Cow::Borrowed(header::ID), score_id.into())],
    }
}

/// A record that is not taken, as it came, with the reason.
pub(super) fn dead_letter(partition: i32, record: &Record, origin: &Origin, refused: &Refused) -> Output {
    let mut output = passed_on(To::DeadLetters, partition, record, origin);
    output.headers.push((Cow::Borrowed(header::REASON), Bytes::from_static(refused.reason.as_str().as_bytes())));
    output.headers.push((Cow::Borrowed(header::ERRORS), Bytes::copy_from_slice(refused.errors.as_bytes())));
    output
}

/// An application that waits until there is time.
pub(super) fn deferred(partition: i32, record: &Record, origin: &Origin) -> Output {
    passed_on(To::Deferred, partition, record, origin)
}

/// The same bytes and headers, and where they stood first.
fn passed_on(to: To, partition: i32, record: &Record, origin: &Origin) -> Output {
    let own =
        |name: &str| name.starts_with("cauce-") && name != header::KIND && name != header::ID && name != header::AS_OF;
    let headers = record.headers.iter().filter(|(name, _)| !own(name));
    let headers = headers.map(|(name, value)| (Cow::Owned(name.to_string()), value.clone()));
    Output {
        to,
        partition,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: headers.chain(origin.headers()).collect(),
    }
}
