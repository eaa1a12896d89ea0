//! A dead letter as its headers tell it, and what it was before it became one.

use std::fmt;
use std::rc::Rc;

use cauce_features::time::Timestamp;
use rdkafka::Message;
use rdkafka::message::{Headers, OwnedHeaders};
use serde::Deserialize;

use super::super::header;

/// What says that a record is a dead letter. Where it stood first goes with it, so that an application that is sent again is scored under
/// the id, and as of the time, that it had then.
const REFUSAL: [&str; 2] = [header::REASON, header::ERRORS];

/// Of a CloudEvents record: the person it is about.
const CLOUD_EVENT_SUBJECT: &str = "ce_subject";

/// A place in the topic of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub partition: i32,
    pub offset: i64,
}

/// What there is to know of a dead letter; neither its key nor its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub place: Place,
    /// When it became one.
    pub at: Timestamp,
    pub reason: Rc<str>,
    /// Its wrong fields, as JSON.
    pub errors: String,
    /// The topic that it came from, and its place there.
    pub topic: Rc<str>,
    pub from: Place,
}

/// A record of the topic of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    Letter(Letter),
    /// Says that the dead letter at a place was sent again.
    Replayed(Place),
    /// Something that Cauce did not write.
    Foreign,
}

impl Place {
    /// Of a record of the topic.
    pub(super) fn of(record: &impl Message) -> Self {
        Self { partition: record.partition(), offset: record.offset() }
    }

    /// The place that was written as [`fmt::Display`] does.
    fn parse(text: &str) -> Option<Self> {
        let (partition, offset) = text.split_once('/')?;
        Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

/// What a record of the topic is.
pub(super) fn read(record: &impl Message) -> Read {
    let text = |key: &str| std::str::from_utf8(header_of(record, key)?).ok();
    if let Some(place) = text(header::REPLAYED) {
        return Place::parse(place).map_or(Read::Foreign, Read::Replayed);
    }
    let from = || {
        Some(Place { partition: text(header::PARTITION)?.parse().ok()?, offset: text(header::OFFSET)?.parse().ok()? })
    };
    match (text(header::REASON), text(header::TOPIC), from()) {
        (Some(reason), Some(topic), Some(from)) => Read::Letter(Letter {
            place: Place::of(record),
            at: Timestamp::from_millis(record.timestamp().to_millis().unwrap_or(0)),
            reason: reason.into(),
            errors: text(header::ERRORS).unwrap_or("[]").to_owned(),
            topic: topic.into(),
            from,
        }),
        _ => Read::Foreign,
    }
}

/// The headers to send it with: those that it had before, and where it stood first.
pub(super) fn own_headers(record: &impl Message) -> OwnedHeaders {
    let mut own = OwnedHeaders::new();
    for one in record.headers().into_iter().flat_map(Headers::iter) {
        if !REFUSAL.contains(&one.key) {
            own = own.insert(one);
        }
    }
    own
}

/// The key to send it with: its own, or else the person that its value or its headers name. That mends `missing_key`.
pub(super) fn key_of(record: &impl Message) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Named {
        person_id: Option<String>,
        // Of a CloudEvents record in structured mode.
        subject: Option<String>,
    }
    if let Some(key) = record.key().filter(|key| !key.is_empty()) {
        return Some(key.to_owned());
    }
    let named: Option<Named> = record.payload().and_then(|value| serde_json::from_slice(value).ok());
    let in_headers = || header_of(record, CLOUD_EVENT_SUBJECT).map(<[u8]>::to_owned);
    let named = named.and_then(|named| named.person_id.or(named.subject)).map(String::into_bytes);
    named.or_else(in_headers).filter(|key| !key.is_empty())
}

/// The first header of a name.
fn header_of<'a>(record: &'a impl Message, key: &str) -> Option<&'a [u8]> {
    record.headers()?.iter().find(|one| one.key == key)?.value
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedMessage};

    use super::*;

    fn record(key: Option<&str>, value: &str, headers: &[(&str, &str)]) -> OwnedMessage {
        let insert = |own: OwnedHeaders, (key, value): &(&str, &str)| own.insert(Header { key, value: Some(*value) });
        let headers = headers.iter().fold(OwnedHeaders::new(), insert);
        let (key, value) = (key.map(|key| key.as_bytes().to_owned()), Some(value.as_bytes().to_owned()));
        let at = rdkafka::Timestamp::LogAppendTime(1_000);
        OwnedMessage::new(value, key, "cauce.dead-letters".into(), at, 3, 17, Some(headers))
    }

    const LETTER: [(&str, &str); 5] = [
        ("cauce-reason", "missing_key"),
        ("cauce-topic", "cauce.events"),
        ("cauce-partition", "3"),
        ("cauce-offset", "99"),
        ("cauce-errors", "[]"),
    ];

    #[test]
    fn a_letter_is_told_by_its_headers() {
        let expected = Letter {
            place: Place { partition: 3, offset: 17 },
            at: Timestamp::from_millis(1_000),
            reason: "missing_key".into(),
            errors: "[]".into(),
            topic: "cauce.events".into(),
            from: Place { partition: 3, offset: 99 },
        };
        assert_eq!(read(&record(None, "{}", &LETTER)), Read::Letter(expected));
    }

    #[test]
    fn what_says_that_a_letter_was_replayed_is_none_itself() {
        let place = Place { partition: 3, offset: 17 };
        let text = place.to_string();
        assert_eq!(read(&record(None, "", &[("cauce-replayed", &text)])), Read::Replayed(place));
        assert_eq!(read(&record(None, "", &[("cauce-replayed", "x")])), Read::Foreign);
    }

    #[test]
    fn a_record_without_a_reason_or_a_place_is_foreign() {
        assert_eq!(read(&record(None, "{}", &[])), Read::Foreign);
        assert_eq!(read(&record(None, "{}", &LETTER[..3])), Read::Foreign);
        assert_eq!(read(&record(None, "{}", &LETTER[1..])), Read::Foreign);
    }

    #[test]
    fn it_is_sent_with_the_headers_that_it_had_before_and_its_first_place() {
        let headers = [&[("priority", "high"), ("cauce-kind", "fields"), ("priority", "x")][..], &LETTER].concat();
        let own = own_headers(&record(None, "{}", &headers));
        let own: Vec<_> = own.iter().map(|one| (one.key, std::str::from_utf8(one.value.unwrap()).unwrap())).collect();
        assert_eq!(own, [&headers[..3], &LETTER[1..4]].concat());
    }

    #[test]
    fn a_key_that_was_missing_is_the_person_that_the_record_names() {
        for (key, value, headers, expected) in [
            (Some("c-1"), r#"{"person_id": "c-2"}"#, &[][..], Some("c-1")),
            (None, r#"{"person_id": "c-2", "data": {}}"#, &[], Some("c-2")),
            (Some(""), r#"{"person_id": "c-2"}"#, &[], Some("c-2")),
            (None, r#"{"specversion": "1.0", "subject": "c-3"}"#, &[], Some("c-3")),
            (None, r#"{"amount": 1}"#, &[("ce_subject", "c-4")], Some("c-4")),
            (None, r#"{"person_id": ""}"#, &[], None),
            (None, r#"{"person_id": 5}"#, &[], None),
            (None, "no JSON", &[], None),
        ] {
            let key = key_of(&record(key, value, headers));
            assert_eq!(key.as_deref(), expected.map(str::as_bytes), "{value}");
        }
    }
}
