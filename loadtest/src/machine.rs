//! What a figure was measured on: without it no figure can be held against another. The machine's name is left out; reports are passed on.

use std::fs;
use std::thread;

use serde::Serialize;

/// Facts of a machine, as the kernel tells them; empty or zero where it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// `AMD EPYC 7763 64-Core Processor`.
    pub cpu: String,
    /// Cores that this process may run on.
    pub cores: usize,
    pub memory_bytes: u64,
    /// `Linux 6.12.0`.
    pub kernel: String,
}

impl Machine {
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: processor(&read("/proc/cpuinfo")).unwrap_or_else(|| std::env::consts::ARCH.into()),
            cores: thread::available_parallelism().map_or(0, |cores| cores.get()),
            memory_bytes: memory(&read("/proc/meminfo")).unwrap_or_default(),
            kernel: format!("{} {}", read("/proc/sys/kernel/ostype").trim(), read("/proc/sys/kernel/osrelease").trim()),
        }
    }
}

/// The value behind a name, in the way of files below `/proc`.
fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).find(|value| !value.is_empty())
}

/// Where cores have no name of a model, as on some ARM machines, there is none.
fn processor(cpuinfo: &str) -> Option<String> {
    value(cpuinfo, "model name").map(str::to_owned)
}

fn memory(meminfo: &str) -> Option<u64> {
    let kib: u64 = value(meminfo, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_read() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: Xeon(R) at 2 GHz\n\nprocessor\t: 1\nmodel name\t: Xeon(R) at 2 GHz\n";
        assert_eq!(processor(cpuinfo).as_deref(), Some("Xeon(R) at 2 GHz"));
        assert_eq!(processor("processor\t: 0\nCPU part\t: 0xd0c\n"), None);
        assert_eq!(memory("MemTotal:        8123456 kB\nMemFree: 1 kB\n"), Some(8_123_456 * 1024));
        assert_eq!(memory("MemTotal: much\n"), None);
    }

    #[test]
    fn this_machine_says_what_it_is() {
        let machine = Machine::here();
        assert!(machine.cores > 0 && machine.memory_bytes > 0, "{machine:?}");
        assert!(machine.kernel.contains(char::is_numeric) && !machine.cpu.is_empty(), "{machine:?}");
    }
}
