//! A log as it is found: what is whole, what is not, and what may be done about it.
//!
//! What is not whole is named and the log refuses to open, unless its loss is accepted; then every lost position keeps a
//! placeholder, so that no later record takes its place. A write that a crash cut short and that was never acknowledged is no
//! loss: it is cut off.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Position;
use super::manifest::{Acknowledged, Manifest};
use super::rewrite::{Fate, Loss, rewrite};
use super::segment::{Damage, HEADER, Scan, Segment};
use crate::machine;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub what: String,
    /// How many records cannot be read.
    pub records: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.records {
            0 => Ok(()),
            1 => f.write_str(" (1 record)"),
            records => write!(f, " ({records} records)"),
        }
    }
}

/// What was found in a directory.
pub(super) struct Survey {
    /// `None` where there is no log yet.
    pub(super) manifest: Option<Manifest>,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) faults: Vec<Fault>,
    /// Segments that have to be written anew should the loss be accepted, and up to where.
    damaged: Vec<(usize, Position)>,
    /// Bytes behind the newest record of a write that was never acknowledged.
    pub(super) unacknowledged: u64,
    /// Files that an interrupted clean-up has left.
    leftovers: Vec<PathBuf>,
    pub(super) acknowledged: Position,
}

impl Survey {
    /// Looks at a directory and changes nothing. The checksums of the newest `verify` bytes are verified, and of every segment that
    /// has no file beside it.
    pub(super) fn of(directory: &Path, verify: u64, write: bool) -> io::Result<Self> {
        // Before the files: it may only say too little of what is there.
        let acknowledged = Acknowledged::read(directory).unwrap_or_default();
        let (files, leftovers) = list(directory)?;
        let mut survey = Self {
            manifest: None,
            segments: Vec::new(),
            faults: Vec::new(),
            damaged: Vec::new(),
            unacknowledged: 0,
            leftovers,
            acknowledged,
        };
        let read = Manifest::read(directory);
        let first = match &read {
            Ok(Some(manifest)) => manifest.first,
            _ => files.first().map_or(acknowledged, |file| file.0),
        };
        for (position, path) in files {
            // Dropping segments was interrupted between the manifest and the files.
            if position < first {
                let index = path.with_extension("index");
                survey.leftovers.extend(index.exists().then_some(index));
                survey.leftovers.push(path);
                continue;
            }
            survey.segments.push(Arc::new(Segment::open(path, position, write)?));
        }
        survey.set_aside_unborn();
        survey.manifest = survey.judge_manifest(read, first);
        survey.judge_segments(verify)?;
        Ok(survey)
    }

    /// A segment whose header a crash cut short holds nothing yet.
    fn set_aside_unborn(&mut self) {
        let unborn = |last: &mut Arc<Segment>| {
            let length = last.file.metadata().map_or(u64::MAX, |metadata| metadata.len());
            last.log_id().is_none() && length <= HEADER as u64 && last.first >= self.acknowledged
        };
        if let Some(last) = self.segments.pop_if(unborn) {
            self.leftovers.push(last.path.clone());
        }
    }

    /// The manifest, or what can be told of it from the segments.
    fn judge_manifest(&mut self, read: io::Result<Option<Manifest>>, first: Position) -> Option<Manifest> {
        let what = match read {
            Ok(Some(manifest)) => return Some(manifest),
            Ok(None) if self.segments.is_empty() && self.acknowledged == Position(0) => return None,
            Ok(None) => "`manifest.json` is missing; it can be made anew from the segments".to_owned(),
            Err(error) => format!("{error}; it can be made anew from the segments"),
        };
        self.faults.push(Fault { what, records: 0 });
        let log_id = self.segments.iter().find_map(|segment| segment.log_id()).unwrap_or_else(random_id);
        Some(Manifest::new(log_id, first))
    }

    fn judge_segments(&mut self, verify: u64) -> io::Result<()> {
        let Some(manifest) = self.manifest.clone() else { return Ok(()) };
        let segments = self.segments.clone();
        let begin = segments.first().map_or(self.acknowledged, |segment| segment.first);
        if begin > manifest.first {
            let what = format!("the segments from position {} to {begin} are missing", manifest.first);
            self.faults.push(Fault { what, records: begin.0 - manifest.first.0 });
        }
        let next = |index: usize| segments.get(index + 1).map(|next: &Arc<Segment>| next.first);
        for (index, scan) in examine(&segments, verify)?.into_iter().enumerate() {
            let (segment, faults) = (&segments[index], self.faults.len());
            if segment.log_id() != Some(manifest.log_id) {
                let what = format!("the header of `{}` is damaged or of another log", segment.name());
                self.faults.push(Fault { what, records: 0 });
            }
            if let Some(scan) = scan {
                self.judge(segment, next(index), scan)?;
            }
            if self.faults.len() > faults {
                let until = next(index).unwrap_or(segment.end().max(self.acknowledged));
                self.damaged.push((index, until));
            }
        }
        Ok(())
    }

