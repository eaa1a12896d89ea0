//! The one thread that writes: everything that waits goes to disk together, one sync for all, then becomes state, then is
//! acknowledged.
//!
//! While a sync is under way the next group gathers, so the number of syncs follows the disk and not the requests. After a failed
//! write or sync nothing of the group counts as written, whatever a later sync might say: the segment is cut back to what was
//! durable, a new one is begun behind it, and until that works every submission is refused at once. Who was promised an answer gets
//! the error; applications that were answered without waiting are kept, in order, and written when writing works again.
//!
//! A defect on this thread ends neither the log nor the process: what was in hand is not acknowledged (and what nobody waited for is not
//! kept: it may have been the cause), the segment is cut back to what was, and the writer starts again, after a pause that doubles while it goes on.

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::manifest::{Acknowledged, sync_directory};
use super::record::{MAX_LENGTH, RecordRef};
use super::segment::Segment;
use super::segments::Segments;
use super::{Accepted, Change, Entry, LogError, Position, Promise, Settled, Stored};
use crate::config;
use crate::ingest::{Refusal, Taken};

/// How long records that nobody waits for may gather: a sync for each of them would cost more than scoring it.
const GATHER: Duration = Duration::from_millis(10);

/// After so long without a defect the next one is the first again; and how often the pause behind one is doubled at most.
const CALM: Duration = Duration::from_secs(300);
const DOUBLINGS: u32 = 5;

/// Makes a durable entry state.
pub(super) type Deliver = Box<dyn Fn(&Entry) -> Result<Taken, Refusal> + Send>;

/// What waits to be written.
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    most_bytes: usize,
}

#[derive(Default)]
struct State {
    waiting: Vec<Submission>,
    /// Whether somebody waits for any of it.
    urgent: bool,
    records: usize,
    bytes: usize,
    /// Since when the oldest waits of what is being written.
    taken_since: Option<Instant>,
    /// Why nothing is taken, while writing does not work.
    refuses: Option<LogError>,
    closed: bool,
}

struct Submission {
    work: Work,
    bytes: usize,
    since: Instant,
    /// Nobody waits for it, and it is not given up.
    is_relaxed: bool,
    receipt: oneshot::Sender<Settled>,
}

enum Work {
    Append(Vec<Entry>),
    /// End the segment that is being written.
    Seal,
}

pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) segments: Arc<Segments>,
    pub(super) active: Arc<Segment>,
    pub(super) acknowledged: Acknowledged,
    pub(super) deliver: Deliver,
    pub(super) settings: config::Log,
}

impl Queue {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), most_bytes }
    }

    /// Adds entries, unless too much waits already or nothing can be written.
    pub(super) fn append(&self, entries: Vec<Entry>, promise: Promise<'_>) -> Result<super::Receipt, LogError> {
        if entries.iter().any(|entry| entry.bytes() > MAX_LENGTH) {
            return Err(LogError::Unavailable(format!("a record has at most {MAX_LENGTH} bytes")));
        }
        self.push(Work::Append(entries), promise)
    }

    /// Has the segment end that is being written.
    pub(super) fn seal(&self) -> Result<super::Receipt, LogError> {
        self.push(Work::Seal, Promise::Durable)
    }

    fn push(&self, work: Work, promise: Promise<'_>) -> Result<super::Receipt, LogError> {
        let (receipt, receiver) = oneshot::channel();
        let is_relaxed = matches!(promise, Promise::Relaxed(_));
        let submission = Submission { bytes: work.bytes(), work, since: Instant::now(), is_relaxed, receipt };
        let mut state = self.state.lock();
        if let Some(error) = &state.refuses {
            return Err(error.clone());
        }
        if state.bytes + submission.bytes > self.most_bytes && state.bytes > 0 {
            return Err(LogError::Busy);
        }
        state.bytes += submission.bytes;
        state.records += submission.work.records();
        // Under the lock, so that the writer has not taken them yet, nor anything behind them.
        if let Promise::Relaxed(hand_over) = promise {
            submission.entries().iter().for_each(hand_over);
        }
        let urgent = !is_relaxed && !state.urgent;
        let wakes = urgent || state.waiting.is_empty();
        state.urgent |= urgent;
        state.waiting.push(submission);
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
        Ok(super::Receipt(receiver))
    }

    /// Lets the writer finish what waits, and end.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Records and bytes waiting, since when the oldest does, and why nothing is taken.
    pub(super) fn status(&self) -> (usize, usize, Option<Instant>, Option<LogError>) {
        let state = self.state.lock();
        let since = state.taken_since.or(state.waiting.first().map(|submission| submission.since));
        (state.records, state.bytes, since.filter(|_| state.records > 0), state.refuses.clone())
    }

    /// Everything that waits, as soon as somebody waits for it; `None` when it is closed and nothing waits.
    fn take(&self) -> Option<Vec<Submission>> {
        let mut state = self.state.lock();
        state.taken_since = None;
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            self.arrived.wait(&mut state);
        }
        let until = Instant::now() + GATHER;
        while !state.urgent && !state.closed && !self.arrived.wait_until(&mut state, until).timed_out() {}
        state.urgent = false;
        state.taken_since = state.waiting.first().map(|submission| submission.since);
        Some(mem::take(&mut state.waiting))
    }

    /// So many records and bytes wait no more.
    fn done(&self, records: usize, bytes: usize) {
        let mut state = self.state.lock();
        state.records -= records;
        state.bytes -= bytes;
    }

    /// Sleeps, or less if it is closed; whether it is.
    fn pause(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.closed {
            self.arrived.wait_for(&mut state, time);
        }
        state.closed
    }
}

