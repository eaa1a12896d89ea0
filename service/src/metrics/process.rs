//! What the operating system says of this process, under the names that every Prometheus client library gives it: dashboards that are made
//! for all services show this one too.
//!
//! Read when somebody asks. The exporter counts in whole numbers, so these lines are written here; one that the system does not tell is
//! left out.

use std::fmt::Write;
use std::fs;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};

use super::family::{Family, counter, gauge};
use crate::machine;

/// Every family there is of the process, beside the others.
pub const PROCESS_FAMILIES: [Family; 7] = [
    counter("process_cpu_seconds_total", "CPU time, of user and system."),
    gauge("process_resident_memory_bytes", "Memory that is resident."),
    gauge("process_virtual_memory_bytes", "Address space in use."),
    gauge("process_start_time_seconds", "When the process was started, since 1970."),
    gauge("process_threads", "Threads."),
    gauge("process_open_fds", "Open file descriptors."),
    gauge("process_max_fds", "File descriptors that may be open."),
];

/// The lines of the page.
pub(super) fn page() -> String {
    let stat = Stat::read();
    let of_stat = |value: fn(&Stat) -> f64| stat.as_ref().map(value);
    let values = [
        Some(machine::cpu_time().as_secs_f64()),
        machine::memory_bytes().map(|bytes| bytes as f64),
        of_stat(|stat| stat.virtual_bytes),
        of_stat(|stat| stat.started_seconds).and_then(|after| Some(booted_seconds()? + after)),
        of_stat(|stat| stat.threads),
        open_files(),
        getrlimit(Resource::Nofile).current.map(|most| most as f64),
    ];
    let mut page = String::new();
    for (family, value) in PROCESS_FAMILIES.iter().zip(values) {
        if let Some(value) = value {
            write!(page, "{}{} {value}\n\n", family.head(), family.name).expect("a String takes all text");
        }
    }
    page
}

/// Of `/proc/self/stat`.
struct Stat {
    threads: f64,
    /// After the machine was.
    started_seconds: f64,
    virtual_bytes: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is a name that may hold anything; the third follows its last bracket.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            threads: field(20)?,
            started_seconds: field(22)? / clock_ticks_per_second() as f64,
            virtual_bytes: field(23)?,
        })
    }
}

fn booted_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Newer kernels tell their number as the size of the directory; for older ones they are counted.
fn open_files() -> Option<f64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64),
        count => Some(count as f64),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn value(page: &str, name: &str) -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("`{name}` is not in {page}")).parse().unwrap()
    }

    #[test]
    fn every_family_has_a_value_that_can_be() {
        let page = page();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        for (name, least, most) in [
            ("process_cpu_seconds_total", 1e-6, 1e6),
            ("process_resident_memory_bytes", 1e5, 1e12),
            ("process_virtual_memory_bytes", 1e6, 1e15),
            ("process_start_time_seconds", now - 36_000.0, now + 2.0),
            ("process_threads", 1.0, 1e4),
            ("process_open_fds", 3.0, 1e6),
            ("process_max_fds", 3.0, 1e12),
        ] {
            assert!((least..=most).contains(&value(&page, name)), "{name} in {page}");
        }
        assert_eq!(page.matches("# TYPE ").count(), PROCESS_FAMILIES.len());
    }
}
