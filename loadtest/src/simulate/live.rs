//! The bank as a live stream: records in the order in which they arrive, as `/v1/events/batch` and the topics take them.

use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::time::{Duration, Instant};

use cauce_features::time::Timestamp;

use super::Record;
use super::counts::Counts;
use super::error::Error;
use super::faults::{Behind, Faults};
use super::run::{Piece, Run};
use super::write::Lines;

/// A record as it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live<'a> {
    pub(super) person: u64,
    pub(super) arrived_at: Timestamp,
    pub(super) is_application: bool,
    pub(super) line: &'a [u8],
}

/// Where records go.
pub(super) trait Sink {
    fn take(&mut self, record: Live<'_>) -> Result<(), Error>;

    /// Does something useful while nothing is due.
    fn rest(&mut self, time: Duration);

    /// Waits until all that was taken is where it goes.
    fn finish(&mut self) -> Result<(), Error>;
}

/// Lines of some records, and what they are.
#[derive(Default)]
struct Formed {
    lines: Vec<u8>,
    records: Vec<Entry>,
    counts: Counts,
}

struct Entry {
    person: u64,
    arrived_at: Timestamp,
    is_application: bool,
    line: Range<usize>,
}

/// Sends everything, at most `rate` records a second if one is given.
pub(super) fn send(
    run: &Run,
    faults: &Faults,
    events_only: bool,
    rate: Option<f64>,
    sink: &mut impl Sink,
    mut progress: impl FnMut(),
) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    let mut flow = Flow { sink, held: Held::default(), pace: rate.map(Pace::new) };
    run.each(
        |records| form(records, faults, events_only),
        |Piece { formed, end, is_last }| {
            for entry in &formed.records {
                let live = entry.live(&formed.lines);
                if live.arrived_at < end { flow.pass(live)? } else { flow.held.next.add(live) }
            }
            counts += formed.counts;
            if is_last {
                flow.pass_held(end)?;
                progress();
            }
            Ok(())
        },
    )?;
    flow.pass_held(Timestamp::MAX)?;
    flow.sink.finish()?;
    Ok(counts)
}

fn form(records: &[Record], faults: &Faults, events_only: bool) -> Formed {
    let (mut formed, mut lines) = (Formed::default(), Lines::new(false));
    for record in records.iter().filter(|record| !(events_only && record.content.is_application())) {
        let behind = faults.behind(record);
        let start = formed.lines.len();
        lines.record(record, &mut formed.lines);
        let line = start..formed.lines.len();
        for _ in 0..=u8::from(behind.duplicate) {
            formed.push(record, line.clone());
        }
        if let Behind { spoilt: Some(spoilt), .. } = behind {
            let whole = formed.lines[line].to_vec();
            let start = formed.lines.len();
            spoilt.copy(&whole, &mut formed.lines);
            formed.push(record, start..formed.lines.len());
        }
        formed.counts.add(record, behind);
    }
    formed
}

impl Formed {
    fn push(&mut self, record: &Record, line: Range<usize>) {
        let is_application = record.content.is_application();
        self.records.push(Entry { person: record.person, arrived_at: record.arrived_at, is_application, line });
    }

    fn add(&mut self, live: Live<'_>) {
        let start = self.lines.len();
        self.lines.extend_from_slice(live.line);
        let line = start..self.lines.len();
        let Live { person, arrived_at, is_application, .. } = live;
        self.records.push(Entry { person, arrived_at, is_application, line });
    }
}

impl Entry {
    fn live<'a>(&self, lines: &'a [u8]) -> Live<'a> {
        let Self { person, arrived_at, is_application, .. } = *self;
        Live { person, arrived_at, is_application, line: &lines[self.line.clone()] }
    }
}

/// Records that happened in a slice before the one in which they arrive.
#[derive(Default)]
struct Held {
    /// In order of arrival; those before `passed` are gone.
    now: Formed,
    passed: usize,
    next: Formed,
}

/// What is on its way to a sink.
struct Flow<'a, S> {
    sink: &'a mut S,
    held: Held,
    pace: Option<Pace>,
}

/// When the next record is due: so many a second from the first on.
pub(super) struct Pace {
    rate: f64,
    begin: Option<Instant>,
    /// Since then.
    sent: u64,
}

impl Pace {
    pub(super) fn new(rate: f64) -> Self {
        Self { rate, begin: None, sent: 0 }
    }

    /// When the next record is due. One that is late by up to a second is caught up with; beyond that the pace begins anew, or all that was
    /// due in a pause would follow it at once.
    pub(super) fn due(&mut self, now: Instant) -> Instant {
        let begin = *self.begin.get_or_insert(now);
        let due = begin + Duration::from_secs_f64(self.sent as f64 / self.rate);
        let is_lost = now.saturating_duration_since(due) > Duration::from_secs(1);
        (self.begin, self.sent) = if is_lost { (Some(now), 1) } else { (Some(begin), self.sent + 1) };
        if is_lost { now } else { due }
    }
}

impl<S: Sink> Flow<'_, S> {
    fn pass(&mut self, live: Live<'_>) -> Result<(), Error> {
        self.pass_held_until(live.arrived_at)?;
        self.take(live)
    }

    /// At the end of a slice: passes what arrives before it, and holds the rest for the next.
    fn pass_held(&mut self, end: Timestamp) -> Result<(), Error> {
        self.pass_held_until(end)?;
        let mut rest = std::mem::take(&mut self.held.next);
        for entry in &self.held.now.records[self.held.passed..] {
            rest.add(entry.live(&self.held.now.lines));
        }
        rest.records.sort_by_key(|entry| entry.arrived_at);
        self.held = Held { now: rest, ..Held::default() };
        if end == Timestamp::MAX { self.pass_held_until(end) } else { Ok(()) }
    }

    fn pass_held_until(&mut self, time: Timestamp) -> Result<(), Error> {
        while self.held.now.records.get(self.held.passed).is_some_and(|entry| entry.arrived_at < time) {
            // It is taken out for a moment, so that it can be lent while the rest of the flow changes.
            let now = std::mem::take(&mut self.held.now);
            let taken = self.take(now.records[self.held.passed].live(&now.lines));
            self.held.now = now;
            self.held.passed += 1;
            taken?;
        }
        Ok(())
    }

    fn take(&mut self, live: Live<'_>) -> Result<(), Error> {
        if let Some(pace) = &mut self.pace {
            let due = pace.due(Instant::now());
            while let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
                self.sink.rest(wait);
            }
        }
        self.sink.take(live)
    }
}

/// Lines on standard output.
pub(super) struct Pipe<W>(pub(super) W);

impl<W: Write> Sink for Pipe<W> {
    fn take(&mut self, record: Live<'_>) -> Result<(), Error> {
        self.0.write_all(record.line).and_then(|()| self.0.write_all(b"\n")).map_err(closed)
    }

    fn rest(&mut self, time: Duration) {
        // Who reads wants to see what was sent. What fails now fails again as the next line is written.
        let _ = self.0.flush();
        std::thread::sleep(time);
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.0.flush().map_err(closed)
    }
}

fn closed(cause: std::io::Error) -> Error {
    // Who reads has enough: `| head`.
    if cause.kind() == ErrorKind::BrokenPipe {
        Error::NobodyReads
    } else {
        Error::write("standard output".as_ref(), cause)
    }
}