impl Work {
    fn records(&self) -> usize {
        match self {
            Self::Append(entries) => entries.len(),
            Self::Seal => 0,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Append(entries) => entries.iter().map(Entry::bytes).sum(),
            Self::Seal => 0,
        }
    }
}

/// Refuses everything should the writer meet a defect: nobody waits for an answer that cannot come.
struct Guard(Arc<Queue>);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut state = self.0.state.lock();
            state.refuses = Some(LogError::Unavailable("its writer met a defect".into()));
            // Whose receipts are dropped with them are told.
            state.waiting.clear();
        }
    }
}

impl Writer {
    /// Writes until the queue is closed, and starts again after a defect.
    pub(super) fn run(mut self) {
        let _guard = Guard(self.queue.clone());
        let mut restarts = 0;
        loop {
            let started = Instant::now();
            // What a defect leaves half done is cut off before anything is used again.
            if catch_unwind(AssertUnwindSafe(|| self.write_until_closed())).is_ok() {
                break;
            }
            restarts = if started.elapsed() > CALM { 1 } else { restarts + 1 };
            tracing::error!(restarts, "the log's writer met a defect and starts again");
            self.start_again(restarts.min(DOUBLINGS));
        }
        if let Err(error) = self.active.file.sync_all() {
            tracing::warn!(%error, "the log was not synced once more at its end");
        }
    }

    /// Gives up what was in hand, and goes on behind what was acknowledged. Who waited for it is told as its receipts are dropped.
    fn start_again(&mut self, doublings: u32) {
        {
            let mut state = self.queue.state.lock();
            state.records = state.waiting.iter().map(|submission| submission.work.records()).sum();
            state.bytes = state.waiting.iter().map(|submission| submission.bytes).sum();
            state.refuses = Some(LogError::Unavailable("its writer met a defect".into()));
        }
        if let Err(error) = self.acknowledged.write(self.active.end()) {
            tracing::debug!(%error, "how far was acknowledged is not noted");
        }
        self.queue.pause(self.settings.retry.get() * 2u32.pow(doublings));
        self.recover(&io::Error::other("its writer met a defect"), Vec::new());
    }

    fn write_until_closed(&mut self) {
        let mut buffer = Vec::new();
        while let Some(waiting) = self.queue.take() {
            let mut waiting = waiting.into_iter().peekable();
            while waiting.peek().is_some() {
                let group = self.next_group(&mut waiting);
                if let Err(error) = self.write(&group, &mut buffer) {
                    let rest: Vec<_> = group.into_iter().chain(waiting).collect();
                    self.recover(&error, rest);
                    break;
                }
                self.acknowledge(group);
            }
            buffer.shrink_to(self.settings.group.bytes() * 2);
        }
    }

