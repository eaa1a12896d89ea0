//! Reads HTTP/1.1 answers as they come in, piece by piece.
//!
//! What was looked at is not looked at again, however small the pieces are. An answer that comes whole, as nearly all do, is looked at where
//! it was read, without a copy. A body is as long as it says, or comes in chunks, or lasts until the connection is closed: any scorer's
//! answers are understood. Heads and bodies are bounded.

use std::str;

/// Longer heads, and longer bodies, are not read.
const HEAD_MAX: usize = 64 << 10;
const BODY_MAX: usize = 16 << 20;
/// A body in chunks with all that stands around them.
const RAW_MAX: usize = BODY_MAX + BODY_MAX / 4;
/// The line before a chunk: its size and what else may stand there.
const CHUNK_LINE_MAX: usize = 1 << 10;

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// Whether the connection cannot be used again.
    pub(super) closes: bool,
    pub(super) has_retry_after: bool,
    pub(super) body: &'a [u8],
}

/// No answer of HTTP/1, or one beyond the bounds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The answer that is coming in on a connection.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// What came before the last piece.
    kept: Vec<u8>,
    progress: Progress,
    /// The chunks so far, one behind the other.
    chunks: Vec<u8>,
}

/// How far an answer was looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Where the head begins: behind those that only say that an answer will come.
    start: usize,
    /// Before it, nothing is of interest any more.
    looked_at: usize,
    head: Option<Head>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    closes: bool,
    has_retry_after: bool,
    framing: Framing,
    /// Where the body begins.
    end: usize,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Reader {
    /// Takes what was read; the answer once all of it is there.
    pub(super) fn take<'a>(&'a mut self, piece: &'a [u8]) -> Result<Option<Answer<'a>>, Unreadable> {
        let is_first = self.kept.is_empty();
        if !is_first {
            self.kept.extend_from_slice(piece);
        }
        let bytes = if is_first { piece } else { &self.kept };
        match self.progress.look(bytes, &mut self.chunks)? {
            Some(end) => {
                let bytes = if is_first { piece } else { &self.kept };
                Ok(self.progress.answer(bytes, end, &self.chunks))
            }
            None => {
                if is_first {
                    self.kept.extend_from_slice(piece);
                }
                Ok(None)
            }
        }
    }

    /// The answer that the end of the connection makes whole.
    pub(super) fn close(&mut self) -> Option<Answer<'_>> {
        let head = self.progress.head.filter(|head| matches!(head.framing, Framing::UntilClose))?;
        Some(head.answer(&self.kept[head.end..], true))
    }

    /// Is ready for the next answer, and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.chunks.clear();
        self.progress = Progress::default();
    }
}

impl Progress {
    /// Goes on over all that there is of an answer; where it ends, once that is there.
    fn look(&mut self, bytes: &[u8], chunks: &mut Vec<u8>) -> Result<Option<usize>, Unreadable> {
        while self.head.is_none() {
            let Some(end) = self.find(bytes, b"\r\n\r\n") else {
                return bounded(bytes.len() - self.start, HEAD_MAX).map(|()| None);
            };
            bounded(end - self.start, HEAD_MAX)?;
            let head = Head::read(&bytes[self.start..end], end + 4)?;
            self.looked_at = end + 4;
            // An interim answer: the real one comes behind it.
            if (100..200).contains(&head.status) {
                self.start = self.looked_at;
                bounded(self.start, HEAD_MAX)?;
            } else {
                self.head = Some(head);
            }
        }
        let Some(head) = self.head else { return Ok(None) };
        match head.framing {
            Framing::Length(length) => Ok(Some(head.end + length).filter(|end| *end <= bytes.len())),
            Framing::UntilClose => bounded(bytes.len() - head.end, BODY_MAX).map(|()| None),
            Framing::Chunked => self.chunks(bytes, chunks),
        }
    }

