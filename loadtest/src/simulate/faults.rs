//! What real streams have beside the records that are right: the same ones again, and such that nobody can use.
//!
//! They stand beside the others and take the place of none, so a bank's history is the same with and without them.

use rand::RngExt;

use super::Record;
use super::people::chance;
use crate::random;

/// Keeps these draws apart from those of people.
const FAULTS: u64 = 0x6661756c7473;

/// How many of a hundred records have one of them behind it, as shares of 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    pub(super) seed: u64,
    pub(super) duplicate_share: f64,
    pub(super) invalid_share: f64,
}

/// What stands behind a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) duplicate: bool,
    pub(super) spoilt: Option<Spoilt>,
}

/// What is wrong with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoilt {
    /// It ends in the middle.
    CutOff,
    /// A key that nobody knows, and one less that has to be there.
    UnknownKey,
    /// A time that is none.
    NoTime,
}

impl Faults {
    pub(super) fn behind(&self, record: &Record) -> Behind {
        if self.duplicate_share == 0.0 && self.invalid_share == 0.0 {
            return Behind::default();
        }
        let mut random = random::stream(self.seed, FAULTS, record.number);
        let duplicate = chance(&mut random, self.duplicate_share);
        let ways = [Spoilt::CutOff, Spoilt::UnknownKey, Spoilt::NoTime];
        let spoilt = chance(&mut random, self.invalid_share).then(|| ways[random.random_range(0..ways.len())]);
        Behind { duplicate, spoilt }
    }
}

impl Spoilt {
    /// Adds a copy of a line that is spoilt like this.
    pub(super) fn copy(self, line: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::CutOff => out.extend_from_slice(&line[..line.len() / 2]),
            Self::UnknownKey => replaced(line, br#""person_id":"#, br#""persona":"#, out),
            // Of an application it is `as_of`, which ends like that in no other place of a line.
            Self::NoTime => {
                let key: &[u8] =
                    if line.windows(9).any(|key| key == br#""as_of":""#) { br#""as_of":""# } else { br#""time":""# };
                replaced(line, key, &[key, b"not "].concat(), out);
            }
        }
    }
}

/// Adds a line with the first occurrence of a piece replaced.
fn replaced(line: &[u8], from: &[u8], to: &[u8], out: &mut Vec<u8>) {
    let place = line.windows(from.len()).position(|piece| piece == from).unwrap_or(line.len());
    out.extend_from_slice(&line[..place]);
    out.extend_from_slice(to);
    out.extend_from_slice(line.get(place + from.len()..).unwrap_or_default());
}
