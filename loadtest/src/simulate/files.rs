//! A bank's history in files: what `cauce backfill` reads, and beside it what nobody sees.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::counts::Counts;
use super::error::Error;
use super::faults::Faults;
use super::run::{Piece, Run};
use super::write::Lines;
use super::{Bank, Content, Record};

const EVENTS: &str = "events.ndjson";
const APPLICATIONS: &str = "applications.ndjson";
const LABELS: &str = "labels.ndjson";
const PEOPLE: &str = "people.ndjson";

/// Lines of some records, by file.
#[derive(Default)]
struct Formed {
    events: Vec<u8>,
    applications: Vec<u8>,
    labels: Vec<u8>,
    counts: Counts,
}

/// Writes the files of a run into a directory, which is made if it is not there.
pub(super) fn write(
    run: &Run,
    faults: &Faults,
    events_only: bool,
    directory: &Path,
    mut progress: impl FnMut(),
) -> Result<Counts, Error> {
    fs::create_dir_all(directory).map_err(|cause| Error::write(directory, cause))?;
    let mut events = Output::create(directory.join(EVENTS))?;
    let mut others = if events_only {
        // Those of another history would be taken for this one's.
        remove(&directory.join(APPLICATIONS))?;
        remove(&directory.join(LABELS))?;
        None
    } else {
        Some((Output::create(directory.join(APPLICATIONS))?, Output::create(directory.join(LABELS))?))
    };
    let mut counts = Counts::default();
    run.each(
        |records| form(records, faults, events_only),
        |Piece { formed, is_last, .. }| {
            events.write(&formed.events)?;
            if let Some((applications, labels)) = &mut others {
                applications.write(&formed.applications)?;
                labels.write(&formed.labels)?;
            }
            counts += formed.counts;
            if is_last {
                progress();
            }
            Ok(())
        },
    )?;
    events.finish()?;
    if let Some((applications, labels)) = others {
        applications.finish()?;
        labels.finish()?;
    }
    write_people(&run.bank, run.people, directory.join(PEOPLE))?;
    Ok(counts)
}

fn form(records: &[Record], faults: &Faults, events_only: bool) -> Formed {
    let (mut formed, mut lines, mut line) = (Formed::default(), Lines::new(true), Vec::new());
    for record in records {
        let is_application = record.content.is_application();
        if is_application && events_only {
            continue;
        }
        line.clear();
        lines.record(record, &mut line);
        let out = if is_application { &mut formed.applications } else { &mut formed.events };
        let behind = faults.behind(record);
        for _ in 0..=u8::from(behind.duplicate) {
            out.extend_from_slice(&line);
            out.push(b'\n');
        }
        if let Some(spoilt) = behind.spoilt {
            spoilt.copy(&line, out);
            out.push(b'\n');
        }
        if matches!(record.content, Content::Application { .. }) {
            lines.truth(record, &mut formed.labels);
            formed.labels.push(b'\n');
        }
        formed.counts.add(record, behind);
    }
    formed
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(Error::write(path, cause)),
        _ => Ok(()),
    }
}

fn write_people(bank: &Bank, people: u64, path: PathBuf) -> Result<(), Error> {
    let (mut output, mut line) = (Output::create(path)?, Vec::new());
    for number in 1..=people {
        line.clear();
        bank.person(number).write_truth(&mut line);
        output.write(&line)?;
    }
    output.finish()
}

/// A file whose errors name it.
struct Output {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Output {
    fn create(path: PathBuf) -> Result<Self, Error> {
        let file = File::create(&path).map_err(|cause| Error::write(&path, cause))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 20, file), path })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|cause| Error::write(&self.path, cause))
    }

    fn finish(mut self) -> Result<(), Error> {
        self.file.flush().map_err(|cause| Error::write(&self.path, cause))
    }
}
