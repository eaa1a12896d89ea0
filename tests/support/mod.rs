//! Runs the real binary: commands to their end, a server until its test is over. The tests and the benchmark share it.

/// Vectors by their bits.
pub(crate) mod bits;
/// A real browser without a window.
pub(crate) mod browser;
/// Bundles whose models are slow or fail.
pub(crate) mod bundle;
/// One kept connection, whose end is no failure.
pub(crate) mod client;
/// A receiver of spans.
pub(crate) mod collector;
/// Rounds of writing and SIGKILL, held against what was acknowledged.
pub(crate) mod crash;
/// A disk that fails and stalls on command.
pub(crate) mod disk;
/// Seeded histories of people.
pub(crate) mod history;
/// A real Kafka broker.
pub(crate) mod kafka;
/// A WebSocket client.
pub(crate) mod live;
/// A receiver of what the service posts.
pub(crate) mod receiver;
/// A running `cauce serve`.
mod server;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

pub(crate) use server::{Answer, Server, serve};

/// The binary under test, built on first use.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build(&["--workspace", "--bin", "cauce"], "cauce"))
}

/// Builds a program with the profile of the tests themselves: cargo builds the binaries of a package for its own tests only.
pub(crate) fn build(what: &[&str], path: &str) -> PathBuf {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", profile])
        .args(what)
        .current_dir(repository())
        .status()
        .expect("cargo runs: it started this test");
    assert!(built.success(), "`cargo build` of `{path}` failed");
    let tests = std::env::current_exe().expect("a running program has a path");
    let profile = tests.parent().and_then(Path::parent).expect("cargo puts tests into `deps`");
    profile.join(path)
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package stands in the repository's root")
}

/// `cauce` in the repository.
pub(crate) fn command() -> Command {
    within_repository(binary())
}

/// `cauce-loadtest` in the repository, built on first use.
pub(crate) fn loadtest_command() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    within_repository(BINARY.get_or_init(|| build(&["--workspace", "--bin", "cauce-loadtest"], "cauce-loadtest")))
}

/// What a binary posts goes to receivers of its test, never to a proxy that this machine uses.
fn within_repository(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(repository());
    for name in ["all_proxy", "http_proxy", "https_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

/// Runs `cauce` to its end.
pub(crate) fn cauce<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    finish(command().args(arguments))
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Finished {
    Finished(command.output().expect("the binary was built"))
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

/// An empty directory of that name, under the target directory; kept for a look at it when its test fails.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
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

impl Drop for Directory {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Copies a directory with all that is in it; what is at `to` goes.
pub(crate) fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