    /// As much as is written with one sync: at least one submission. A seal stands alone.
    fn next_group(&self, waiting: &mut std::iter::Peekable<impl Iterator<Item = Submission>>) -> Vec<Submission> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        while let Some(next) = waiting.next_if(|next| {
            group.is_empty() || (bytes + next.bytes <= self.settings.group.bytes() && !matches!(next.work, Work::Seal))
        }) {
            bytes += next.bytes;
            let alone = matches!(next.work, Work::Seal);
            group.push(next);
            if alone {
                break;
            }
        }
        group
    }

    /// Writes and syncs a group; only then may anybody see it.
    fn write(&mut self, group: &[Submission], buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        let entries = || group.iter().flat_map(Submission::entries);
        let seal = group.iter().any(|submission| matches!(submission.work, Work::Seal));
        self.roll_if_due(group.iter().map(|submission| submission.bytes).sum(), seal, entries().next())?;
        let mut position = self.active.end();
        for entry in entries() {
            self.record(entry, position).write(buffer);
            position.0 += 1;
        }
        if buffer.is_empty() {
            return Ok(());
        }
        let start = self.active.extent.read().bytes;
        std::os::unix::fs::FileExt::write_all_at(&self.active.file, buffer, start)?;
        self.active.file.sync_data()?;
        if let Err(error) = self.acknowledged.write(position) {
            // It can only say too little now, which costs a clearer message after damage.
            tracing::debug!(%error, "how far was acknowledged is not noted");
        }
        Ok(())
    }

    /// Makes a durable group state, shows it to readers, and tells whoever waits for it.
    fn acknowledge(&self, group: Vec<Submission>) {
        let (mut position, mut offset) = {
            let extent = self.active.extent.read();
            (extent.end, extent.bytes)
        };
        for submission in group {
            let mut accepted = Vec::with_capacity(submission.work.records());
            for entry in submission.entries() {
                if let Change::Erase(person) = &entry.change {
                    self.segments.remember_erasure(position, self.segments.manifest.erasure_hash(person));
                }
                accepted.push(Ok(Accepted { position, stored: Stored::Log, outcome: (self.deliver)(entry) }));
                self.active.extent.write().note(&self.record(entry, position), offset);
                offset += entry.bytes() as u64;
                position.0 += 1;
            }
            self.queue.done(submission.work.records(), submission.bytes);
            // Who does not wait for it has dropped the other end.
            let _ = submission.receipt.send(Ok(accepted));
        }
    }

    fn record<'a>(&self, entry: &'a Entry, position: Position) -> RecordRef<'a> {
        let Entry { kind, arrived_at, person, id, body, .. } = entry;
        let person_hash = match &entry.change {
            Change::Apply(event) => self.segments.manifest.person_hash(event.person()),
            Change::Erase(_) => 0,
        };
        RecordRef { position, kind: *kind, arrived_at: *arrived_at, person_hash, person, id, body }
    }

    /// Begins a new segment if this one is large enough, old enough or asked to end.
    fn roll_if_due(&mut self, bytes: usize, seal: bool, first: Option<&Entry>) -> io::Result<()> {
        let due = {
            let extent = self.active.extent.read();
            let age = first.map_or(0, |entry| entry.arrived_at.millis().saturating_sub(extent.earliest_ms));
            let old = age >= self.settings.segment_age.get().as_millis() as i64;
            let large = extent.bytes + bytes as u64 > self.settings.segment.bytes() as u64;
            extent.end > self.active.first && (seal || old || large)
        };
        if due { self.begin_segment(0) } else { Ok(()) }
    }

    /// Begins a segment behind the last durable record. `probe` bytes are written and taken back, to see that there is room.
    fn begin_segment(&mut self, probe: usize) -> io::Result<()> {
        let segments = &self.segments;
        let segment = Segment::create(&segments.directory, self.active.end(), segments.manifest.log_id)?;
        let header = segment.extent.read().bytes;
        if probe > 0 {
            std::os::unix::fs::FileExt::write_all_at(&segment.file, &vec![0; probe], header)?;
            segment.file.sync_all()?;
            segment.file.set_len(header)?;
        }
        segment.file.sync_all()?;
        sync_directory(&segments.directory)?;
        self.active = Arc::new(segment);
        segments.push(self.active.clone());
        Ok(())
    }

    /// Refuses everything until writing works again; then what was kept comes first.
    fn recover(&mut self, error: &io::Error, rest: Vec<Submission>) {
        let refuses = LogError::of_write(error);
        tracing::error!(%error, "the log cannot be written: events are refused until it can");
        let mut kept = self.refuse(&refuses, rest);
        loop {
            let closed = self.queue.pause(self.settings.retry.get());
            let waiting = mem::take(&mut self.queue.state.lock().waiting);
            kept.extend(self.refuse(&refuses, waiting));
            match self.begin_again() {
                Ok(()) => break,
                Err(error) if closed => {
                    tracing::error!(%error, applications = kept.len(), "stopped without writing what was kept");
                    return;
                }
                Err(error) => tracing::debug!(%error, "the log still cannot be written"),
            }
        }
        tracing::info!(applications = kept.len(), "the log can be written again");
        let mut state = self.queue.state.lock();
        kept.append(&mut state.waiting);
        state.waiting = kept;
        state.refuses = None;
    }

    /// Cuts back to what is durable and begins a new segment.
    fn begin_again(&mut self) -> io::Result<()> {
        // Where even this fails, the next segment's name says where this one ends.
        if let Err(error) = self.active.file.set_len(self.active.extent.read().bytes) {
            tracing::debug!(%error, "a segment could not be cut back to what is durable");
        }
        self.begin_segment(self.settings.group.bytes())
    }

    /// Tells whoever waits that nothing was written; the others' submissions.
    fn refuse(&self, error: &LogError, submissions: Vec<Submission>) -> Vec<Submission> {
        self.queue.state.lock().refuses = Some(error.clone());
        let (kept, refused) = submissions.into_iter().partition::<Vec<_>, _>(|submission| submission.is_relaxed);
        for submission in refused {
            self.queue.done(submission.work.records(), submission.bytes);
            let _ = submission.receipt.send(Err(error.clone()));
        }
        kept
    }
}

impl Submission {
    fn entries(&self) -> &[Entry] {
        match &self.work {
            Work::Append(entries) => entries,
            Work::Seal => &[],
        }
    }
}

impl LogError {
    fn of_write(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Unavailable(error.kind().to_string()),
        }
    }
}
