//! What no broker took, kept on this machine until one does: `kafka.when_down = "forward"`.
//!
//! An embedded log of its own. What is in it is durable, and answered as such; a thread forwards it in order and notes how far the
//! brokers have it, after their acknowledgement: a crash in between forwards some of it twice, which changes nothing, since events
//! are a set. What is forwarded leaves the disk at once. Erasures never come here: nothing is erased while only this machine knows,
//! nor before what stands here has gone out.
//!
//! Keeps S5: as large as `log.retain_size` at most; then nothing more is taken.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use cauce_features::time::Timestamp;

use super::sender::Sender;
use super::submission::{Submission, Ticket};
use crate::config;
use crate::ingest::Taken;
use crate::log::embedded::{EmbeddedLog, OpenError, Opened};
use crate::log::{Accepted, Change, Entry, EventLog, LogError, LogStatus, Position, Promise, ReadLog, Record, Stored};

/// Records written with one sync, and records forwarded together.
const TOGETHER: usize = 1000;

/// How long the forwarder waits for something to forward, and after its first failure; further failures double it.
const IDLE: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_secs(5);

/// The segments of an outbox are small, so that what is forwarded leaves the disk soon.
const SEGMENT: &str = "16MiB";

/// What no broker took.
pub struct Outbox {
    log: EmbeddedLog,
    /// How far the brokers have it, as the file beside the log says too.
    forwarded: AtomicU64,
    note: PathBuf,
    most_bytes: u64,
}

impl Outbox {
    /// Opens what is in a directory, or a new one.
    pub fn open(directory: &Path, log: &config::Log, accept_data_loss: bool) -> Result<Self, OpenError> {
        let segment = config::Size::try_from(SEGMENT.to_owned()).expect("a constant size can be read");
        let segment = if segment.bytes() < log.segment.bytes() { segment } else { log.segment };
        let settings = config::Log { directory: directory.to_owned(), segment, ..log.clone() };
        let opened = Opened::open(&settings, accept_data_loss)?;
        let note = directory.join("forwarded");
        let noted = fs::read_to_string(&note).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let range = opened.reading().range();
        let forwarded = Position(noted).clamp(range.start, range.end);
        let log = opened.start(forwarded, Box::new(|_| Ok(Taken::Accepted)))?;
        let most_bytes = settings.retain_size.bytes() as u64;
        Ok(Self { log, forwarded: AtomicU64::new(forwarded.0), note, most_bytes })
    }

    /// Whether there is an outbox in a directory.
    pub fn is_in(directory: &Path) -> bool {
        directory.join("manifest.json").exists()
    }

    /// Records that no broker has yet.
    pub fn backlog(&self) -> u64 {
        self.log.reading().range().end.0.saturating_sub(self.forwarded.load(Ordering::Relaxed))
    }

    /// How its log is; it refuses what it has no room for.
    pub fn status(&self) -> LogStatus {
        let mut status = self.log.status();
        if status.bytes > self.most_bytes {
            status.refuses.get_or_insert(LogError::Full);
        }
        status
    }

    /// Keeps what comes, all that waits with one sync, until told to stop when nothing comes any more.
    pub fn keep(&self, tickets: &mpsc::Receiver<Ticket>, sender: &Sender, stop: &AtomicBool) {
        loop {
            let first = match tickets.recv_timeout(IDLE) {
                Ok(first) => first,
                Err(mpsc::RecvTimeoutError::Timeout) if !stop.load(Ordering::Relaxed) => continue,
                Err(_) => return,
            };
            let tickets: Vec<Ticket> = [first].into_iter().chain(tickets.try_iter().take(TOGETHER - 1)).collect();
            let kept = self.write(&tickets);
            for (place, ticket) in tickets.into_iter().enumerate() {
                let accepted = |position| Accepted { position, stored: Stored::Outbox, outcome: Ok(Taken::Accepted) };
                let outcome = kept.as_ref().map(|positions| accepted(positions[place])).map_err(LogError::clone);
                sender.shared().settle(ticket, outcome);
            }
        }
    }

    fn write(&self, tickets: &[Ticket]) -> Result<Vec<Position>, LogError> {
        if let Some(error) = self.status().refuses {
            return Err(error);
        }
        let entries = tickets.iter().filter_map(|ticket| ticket.keep.as_ref()).map(with_person).collect();
        let settled = self.log.submit(entries, Promise::Durable)?.wait()?;
        settled.into_iter().map(|settled| settled.map(|accepted| accepted.position)).collect()
    }

    /// Forwards what is here until told to stop.
    pub fn forward(&self, sender: &Sender, stop: &AtomicBool) {
        let (mut pause, reach) = (IDLE, &sender.shared().reach);
        let stops = || stop.load(Ordering::Relaxed);
        while !stops() {
            match self.forward_some(sender) {
                Ok(0) => rest(IDLE, stops),
                Ok(_) => pause = IDLE,
                Err(error) => {
                    tracing::debug!(%error, records = self.backlog(), "what is in the outbox is not forwarded yet");
                    let was_down = reach.is_down();
                    // A broker that is connected again is not kept waiting.
                    rest(pause, || stops() || was_down && !reach.is_down());
                    pause = (pause * 2).min(PAUSE_MOST);
                }
            }
        }
    }

    /// Forwards the next records; how many there were.
    fn forward_some(&self, sender: &Sender) -> Result<usize, LogError> {
        // While no broker is there, one record tells as well as many.
        let records = self.next(if sender.shared().reach.is_down() { 1 } else { TOGETHER })?;
        let Some(first) = records.first().map(|record| record.position) else { return Ok(0) };
        let (submission, receipt) = Submission::new(records.len(), false);
        for (place, record) in records.iter().enumerate() {
            sender.send(&record.into(), Ticket { submission: submission.clone(), place, keep: None, bytes: 0 });
        }
        let settled = receipt.wait()?;
        let done = settled.iter().take_while(|settled| settled.is_ok()).count();
        self.note(Position(first.0 + done as u64))?;
        match settled.into_iter().nth(done) {
            Some(Err(error)) => Err(error),
            _ => Ok(done),
        }
    }

    fn next(&self, most: usize) -> Result<Vec<Record>, LogError> {
        let mut next = Vec::new();
        self.log.reading().read(Position(self.forwarded.load(Ordering::Relaxed)), &mut |mut records| {
            records.truncate(most);
            next = records;
            ControlFlow::Break(())
        })?;
        Ok(next)
    }

    /// The brokers have everything before a position: it is noted, and leaves the disk.
    fn note(&self, position: Position) -> Result<(), LogError> {
        let text = position.to_string();
        let next = self.note.with_extension("next");
        let noted = fs::write(&next, text).and_then(|()| fs::rename(&next, &self.note));
        noted.map_err(|error: io::Error| LogError::Unavailable(error.to_string()))?;
        self.forwarded.store(position.0, Ordering::Relaxed);
        if self.backlog() == 0 {
            self.log.seal()?;
            tracing::info!("everything in the outbox is forwarded");
        }
        // Whatever its age.
        self.log.maintain(&[], position, Timestamp::MAX).map(|_| ())
    }
}

/// In the outbox each record has its person beside it, whom it is keyed by later.
fn with_person(entry: &Entry) -> Entry {
    let person = match &entry.change {
        Change::Apply(event) => event.person().into(),
        Change::Erase(person) => person.as_str().into(),
    };
    Entry { person, ..entry.clone() }
}

fn rest(time: Duration, is_over: impl Fn() -> bool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !is_over() {
        thread::sleep(STEP);
    }
}
