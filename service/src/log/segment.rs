//! One file of the log: a header, then records side by side, each checked on its own.
//!
//! A segment is written by one thread and read by any. What readers may see of it, its [`Extent`], grows only once records are
//! durable; a sealed segment is never written again, only replaced whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cauce_features::time::Timestamp;
use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_64;

use super::index::{Runs, Sealed};
use super::record::{self, HEAD, Parsed, RecordRef};
use super::{Kind, Position};

const MAGIC: &[u8; 8] = b"CAUCELOG";
const VERSION: u32 = 1;
/// Bytes of the header: magic, version, log id, first position, checksum.
pub(super) const HEADER: usize = 48;
/// Bytes that are read at once when records are read in order.
const CHUNK: usize = 1 << 20;
/// A record of usual size is read whole at the first try.
const USUAL_RECORD: usize = 512;
/// Bytes between two marks.
const MARK_EVERY: u64 = 64 << 10;

/// A file of the log.
pub(super) struct Segment {
    pub(super) first: Position,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) extent: RwLock<Extent>,
}

/// What is known of the durable records of a segment.
pub(super) struct Extent {
    /// Behind the newest record.
    pub(super) end: Position,
    pub(super) bytes: u64,
    /// Arrival of the first record; of the latest.
    pub(super) earliest_ms: i64,
    pub(super) latest_ms: i64,
    /// Every so many bytes, so that a position or an instant is found without reading from the start.
    pub(super) marks: Vec<Mark>,
    pub(super) people: People,
    pub(super) erasures: Vec<(Position, u128)>,
}

/// A record, where it lies, and when the latest one before it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    pub(super) offset: u32,
    pub(super) latest_ms: i64,
}

pub(super) enum People {
    Open(Runs),
    Sealed(Sealed),
}

/// Bytes that hold no record that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) offset: u64,
    /// The records that are missing; without an end where nothing whole follows.
    pub(super) from: Position,
    pub(super) to: Option<Position>,
}

/// What reading all of a segment found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Bytes up to the end of the last whole record.
    pub(super) bytes: u64,
    pub(super) damages: Vec<Damage>,
}

impl Segment {
    /// The name of the segment that begins at a position.
    pub(super) fn path(directory: &Path, first: Position) -> PathBuf {
        directory.join(format!("{:020}.log", first.0))
    }

    /// A new file with its header, not synced.
    pub(super) fn create(directory: &Path, first: Position, log_id: u128) -> io::Result<Self> {
        Self::create_at(Self::path(directory, first), first, log_id)
    }

