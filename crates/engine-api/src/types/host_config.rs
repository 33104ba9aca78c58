//! `HostConfig`: how a container is placed on this host (resources, binds, ports, confinement).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{is_default, model};

/// Port (`80/tcp`) to where it is published; null when exposed only.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

model! {
    /// Where and under which limits a container runs.
    #[serde(rename_all = "PascalCase")]
    pub struct HostConfig {
        /// Bind mounts and named volumes, `source:target[:options]`.
        #[serde(serialize_with = "crate::json::null_if_empty")]
        pub binds: Vec<String>,
        /// File the container's id is written to (a client's affair; kept for inspect).
        #[serde(rename = "ContainerIDFile")]
        pub container_id_file: String,
        /// Logging driver.
        pub log_config: LogConfig,
        /// `bridge`, `host`, `none`, `container:NAME`, `default` or a network's name.
        pub network_mode: String,
        /// Published ports.
        pub port_bindings: PortMap,
        /// What happens when the container ends.
        pub restart_policy: RestartPolicy,
        /// Remove the container when it has ended.
        pub auto_remove: bool,
        /// Driver for named volumes in `binds`.
        pub volume_driver: String,
        /// Containers whose volumes are mounted too, `name[:ro]`.
        #[serde(serialize_with = "crate::json::null_if_empty")]
        pub volumes_from: Vec<String>,
        /// Structured mounts.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub mounts: Vec<Mount>,
        /// Terminal size at creation, `[height, width]`.
        pub console_size: [u32; 2],
        /// OCI annotations.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub annotations: BTreeMap<String, String>,
        /// `host`, `private` or empty.
        pub cgroupns_mode: String,
        /// Name servers.
        pub dns: Vec<String>,
        /// Resolver options.
        pub dns_options: Vec<String>,
        /// Search domains.
        pub dns_search: Vec<String>,
        /// `name:address` lines for /etc/hosts.
        pub extra_hosts: Option<Vec<String>>,
        /// Supplementary groups.
        pub group_add: Option<Vec<String>>,
        /// `none`, `private`, `shareable`, `host`, `container:NAME` or empty.
        pub ipc_mode: String,
        /// Unused by Docker itself.
        pub cgroup: String,
        /// Legacy links.
        pub links: Option<Vec<String>>,
        /// OOM killer preference, -1000 to 1000.
        pub oom_score_adj: i64,
        /// `host`, `container:NAME` or empty.
        pub pid_mode: String,
        /// All capabilities and devices, no confinement.
        pub privileged: bool,
        /// Publish every exposed port on a random host port.
        pub publish_all_ports: bool,
        /// Read-only root file system.
        pub readonly_rootfs: bool,
        /// `apparmor=`, `seccomp=`, `no-new-privileges`, `systempaths=unconfined`, `label=`.
        pub security_opt: Option<Vec<String>>,
        /// Storage driver options.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub storage_opt: BTreeMap<String, String>,
        /// tmpfs mounts, target to options.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub tmpfs: BTreeMap<String, String>,
        /// `host` or empty.
        #[serde(rename = "UTSMode")]
        pub uts_mode: String,
        /// `host` or empty.
        pub userns_mode: String,
        /// Size of /dev/shm in bytes; 0 means 64 MiB.
        pub shm_size: i64,
        /// Kernel parameters of the container's namespaces.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub sysctls: BTreeMap<String, String>,
        /// OCI runtime name.
        pub runtime: String,
        /// Windows isolation; empty here.
        pub isolation: String,
        /// Relative CPU weight (cgroup v1 scale, 2 to 262144).
        pub cpu_shares: i64,
        /// Memory limit in bytes.
        pub memory: i64,
        /// CPU quota in billionths of a CPU.
        #[serde(rename = "NanoCpus")]
        pub nano_cpus: i64,
        /// Parent cgroup.
        pub cgroup_parent: String,
        /// Block I/O weight, 10 to 1000.
        pub blkio_weight: u16,
        /// Per-device weights.
        pub blkio_weight_device: Vec<WeightDevice>,
        /// Read limits in bytes per second.
        pub blkio_device_read_bps: Vec<ThrottleDevice>,
        /// Write limits in bytes per second.
        pub blkio_device_write_bps: Vec<ThrottleDevice>,
        /// Read limits in operations per second.
        #[serde(rename = "BlkioDeviceReadIOps")]
        pub blkio_device_read_iops: Vec<ThrottleDevice>,
        /// Write limits in operations per second.
        #[serde(rename = "BlkioDeviceWriteIOps")]
        pub blkio_device_write_iops: Vec<ThrottleDevice>,
        /// CFS period in microseconds.
        pub cpu_period: i64,
        /// CFS quota in microseconds.
        pub cpu_quota: i64,
        /// Real-time period in microseconds.
        pub cpu_realtime_period: i64,
        /// Real-time runtime in microseconds.
        pub cpu_realtime_runtime: i64,
        /// CPUs, `0-2,7`.
        pub cpuset_cpus: String,
        /// Memory nodes.
        pub cpuset_mems: String,
        /// Host devices.
        pub devices: Vec<DeviceMapping>,
        /// Device cgroup rules, `c 1:3 rwm`.
        pub device_cgroup_rules: Option<Vec<String>>,
        /// Devices by driver (GPUs).
        pub device_requests: Option<Vec<DeviceRequest>>,
        /// Kernel memory limit (gone from kernels).
        #[serde(skip_serializing_if = "is_default")]
        pub kernel_memory: i64,
        /// TCP buffer limit (cgroup v1).
        #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "is_default")]
        pub kernel_memory_tcp: i64,
        /// Soft memory limit in bytes.
        pub memory_reservation: i64,
        /// Memory plus swap in bytes; -1 unlimited.
        pub memory_swap: i64,
        /// 0 to 100 (cgroup v1).
        pub memory_swappiness: Option<i64>,
        /// Disable the OOM killer (cgroup v1).
        pub oom_kill_disable: Option<bool>,
        /// Maximum number of processes; 0 and -1 mean unlimited.
        pub pids_limit: Option<i64>,
        /// rlimits.
        pub ulimits: Vec<Ulimit>,
        /// Windows only.
        pub cpu_count: i64,
        /// Windows only.
        pub cpu_percent: i64,
        /// Windows only.
        #[serde(rename = "IOMaximumIOps")]
        pub io_maximum_iops: u64,
        /// Windows only.
        #[serde(rename = "IOMaximumBandwidth")]
        pub io_maximum_bandwidth: u64,
        /// Paths hidden from the container; null means the default list.
        pub masked_paths: Option<Vec<String>>,
        /// Paths read-only in the container; null means the default list.
        pub readonly_paths: Option<Vec<String>>,
        /// Run a small init as the container's first process.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub init: Option<bool>,
        ;
        /// Capabilities added to the default set.
        #[serde(deserialize_with = "crate::json::string_or_list")]
        pub cap_add: Option<Vec<String>>,
        /// Capabilities taken from the default set.
        #[serde(deserialize_with = "crate::json::string_or_list")]
        pub cap_drop: Option<Vec<String>>,
    }

    /// Logging driver and its options.
    #[serde(rename_all = "PascalCase")]
    pub struct LogConfig {
        /// Driver's name; empty means the engine's default.
        #[serde(rename = "Type")]
        pub typ: String,
        /// Driver options.
        pub config: BTreeMap<String, String>,
    }

    /// What happens when the container ends.
    #[serde(rename_all = "PascalCase")]
    pub struct RestartPolicy {
        /// `no`, `always`, `unless-stopped`, `on-failure` or empty.
        pub name: String,
        /// Limit for `on-failure`; 0 means none.
        pub maximum_retry_count: i64,
    }

    /// One host address and port.
    #[serde(rename_all = "PascalCase")]
    pub struct PortBinding {
        /// Host address; empty means all.
        #[serde(rename = "HostIp")]
        pub host_ip: String,
        /// Port or range; empty means any free one.
        pub host_port: String,
    }

    /// A host device given to the container.
    #[serde(rename_all = "PascalCase")]
    pub struct DeviceMapping {
        /// Path on the host.
        pub path_on_host: String,
        /// Path in the container.
        pub path_in_container: String,
        /// Some of `rwm`.
        pub cgroup_permissions: String,
    }

    /// Devices asked for by driver or capability.
    #[serde(rename_all = "PascalCase")]
    pub struct DeviceRequest {
        /// Driver's name.
        pub driver: String,
        /// How many; -1 means all.
        pub count: i64,
        /// Device ids.
        #[serde(rename = "DeviceIDs")]
        pub device_ids: Vec<String>,
        /// Alternatives of required capabilities.
        pub capabilities: Vec<Vec<String>>,
        /// Driver options.
        pub options: BTreeMap<String, String>,
    }

    /// A resource limit.
    #[serde(rename_all = "PascalCase")]
    pub struct Ulimit {
        /// Name without `RLIMIT_`, lower case.
        pub name: String,
        /// Soft limit; -1 unlimited.
        pub soft: i64,
        /// Hard limit; -1 unlimited.
        pub hard: i64,
    }

    /// A block device's rate.
    #[serde(rename_all = "PascalCase")]
    pub struct ThrottleDevice {
        /// Device path.
        pub path: String,
        /// Bytes or operations per second.
        pub rate: u64,
    }

    /// A block device's weight.
    #[serde(rename_all = "PascalCase")]
    pub struct WeightDevice {
        /// Device path.
        pub path: String,
        /// 10 to 1000.
        pub weight: u16,
    }

    /// A structured mount request.
    #[serde(rename_all = "PascalCase")]
    pub struct Mount {
        /// `bind`, `volume`, `tmpfs`, `npipe` or `cluster`.
        #[serde(rename = "Type")]
        pub typ: String,
        /// Host path or volume name.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub source: String,
        /// Path in the container.
        pub target: String,
        /// Mounted read-only.
        #[serde(skip_serializing_if = "is_default")]
        pub read_only: bool,
        /// `default`, `consistent`, `cached`, `delegated`; no effect on Linux.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub consistency: String,
        /// For `bind`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub bind_options: Option<BindOptions>,
        /// For `volume`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub volume_options: Option<VolumeOptions>,
        /// For `tmpfs`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tmpfs_options: Option<TmpfsOptions>,
        /// For `cluster`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cluster_options: Option<Value>,
    }

    /// Options of a bind mount.
    #[serde(rename_all = "PascalCase")]
    pub struct BindOptions {
        /// `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave` or empty.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub propagation: String,
        /// Leave submounts out.
        #[serde(skip_serializing_if = "is_default")]
        pub non_recursive: bool,
        /// Create the host path when it does not exist.
        #[serde(skip_serializing_if = "is_default")]
        pub create_mountpoint: bool,
        /// Submounts stay writable.
        #[serde(skip_serializing_if = "is_default")]
        pub read_only_non_recursive: bool,
        /// Fail when submounts cannot be made read-only.
        #[serde(skip_serializing_if = "is_default")]
        pub read_only_force_recursive: bool,
    }

    /// Options of a volume mount.
    #[serde(rename_all = "PascalCase")]
    pub struct VolumeOptions {
        /// Do not copy the image's files into a new volume.
        #[serde(skip_serializing_if = "is_default")]
        pub no_copy: bool,
        /// Labels of the volume made on the way.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub labels: BTreeMap<String, String>,
        /// Directory of the volume to mount.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub subpath: String,
        /// Driver of the volume made on the way.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub driver_config: Option<DriverConfig>,
    }

    /// A volume driver and its options.
    #[serde(rename_all = "PascalCase")]
    pub struct DriverConfig {
        /// Driver's name.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub name: String,
        /// Driver options.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub options: BTreeMap<String, String>,
    }

    /// Options of a tmpfs mount.
    #[serde(rename_all = "PascalCase")]
    pub struct TmpfsOptions {
        /// Size in bytes; 0 means unlimited.
        #[serde(skip_serializing_if = "is_default")]
        pub size_bytes: i64,
        /// Permission bits.
        #[serde(skip_serializing_if = "is_default")]
        pub mode: u32,
    }
}
