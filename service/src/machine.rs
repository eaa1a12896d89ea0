//! What this process takes of the machine, and what it may take, read from the kernel when somebody asks; the machine's name and its
//! randomness.
//!
//! KPIs and Prometheus tell of the same process, so both read it here.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::sched_getaffinity;
use rustix::time::{ClockId, clock_gettime};

const CGROUPS: &str = "/sys/fs/cgroup";

/// CPU time by the wall clock.
#[derive(Default)]
pub struct Cpu {
    /// When it was last looked at, and what had been used by then.
    looked: Option<(Instant, Duration)>,
}

impl Cpu {
    /// The share of so many cores that was used since the last look; of the time before the first one nothing is known.
    pub fn share(&mut self, cores: f64) -> f64 {
        let (now, used) = (Instant::now(), cpu_time());
        let Some((looked, before)) = self.looked.replace((now, used)) else { return 0.0 };
        let could = (now - looked).as_secs_f64() * cores;
        // The two clocks are not read at once, and a quota is kept on the average alone.
        if could > 0.0 { (used.saturating_sub(before).as_secs_f64() / could).min(1.0) } else { 0.0 }
    }
}

/// Time for which this process has been on a core.
pub fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// How many cores it may keep busy: those that it may run on, and never more than its control group and those above allow, which may be
/// a part of one.
pub fn cores() -> f64 {
    let allowed = sched_getaffinity(None).map(|cores| cores.count() as f64);
    let allowed = allowed.unwrap_or_else(|_| thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64));
    quotas(&read("/proc/self/cgroup"), Path::new(CGROUPS)).fold(allowed, f64::min)
}

/// Memory that this process has in hand.
pub fn memory_bytes() -> Option<u64> {
    kib(&read("/proc/self/status"), "VmRSS:")
}

/// Memory that it may use: what its control group and those above allow, and never more than there is.
pub fn memory_limit_bytes() -> u64 {
    let machine = kib(&read("/proc/meminfo"), "MemTotal:");
    limits(&read("/proc/self/cgroup"), Path::new(CGROUPS)).chain(machine).min().unwrap_or(0)
}

/// What the machine is called.
pub fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or("cauce".into(), |name| name.trim().to_owned())
}

/// A number that nobody foresees: the standard library's way to the system's randomness. It is for what has to differ, not to be secret.
pub fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Limits of memory, one a hierarchy of groups.
fn limits<'t>(groups: &'t str, mount: &'t Path) -> impl Iterator<Item = u64> + 't {
    let tightest = |(place, is_first): (Vec<PathBuf>, bool)| {
        let file = if is_first { "memory.limit_in_bytes" } else { "memory.max" };
        place.iter().filter_map(|group| read(group.join(file)).trim().parse().ok()).min()
    };
    hierarchies(groups, mount, "memory").filter_map(tightest)
}

/// Cores by the quotas of CPU time, one for each group that has one.
fn quotas<'t>(groups: &'t str, mount: &'t Path) -> impl Iterator<Item = f64> + 't {
    let quota = |group: &PathBuf, is_first: bool| {
        let text = match is_first {
            true => read(group.join("cpu.cfs_quota_us")) + " " + &read(group.join("cpu.cfs_period_us")),
            false => read(group.join("cpu.max")),
        };
        let mut parts = text.split_whitespace().map(|part| part.parse::<f64>().ok());
        // `max` or -1 where there is none.
        let (quota, period) = (parts.next()??, parts.next()??);
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    };
    hierarchies(groups, mount, "cpu")
        .flat_map(move |(place, is_first)| place.into_iter().filter_map(move |group| quota(&group, is_first)))
}

/// The groups of this process that a controller may limit, each with those above, and whether they are of version 1: `7:memory:/a/b`, or
/// `0::/a/b` of version 2. In a container the mount may begin at the group itself.
fn hierarchies<'t>(
    groups: &'t str,
    mount: &'t Path,
    controller: &'t str,
) -> impl Iterator<Item = (Vec<PathBuf>, bool)> + 't {
    let of_line = move |line: &'t str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
        let (place, is_first) = match controllers {
            "" => (mount.to_owned(), false),
            _ if controllers.split(',').any(|name| name == controller) => (mount.join(controller), true),
            _ => return None,
        };
        let group = Path::new(group.trim_start_matches('/'));
        Some((group.ancestors().map(|group| place.join(group)).collect(), is_first))
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
        put("a/b/cpu.max", "150000 100000\n");
        put("a/cpu.max", "max 100000\n");
        put("memory/c/memory.limit_in_bytes", "200\n");
        put("cpu/c/cpu.cfs_quota_us", "50000\n");
        put("cpu/c/cpu.cfs_period_us", "100000\n");
        put("cpu/cpu.cfs_quota_us", "-1\n");
        put("cpu/cpu.cfs_period_us", "100000\n");
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        for (groups, bytes, cores) in [
            ("0::/a/b\n", vec![300], vec![1.5]),
            ("0::/elsewhere\n", vec![], vec![]),
            ("0::/\n", vec![], vec![]),
            ("4:cpu,cpuacct:/c\n7:memory:/c\n", vec![200], vec![0.5]),
            ("7:memory:/gone\n", vec![9_223_372_036_854_771_712], vec![]),
            ("nonsense\n", vec![], vec![]),
        ] {
            assert_eq!(limits(groups, &mount).collect::<Vec<_>>(), bytes, "{groups}");
            assert_eq!(quotas(groups, &mount).collect::<Vec<_>>(), cores, "{groups}");
        }
        fs::remove_dir_all(mount).unwrap();
    }

    #[test]
    fn this_process_has_memory_and_cores_and_limits() {
        assert!(memory_bytes() > Some(1 << 20) && Some(memory_limit_bytes()) > memory_bytes());
        assert!(cores() > 0.0);
    }

    #[test]
    fn first_look_at_the_cpu_says_nothing_and_no_later_one_says_more_than_all() {
        let mut cpu = Cpu::default();
        assert_eq!(cpu.share(1.0), 0.0);
        // However soon it is looked at again, and however few cores there are.
        for cores in [1.0, 1e-6] {
            let share = cpu.share(cores);
            assert!((0.0..=1.0).contains(&share), "{share}");
        }
    }
}