    /// The same at a path of its own, to be renamed.
    pub(super) fn create_at(path: PathBuf, first: Position, log_id: u128) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        file.write_all_at(&header(log_id, first), 0)?;
        Ok(Self { first, path, file, extent: RwLock::new(Extent::empty(first)) })
    }

    /// A file that is there. Nothing of it is read.
    pub(super) fn open(path: PathBuf, first: Position, write: bool) -> io::Result<Self> {
        let file = File::options().read(true).write(write).open(&path)?;
        Ok(Self { first, path, file, extent: RwLock::new(Extent::empty(first)) })
    }

    /// The id of the log that the header names, if the header is whole.
    pub(super) fn log_id(&self) -> Option<u128> {
        let mut bytes = [0; HEADER];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let log_id = u128::from_le_bytes(bytes[16..32].try_into().expect("sixteen bytes"));
        (bytes == header(log_id, self.first)).then_some(log_id)
    }

    /// Behind the newest durable record.
    pub(super) fn end(&self) -> Position {
        self.extent.read().end
    }

    /// The name that messages use.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Reads the records of a byte range in order. `expected` is the position of the first.
    pub(super) fn scan(
        &self,
        range: std::ops::Range<u64>,
        mut expected: Position,
        take: &mut dyn FnMut(&RecordRef<'_>, u64) -> io::Result<bool>,
    ) -> io::Result<Scan> {
        let mut scan = Scan { bytes: range.start, damages: Vec::new() };
        let mut chunk = Chunk { file: &self.file, bytes: Vec::new(), begin: 0, offset: range.start, end: range.end };
        loop {
            let offset = chunk.offset;
            let short = match RecordRef::parse(chunk.rest()) {
                Parsed::Whole(record, length) if record.position >= expected => {
                    if record.position > expected {
                        scan.damages.push(Damage { offset, from: expected, to: Some(record.position) });
                    }
                    expected = Position(record.position.0 + 1);
                    scan.bytes = offset + length as u64;
                    if !take(&record, offset)? {
                        return Ok(scan);
                    }
                    chunk.advance(length);
                    continue;
                }
                Parsed::Short(bytes) => bytes,
                Parsed::Whole(..) | Parsed::Damaged => 0,
            };
            if short > 0 && chunk.fill(short)? {
                continue;
            }
            if offset == range.end {
                return Ok(scan);
            }
            // Not a record: go on where the next whole one stands.
            let Some(next) = chunk.find_record(expected)? else {
                scan.damages.push(Damage { offset, from: expected, to: None });
                return Ok(scan);
            };
            scan.damages.push(Damage { offset, from: expected, to: Some(next) });
            expected = next;
        }
    }

    /// Makes sure of what is there: by the file beside it and, if that is to be verified or does not fit, by reading all. `None` if it
    /// is whole and ends where the next one begins.
    pub(super) fn examine(&self, next: Option<Position>, verify: bool) -> io::Result<Option<Scan>> {
        if next.is_some() && self.unseal()? && next == Some(self.end()) {
            let records = HEADER as u64..self.extent.read().bytes;
            let whole = |scan: &Scan| scan.damages.is_empty() && scan.bytes == self.extent.read().bytes;
            if !verify || whole(&self.scan(records, self.first, &mut |_, _| Ok(true))?) {
                return Ok(None);
            }
        }
        self.scan_all(next).map(Some)
    }

    /// Reads all and notes what is there, up to the first position of the next segment: what stands from there on was
    /// written before a failed sync and never acknowledged.
    pub(super) fn scan_all(&self, next: Option<Position>) -> io::Result<Scan> {
        let length = self.file.metadata()?.len();
        let mut extent = Extent::empty(self.first);
        let range = HEADER as u64..length.max(HEADER as u64);
        let scan = self.scan(range, self.first, &mut |record, offset| {
            if next.is_some_and(|next| record.position >= next) {
                return Ok(false);
            }
            extent.note(record, offset);
            Ok(true)
        })?;
        *self.extent.write() = extent;
        Ok(scan)
    }

    /// Writes what stands behind the acknowledged records again, and syncs all. Since a sync failed it may be in memory only, marked as
    /// if it were on the disk.
    pub(super) fn write_again(&self, acknowledged: Position) -> io::Result<()> {
        let (_, from) = self.mark_before(|mark| mark.position > acknowledged);
        let end = self.extent.read().bytes;
        if self.end() > acknowledged {
            let mut bytes = vec![0; (end - from) as usize];
            self.file.read_exact_at(&mut bytes, from)?;
            self.file.write_all_at(&bytes, from)?;
        }
        self.file.sync_all()
    }

    /// Reads the record at an offset.
    pub(super) fn at<R>(&self, offset: u32, look: impl FnOnce(&RecordRef<'_>) -> R) -> io::Result<R> {
        let mut bytes = vec![0; USUAL_RECORD];
        let mut read = read_up_to(&self.file, &mut bytes, u64::from(offset))?;
        loop {
            match RecordRef::parse(&bytes[..read]) {
                Parsed::Whole(record, _) => return Ok(look(&record)),
                Parsed::Short(needed) if needed > bytes.len() => {
                    bytes.resize(needed, 0);
                    read = read_up_to(&self.file, &mut bytes, u64::from(offset))?;
                }
                _ => return Err(self.damaged(u64::from(offset))),
            }
        }
    }

    /// Offsets of the records that may be of a person.
    pub(super) fn find(&self, person_hash: u32) -> io::Result<Vec<u32>> {
        match &self.extent.read().people {
            People::Open(runs) => {
                let mut offsets = runs.find(person_hash);
                offsets.sort_unstable();
                Ok(offsets)
            }
            People::Sealed(sealed) => sealed.find(person_hash),
        }
    }

    /// The last mark before which `later` does not hold yet, or the start of the records.
    pub(super) fn mark_before(&self, later: impl Fn(&Mark) -> bool) -> (Position, u64) {
        let extent = self.extent.read();
        let behind = extent.marks.partition_point(|mark| !later(mark));
        let mark = behind.checked_sub(1).map(|before| extent.marks[before]);
        mark.map_or((self.first, HEADER as u64), |mark| (mark.position, u64::from(mark.offset)))
    }

    /// What is said when a record that was whole before is not any more.
    pub(super) fn damaged(&self, offset: u64) -> io::Error {
        io::Error::other(format!("`{}` is damaged at byte {offset}", self.name()))
    }
}

impl Extent {
    pub(super) fn empty(first: Position) -> Self {
        Self {
            end: first,
            bytes: HEADER as u64,
            earliest_ms: i64::MAX,
            latest_ms: i64::MIN,
            marks: Vec::new(),
            people: People::Open(Runs::default()),
            erasures: Vec::new(),
        }
    }

    /// Takes in the next durable record.
    pub(super) fn note(&mut self, record: &RecordRef<'_>, offset: u64) {
        let arrived_ms = record.arrived_at.millis();
        if self.marks.last().is_none_or(|mark| offset - u64::from(mark.offset) >= MARK_EVERY) {
            self.marks.push(Mark { position: record.position, offset: offset as u32, latest_ms: self.latest_ms });
        }
        match record.kind {
            Kind::Erasure => {
                if let Ok(hash) = record.body.try_into() {
                    self.erasures.push((record.position, u128::from_le_bytes(hash)));
                }
            }
            Kind::Event | Kind::Application | Kind::Fields => {
                if let People::Open(runs) = &mut self.people {
                    runs.push(record.person_hash, offset as u32);
                }
            }
            Kind::Erased | Kind::Lost => {}
        }
        self.earliest_ms = self.earliest_ms.min(arrived_ms);
        self.latest_ms = self.latest_ms.max(arrived_ms);
        self.end = Position(record.position.0 + 1);
        self.bytes = offset + (HEAD + record.person.len() + record.id.len() + record.body.len()) as u64;
    }

    /// When the segment's first record arrived.
    pub(super) fn earliest(&self) -> Timestamp {
        Timestamp::from_millis(self.earliest_ms)
    }

    /// When the segment's latest record arrived.
    pub(super) fn latest(&self) -> Timestamp {
        Timestamp::from_millis(self.latest_ms)
    }
}

/// A window over a file.
struct Chunk<'a> {
    file: &'a File,
    bytes: Vec<u8>,
    begin: usize,
    /// Where the window's rest begins in the file.
    offset: u64,
    end: u64,
}

