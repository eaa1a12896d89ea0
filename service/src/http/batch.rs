//! The items of a batch, each found without reading it: a JSON array, or one document a line.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::body::Format;
use crate::error::{ApiError, Code};

/// One item and its place: the position in the array, or the number of the line, both from 0.
pub struct Item<'a> {
    pub index: usize,
    pub json: &'a [u8],
}

/// Finds the items of a body, at most `most` (S5). Blank lines are no items.
pub fn items(body: &[u8], format: Format, most: usize) -> Result<Vec<Item<'_>>, ApiError> {
    let items = match format {
        Format::Json => elements(body, most)?,
        Format::Lines => lines(body).take(most + 1).collect(),
    };
    match items.len() {
        0 => Err(ApiError::new(Code::EmptyBatch, "a batch has at least one item")),
        count if count > most => {
            Err(ApiError::new(Code::TooManyItems, format!("a batch has at most {most} items here")))
        }
        _ => Ok(items),
    }
}

fn lines(body: &[u8]) -> impl Iterator<Item = Item<'_>> {
    let lines = body.split(|byte| *byte == b'\n').enumerate();
    lines.map(|(index, line)| Item { index, json: line.trim_ascii() }).filter(|item| !item.json.is_empty())
}

fn elements(body: &[u8], most: usize) -> Result<Vec<Item<'_>>, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = reader.deserialize_seq(Elements { most });
    let whole = read.and_then(|items| reader.end().map(|()| items));
    whole.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        ApiError::new(
            Code::MalformedJson,
            format!("a JSON array is expected; the body is none from line {line}, column {column} on"),
        )
    })
}

struct Elements {
    most: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<Item<'de>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(element) = sequence.next_element::<&RawValue>()? {
            items.push(Item { index: items.len(), json: element.get().as_bytes() });
            if items.len() > self.most {
                // Enough to know that there are too many: the others are skipped, not kept.
                while sequence.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str, format: Format) -> Result<Vec<(usize, String)>, Code> {
        let items = items(body.as_bytes(), format, 3).map_err(|error| error.code)?;
        Ok(items.iter().map(|item| (item.index, String::from_utf8(item.json.to_vec()).unwrap())).collect())
    }

    #[test]
    fn items_keep_their_place() {
        let expected = vec![(0, "{}".to_owned()), (2, "x".to_owned())];
        assert_eq!(found("{}\r\n\n x \n", Format::Lines), Ok(expected));
        let expected = vec![(0, "{\"a\": [1]}".to_owned()), (1, "2".to_owned())];
        assert_eq!(found("[{\"a\": [1]}, 2]", Format::Json), Ok(expected));
    }

    #[test]
    fn a_batch_is_bounded_and_not_empty() {
        for (body, format, code) in [
            ("[]", Format::Json, Code::EmptyBatch),
            ("\n\n", Format::Lines, Code::EmptyBatch),
            ("[1,2,3,4]", Format::Json, Code::TooManyItems),
            ("1\n2\n3\n4\n5", Format::Lines, Code::TooManyItems),
            ("[1,2", Format::Json, Code::MalformedJson),
            ("[1,2] x", Format::Json, Code::MalformedJson),
            ("{\"a\":1}", Format::Json, Code::MalformedJson),
        ] {
            assert_eq!(found(body, format), Err(code), "{body}");
        }
    }
}
