//! The file beside a sealed segment: its extent and the sorted pairs of its index.
//!
//! All of it follows from the segment, so a file that is missing or does not fit is made anew. It is written after its segment and
//! removed before the segment is replaced: a file that fits is a file of these very bytes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_64;

use super::Position;
use super::index::{PAIR, Sealed};
use super::manifest::replace;
use super::segment::{Extent, Mark, People, Segment};

const MAGIC: u64 = u64::from_le_bytes(*b"CAUCEIDX");
const VERSION: u64 = 1;
/// Words before the marks.
const FIXED: usize = 12;

impl Segment {
    /// Where the file beside it is.
    pub(super) fn index_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    /// Writes the file and lets the pairs in memory go.
    pub(super) fn seal(&self) -> io::Result<()> {
        let (bytes, begin, starts) = {
            let extent = self.extent.read();
            let People::Open(runs) = &extent.people else { return Ok(()) };
            let pairs = runs.sorted();
            let starts = Sealed::starts(&pairs);
            let pairs: Vec<u8> =
                pairs.iter().flat_map(|(hash, offset)| [hash.to_le_bytes(), offset.to_le_bytes()]).flatten().collect();
            let mut bytes = head(self.first, &extent, &pairs, &starts);
            let begin = bytes.len() as u64;
            bytes.extend_from_slice(&pairs);
            (bytes, begin, starts)
        };
        replace(&self.index_path(), &bytes)?;
        let sealed = Sealed::new(File::open(self.index_path())?, begin, starts);
        self.extent.write().people = People::Sealed(sealed);
        Ok(())
    }

    /// Takes the extent from the file beside it; `false` if that does not fit.
    pub(super) fn unseal(&self) -> io::Result<bool> {
        let file = match File::open(self.index_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        let Some(extent) = read(self, file)? else { return Ok(false) };
        *self.extent.write() = extent;
        Ok(true)
    }

    /// Whether the pairs of the file beside it are whole; a look-up checks each record that it finds, not them.
    pub(super) fn index_is_whole(&self) -> io::Result<bool> {
        let bytes = fs::read(self.index_path())?;
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at * 8..at * 8 + 8)?.try_into().ok()?));
        let (Some(pairs), Some(checksum)) = (word(2), word(10)) else { return Ok(false) };
        let begin = bytes.len().checked_sub(pairs as usize * PAIR);
        Ok(begin.is_some_and(|begin| xxh3_64(&bytes[begin..]) == checksum))
    }

    /// Removes the file beside it, before the segment is replaced or dropped.
    pub(super) fn remove_index(&self) -> io::Result<()> {
        match fs::remove_file(self.index_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// Everything before the pairs: words of eight bytes, the last one a checksum of the others.
fn head(first: Position, extent: &Extent, pairs: &[u8], starts: &[u32]) -> Vec<u8> {
    let mut words = vec![
        MAGIC,
        VERSION,
        (pairs.len() / PAIR) as u64,
        extent.marks.len() as u64,
        extent.erasures.len() as u64,
        first.0,
        extent.end.0,
        extent.bytes,
        extent.earliest_ms as u64,
        extent.latest_ms as u64,
        xxh3_64(pairs),
        0,
    ];
    for mark in &extent.marks {
        words.extend([mark.position.0, u64::from(mark.offset), mark.latest_ms as u64]);
    }
    for (position, hash) in &extent.erasures {
        words.extend([position.0, *hash as u64, (hash >> 64) as u64]);
    }
    words.extend(starts.iter().map(|start| u64::from(*start)));
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
    bytes
}

fn read(segment: &Segment, file: File) -> io::Result<Option<Extent>> {
    let length = file.metadata()?.len();
    let mut fixed = [0; FIXED * 8];
    if length < fixed.len() as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut fixed, 0)?;
    let fixed = words(&fixed);
    let (pairs, marks, erasures) = (fixed[2], fixed[3], fixed[4]);
    let counts = [pairs, marks, erasures];
    if fixed[..2] != [MAGIC, VERSION] || counts.iter().any(|count| *count > length) {
        return Ok(None);
    }
    let begin = (FIXED as u64 + 3 * (marks + erasures) + 257 + 1) * 8;
    if begin + pairs * PAIR as u64 != length {
        return Ok(None);
    }
    let mut bytes = vec![0; begin as usize];
    file.read_exact_at(&mut bytes, 0)?;
    let (checked, checksum) = bytes.split_at(begin as usize - 8);
    let fits = fixed[5] == segment.first.0 && fixed[7] == segment.file.metadata()?.len();
    if !fits || xxh3_64(checked).to_le_bytes() != checksum {
        return Ok(None);
    }
    let rest = words(&checked[FIXED * 8..]);
    let (mark_words, rest) = rest.split_at(3 * marks as usize);
    let (erasure_words, starts) = rest.split_at(3 * erasures as usize);
    let mark =
        |words: &[u64]| Mark { position: Position(words[0]), offset: words[1] as u32, latest_ms: words[2] as i64 };
    let erasure = |words: &[u64]| (Position(words[0]), u128::from(words[1]) | u128::from(words[2]) << 64);
    let starts = starts.iter().map(|start| *start as u32).collect();
    Ok(Some(Extent {
        end: Position(fixed[6]),
        bytes: fixed[7],
        earliest_ms: fixed[8] as i64,
        latest_ms: fixed[9] as i64,
        marks: mark_words.chunks_exact(3).map(mark).collect(),
        people: People::Sealed(Sealed::new(file, begin, starts)),
        erasures: erasure_words.chunks_exact(3).map(erasure).collect(),
    }))
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect()
}
