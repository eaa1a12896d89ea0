//! One kept connection, for many requests one after another. A server that is killed answers nobody: here that is an outcome.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any answer takes: a server that keeps silent fails its test rather than hang it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection and the answer that was read last.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer as it lies in the buffer of its client.
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Reply<'_> {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn connect(authority: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub(crate) fn post(&mut self, path: &str, content_type: &str, body: &str) -> io::Result<Reply<'_>> {
        self.ask(&request(path, content_type, body.as_bytes()))
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Reply<'_>> {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
    }

    /// Sends a prepared request and reads its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Reply<'_>> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let (status, start, end) = loop {
            if let Some(whole) = whole(&self.buffer) {
                break whole;
            }
            let before = self.buffer.len();
            self.buffer.resize(before + 64 * 1024, 0);
            let read = match self.stream.read(&mut self.buffer[before..]) {
                // A machine that was paused for a moment.
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer within {PATIENCE:?}"),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                read => read?,
            };
            self.buffer.truncate(before + read);
        };
        Ok(Reply { status, body: &self.buffer[start..end] })
    }
}

/// A whole request, ready to be sent.
pub(crate) fn request(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The status of an answer that has come whole, and where its body lies.
fn whole(answer: &[u8]) -> Option<(u16, usize, usize)> {
    let start = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..start]).expect("a head is text");
    let length = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().expect("a length"))
    });
    let end = start + length.expect("answers say their length");
    (answer.len() >= end).then(|| (head[9..12].parse().expect("a status"), start, end))
}

#[test]
fn answer_is_whole_once_its_body_is() {
    let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(whole(answer), Some((201, 43, 45)));
    (0..answer.len()).for_each(|length| assert_eq!(whole(&answer[..length]), None));
}
