//! The log of one machine: segment files in a directory, written by one thread.
//!
//! **Why files of our own and not a key-value engine.** Read in the source of one (fjall 3.1): a log in it is written twice,
//! into its journal and again into its tables; it cuts a torn journal back without saying what went; and after a failed sync it
//! refuses everything until it is opened anew. What is promised here is about exactly these bytes (how many records are missing, where,
//! and whether any of them was acknowledged), so each has one place. The state, which is made of the log and can be made again,
//! is kept in that engine.
//!
//! Keeps S2: acknowledged means synced. Keeps S5: what waits, what is written at once and what is kept are bounded.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use cauce_features::time::Timestamp;
use parking_lot::Mutex;

use super::manifest::{Acknowledged, Manifest};
use super::recovery::{Fault, Survey, random_id};
use super::segment::Segment;
use super::segments::Segments;
use super::writer::{Deliver, Queue, Writer};
use super::{
    Change, Entry, Erasures, EventLog, Kind, LogError, LogStatus, Maintained, Pending, Position, Promise, ReadLog,
    Receipt, Record, Stored,
};
use crate::config;

/// How often a log is looked at that somebody else writes.
const LOOKS: usize = 5;

/// The log of one machine.
pub struct EmbeddedLog {
    reading: ReadOnly,
    queue: Arc<Queue>,
    settings: config::Log,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held while the log is open: one process writes.
    _lock: File,
}

/// A log that is read and not written, whoever else writes it.
pub struct ReadOnly {
    segments: Arc<Segments>,
    /// What is not whole; there is more than that.
    pub faults: Vec<Fault>,
}

/// A log that is whole, before anything is written to it: what is in it can be replayed first.
pub struct Opened {
    reading: ReadOnly,
    settings: config::Log,
    lock: File,
}

/// A file of the log, as far as it is known without reading it.
#[derive(Debug, Clone)]
pub struct SegmentFacts {
    pub name: String,
    pub range: Range<Position>,
    pub bytes: u64,
    /// When its first record arrived, and its latest, if it has any.
    pub arrived: Option<(Timestamp, Timestamp)>,
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the log at `{directory}` cannot be opened: {cause}")]
    Io { directory: PathBuf, cause: io::Error },
    #[error("the log at `{0}` is in use by another process")]
    InUse(PathBuf),
    #[error(
        "the log at `{directory}` is not whole: {}; {lost} record(s) cannot be read. Put the files back as they were, or start \
         with `--accept-data-loss` to go on without them",
        join(.faults)
    )]
    Damaged { directory: PathBuf, faults: Vec<Fault>, lost: u64 },
}

impl Opened {
    /// Opens the log of a directory, or a new one. Damage is refused unless its loss is accepted.
    pub fn open(settings: &config::Log, accept_data_loss: bool) -> Result<Self, OpenError> {
        let directory = settings.directory.clone();
        let failed = |cause| OpenError::Io { directory: directory.clone(), cause };
        fs::create_dir_all(&directory).map_err(failed)?;
        let lock = lock(&directory)?;
        let mut survey = Survey::of(&directory, settings.verify_at_start.bytes() as u64, true).map_err(failed)?;
        if survey.faults.is_empty() || accept_data_loss {
            survey.clean().map_err(failed)?;
        }
        if !survey.faults.is_empty() {
            let (faults, lost) = (survey.faults.clone(), survey.lost());
            if !accept_data_loss {
                return Err(OpenError::Damaged { directory, faults, lost });
            }
            tracing::warn!(records = lost, faults = join(&faults), "going on without what is damaged");
            survey.repair(&directory).map_err(failed)?;
        }
        if survey.unacknowledged > 0 {
            let bytes = survey.unacknowledged;
            tracing::info!(bytes, "the end of a write that nobody was told of is cut off");
        }
        survey.cut().map_err(failed)?;
        let segments = begin(&directory, survey).map_err(failed)?;
        let reading = ReadOnly { segments: Arc::new(segments), faults: Vec::new() };
        Ok(Self { reading, settings: settings.clone(), lock })
    }

    /// What is in it.
    pub fn reading(&self) -> &ReadOnly {
        &self.reading
    }

