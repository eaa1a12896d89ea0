//! A history in files: applications and the events of the people who made them, one JSON record a line (NDJSON).
//!
//! Every line is checked, and all that is wrong is told at once. The applications are read first, so that only the
//! events of people who applied are held: some 200 bytes for each of those, and about as many for an application. That
//! bounds the memory (S5); the files themselves may be of any size, in any order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use cauce_features::application::HistoricApplication;
use cauce_features::event::Event;
use cauce_features::spec::Specification;
use cauce_features::time::Timestamp;
use indicatif::ProgressBar;

use super::problems::Problems;
use super::{problems, progress};
use crate::ingest::{self, Refusal};

/// A longer line is refused before it is held.
const LINE_BYTES: u64 = 1 << 20;

/// Applications in the order of their file, and what is known of the people who made them.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) applications: Vec<HistoricApplication>,
    pub(super) people: Vec<Person>,
    pub(super) counts: Counts,
}

/// What became of the events: those that nothing counts became known after their person's last application.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Valid events of anybody, the refused ones aside.
    pub(super) events: u64,
    /// Of people without an application.
    pub(super) of_others: u64,
    /// Older than the horizon when they arrived: the service would have refused them.
    pub(super) too_late: u64,
    /// Applied, told once more, or at odds with another event of their identity.
    pub(super) applied: u64,
    pub(super) repeated: u64,
    pub(super) in_conflict: u64,
}

/// One person's applications (positions in [`Records::applications`]) and events, in the order of the files.
#[derive(Debug, Default)]
pub(super) struct Person {
    pub(super) applications: Vec<usize>,
    pub(super) events: Vec<Arrival>,
}

/// An event and the instant at which it became known.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) event: Event,
    pub(super) arrived_at: Timestamp,
}

/// Reads the files whole; lines that are not valid records are left out and stand in the problems.
pub(super) fn read(
    specification: &Specification,
    events: &[PathBuf],
    applications: &Path,
) -> Result<(Records, Problems), HistoryError> {
    let mut reader =
        Reader { specification, records: Records::default(), by_id: HashMap::new(), problems: Problems::default() };
    reader.read_applications(applications)?;
    for file in events {
        reader.read_events(file)?;
    }
    Ok((reader.records, reader.problems))
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{file}`: {cause}")]
pub(super) struct HistoryError {
    file: String,
    cause: io::Error,
}

struct Reader<'a> {
    specification: &'a Specification,
    records: Records,
    by_id: HashMap<String, usize>,
    problems: Problems,
}

impl Reader<'_> {
    fn read_applications(&mut self, file: &Path) -> Result<(), HistoryError> {
        for_each_line(file, "applications", |number, line| {
            let Some(line) = line else { return self.problems.add(file, number, [TOO_LONG]) };
            match HistoricApplication::from_json(self.specification, line, &format!("line-{number}")) {
                Ok(application) => self.add_application(application),
                Err(errors) => self.problems.add(file, number, problems::reasons(&errors)),
            }
        })
    }

    fn add_application(&mut self, application: HistoricApplication) {
        let position = self.records.applications.len();
        let person = self.person_of(application.application.person());
        self.records.people[person].applications.push(position);
        self.records.applications.push(application);
    }

    /// Where the person stands. An application of nobody known has a history of its own, which is empty.
    fn person_of(&mut self, id: &str) -> usize {
        if let Some(&position) = self.by_id.get(id) {
            return position;
        }
        let position = self.records.people.len();
        self.records.people.push(Person::default());
        if !id.is_empty() {
            self.by_id.insert(id.to_owned(), position);
        }
        position
    }

    fn read_events(&mut self, file: &Path) -> Result<(), HistoryError> {
        for_each_line(file, "events", |number, line| {
            let Some(line) = line else { return self.problems.add(file, number, [TOO_LONG]) };
            match Event::from_history(self.specification, line) {
                Ok(event) => {
                    let arrived_at = event.arrived_at().unwrap_or(event.time());
                    match ingest::admit(self.specification, &event, arrived_at) {
                        Err(Refusal::InFuture) => self.problems.add(file, number, [TOO_EARLY]),
                        Err(_) => self.records.counts.too_late += 1,
                        Ok(()) => self.add_event(event, arrived_at),
                    }
                }
                Err(errors) => self.problems.add(file, number, problems::reasons(&errors)),
            }
        })
    }

    fn add_event(&mut self, event: Event, arrived_at: Timestamp) {
        self.records.counts.events += 1;
        match self.by_id.get(event.person()) {
            Some(&person) => self.records.people[person].events.push(Arrival { event, arrived_at }),
            None => self.records.counts.of_others += 1,
        }
    }
}

const TOO_LONG: &str = "the line is longer than 1 MiB; one record stands on each line";
const TOO_EARLY: &str =
    "`arrived_at` lies before `time` by more than the `clock_skew`; an event arrives after it happened";

/// Calls `take` with every line that is not blank and its number; with `None` for one that is too long.
fn for_each_line(
    file: &Path,
    task: &'static str,
    mut take: impl FnMut(u64, Option<&[u8]>),
) -> Result<(), HistoryError> {
    let failed = |cause| HistoryError { file: file.display().to_string(), cause };
    let input = File::open(file).map_err(failed)?;
    let bar = progress::bytes(task, input.metadata().map_err(failed)?.len());
    let mut input = BufReader::with_capacity(1 << 18, input);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = (&mut input).take(LINE_BYTES).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            break;
        }
        let ends = line.last() == Some(&b'\n');
        if !ends && read as u64 == LINE_BYTES {
            take(number, None);
            skip_line(&mut input, &bar).map_err(failed)?;
        } else if !line.trim_ascii().is_empty() {
            take(number, Some(line.trim_ascii()));
        }
        bar.inc(read as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

fn skip_line(input: &mut impl BufRead, bar: &ProgressBar) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let length = end.map_or(buffer.len(), |end| end + 1);
        input.consume(length);
        bar.inc(length as u64);
        if end.is_some() || length == 0 {
            return Ok(());
        }
    }
}
