//! Resource use of a container, in the shape cgroup v1 gave it.

use std::collections::BTreeMap;

use crate::json::{is_default, model};

model! {
    /// One line of `GET /containers/{id}/stats`.
    pub struct Stats {
        /// RFC 3339 time of this sample.
        pub read: String,
        /// Time of the sample before; year 1 means none.
        pub preread: String,
        /// Processes.
        pub pids_stats: PidsStats,
        /// Block I/O.
        pub blkio_stats: BlkioStats,
        /// Windows only.
        pub num_procs: u32,
        /// Windows only.
        pub storage_stats: StorageStats,
        /// CPU now.
        pub cpu_stats: CpuStats,
        /// CPU at the sample before.
        pub precpu_stats: CpuStats,
        /// Memory.
        pub memory_stats: MemoryStats,
        /// Container's name with a leading slash.
        pub name: String,
        /// Container's id.
        pub id: String,
        /// Interfaces.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub networks: BTreeMap<String, NetworkStats>,
    }

    /// Processes of a cgroup.
    pub struct PidsStats {
        /// How many there are.
        #[serde(skip_serializing_if = "is_default")]
        pub current: u64,
        /// How many there may be.
        #[serde(skip_serializing_if = "is_default")]
        pub limit: u64,
    }

    /// Block I/O of a cgroup.
    pub struct BlkioStats {
        /// Bytes by device and operation.
        pub io_service_bytes_recursive: Option<Vec<BlkioStatEntry>>,
        /// Operations by device and operation.
        pub io_serviced_recursive: Option<Vec<BlkioStatEntry>>,
        /// cgroup v1 only.
        pub io_queue_recursive: Option<Vec<BlkioStatEntry>>,
        /// cgroup v1 only.
        pub io_service_time_recursive: Option<Vec<BlkioStatEntry>>,
        /// cgroup v1 only.
        pub io_wait_time_recursive: Option<Vec<BlkioStatEntry>>,
        /// cgroup v1 only.
        pub io_merged_recursive: Option<Vec<BlkioStatEntry>>,
        /// cgroup v1 only.
        pub io_time_recursive: Option<Vec<BlkioStatEntry>>,
        /// cgroup v1 only.
        pub sectors_recursive: Option<Vec<BlkioStatEntry>>,
    }

    /// One device and operation.
    pub struct BlkioStatEntry {
        /// Device major.
        pub major: u64,
        /// Device minor.
        pub minor: u64,
        /// `read`, `write`.
        pub op: String,
        /// Bytes or operations.
        pub value: u64,
    }

    /// Windows only.
    pub struct StorageStats {
        /// Unused.
        #[serde(skip_serializing_if = "is_default")]
        pub read_count_normalized: u64,
    }

    /// CPU time of a cgroup.
    pub struct CpuStats {
        /// Time used.
        pub cpu_usage: CpuUsage,
        /// Time the whole machine spent, in nanoseconds.
        #[serde(skip_serializing_if = "is_default")]
        pub system_cpu_usage: u64,
        /// CPUs online.
        #[serde(skip_serializing_if = "is_default")]
        pub online_cpus: u32,
        /// Throttling.
        pub throttling_data: ThrottlingData,
    }

    /// Time used, in nanoseconds.
    pub struct CpuUsage {
        /// In all.
        pub total_usage: u64,
        /// By CPU; cgroup v1 only.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub percpu_usage: Vec<u64>,
        /// In the kernel.
        pub usage_in_kernelmode: u64,
        /// In user space.
        pub usage_in_usermode: u64,
    }

    /// CPU throttling.
    pub struct ThrottlingData {
        /// Periods so far.
        pub periods: u64,
        /// Periods in which it was throttled.
        pub throttled_periods: u64,
        /// Nanoseconds.
        pub throttled_time: u64,
    }

    /// Memory of a cgroup.
    pub struct MemoryStats {
        /// Bytes used, page cache included.
        #[serde(skip_serializing_if = "is_default")]
        pub usage: u64,
        /// Most ever; cgroup v1 only.
        #[serde(skip_serializing_if = "is_default")]
        pub max_usage: u64,
        /// memory.stat.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub stats: BTreeMap<String, u64>,
        /// Times the limit was met.
        #[serde(skip_serializing_if = "is_default")]
        pub failcnt: u64,
        /// Bytes; the machine's memory when unlimited.
        #[serde(skip_serializing_if = "is_default")]
        pub limit: u64,
    }

    /// One interface.
    pub struct NetworkStats {
        /// Bytes received.
        pub rx_bytes: u64,
        /// Packets received.
        pub rx_packets: u64,
        /// Receive errors.
        pub rx_errors: u64,
        /// Packets dropped on receipt.
        pub rx_dropped: u64,
        /// Bytes sent.
        pub tx_bytes: u64,
        /// Packets sent.
        pub tx_packets: u64,
        /// Send errors.
        pub tx_errors: u64,
        /// Packets dropped on sending.
        pub tx_dropped: u64,
    }
}
