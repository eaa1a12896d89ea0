//! A bundle loaded on trial: in a child process under limits of memory, CPU and time, so that a hostile file can only end the child.
//!
//! What passes the guard of a model file still goes to ONNX Runtime, whose load cannot be cancelled, and a file that crashes it would
//! crash the service. The child is this very program with `try-bundle`; it limits itself before it reads a byte, loads the bundle as
//! the service would, and prints a [`Verdict`]. The service and `cauce check` ask through [`hold`], so they say the same.
//!
//! Memory is limited as data (`RLIMIT_DATA`: pages that are private and may be written), not as address space: the allocator reserves
//! as much of that as it is let, so that a library may find room for itself under 128 MiB and none under 192. Reserved pages become
//! data as they are used ([`ALLOCATOR`]). The bundles that ship need 56 MiB. The child is nice to the threads that answer requests, so
//! time is limited more widely than CPU.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cauce_model::bundle::{Bundle, Limits};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};

use crate::config;

/// The hidden subcommand of the child.
pub const COMMAND: &str = "try-bundle";
/// Has mimalloc make its pages writable when they are needed: a gibibyte would be counted from the start.
const ALLOCATOR: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");
/// How a library says in its own words that there is no memory.
const NO_MEMORY: [&str; 2] = ["bad_alloc", "out of memory"];
/// How often the child is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What is read of its output; a verdict is far shorter.
const OUTPUT_BYTES: u64 = 4 << 20;
/// So much more politely than the service, and still done within `model.check_time` on a busy machine.
pub const NICENESS: i32 = 10;

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Sound(Sound),
    Refused(String),
}

/// A bundle that can serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    pub name: String,
    pub version: String,
    pub hash: String,
    /// Hash of the canonical feature specification.
    pub specification: String,
    /// What was found, for people to read.
    pub description: String,
}

/// Loads a bundle in a child; the error is the reason why it cannot serve.
pub fn hold(directory: &Path, limits: &config::Model, stopping: &AtomicBool) -> Result<Sound, String> {
    let cannot = |error: io::Error| format!("it cannot be tried: the child process fails: {error}");
    let mut command = Command::new(own_executable().map_err(cannot)?);
    command.arg(COMMAND).args(["--memory", &limits.check_memory.bytes().to_string()]);
    command.args(["--cpu", &cpu_seconds(limits).to_string(), "--"]).arg(directory);
    command.env(ALLOCATOR.0, ALLOCATOR.1);
    let ended = run(command, limits.check_time.get(), stopping).map_err(cannot)?;
    match serde_json::from_str(&ended.output) {
        Ok(Verdict::Sound(sound)) if ended.how == End::Exited(Some(0)) => Ok(sound),
        Ok(Verdict::Refused(reason)) if NO_MEMORY.iter().any(|words| reason.contains(words)) => {
            Err(format!("{reason}; `model.check_memory` allows {}", String::from(limits.check_memory)))
        }
        Ok(Verdict::Refused(reason)) => Err(reason),
        _ => Err(ended.reason(limits)),
    }
}

/// What the child does: limits itself, loads the bundle, says what it found.
pub fn in_child(directory: &Path, memory: u64, cpu: u64, describe: impl FnOnce(&Bundle) -> String) -> Verdict {
    if let Err(error) = limit_self(memory, cpu) {
        return Verdict::Refused(format!("it is not tried: limits cannot be set: {error}"));
    }
    match Bundle::load(directory, &Limits::default()) {
        Ok(bundle) => Verdict::Sound(Sound {
            name: bundle.name().to_owned(),
            version: bundle.version().to_owned(),
            hash: bundle.hash().to_owned(),
            specification: bundle.specification_hash(),
            description: describe(&bundle),
        }),
        Err(error) => Verdict::Refused(error.to_string()),
    }
}

fn limit_self(memory: u64, cpu: u64) -> io::Result<()> {
    // Nobody would end it by the clock then.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    nice(NICENESS)?;
    let limits = [(Resource::Data, memory, memory), (Resource::Cpu, cpu, cpu + 1), (Resource::Core, 0, 0)];
    for (resource, current, maximum) in limits {
        // What the service itself was given is the most that can be passed on.
        let given = getrlimit(resource).maximum;
        let within = |limit: u64| Some(given.map_or(limit, |given| given.min(limit)));
        setrlimit(resource, Rlimit { current: within(current), maximum: within(maximum) })?;
    }
    Ok(())
}

/// The kernel counts in seconds.
fn cpu_seconds(limits: &config::Model) -> u64 {
    limits.check_cpu.get().as_millis().div_ceil(1000) as u64
}

/// This program as it runs, even where another one has been installed in its place since.
fn own_executable() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