    /// Starts to write. Every durable entry is handed to `deliver`, on the thread that writes. Of whoever was erased behind `covered` the
    /// state's files may still hold something, whatever the log's hold.
    pub fn start(self, covered: Position, deliver: Deliver) -> Result<EmbeddedLog, OpenError> {
        let Self { reading, settings, lock } = self;
        let segments = reading.segments.clone();
        segments.remember_erasures_since(covered);
        let failed = |cause| OpenError::Io { directory: settings.directory.clone(), cause };
        let acknowledged = Acknowledged::open(&settings.directory).map_err(failed)?;
        acknowledged.write(segments.range().end).map_err(failed)?;
        let queue = Arc::new(Queue::new(settings.queue.bytes()));
        let active = segments.all().pop().expect("an open log has a segment");
        let writer = Writer {
            queue: queue.clone(),
            segments: segments.clone(),
            active,
            acknowledged,
            deliver,
            settings: settings.clone(),
        };
        let thread = thread::Builder::new().name("cauce-log".into()).spawn(|| writer.run()).map_err(failed)?;
        Ok(EmbeddedLog { reading, queue, settings, writer: Mutex::new(Some(thread)), _lock: lock })
    }
}

impl ReadOnly {
    /// Reads a directory and changes nothing in it. The checksums of the newest `verify` bytes are verified.
    pub fn open(directory: &Path, verify: u64) -> Result<Self, OpenError> {
        let failed = |cause| OpenError::Io { directory: directory.to_owned(), cause };
        // A service that writes it may drop or replace a file between the look at the directory and the look at the file.
        let mut looks = (0..LOOKS).map(|_| Survey::of(directory, verify, false));
        let gone = |look: &io::Result<Survey>| look.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let survey = looks.find(|look| !gone(look)).unwrap_or_else(|| Survey::of(directory, verify, false));
        let survey = survey.map_err(failed)?;
        let Some(manifest) = survey.manifest else {
            return Err(failed(io::Error::other("there is none; `--data` names the directory of a service")));
        };
        let segments = Segments::new(directory.to_owned(), manifest, survey.segments).map_err(failed)?;
        Ok(Self { segments: Arc::new(segments), faults: survey.faults })
    }

    /// Verifies the files beside the segments; whatever is wrong with them is made anew at the next start.
    pub fn damaged_indexes(&self) -> Result<Vec<String>, LogError> {
        let mut damaged = Vec::new();
        for segment in self.segments.all() {
            if segment.index_path().exists() && !segment.index_is_whole().map_err(unreadable)? {
                damaged.push(segment.index_path().file_name().unwrap_or_default().to_string_lossy().into_owned());
            }
        }
        Ok(damaged)
    }

    /// Its files, oldest first.
    pub fn segments(&self) -> Vec<SegmentFacts> {
        let facts = |segment: Arc<Segment>| {
            let extent = segment.extent.read();
            let arrived = (extent.end > segment.first).then(|| (extent.earliest(), extent.latest()));
            SegmentFacts { name: segment.name(), range: segment.first..extent.end, bytes: extent.bytes, arrived }
        };
        self.segments.all().into_iter().map(facts).collect()
    }
}

impl ReadLog for ReadOnly {
    fn range(&self) -> Range<Position> {
        self.segments.range()
    }

    fn position_at(&self, instant: Timestamp) -> Result<Position, LogError> {
        self.segments.position_at(instant).map_err(unreadable)
    }

    fn read(&self, from: Position, take: &mut dyn FnMut(Vec<Record>) -> ControlFlow<()>) -> Result<(), LogError> {
        self.segments.read(from, take).map_err(unreadable)
    }

    fn of_person(&self, person: &str, take: &mut dyn FnMut(Record) -> ControlFlow<()>) -> Result<(), LogError> {
        self.segments.of_person(person, take).map_err(unreadable)
    }

    fn erasures(&self) -> Erasures {
        self.segments.erasures_of_all()
    }
}

impl EventLog for EmbeddedLog {
    fn reading(&self) -> &dyn ReadLog {
        &self.reading
    }

    fn home(&self, _person: &str) -> Stored {
        Stored::Log
    }

    fn submit(&self, entries: Vec<Entry>, promise: Promise<'_>) -> Result<Receipt, LogError> {
        self.queue.append(entries, promise)
    }

