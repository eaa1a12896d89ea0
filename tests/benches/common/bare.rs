//! The least that a scoring service can cost: the bare handler, as a process of its own on the service's core.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::common::keep_to;
use crate::support::{build, repository};

/// Killed when dropped.
pub(crate) struct Bare {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Bare {
    /// It answers every application with these bytes.
    pub(crate) fn start(answer: &[u8]) -> Self {
        let file = repository().join("target/bench/bare-answer.json");
        fs::create_dir_all(repository().join("target/bench")).expect("the target directory can be written");
        fs::write(&file, answer).expect("it can be written");
        let mut process = Command::new(build(&["--package", "cauce-loadtest", "--example", "bare"], "examples/bare"))
            .arg("127.0.0.1:0")
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was built");
        let mut said = String::new();
        BufReader::new(process.stdout.take().expect("it is piped"))
            .read_line(&mut said)
            .expect("it says where it listens");
        let address = said.trim_end().rsplit("http://").next().and_then(|address| address.parse().ok());
        keep_to(process.id(), 0);
        Self { process, address: address.expect("an address") }
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
