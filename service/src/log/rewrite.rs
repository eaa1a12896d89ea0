//! A segment written anew: without the records of people who were erased, or with a placeholder for each record that is lost.
//!
//! Positions stay dense, so nobody else's record moves. The new file takes the place of the old one in one step; whoever is reading
//! the old one reads it to its end.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use super::manifest::sync_directory;
use super::record::RecordRef;
use super::segment::{Extent, HEADER, Segment};
use super::segments::{Segments, with_person};
use super::{Kind, Position};

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Keep,
    Erase,
}

/// Whether records that cannot be read may become placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    Accepted,
    Refused,
}

/// A segment in the place of another, and how many records were taken out.
pub(super) struct Rewritten {
    pub(super) segment: Arc<Segment>,
    pub(super) erased: u64,
}

/// Writes a segment anew, up to the position of the next one.
pub(super) fn rewrite(
    old: &Segment,
    log_id: u128,
    next: Position,
    loss: Loss,
    fate: &mut dyn FnMut(&RecordRef<'_>) -> Fate,
) -> io::Result<Rewritten> {
    let directory = old.path.parent().expect("a segment lies in a directory").to_owned();
    let aside = old.path.with_extension("rewrite");
    let mut copy = Copy::begin(Segment::create_at(aside, old.first, log_id)?)?;
    let length = old.file.metadata()?.len();
    let scan = old.scan(HEADER as u64..length.max(HEADER as u64), old.first, &mut |record, _| {
        if record.position >= next {
            return Ok(false);
        }
        copy.fill(record.position)?;
        match fate(record) {
            Fate::Keep => copy.write(record)?,
            Fate::Erase => {
                copy.erased += 1;
                copy.write(&RecordRef::placeholder(record.position, Kind::Erased, record.arrived_at))?;
            }
        }
        Ok(true)
    })?;
    if loss == Loss::Refused
        && let Some(damage) = scan.damages.first().filter(|damage| damage.from < next)
    {
        return Err(old.damaged(damage.offset));
    }
    copy.fill(next)?;
    let Copy { mut segment, mut output, erased, extent, .. } = copy;
    output.flush()?;
    segment.file.sync_all()?;
    old.remove_index()?;
    fs::rename(&segment.path, &old.path)?;
    sync_directory(&directory)?;
    segment.path.clone_from(&old.path);
    *segment.extent.write() = extent;
    Ok(Rewritten { segment: Arc::new(segment), erased })
}

impl Segments {
    /// Takes erased people's records out of every sealed segment that has any: how many segments and records.
    pub(super) fn erase(&self, erasures: &[(Position, u128)]) -> io::Result<(usize, u64)> {
        let (mut segments, mut records) = (0, 0);
        let all = self.all();
        for pair in all.windows(2) {
            let (segment, next) = (&pair[0], pair[1].first);
            if self.concerns(segment, erasures)? {
                let fate = &mut |record: &RecordRef<'_>| match self.is_erased(record, erasures) {
                    true => Fate::Erase,
                    false => Fate::Keep,
                };
                let rewritten = rewrite(segment, self.manifest.log_id, next, Loss::Refused, fate)?;
                rewritten.segment.seal()?;
                self.replace(rewritten.segment);
                segments += 1;
                records += rewritten.erased;
            }
        }
        Ok((segments, records))
    }

    /// Whether a segment has records that are to be erased.
    pub(super) fn concerns(&self, segment: &Segment, erasures: &[(Position, u128)]) -> io::Result<bool> {
        for (_, hash) in erasures.iter().filter(|(position, _)| *position > segment.first) {
            for offset in segment.find(*hash as u32)? {
                if segment.at(offset, |record| self.is_erased(record, erasures))? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn is_erased(&self, record: &RecordRef<'_>, erasures: &[(Position, u128)]) -> bool {
        let later = |known: &(Position, u128)| known.0 > record.position && known.1 as u32 == record.person_hash;
        erasures.iter().any(later)
            && with_person(record, |person| {
                let hash = self.manifest.erasure_hash(person);
                erasures.iter().any(|known| later(known) && known.1 == hash)
            })
    }
}

/// The new file while it is written.
struct Copy {
    segment: Segment,
    output: BufWriter<File>,
    buffer: Vec<u8>,
    offset: u64,
    expected: Position,
    extent: Extent,
    erased: u64,
}

impl Copy {
    fn begin(segment: Segment) -> io::Result<Self> {
        let mut output = BufWriter::with_capacity(1 << 20, segment.file.try_clone()?);
        io::Seek::seek(&mut output, io::SeekFrom::Start(HEADER as u64))?;
        let (expected, extent) = (segment.first, Extent::empty(segment.first));
        let offset = HEADER as u64;
        Ok(Self { segment, output, buffer: Vec::new(), offset, expected, extent, erased: 0 })
    }

    /// Places for what is missing before a position.
    fn fill(&mut self, until: Position) -> io::Result<()> {
        while self.expected < until {
            let arrived_at = self.extent.latest();
            self.write(&RecordRef::placeholder(self.expected, Kind::Lost, arrived_at))?;
        }
        Ok(())
    }

    fn write(&mut self, record: &RecordRef<'_>) -> io::Result<()> {
        self.buffer.clear();
        record.write(&mut self.buffer);
        self.output.write_all(&self.buffer)?;
        self.extent.note(record, self.offset);
        self.offset += self.buffer.len() as u64;
        self.expected = Position(record.position.0 + 1);
        Ok(())
    }
}
