//! Runs the real binary: commands to their end, a server until its test is over.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The binary under test, built on first use with the profile of the tests themselves: cargo builds the binaries of a
/// package for its own tests only.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--workspace", "--bin", "cauce", "--profile", profile])
            .current_dir(repository())
            .status()
            .expect("cargo runs: it started this test");
        assert!(built.success(), "`cargo build --bin cauce` failed");
        let tests = std::env::current_exe().expect("a running program has a path");
        let profile = tests.parent().and_then(Path::parent).expect("cargo puts tests into `deps`");
        profile.join("cauce")
    })
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package stands in the repository's root")
}

/// Runs `cauce` to its end.
pub(crate) fn cauce<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    let output =
        Command::new(binary()).args(arguments).current_dir(repository()).output().expect("the binary was built");
    Finished(output)
}

/// A command that has ended.
pub(crate) struct Finished(Output);

impl Finished {
    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Panics with what the command said unless it succeeded.
    #[track_caller]
    pub(crate) fn expect_success(self) -> Self {
        assert_eq!(self.code(), Some(0), "{}{}", self.stdout(), self.stderr());
        self
    }
}

/// An empty directory of that name, under the target directory and kept after the test for a look at it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

/// A running `cauce serve` on a free port; killed when dropped.
pub(crate) struct Server {
    process: Child,
    authority: String,
    log: PathBuf,
}

impl Server {
    /// Starts it with these arguments beside `serve --listen 127.0.0.1:0` and waits for the line that says the port.
    pub(crate) fn start<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let log = log_file();
        let mut process = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(repository())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("the binary was built");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("listening on http://") {
            line.clear();
            let read = lines.read_line(&mut line).unwrap();
            assert!(read > 0, "`cauce serve` ended before it listened:\n{}", fs::read_to_string(&log).unwrap());
        }
        // Nobody reads on, and a full pipe would stop the server.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let authority = line.trim_end().rsplit("http://").next().unwrap().to_owned();
        Self { process, authority, log }
    }

    /// What it has logged so far: it writes to a file, so nothing is under way.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
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

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(asked.success());
    }
}

/// A new file for the log of one server.
fn log_file() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("server-{number}.log"))
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
