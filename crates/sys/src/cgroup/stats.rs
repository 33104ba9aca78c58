//! The counters of a group.

use std::collections::BTreeMap;

use super::Cgroup;
use crate::error::Result;

/// Counters of a group; zero for a controller that it does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Processes.
    pub pids: PidsStats,
    /// Disk traffic by device.
    pub io: Vec<IoStats>,
}

/// cpu.stat. Times are microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// Used.
    pub usage_usec: u64,
    /// Used in programs.
    pub user_usec: u64,
    /// Used in the kernel.
    pub system_usec: u64,
    /// Periods of the quota.
    pub nr_periods: u64,
    /// Periods in which it was used up.
    pub nr_throttled: u64,
    /// Time without a processor because of that.
    pub throttled_usec: u64,
}

/// memory.*. Sizes are bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Used, page cache included.
    pub current: u64,
    /// Most ever used.
    pub peak: u64,
    /// The limit; `None` without one.
    pub max: Option<u64>,
    /// Swap used.
    pub swap_current: u64,
    /// How often the limit was reached.
    pub failures: u64,
    /// memory.stat, as it is.
    pub stat: BTreeMap<String, u64>,
}

/// pids.*.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PidsStats {
    /// Processes and threads.
    pub current: u64,
    /// The limit; `None` without one.
    pub max: Option<u64>,
}

/// A line of io.stat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

pub(super) fn read(group: &Cgroup) -> Result<Stats> {
    let cpu = flat(&group.read("cpu.stat")?);
    let optional = |file: &str| group.read(file).unwrap_or_default();
    let number = |file: &str| optional(file).trim().parse().unwrap_or(0);
    let of = |name: &str| cpu.get(name).copied().unwrap_or(0);
    Ok(Stats {
        cpu: CpuStats {
            usage_usec: of("usage_usec"),
            user_usec: of("user_usec"),
            system_usec: of("system_usec"),
            nr_periods: of("nr_periods"),
            nr_throttled: of("nr_throttled"),
            throttled_usec: of("throttled_usec"),
        },
        memory: MemoryStats {
            current: number("memory.current"),
            peak: number("memory.peak"),
            max: optional("memory.max").trim().parse().ok(),
            swap_current: number("memory.swap.current"),
            failures: flat(&optional("memory.events"))
                .get("max")
                .copied()
                .unwrap_or(0),
            stat: flat(&optional("memory.stat")),
        },
        pids: PidsStats {
            current: number("pids.current"),
            max: optional("pids.max").trim().parse().ok(),
        },
        io: optional("io.stat").lines().filter_map(io_line).collect(),
    })
}

/// `NAME NUMBER` lines.
pub(super) fn flat(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (name, number) = line.split_once(' ')?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn io_line(line: &str) -> Option<IoStats> {
    let mut words = line.split_whitespace();
    let (major, minor) = words.next()?.split_once(':')?;
    let mut stats = IoStats {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        ..IoStats::default()
    };
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        let value = value.parse().unwrap_or(0);
        match name {
            "rbytes" => stats.read_bytes = value,
            "wbytes" => stats.write_bytes = value,
            "rios" => stats.reads = value,
            "wios" => stats.writes = value,
            _ => {}
        }
    }
    Some(stats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_lines_and_flat_files_are_read() {
        let line = "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0";
        let stats = io_line(line).unwrap();
        assert_eq!(
            (stats.major, stats.minor, stats.write_bytes, stats.reads),
            (8, 16, 314_773_504, 192)
        );
        assert_eq!(
            flat("populated 1\nfrozen 0\n\nbad\n").get("populated"),
            Some(&1)
        );
        assert!(io_line("garbage").is_none());
    }

    #[test]
    fn a_group_without_controllers_has_zeroes() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("cpu.stat"),
            "usage_usec 5\nuser_usec 3\n",
        )
        .unwrap();
        std::fs::write(directory.path().join("pids.max"), "max\n").unwrap();
        let stats = Cgroup::at(directory.path()).stats().unwrap();
        assert_eq!(
            (stats.cpu.usage_usec, stats.cpu.user_usec, stats.pids.max),
            (5, 3, None)
        );
        assert!(Cgroup::at("/no/such/cgroup").stats().is_err());
    }
}