impl Chunk<'_> {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    fn advance(&mut self, bytes: usize) {
        self.begin += bytes;
        self.offset += bytes as u64;
    }

    /// Makes at least so many bytes available; `false` if there are not so many.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        if self.offset + needed as u64 > self.end {
            return Ok(false);
        }
        self.bytes.drain(..self.begin);
        self.begin = 0;
        let have = self.bytes.len();
        let want = needed.max(CHUNK).min((self.end - self.offset) as usize);
        self.bytes.resize(want.max(have), 0);
        let read = read_up_to(self.file, &mut self.bytes[have..], self.offset + have as u64)?;
        self.bytes.truncate(have + read);
        Ok(self.bytes.len() >= needed)
    }

    /// Moves to the next whole record at or behind a position, wherever it stands: its position, or `None`.
    fn find_record(&mut self, expected: Position) -> io::Result<Option<Position>> {
        self.fill((self.end - self.offset) as usize)?;
        let plausible = expected.0..expected.0.saturating_add(1 << 32);
        let rest = self.rest();
        let found = (1..rest.len().saturating_sub(HEAD)).find_map(|at| {
            if !plausible.contains(&record::position(&rest[at..]).0) {
                return None;
            }
            match RecordRef::parse(&rest[at..]) {
                Parsed::Whole(record, _) => Some((at, record.position)),
                _ => None,
            }
        });
        Ok(found.map(|(at, position)| {
            self.advance(at);
            position
        }))
    }
}

fn header(log_id: u128, first: Position) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..32].copy_from_slice(&log_id.to_le_bytes());
    bytes[32..40].copy_from_slice(&first.0.to_le_bytes());
    let checksum = xxh3_64(&bytes[..40]);
    bytes[40..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
