//! A record as bytes: a fixed head, then the ids and the body as they were accepted.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | length of what stands behind the head |
//! | 4..8 | checksum (low half of XXH3-64, seeded with the length) of everything behind this field |
//! | 8..16 | position |
//! | 16..24 | when it was accepted, milliseconds since the epoch |
//! | 24..28 | keyed hash of the person, for the index |
//! | 28, 29, 30 | kind, length of the person's id, length of the record's id |
//! | 31 | zero |
//!
//! Little-endian. The position is part of what is checked: a whole record in a wrong place is damage too.

use bytes::Bytes;
use cauce_features::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Kind, Position, Record};

/// Bytes of the head.
pub(super) const HEAD: usize = 32;

/// The most bytes behind a head: no length beyond it is believed.
pub(super) const MAX_LENGTH: usize = 16 << 20;

/// What a record consists of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RecordRef<'a> {
    pub(super) position: Position,
    pub(super) kind: Kind,
    pub(super) arrived_at: Timestamp,
    pub(super) person_hash: u32,
    pub(super) person: &'a str,
    pub(super) id: &'a str,
    pub(super) body: &'a [u8],
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed<'a> {
    /// A record, and how many bytes it takes.
    Whole(RecordRef<'a>, usize),
    /// So many bytes would be needed to tell.
    Short(usize),
    Damaged,
}

impl<'a> RecordRef<'a> {
    /// The record that keeps a position whose content is gone.
    pub(super) fn placeholder(position: Position, kind: Kind, arrived_at: Timestamp) -> Self {
        Self { position, kind, arrived_at, person_hash: 0, person: "", id: "", body: &[] }
    }

    /// Appends it to a buffer.
    pub(super) fn write(&self, buffer: &mut Vec<u8>) {
        let length = self.person.len() + self.id.len() + self.body.len();
        let start = buffer.len();
        buffer.reserve(HEAD + length);
        buffer.extend_from_slice(&(length as u32).to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&self.position.0.to_le_bytes());
        buffer.extend_from_slice(&self.arrived_at.millis().to_le_bytes());
        buffer.extend_from_slice(&self.person_hash.to_le_bytes());
        // Ids are at most 128 bytes.
        buffer.extend_from_slice(&[self.kind as u8, self.person.len() as u8, self.id.len() as u8, 0]);
        for part in [self.person.as_bytes(), self.id.as_bytes(), self.body] {
            buffer.extend_from_slice(part);
        }
        let checksum = checksum(&buffer[start + 8..], length);
        buffer[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads the record at the beginning of `bytes`.
    pub(super) fn parse(bytes: &'a [u8]) -> Parsed<'a> {
        let Some((head, behind)) = bytes.split_at_checked(HEAD) else { return Parsed::Short(HEAD) };
        let length = word(head, 0) as usize;
        let (person, id) = (usize::from(head[29]), usize::from(head[30]));
        let Some(kind) = Kind::of(head[28]).filter(|_| length <= MAX_LENGTH && person + id <= length) else {
            return Parsed::Damaged;
        };
        if behind.len() < length {
            return Parsed::Short(HEAD + length);
        }
        if checksum(&bytes[8..HEAD + length], length) != word(head, 4) {
            return Parsed::Damaged;
        }
        let (ids, body) = behind[..length].split_at(person + id);
        let (Ok(person), Ok(id)) = (std::str::from_utf8(&ids[..person]), std::str::from_utf8(&ids[person..])) else {
            return Parsed::Damaged;
        };
        let record = Self {
            position: position(head),
            kind,
            arrived_at: Timestamp::from_millis(u64::from_le_bytes(eight(head, 16)) as i64),
            person_hash: word(head, 24),
            person,
            id,
            body,
        };
        Parsed::Whole(record, HEAD + length)
    }

    /// A copy that owns its bytes.
    pub(super) fn to_record(self) -> Record {
        let Self { position, kind, arrived_at, person_hash, person, id, body } = self;
        let (person, id, body) = (person.into(), id.into(), Bytes::copy_from_slice(body));
        Record { position, kind, arrived_at, person_hash, person, id, body }
    }
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Event, Self::Application, Self::Fields, Self::Erasure, Self::Erased, Self::Lost]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The position that a head claims, checked or not: what a search for the next whole record looks at first.
pub(super) fn position(head: &[u8]) -> Position {
    Position(u64::from_le_bytes(eight(head, 8)))
}

fn checksum(bytes: &[u8], length: usize) -> u32 {
    xxh3_64_with_seed(bytes, length as u64) as u32
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn eight(bytes: &[u8], at: usize) -> [u8; 8] {
    bytes[at..at + 8].try_into().expect("eight bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> RecordRef<'static> {
        RecordRef {
            position: Position(7),
            kind: Kind::Fields,
            arrived_at: Timestamp::from_millis(-5),
            person_hash: 9,
            person: "c-1",
            id: "a-1",
            body: br#"{"amount": 5}"#,
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut bytes = Vec::new();
        sample().write(&mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(b"what follows");
        assert_eq!(RecordRef::parse(&bytes), Parsed::Whole(sample(), length));
    }

    #[test]
    fn no_flipped_bit_goes_unseen() {
        let mut bytes = Vec::new();
        sample().write(&mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(RecordRef::parse(&bytes), Parsed::Whole(..)), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_record_cut_short_says_how_much_it_needs() {
        let mut bytes = Vec::new();
        sample().write(&mut bytes);
        assert_eq!(RecordRef::parse(&bytes[..10]), Parsed::Short(HEAD));
        assert_eq!(RecordRef::parse(&bytes[..HEAD + 1]), Parsed::Short(bytes.len()));
    }
}
