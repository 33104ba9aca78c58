//! `docker stats`: the container's cgroup v2, in the shape that Docker's API has had since cgroup v1.

use std::collections::BTreeMap;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use engine_api::Timestamp;
use engine_api::{
    BlkioStatEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Result,
    Stats, ThrottlingData,
};
use sys::cgroup::Cgroup;
use tokio::sync::mpsc;

use crate::Engine;
use crate::container::Container;
use crate::system;

/// Time between two readings of a stream.
const INTERVAL: Duration = Duration::from_secs(1);

impl Engine {
    /// `GET /containers/{id}/stats`: readings once a second, or one. Without `one_shot` a single reading is preceded
    /// by another a second before, so that its `precpu_stats` mean something. A container that does not run has zeros.
    ///
    /// # Errors
    /// 404.
    pub async fn container_stats(
        &self,
        reference: &str,
        stream: bool,
        one_shot: bool,
    ) -> Result<mpsc::Receiver<Stats>> {
        let container = self.find(reference)?;
        let (sender, receiver) = mpsc::channel(1);
        engine_api::tasks::spawn(async move {
            let mut before: Option<(String, CpuStats)> = None;
            if !stream && !one_shot && container.status().is_alive() {
                before = Some(previous(&read(&container)));
                tokio::time::sleep(INTERVAL).await;
            }
            loop {
                let mut stats = read(&container);
                if let Some((read_at, cpu)) = before.take() {
                    (stats.preread, stats.precpu_stats) = (read_at, cpu);
                }
                before = Some(previous(&stats));
                if sender.send(stats).await.is_err() || !stream {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {}
                    () = sender.closed() => return,
                }
                if container.exits.borrow().removed {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}

fn previous(stats: &Stats) -> (String, CpuStats) {
    (stats.read.clone(), stats.cpu_stats.clone())
}

fn read(container: &Rc<Container>) -> Stats {
    let mut stats = Stats {
        read: Timestamp::ZERO.to_string(),
        preread: Timestamp::ZERO.to_string(),
        name: format!("/{}", container.name()),
        id: container.id.clone(),
        ..Stats::default()
    };
    if !container.status().is_alive() {
        return stats;
    }
    let cgroup = &Cgroup::at(&container.cgroup);
    stats.read = Timestamp::now().to_string();
    stats.pids_stats = PidsStats {
        current: cgroup.number("pids.current").unwrap_or(0),
        limit: cgroup.number("pids.max").unwrap_or(0),
    };
    stats.cpu_stats = cpu(cgroup);
    stats.memory_stats = memory(cgroup);
    stats.blkio_stats = block_io(cgroup);
    stats.networks = networks(container);
    stats
}

fn cpu(cgroup: &Cgroup) -> CpuStats {
    let micros = |key: &str| cgroup.value("cpu.stat", key).saturating_mul(1000);
    CpuStats {
        cpu_usage: CpuUsage {
            total_usage: micros("usage_usec"),
            usage_in_kernelmode: micros("system_usec"),
            usage_in_usermode: micros("user_usec"),
            ..CpuUsage::default()
        },
        system_cpu_usage: system::cpu_time(),
        online_cpus: u32::try_from(system::online_cpus()).unwrap_or(1),
        throttling_data: ThrottlingData {
            periods: cgroup.value("cpu.stat", "nr_periods"),
            throttled_periods: cgroup.value("cpu.stat", "nr_throttled"),
            throttled_time: micros("throttled_usec"),
        },
    }
}

fn memory(cgroup: &Cgroup) -> MemoryStats {
    let text = cgroup.read("memory.stat").unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    let stats: BTreeMap<String, u64> = pairs
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
        .collect();
    let limit = cgroup.number("memory.max");
    MemoryStats {
        usage: cgroup.number("memory.current").unwrap_or(0),
        limit: limit
            .unwrap_or_else(system::memory_total)
            .min(system::memory_total()),
        failcnt: cgroup.value("memory.events", "oom"),
        stats,
        ..MemoryStats::default()
    }
}

fn block_io(cgroup: &Cgroup) -> BlkioStats {
    let text = cgroup.read("io.stat").unwrap_or_default();
    let (mut bytes, mut operations) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else {
            continue;
        };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut bytes, "read"),
                "wbytes" => (&mut bytes, "write"),
                "rios" => (&mut operations, "read"),
                "wios" => (&mut operations, "write"),
                _ => continue,
            };
            list.push(BlkioStatEntry {
                major,
                minor,
                op: op.to_owned(),
                value: value.parse().unwrap_or(0),
            });
        }
    }
    BlkioStats {
        io_service_bytes_recursive: Some(bytes),
        io_serviced_recursive: Some(operations),
        ..BlkioStats::default()
    }
}

/// Traffic of the container's own network namespace, as /proc/PID/net/dev counts it.
fn networks(container: &Container) -> BTreeMap<String, NetworkStats> {
    let record = container.record();
    if record.network_is_host() {
        return BTreeMap::new();
    }
    let text =
        fs::read_to_string(format!("/proc/{}/net/dev", record.state.pid)).unwrap_or_default();
    let mut found = BTreeMap::new();
    for line in text.lines().skip(2) {
        let Some((name, counters)) = line.split_once(':') else {
            continue;
        };
        let numbers: Vec<u64> = counters
            .split_whitespace()
            .map(|word| word.parse().unwrap_or(0))
            .collect();
        let ([rx_bytes, rx_packets, rx_errors, rx_dropped, ..], true) = (
            numbers.as_slice(),
            name.trim() != "lo" && numbers.len() >= 12,
        ) else {
            continue;
        };
        let sent = &numbers[8..12];
        found.insert(
            name.trim().to_owned(),
            NetworkStats {
                rx_bytes: *rx_bytes,
                rx_packets: *rx_packets,
                rx_errors: *rx_errors,
                rx_dropped: *rx_dropped,
                tx_bytes: sent[0],
                tx_packets: sent[1],
                tx_errors: sent[2],
                tx_dropped: sent[3],
            },
        );
    }
    found
}
