//! A directory on a disk that fails and stalls on command: `failing_disk.c`, compiled here and put between the service and libc.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Directory, Server, repository, serve};

/// The disk. What it does is a file that is read at every call: the service needs no word of it.
pub(crate) struct FailingDisk {
    data: Directory,
    switch: PathBuf,
    library: PathBuf,
}

impl FailingDisk {
    pub(crate) fn new(name: &str) -> Self {
        let data = Directory::new(name);
        let (library, switch) = (data.path("failing_disk.so"), data.path("switch"));
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(repository().join("tests/support/failing_disk.c"))
            .arg("-ldl")
            .status();
        assert!(compiled.is_ok_and(|status| status.success()), "a C compiler (`cc`) makes the failing disk");
        Self { data, switch, library }
    }

    /// A server whose data are on it.
    pub(crate) fn serve(&self, arguments: Vec<String>) -> Server {
        let root = self.data.path("data");
        let mut command = serve(&root, arguments);
        command.env("LD_PRELOAD", &self.library).env("FAULT_SWITCH", &self.switch).env("FAULT_UNDER", root);
        Server::launch(&mut command)
    }

    /// From now on `call` (`sync`, `write`, `read`) fails with this `errno`, on all files.
    pub(crate) fn fail(&self, call: &str, errno: i32) {
        self.fail_in("/", call, errno);
    }

    /// The same on files whose path has `part` in it.
    pub(crate) fn fail_in(&self, part: &str, call: &str, errno: i32) {
        self.turn(&format!("{call} {errno} 0 {part}\n"));
    }

    /// From now on `call` takes so much longer on files whose path has `part` in it; what is under way when it heals goes on then.
    pub(crate) fn stall_in(&self, part: &str, call: &str, milliseconds: u32) {
        self.turn(&format!("{call} 0 {milliseconds} {part}\n"));
    }

    pub(crate) fn heal(&self) {
        fs::remove_file(&self.switch).unwrap();
    }

    fn turn(&self, faults: &str) {
        // Renamed into place, so that nobody reads half of it.
        let new = self.data.write("switch.new", faults);
        fs::rename(new, &self.switch).unwrap();
    }
}
