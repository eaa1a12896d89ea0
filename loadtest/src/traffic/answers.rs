//! What was answered, request by request: `--answers FILE`, to compare what systems say of the same records.

use std::io::{self, Write};
use std::sync::Mutex;

/// The most bytes of answers that are kept until the run is over: writing to a disk meanwhile would delay what is measured.
const BYTES_MOST: usize = 1 << 30;

/// Answers as lines of JSON: `{"number":0,"kind":"score","line":1,"status":200,"answer":0.125}`.
#[derive(Debug, Default)]
pub struct Answers(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    lines: Vec<u8>,
    left_out: u64,
}

/// One answer.
#[derive(Debug)]
pub struct Note<'a> {
    pub number: u64,
    pub kind: &'a str,
    /// Of the file that it was read from.
    pub line: Option<u64>,
    pub status: u16,
    /// The answer itself, as JSON.
    pub answer: Option<&'a str>,
}

impl Answers {
    pub fn note(&self, note: &Note<'_>) {
        // What a thread that panicked has noted is whole: a line is written at once.
        let mut noted = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Note { number, kind, line, status, answer } = note;
        if noted.lines.len() + answer.map_or(0, str::len) + 256 > BYTES_MOST {
            noted.left_out += 1;
            return;
        }
        let kind = serde_json::Value::from(*kind);
        let line = line.map_or_else(|| "null".to_owned(), |line| line.to_string());
        let answer = answer.unwrap_or("null");
        // Line ends between the members of an answer would be ends of its line; within its texts they are escaped.
        let answer = answer.replace(['\n', '\r'], " ");
        // Writing to memory cannot fail.
        let _ = writeln!(
            noted.lines,
            r#"{{"number":{number},"kind":{kind},"line":{line},"status":{status},"answer":{answer}}}"#
        );
    }

    /// Writes all of them; an error if some were left out, since a comparison would not know.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        let noted = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        to.write_all(&noted.lines)?;
        to.flush()?;
        match noted.left_out {
            0 => Ok(()),
            left_out => Err(io::Error::other(format!(
                "{left_out} answers beyond {} MiB were left out: make a shorter run",
                BYTES_MOST >> 20
            ))),
        }
    }
}