    fn chunks(&mut self, bytes: &[u8], chunks: &mut Vec<u8>) -> Result<Option<usize>, Unreadable> {
        loop {
            let Some(line) = position(&bytes[self.looked_at..], b"\r\n") else {
                return bounded(bytes.len() - self.looked_at, CHUNK_LINE_MAX).map(|()| None);
            };
            bounded(line, CHUNK_LINE_MAX)?;
            let size = chunk_size(&bytes[self.looked_at..self.looked_at + line])?;
            let begin = self.looked_at + line + 2;
            if size == 0 {
                // Fields may follow; an empty line is the end. The line's own end is part of the search, since most often nothing follows.
                let rest = &bytes[begin - 2..];
                let Some(end) = position(rest, b"\r\n\r\n") else {
                    return bounded(rest.len(), HEAD_MAX).map(|()| None);
                };
                return Ok(Some(begin + 2 + end));
            }
            bounded(chunks.len().saturating_add(size), BODY_MAX)?;
            // What stands beside the chunks is kept until the end, too.
            bounded(bytes.len() - self.start, RAW_MAX)?;
            let Some(chunk) = bytes.get(begin..begin + size + 2) else { return Ok(None) };
            let Some(chunk) = chunk.strip_suffix(b"\r\n") else { return Err(Unreadable) };
            chunks.extend_from_slice(chunk);
            self.looked_at = begin + size + 2;
        }
    }

    /// Where this is first, from where was looked last.
    fn find(&mut self, bytes: &[u8], what: &[u8]) -> Option<usize> {
        let found = position(&bytes[self.looked_at..], what).map(|at| self.looked_at + at);
        // The last bytes may be the first of it.
        self.looked_at = bytes.len().saturating_sub(what.len() - 1).max(self.looked_at);
        found
    }

    fn answer<'a>(&self, bytes: &'a [u8], end: usize, chunks: &'a [u8]) -> Option<Answer<'a>> {
        let head = self.head?;
        let body = if matches!(head.framing, Framing::Chunked) { chunks } else { &bytes[head.end..end] };
        // Nobody asked for what is behind it.
        Some(head.answer(body, head.closes || end < bytes.len()))
    }
}

impl Head {
    /// The lines of a head, without the empty one.
    fn read(bytes: &[u8], end: usize) -> Result<Self, Unreadable> {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let (is_kept, status) = status_line(lines.next().unwrap_or_default())?;
        let (mut closes, mut has_retry_after) = (!is_kept, false);
        let (mut length, mut is_chunked) = (None, false);
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':').ok_or(Unreadable)?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                let value = number(value, 10)?;
                // Two that differ would be two answers.
                if length.replace(value).is_some_and(|before| before != value) {
                    return Err(Unreadable);
                }
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                is_chunked = value.eq_ignore_ascii_case(b"chunked");
                // Nobody asked for another one.
                is_chunked.then_some(()).ok_or(Unreadable)?;
            } else if name.eq_ignore_ascii_case(b"connection") {
                closes = !value.eq_ignore_ascii_case(b"keep-alive") && (closes || has_word(value, b"close"));
            } else if name.eq_ignore_ascii_case(b"retry-after") {
                has_retry_after = true;
            }
        }
        let framing = match length {
            _ if matches!(status, 100..200 | 204 | 304) => Framing::Length(0),
            _ if is_chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        };
        if let Framing::Length(length) = framing {
            bounded(length, BODY_MAX)?;
        }
        Ok(Self { status, closes, has_retry_after, framing, end })
    }

    fn answer(self, body: &[u8], closes: bool) -> Answer<'_> {
        Answer { status: self.status, closes, has_retry_after: self.has_retry_after, body }
    }
}

/// Whether the connection is kept unless something else is said, and the status.
fn status_line(line: &[u8]) -> Result<(bool, u16), Unreadable> {
    let minor = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.first()).ok_or(Unreadable)?;
    // `HTTP/1.1 200`, with or without a reason behind.
    let status = match (line.get(8), line.get(9..12), line.get(12)) {
        (Some(b' '), Some(status), None | Some(b' ')) => number(status, 10)?,
        _ => return Err(Unreadable),
    };
    match (minor, u16::try_from(status)) {
        // To switch protocols was not asked for.
        (b'0' | b'1', Ok(status)) if status >= 100 && status != 101 => Ok((*minor == b'1', status)),
        _ => Err(Unreadable),
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, Unreadable> {
    number(line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii(), 16)
}

fn number(digits: &[u8], radix: u32) -> Result<usize, Unreadable> {
    // The parser of numbers takes a sign, too.
    let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+')).ok_or(Unreadable)?;
    usize::from_str_radix(digits, radix).map_err(|_| Unreadable)
}

fn has_word(value: &[u8], word: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(word))
}

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn bounded(length: usize, most: usize) -> Result<(), Unreadable> {
    if length <= most { Ok(()) } else { Err(Unreadable) }
}

#[cfg(test)]
mod tests;