/// How a child ended, and what it said before.
#[derive(Debug)]
struct Ended {
    how: End,
    output: String,
    errors: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Exited(Option<i32>),
    Signalled(i32),
    OutOfTime,
    Stopped,
}

impl Ended {
    /// Why there is no verdict.
    fn reason(&self, limits: &config::Model) -> String {
        let memory = String::from(limits.check_memory);
        let said = self.errors.trim().lines().next().map(|line| format!(": {line}")).unwrap_or_default();
        match self.how {
            End::OutOfTime => {
                let most = String::from(limits.check_time);
                format!("loading it took longer than `model.check_time` allows ({most}), or the machine is too busy")
            }
            End::Signalled(signal) if signal == Signal::XCPU.as_raw() || signal == Signal::KILL.as_raw() => {
                let most = cpu_seconds(limits);
                format!(
                    "loading it was ended by the system: it took more CPU than `model.check_cpu` allows ({most} s), or the machine is out of memory"
                )
            }
            End::Signalled(signal) if signal == Signal::ABORT.as_raw() => {
                format!("loading it was aborted; `model.check_memory` allows {memory}{said}")
            }
            End::Signalled(signal) => format!("loading it crashed with signal {signal}{said}"),
            End::Stopped => "the service is stopping".to_owned(),
            End::Exited(code) => {
                let code = code.unwrap_or_default();
                format!(
                    "loading it ended without a verdict (exit code {code}; `model.check_memory` allows {memory}){said}"
                )
            }
        }
    }
}

/// Runs a command for so long at most.
fn run(mut command: Command, most: Duration, stopping: &AtomicBool) -> io::Result<Ended> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Read beside the wait: a child whose pipe is full would never end.
    thread::scope(|scope| {
        let (output, errors) = (scope.spawn(|| text(stdout)), scope.spawn(|| text(stderr)));
        let how = wait(&mut child, most, stopping);
        let defect = |_| io::Error::other("its output was not read");
        Ok(Ended { how: how?, output: output.join().map_err(defect)?, errors: errors.join().map_err(defect)? })
    })
}

/// Waits for the end, and brings it about if it does not come in time.
fn wait(child: &mut Child, most: Duration, stopping: &AtomicBool) -> io::Result<End> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(end_of(status));
        }
        let cut_off = match began.elapsed() >= most {
            true => Some(End::OutOfTime),
            false => stopping.load(Ordering::Relaxed).then_some(End::Stopped),
        };
        if let Some(how) = cut_off {
            child.kill()?;
            child.wait()?;
            return Ok(how);
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn end_of(status: ExitStatus) -> End {
    status.signal().map_or(End::Exited(status.code()), End::Signalled)
}

fn text(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // What could not be read is missing in the verdict, which is then none.
    let _ = pipe.map(|pipe| pipe.take(OUTPUT_BYTES).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn shell(script: &str, most: Duration) -> (Ended, String) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let ended = run(command, most, &AtomicBool::new(false)).unwrap();
        let limits = Config::load(None, std::iter::empty(), Vec::new()).unwrap().model;
        let reason = ended.reason(&limits);
        (ended, reason)
    }

    #[test]
    fn each_end_of_a_child_is_a_reason_of_its_own() {
        let minute = Duration::from_secs(60);
        for (script, how, said) in [
            ("ulimit -t 1; while :; do :; done", End::Signalled(Signal::KILL.as_raw()), "`model.check_cpu`"),
            ("kill -XCPU $$", End::Signalled(Signal::XCPU.as_raw()), "`model.check_cpu`"),
            ("echo no room >&2; kill -ABRT $$", End::Signalled(Signal::ABORT.as_raw()), ": no room"),
            ("kill -SEGV $$", End::Signalled(Signal::SEGV.as_raw()), "signal 11"),
            ("echo hello; exit 3", End::Exited(Some(3)), "exit code 3"),
        ] {
            let (ended, reason) = shell(script, minute);
            assert_eq!(ended.how, how, "{script}");
            assert!(reason.contains(said), "{reason}");
        }
    }

    #[test]
    fn a_child_that_sleeps_is_ended_in_time() {
        let began = Instant::now();
        let (ended, reason) = shell("exec sleep 60", Duration::from_millis(50));
        assert!(ended.how == End::OutOfTime && reason.contains("`model.check_time`"), "{reason}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_child_is_ended_when_the_service_stops() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let ended = run(command, Duration::from_secs(60), &AtomicBool::new(true)).unwrap();
        assert_eq!(ended.how, End::Stopped);
    }

    #[test]
    fn more_output_than_a_pipe_holds_is_no_obstacle() {
        let (ended, _) = shell("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2", Duration::from_secs(60));
        assert_eq!((ended.how, ended.output.len(), ended.errors.len()), (End::Exited(Some(0)), 1_000_000, 1_000_000));
    }
}
