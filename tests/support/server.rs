//! A running `cauce serve`: started, asked, stopped or killed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Directory, Finished};

/// A running `cauce serve` on a free port; killed when dropped.
pub(crate) struct Server {
    process: Child,
    authority: String,
    log: PathBuf,
    /// Where it keeps its data, unless the test has told it where.
    data: Option<Directory>,
}

/// `cauce serve` on a free port, with its data in that directory and these arguments.
pub(crate) fn serve<S: AsRef<OsStr>>(data: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = super::command();
    command.args(["serve", "--set", "server.listen=127.0.0.1:0"]);
    command.arg("--data").arg(data).args(arguments);
    command
}

impl Server {
    /// Starts it with these arguments on a new directory of its own, which goes with it.
    pub(crate) fn start<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let data = Directory::new(&format!("server-{}", number()));
        let mut server = Self::start_in(data.root(), arguments);
        server.data = Some(data);
        server
    }

    /// Starts it, perhaps again, on a directory that the test keeps.
    pub(crate) fn start_in<S: AsRef<OsStr>>(data: &Path, arguments: impl IntoIterator<Item = S>) -> Self {
        Self::launch(&mut serve(data, arguments))
    }

    /// Runs a command made from that of [`serve`], and waits for the line that says the port.
    pub(crate) fn launch(command: &mut Command) -> Self {
        Self::try_launch(command)
            .unwrap_or_else(|ended| panic!("`cauce serve` ended before it listened:\n{}", ended.stderr()))
    }

    /// The server, or what it said when it ended before it listened.
    pub(crate) fn try_launch(command: &mut Command) -> Result<Self, Finished> {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("server-{}.log", number()));
        let mut process =
            command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().expect("the binary was built");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut said = String::new();
        loop {
            let before = said.len();
            if lines.read_line(&mut said).unwrap() == 0 {
                let (status, stderr) = (process.wait().unwrap(), fs::read(&log).unwrap());
                return Err(Finished(Output { status, stdout: said.into(), stderr }));
            }
            if said[before..].contains("listening on http://") {
                break;
            }
        }
        // Nobody reads on, and a full pipe would stop the server.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let authority = said.trim_end().rsplit("http://").next().unwrap().to_owned();
        Ok(Self { process, authority, log, data: None })
    }

    /// What it has logged so far: it writes to a file, so nothing is under way.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.authority).unwrap();
        // Longer than any answer takes: a service that keeps a connection open fails its test rather than hang it.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Connection(stream)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send("POST", path, &[("content-type", content_type)], body.as_ref())
    }

    /// Sends one request over a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut connection = self.connect();
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.authority);
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("content-length: {}\r\n\r\n", body.len());
        connection.write(&[request.as_bytes(), body].concat());
        connection.answer()
    }

    /// Asks it to stop as an orchestrator does, and waits for the end; the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.terminate();
        self.process.wait().unwrap().code()
    }

    /// Ends it without a warning (SIGKILL), and waits until it is gone.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let asked = Command::new("kill").args(["-TERM", &self.process_id().to_string()]).status().unwrap();
        assert!(asked.success());
    }
}

/// Tells apart what belongs to the servers of this process.
fn number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A connection, for what is no whole request.
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Whether the service still takes it.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Says that nothing more will come.
    pub(crate) fn close_write(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// What is answered until the service closes the connection; `None` if it closes it without a word.
    pub(crate) fn outcome(mut self) -> Option<Answer> {
        let mut answer = Vec::new();
        match self.0.read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("the connection is still open"),
            // A reset comes after what was read: it is an end like another.
            _ => {}
        }
        (!answer.is_empty()).then(|| Answer::parse(&answer))
    }

    pub(crate) fn answer(self) -> Answer {
        self.outcome().expect("the service answers before it closes the connection")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !std::thread::panicking() {
            let _ = fs::remove_file(&self.log);
        }
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(answer: &[u8]) -> Self {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
        let head = std::str::from_utf8(&answer[..end]).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, headers, body: answer[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
