//! Records of a file as requests to any service that speaks JSON over HTTP.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::json::Pointer;
use super::template::{Filled, Numbers, Template};
use crate::scenario::Replay;

/// The largest file: it is held in memory.
const FILE_MOST: u64 = 1 << 30;
/// The most values that patterns take out of all lines: a place costs eight bytes.
const VALUES_MOST: usize = 1 << 26;

/// A file, and where in it what is sent stands.
#[derive(Debug)]
pub struct Records {
    text: String,
    lines: Vec<Line>,
    body: Template,
    item: Template,
    separator: String,
    batch: u32,
    /// Of every line, those of the body and then those of the item.
    values: Vec<Range<u32>>,
    status: Vec<u16>,
    pub answer: Option<Pointer>,
}

/// Where a line stands, and its number in the file from 1 on.
#[derive(Debug)]
struct Line {
    at: Range<usize>,
    number: u64,
}

/// Why a file cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("cannot read `{path}`: {cause}")]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("`{path}` is no regular file of at most {} MiB", FILE_MOST >> 20)]
    TooLarge { path: PathBuf },
    #[error("`{path}` has no lines: one JSON record a line is expected")]
    Empty { path: PathBuf },
    #[error("`{path}`, line {line}: {wrong}")]
    Line { path: PathBuf, line: u64, wrong: String },
    #[error("`{path}`: {VALUES_MOST} values of it can be used, and the patterns take more")]
    TooManyValues { path: PathBuf },
}

impl Records {
    /// Reads the file, whose name counts from `directory`.
    pub fn load(replay: &Replay, directory: &Path) -> Result<Self, ReplayError> {
        let path = directory.join(&replay.file);
        let unreadable = |cause| ReplayError::Unreadable { path: path.clone(), cause };
        let about = fs::metadata(&path).map_err(unreadable)?;
        if !about.is_file() || about.len() > FILE_MOST {
            return Err(ReplayError::TooLarge { path });
        }
        let text = fs::read_to_string(&path).map_err(unreadable)?;
        let (mut records, mut from) = (Self::new(replay), 0);
        for (number, line) in (1..).zip(text.split('\n')) {
            let trimmed = line.trim();
            if !trimmed.is_empty() {
                let begin = from + (line.len() - line.trim_start().len());
                records.add(trimmed, begin, number).map_err(|wrong| ReplayError::Line {
                    path: path.clone(),
                    line: number,
                    wrong,
                })?;
            }
            if records.values.len() > VALUES_MOST {
                return Err(ReplayError::TooManyValues { path });
            }
            from += line.len() + 1;
        }
        if records.lines.is_empty() {
            return Err(ReplayError::Empty { path });
        }
        Ok(Self { text, ..records })
    }

    fn new(replay: &Replay) -> Self {
        Self {
            text: String::new(),
            lines: Vec::new(),
            body: replay.body.clone(),
            item: replay.item.clone(),
            separator: replay.separator.clone(),
            batch: replay.batch,
            values: Vec::new(),
            status: replay.status.clone(),
            answer: replay.answer.clone(),
        }
    }

    fn add(&mut self, line: &str, begin: usize, number: u64) -> Result<(), String> {
        serde_json::from_str::<&serde_json::value::RawValue>(line)
            .map_err(|error| format!("a JSON record is expected; it is none from column {} on", error.column()))?;
        self.body.find(line, &mut self.values)?;
        self.item.find(line, &mut self.values)?;
        self.lines.push(Line { at: begin..begin + line.len(), number });
        Ok(())
    }

    /// Requests that send every line once.
    pub fn requests(&self) -> u64 {
        (self.lines.len() as u64).div_ceil(self.batch.into())
    }

    /// Writes the body of a request; the number of its lines. After the last line the first one follows, in another request.
    pub fn write(&self, numbers: Numbers, out: &mut Vec<u8>) -> u32 {
        let lines = self.lines_of(numbers.number);
        let (first, count) = (lines.start, lines.len() as u32);
        self.body.write(self.filled(first, true), numbers, out, |out| {
            for line in lines.clone() {
                if line > first {
                    out.extend_from_slice(self.separator.as_bytes());
                }
                self.item.write(self.filled(line, false), numbers, out, |_| {});
            }
        });
        count
    }

    /// The line of the file that a request begins with, from 1 on.
    pub fn line(&self, number: u64) -> u64 {
        self.lines[self.lines_of(number).start].number
    }

    /// Whether a status and a body are a good answer.
    pub fn is_good(&self, status: u16, body: &[u8]) -> bool {
        let is_status =
            if self.status.is_empty() { (200..300).contains(&status) } else { self.status.contains(&status) };
        is_status && self.answer.as_ref().is_none_or(|answer| answer.find(body).is_some_and(|answer| answer != "null"))
    }

    fn lines_of(&self, number: u64) -> Range<usize> {
        let first = (number % self.requests() * u64::from(self.batch)) as usize;
        first..(first + self.batch as usize).min(self.lines.len())
    }

    fn filled(&self, line: usize, is_body: bool) -> Filled<'_> {
        let (of_body, of_item) = (self.body.values(), self.item.values());
        let from = line * (of_body + of_item);
        let values = if is_body { from..from + of_body } else { from + of_body..from + of_body + of_item };
        Filled { line: &self.text.as_bytes()[self.lines[line].at.clone()], values: &self.values[values] }
    }
}