    /// Names what reading all of a segment has found.
    fn judge(&mut self, segment: &Segment, next: Option<Position>, scan: Scan) -> io::Result<()> {
        let length = segment.file.metadata()?.len();
        // What should be there, as far as is known.
        let promised = next.unwrap_or(self.acknowledged);
        let (end, mut is_open_ended) = (segment.end(), false);
        let next_first = next.unwrap_or(Position(u64::MAX));
        // What stands from the next segment's first position on was written before a failed sync.
        for Damage { offset, from, to } in scan.damages.into_iter().filter(|damage| damage.from < next_first) {
            is_open_ended |= to.is_none();
            let until = to.unwrap_or(promised).min(next_first);
            if to.is_none() && from >= promised {
                // Behind everything that was promised: a write that was cut short.
                self.unacknowledged = if next.is_none() { length - scan.bytes } else { 0 };
                continue;
            }
            let what = format!("`{}` is damaged at byte {offset}, position {from}", segment.name());
            self.faults.push(Fault { what, records: until.0.saturating_sub(from.0) });
        }
        if !is_open_ended && end < promised {
            let what = match next {
                Some(next) => format!("`{}` ends at position {end}, the next segment begins at {next}", segment.name()),
                None => format!("`{}` ends at position {end}, but {promised} was acknowledged", segment.name()),
            };
            self.faults.push(Fault { what, records: promised.0 - end.0 });
        }
        Ok(())
    }

    /// How many records cannot be read.
    pub(super) fn lost(&self) -> u64 {
        self.faults.iter().map(|fault| fault.records).sum()
    }

    /// Makes the directory whole again, with a placeholder for every record that is lost.
    pub(super) fn repair(&mut self, directory: &Path) -> io::Result<()> {
        let manifest = self.manifest.clone().expect("there is damage only where there is a log");
        for (index, until) in std::mem::take(&mut self.damaged) {
            let rewritten =
                rewrite(&self.segments[index], manifest.log_id, until, Loss::Accepted, &mut |_| Fate::Keep)?;
            self.segments[index] = rewritten.segment;
        }
        let first = self.segments.first().map_or(self.acknowledged, |segment| segment.first);
        let manifest = Manifest::new(manifest.log_id, first);
        manifest.write(directory)?;
        self.manifest = Some(manifest);
        Ok(())
    }

    /// Removes what interrupted work has left: half-made files, dropped segments and what lies beside them.
    pub(super) fn clean(&mut self) -> io::Result<()> {
        self.leftovers.drain(..).try_for_each(fs::remove_file)
    }

    /// Cuts off a write that a crash cut short.
    pub(super) fn cut(&mut self) -> io::Result<()> {
        match self.segments.last().filter(|_| self.unacknowledged > 0) {
            Some(last) => last.file.set_len(last.extent.read().bytes),
            None => Ok(()),
        }
    }
}

/// Reads what has to be read of every segment, on all cores; `None` for those that are as the files beside them say.
fn examine(segments: &[Arc<Segment>], verify: u64) -> io::Result<Vec<Option<Scan>>> {
    let lengths = segments.iter().map(|segment| Ok(segment.file.metadata()?.len())).collect::<io::Result<Vec<_>>>()?;
    let next = AtomicUsize::new(0);
    let examine_some = || {
        let mut examined = Vec::new();
        loop {
            // From the newest on, since the newest are verified.
            let Some(index) = segments.len().checked_sub(1 + next.fetch_add(1, Ordering::Relaxed)) else {
                return Ok(examined);
            };
            let newer: u64 = lengths[index + 1..].iter().sum();
            let successor = segments.get(index + 1).map(|next| next.first);
            examined.push((index, segments[index].examine(successor, newer < verify)?));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<io::Result<Vec<_>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(examine_some)).collect();
        threads.into_iter().map(|thread| thread.join().expect("reading does not panic")).collect()
    });
    let mut scans: Vec<Option<Scan>> = segments.iter().map(|_| None).collect();
    for part in parts {
        part?.into_iter().for_each(|(index, scan)| scans[index] = scan);
    }
    Ok(scans)
}

/// Enough to tell two logs apart.
pub(super) fn random_id() -> u128 {
    let half = || u128::from(machine::random());
    half() << 64 | half()
}

type Files = Vec<(Position, PathBuf)>;

/// The segments of a directory in order, and half-made files.
fn list(directory: &Path) -> io::Result<(Files, Vec<PathBuf>)> {
    let (mut files, mut leftovers) = (Vec::new(), Vec::new());
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((files, leftovers)),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let position = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        match (path.extension().and_then(|extension| extension.to_str()), position) {
            (Some("log"), Some(position)) => files.push((Position(position), path)),
            (Some("rewrite" | "next"), _) => leftovers.push(path),
            (Some("index"), _) if !path.with_extension("log").exists() => leftovers.push(path),
            _ => {}
        }
    }
    files.sort();
    Ok((files, leftovers))
}