    fn erasure(&self, person: &str, now: Timestamp) -> Entry {
        Entry {
            kind: Kind::Erasure,
            arrived_at: now,
            person: "".into(),
            id: "".into(),
            body: Bytes::copy_from_slice(&self.reading.segments.manifest.erasure_hash(person).to_le_bytes()),
            change: Change::Erase(person.to_owned()),
        }
    }

    fn pending(&self) -> Vec<Pending> {
        self.reading.segments.erasures()
    }

    fn maintain(&self, erasures: &[Pending], covered: Position, now: Timestamp) -> Result<Maintained, LogError> {
        let mut done = Maintained::default();
        let segments = &self.reading.segments;
        if !erasures.is_empty() {
            let active = segments.all().pop();
            if let Some(active) = active
                && segments.concerns(&active, erasures).map_err(unreadable)?
            {
                self.seal()?;
            }
            (done.segments_rewritten, done.records_erased) = segments.erase(erasures).map_err(unreadable)?;
            segments.forget_erasures(erasures);
        }
        for segment in self.sealed() {
            segment.seal().map_err(unreadable)?;
        }
        done.segments_dropped = self.retain(covered, now).map_err(unreadable)?;
        Ok(done)
    }

    fn status(&self) -> LogStatus {
        let (waiting_records, waiting_bytes, waiting_since, refuses) = self.queue.status();
        let all = self.reading.segments.all();
        LogStatus {
            bytes: all.iter().map(|segment| segment.extent.read().bytes).sum(),
            segments: all.len(),
            waiting_records,
            waiting_bytes,
            waiting_since,
            erasures_pending: self.pending().len(),
            refuses,
            brokers: None,
        }
    }
}

impl EmbeddedLog {
    /// Ends the segment that is being written, so that it can be dropped.
    pub fn seal(&self) -> Result<(), LogError> {
        self.queue.seal()?.wait().map(|_| ())
    }

    /// All segments but the one that is being written.
    fn sealed(&self) -> Vec<Arc<Segment>> {
        let mut all = self.reading.segments.all();
        all.pop();
        all
    }

    /// Drops the oldest segments, as far as a checkpoint covers them.
    fn retain(&self, covered: Position, now: Timestamp) -> io::Result<usize> {
        let sealed = self.sealed();
        let keep_from = now.millis() - self.settings.retain_age.get().as_millis() as i64;
        let mut bytes: u64 = self.reading.segments.all().iter().map(|segment| segment.extent.read().bytes).sum();
        let too_much = |segment: &&Arc<Segment>| {
            let extent = segment.extent.read();
            let due = extent.latest_ms < keep_from || bytes > self.settings.retain_size.bytes() as u64;
            bytes -= if due { extent.bytes } else { 0 };
            due && extent.end <= covered
        };
        let gone: Vec<_> = sealed.iter().take_while(too_much).collect();
        let Some(last) = gone.last() else { return Ok(0) };
        // The manifest first: files before its first position are what a crash has left of this.
        Manifest::new(self.reading.segments.manifest.log_id, last.end()).write(&self.reading.segments.directory)?;
        self.reading.segments.drop_before(last.end());
        for segment in &gone {
            segment.remove_index()?;
            fs::remove_file(&segment.path)?;
        }
        Ok(gone.len())
    }
}

/// What waits is written before the log is closed.
impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the thread of the log met a defect");
        }
    }
}

/// The segments of a log that is whole; a new log gets its manifest and its first segment.
fn begin(directory: &Path, survey: Survey) -> io::Result<Segments> {
    let manifest = match survey.manifest {
        Some(manifest) => manifest,
        None => {
            let manifest = Manifest::new(random_id(), Position(0));
            manifest.write(directory)?;
            manifest
        }
    };
    let mut list = survey.segments;
    if list.is_empty() {
        let segment = Segment::create(directory, manifest.first, manifest.log_id)?;
        segment.file.sync_all()?;
        super::manifest::sync_directory(directory)?;
        list.push(Arc::new(segment));
    }
    if let Some(last) = list.last() {
        last.write_again(survey.acknowledged)?;
    }
    Segments::new(directory.to_owned(), manifest, list)
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let failed = |cause| OpenError::Io { directory: directory.to_owned(), cause };
    let file = File::options().write(true).create(true).truncate(false).open(directory.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

fn unreadable(error: io::Error) -> LogError {
    LogError::Unreadable(error.to_string())
}

fn join(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
