//! A running server with all processes that it has started: what they spend on a core, and the memory that they take.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::keep_to;
use crate::support::Directory;

/// Longer than Python takes to load what it needs.
const START: Duration = Duration::from_secs(60);
/// How long a server may take to end when it is asked to.
const END: Duration = Duration::from_secs(5);

/// Killed when dropped, if it does not end by itself.
pub(crate) struct System {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl System {
    /// Runs the command that listens on a port, and waits until it does. What it says goes into a file of that name.
    pub(crate) fn start(name: &str, directory: &Directory, command: impl FnOnce(SocketAddr) -> Command) -> Self {
        let address = free_address();
        let path = directory.path(&format!("{name}.log"));
        let log = File::create(&path).expect("the directory can be written");
        let mut command = command(address);
        command.stdout(log.try_clone().expect("it is open")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut system = Self { child, address };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            let has_ended = system.child.try_wait().expect("it is ours").is_some();
            if has_ended || begin.elapsed() > START {
                panic!("{name} does not listen:\n{}", fs::read_to_string(&path).unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(50));
        }
        system
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.process_id().to_string()]).status();
        let begin = Instant::now();
        while begin.elapsed() < END {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
        family(self.process_id()).iter().for_each(|process| {
            let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
        });
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago: what is compared cannot all say which one it took.
fn free_address() -> SocketAddr {
    let bound = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    bound.local_addr().expect("it is bound")
}

/// A process and all that descend from it.
fn family(process: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(parent).collect();
    let mut family = vec![process];
    let mut next = 0;
    while next < family.len() {
        let of = family[next];
        family.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(process, _)| process));
        next += 1;
    }
    family
}

/// The process of a directory in `/proc`, and its parent.
fn parent(entry: fs::DirEntry) -> Option<(u32, u32)> {
    let process = entry.file_name().to_str()?.parse().ok()?;
    let status = fs::read_to_string(entry.path().join("status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    Some((process, parent))
}

/// All of it keeps to a core.
pub(crate) fn keep_family_to(process: u32, core: usize) {
    family(process).into_iter().for_each(|process| keep_to(process, core));
}

/// What all threads of it have spent on a core, as the scheduler counts it.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let threads = family(process)
        .into_iter()
        .flat_map(|process| fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten());
    let spent = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or_default()
    };
    Duration::from_nanos(threads.map(spent).sum())
}

/// The memory of all processes of it. What two of them share counts in both.
pub(crate) fn resident_mib(process: u32) -> f64 {
    let kib = |process: u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    family(process).into_iter().filter_map(kib).sum::<f64>() / 1024.0
}
