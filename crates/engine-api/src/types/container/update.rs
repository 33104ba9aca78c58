//! New limits for a container.

use crate::json::model;
use crate::types::{
    DeviceMapping, DeviceRequest, RestartPolicy, ThrottleDevice, Ulimit, WeightDevice,
};

model! {
    /// Body of `POST /containers/{id}/update`; 0 and empty leave a limit as it is.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerUpdate {
        /// Relative CPU weight.
        pub cpu_shares: i64,
        /// Bytes.
        pub memory: i64,
        /// Billionths of a CPU.
        #[serde(rename = "NanoCpus")]
        pub nano_cpus: i64,
        /// Parent cgroup (cannot change).
        pub cgroup_parent: String,
        /// 10 to 1000.
        pub blkio_weight: u16,
        /// Per-device weights.
        pub blkio_weight_device: Vec<WeightDevice>,
        /// Bytes per second.
        pub blkio_device_read_bps: Vec<ThrottleDevice>,
        /// Bytes per second.
        pub blkio_device_write_bps: Vec<ThrottleDevice>,
        /// Operations per second.
        #[serde(rename = "BlkioDeviceReadIOps")]
        pub blkio_device_read_iops: Vec<ThrottleDevice>,
        /// Operations per second.
        #[serde(rename = "BlkioDeviceWriteIOps")]
        pub blkio_device_write_iops: Vec<ThrottleDevice>,
        /// Microseconds.
        pub cpu_period: i64,
        /// Microseconds.
        pub cpu_quota: i64,
        /// Microseconds.
        pub cpu_realtime_period: i64,
        /// Microseconds.
        pub cpu_realtime_runtime: i64,
        /// CPUs.
        pub cpuset_cpus: String,
        /// Memory nodes.
        pub cpuset_mems: String,
        /// Devices (cannot change).
        pub devices: Vec<DeviceMapping>,
        /// Device rules (cannot change).
        pub device_cgroup_rules: Option<Vec<String>>,
        /// Device requests (cannot change).
        pub device_requests: Option<Vec<DeviceRequest>>,
        /// Gone from kernels.
        pub kernel_memory: i64,
        /// Bytes.
        pub memory_reservation: i64,
        /// Bytes; -1 unlimited.
        pub memory_swap: i64,
        /// cgroup v1.
        pub memory_swappiness: Option<i64>,
        /// cgroup v1.
        pub oom_kill_disable: Option<bool>,
        /// Processes; 0 and -1 unlimited.
        pub pids_limit: Option<i64>,
        /// rlimits (cannot change).
        pub ulimits: Vec<Ulimit>,
        /// New restart policy; empty name leaves it.
        pub restart_policy: RestartPolicy,
    }

    /// Answer of update.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerUpdateResponse {
;
        /// What was adjusted.
        #[serde(serialize_with = "crate::json::null_if_empty", deserialize_with = "crate::json::null_default")]
        pub warnings: Vec<String>,
    }
}
