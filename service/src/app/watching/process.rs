//! What the process takes of the machine, read from the kernel.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

const CGROUPS: &str = "/sys/fs/cgroup";

/// CPU time by the wall clock.
pub(super) struct Cpu {
    cores: usize,
    used: Duration,
}

impl Cpu {
    /// Counts from now on, of the cores that this process may use.
    pub(super) fn new() -> Self {
        Self { cores: thread::available_parallelism().map_or(1, usize::from), used: used() }
    }

    /// The share of all cores that was used since it was last asked for, so long ago.
    pub(super) fn share(&mut self, elapsed: Duration) -> f64 {
        let before = std::mem::replace(&mut self.used, used());
        let used = self.used.saturating_sub(before).as_secs_f64();
        let could = elapsed.as_secs_f64() * self.cores as f64;
        if could > 0.0 { used / could } else { 0.0 }
    }
}

fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Memory that this process has in hand.
pub(super) fn memory_bytes() -> u64 {
    kib(&read("/proc/self/status"), "VmRSS:").unwrap_or(0)
}

/// Memory that it may use: what its control group and those above allow, and never more than there is.
pub(super) fn memory_limit_bytes() -> u64 {
    let machine = kib(&read("/proc/meminfo"), "MemTotal:");
    limits(&read("/proc/self/cgroup"), Path::new(CGROUPS)).chain(machine).min().unwrap_or(0)
}

/// Of version 2, `0::/a/b`, and of version 1, `7:memory:/a/b`. In a container the mount may begin at the group itself.
fn limits<'t>(groups: &'t str, mount: &'t Path) -> impl Iterator<Item = u64> + 't {
    let of_line = move |line: &'t str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
        let (place, file) = match controllers {
            "" => (mount.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => (mount.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let group = Path::new(group.trim_start_matches('/'));
        group.ancestors().filter_map(|group| read(place.join(group).join(file)).trim().parse().ok()).min()
    };
    groups.lines().filter_map(of_line)
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_of_a_group_and_those_above_holds() {
        let mount = std::env::temp_dir().join(format!("cauce-cgroups-{}", std::process::id()));
        let put = |path: &str, text: &str| {
            let path = mount.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("a/b/memory.max", "max\n");
        put("a/memory.max", "300\n");
        put("memory/c/memory.limit_in_bytes", "200\n");
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        for (groups, expected) in [
            ("0::/a/b\n", vec![300]),
            ("0::/elsewhere\n", vec![]),
            ("0::/\n", vec![]),
            ("4:cpu,cpuacct:/c\n7:memory:/c\n", vec![200]),
            ("7:memory:/gone\n", vec![9_223_372_036_854_771_712]),
            ("nonsense\n", vec![]),
        ] {
            assert_eq!(limits(groups, &mount).collect::<Vec<_>>(), expected, "{groups}");
        }
        fs::remove_dir_all(mount).unwrap();
    }

    #[test]
    fn this_process_has_memory_and_a_limit() {
        assert!(memory_bytes() > 1 << 20 && memory_limit_bytes() > memory_bytes());
        let mut cpu = Cpu::new();
        let share = cpu.share(Duration::from_secs(1));
        assert!((0.0..=1.0).contains(&share), "{share}");
    }
}
