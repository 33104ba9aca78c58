//! Containers: configuration, create, list, state and inspect.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{is_default, model};
use crate::types::{
    DeviceMapping, DeviceRequest, EndpointSettings, HostConfig, NetworkingConfig, PortMap,
    RestartPolicy, ThrottleDevice, Ulimit, WeightDevice,
};

model! {
    /// What runs in a container, independent of the host.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerConfig {
        /// Host name; empty means the short id.
        pub hostname: String,
        /// Domain name.
        pub domainname: String,
        /// `user[:group]`, names or numbers.
        pub user: String,
        /// Attach standard input at start.
        pub attach_stdin: bool,
        /// Attach standard output at start.
        pub attach_stdout: bool,
        /// Attach standard error at start.
        pub attach_stderr: bool,
        /// Ports the container listens on, `80/tcp`.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub exposed_ports: BTreeMap<String, Value>,
        /// Give it a terminal.
        pub tty: bool,
        /// Keep standard input open when nobody is attached.
        pub open_stdin: bool,
        /// Close standard input when the first client has left.
        pub stdin_once: bool,
        /// `NAME=value`; `NAME` alone removes the image's.
        pub env: Vec<String>,
        /// Health check; absent means the image's.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub healthcheck: Option<HealthConfig>,
        /// Windows only.
        #[serde(skip_serializing_if = "is_default")]
        pub args_escaped: bool,
        /// Image reference or id.
        pub image: String,
        /// Anonymous volumes by path.
        pub volumes: BTreeMap<String, Value>,
        /// Working directory.
        pub working_dir: String,
        /// No network at all.
        #[serde(skip_serializing_if = "is_default")]
        pub network_disabled: bool,
        /// Hardware address (deprecated place).
        #[serde(skip_serializing_if = "String::is_empty")]
        pub mac_address: String,
        /// Build triggers.
        pub on_build: Option<Vec<String>>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// Signal that stops it; empty means SIGTERM.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub stop_signal: String,
        /// Seconds between the stop signal and SIGKILL; absent means 10.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stop_timeout: Option<i64>,
        ;
        /// Command; null means the image's.
        #[serde(deserialize_with = "crate::json::string_or_list")]
        pub cmd: Option<Vec<String>>,
        /// Entry point; null means the image's, `[]` and `[""]` mean none.
        #[serde(deserialize_with = "crate::json::string_or_list")]
        pub entrypoint: Option<Vec<String>>,
        /// Shell for the shell form.
        #[serde(deserialize_with = "crate::json::string_or_list", skip_serializing_if = "Option::is_none")]
        pub shell: Option<Vec<String>>,
    }

    /// How to find out whether a container works. Times are nanoseconds; 0 means inherit or default.
    #[serde(rename_all = "PascalCase")]
    pub struct HealthConfig {
        /// `[]` inherit, `["NONE"]` off, `["CMD", ..]` or `["CMD-SHELL", line]`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub test: Vec<String>,
        /// Time between probes; default 30 s.
        #[serde(skip_serializing_if = "is_default")]
        pub interval: i64,
        /// Time one probe may take; default 30 s.
        #[serde(skip_serializing_if = "is_default")]
        pub timeout: i64,
        /// Time after start in which failures do not count.
        #[serde(skip_serializing_if = "is_default")]
        pub start_period: i64,
        /// Time between probes in the start period; default 5 s.
        #[serde(skip_serializing_if = "is_default")]
        pub start_interval: i64,
        /// Failures in a row that make it unhealthy; default 3.
        #[serde(skip_serializing_if = "is_default")]
        pub retries: i64,
    }

    /// Body of `POST /containers/create`.
    #[serde(rename_all = "PascalCase")]
    pub struct CreateRequest {
        /// Placement and limits.
        pub host_config: HostConfig,
        /// Endpoints by network.
        pub networking_config: NetworkingConfig,
        ;
        /// What runs.
        #[serde(flatten)]
        pub config: ContainerConfig,
        /// Read-only binds leave their submounts writable, as before API 1.44; never sent.
        #[serde(skip)]
        pub read_only_non_recursive: bool,
    }

    /// Answer of `POST /containers/create`.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerCreateResponse {
        /// The new container's id.
        pub id: String,
        /// What was adjusted.
        pub warnings: Vec<String>,
    }

    /// One line of `GET /containers/json`.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerSummary {
        /// 64 hexadecimal digits.
        pub id: String,
        /// Names, each with a leading slash.
        pub names: Vec<String>,
        /// Image as it was named at creation.
        pub image: String,
        /// Image's id.
        #[serde(rename = "ImageID")]
        pub image_id: String,
        /// Command line.
        pub command: String,
        /// Unix seconds.
        pub created: i64,
        /// Ports.
        pub ports: Vec<Port>,
        /// Bytes written; with `size=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<i64>,
        /// Bytes in all; with `size=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<i64>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// `running`, `exited`, ...
        pub state: String,
        /// `Up 3 minutes (healthy)`.
        pub status: String,
        /// Network mode.
        pub host_config: SummaryHostConfig,
        /// Endpoints.
        pub network_settings: SummaryNetworkSettings,
        /// Mounts.
        pub mounts: Vec<MountPoint>,
    }

    /// The part of `HostConfig` that lists show.
    #[serde(rename_all = "PascalCase")]
    pub struct SummaryHostConfig {
        /// Network mode.
        pub network_mode: String,
        /// OCI annotations.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub annotations: BTreeMap<String, String>,
    }

    /// The part of `NetworkSettings` that lists show.
    #[serde(rename_all = "PascalCase")]
    pub struct SummaryNetworkSettings {
        /// Endpoints by network name.
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// A port in a list.
    #[serde(rename_all = "PascalCase")]
    pub struct Port {
        /// Host address, when published.
        #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
        pub ip: String,
        /// Port in the container.
        pub private_port: u16,
        /// Port on the host, when published.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub public_port: Option<u16>,
        /// `tcp`, `udp` or `sctp`.
        #[serde(rename = "Type")]
        pub typ: String,
    }

    /// A mount a container has.
    #[serde(rename_all = "PascalCase")]
    pub struct MountPoint {
        /// `bind`, `volume`, `tmpfs`.
        #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
        pub typ: String,
        /// Volume name.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub name: String,
        /// Path on the host.
        pub source: String,
        /// Path in the container.
        pub destination: String,
        /// Volume driver.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub driver: String,
        /// Options as given.
        pub mode: String,
        /// Writable.
        #[serde(rename = "RW")]
        pub rw: bool,
        /// Propagation.
        pub propagation: String,
    }

    /// Where a container is in its life. Times are RFC 3339; year 1 means never.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerState {
        /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
        pub status: String,
        /// Its process exists.
        pub running: bool,
        /// Frozen.
        pub paused: bool,
        /// Waiting for its next start.
        pub restarting: bool,
        /// The OOM killer ended it.
        #[serde(rename = "OOMKilled")]
        pub oom_killed: bool,
        /// Could not be removed.
        pub dead: bool,
        /// Host pid; 0 when not running.
        pub pid: i32,
        /// Exit code of the last run.
        pub exit_code: i32,
        /// Why it did not start.
        pub error: String,
        /// Start of the last run.
        pub started_at: String,
        /// End of the last run.
        pub finished_at: String,
        /// Health, when checked.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub health: Option<Health>,
    }

    /// Result of the health checks so far.
    #[serde(rename_all = "PascalCase")]
    pub struct Health {
        /// `starting`, `healthy`, `unhealthy` or `none`.
        pub status: String,
        /// Failures in a row.
        pub failing_streak: i64,
        /// The last five results.
        pub log: Vec<HealthcheckResult>,
    }

    /// One probe.
    #[serde(rename_all = "PascalCase")]
    pub struct HealthcheckResult {
        /// When it began.
        pub start: String,
        /// When it ended.
        pub end: String,
        /// 0 healthy, 1 unhealthy, other an error.
        pub exit_code: i32,
        /// First 4096 bytes of its output.
        pub output: String,
    }

    /// Answer of `GET /containers/{id}/json`.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerInspect {
        /// 64 hexadecimal digits.
        pub id: String,
        /// RFC 3339.
        pub created: String,
        /// Program run.
        pub path: String,
        /// Its arguments.
        pub args: Vec<String>,
        /// State.
        pub state: ContainerState,
        /// Image's id.
        pub image: String,
        /// File on the host.
        pub resolv_conf_path: String,
        /// File on the host.
        pub hostname_path: String,
        /// File on the host.
        pub hosts_path: String,
        /// Log file on the host.
        pub log_path: String,
        /// Name with a leading slash.
        pub name: String,
        /// Times it was restarted by policy.
        pub restart_count: i64,
        /// Storage driver.
        pub driver: String,
        /// `linux`.
        pub platform: String,
        /// SELinux label; empty here.
        pub mount_label: String,
        /// SELinux label; empty here.
        pub process_label: String,
        /// AppArmor profile.
        pub app_armor_profile: String,
        /// Ids of its exec processes; null when none.
        #[serde(rename = "ExecIDs")]
        pub exec_ids: Option<Vec<String>>,
        /// Placement and limits.
        pub host_config: HostConfig,
        /// Storage.
        pub graph_driver: GraphDriverData,
        /// Bytes written; with `size=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<i64>,
        /// Bytes in all; with `size=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<i64>,
        /// Mounts.
        pub mounts: Vec<MountPoint>,
        /// What runs.
        pub config: ContainerConfig,
        /// Addresses and ports.
        pub network_settings: NetworkSettings,
    }

    /// Where a container's or image's files are.
    #[serde(rename_all = "PascalCase")]
    pub struct GraphDriverData {
        /// Directories.
        pub data: BTreeMap<String, String>,
        /// Storage driver.
        pub name: String,
    }

    /// A container's addresses and ports.
    #[serde(rename_all = "PascalCase")]
    pub struct NetworkSettings {
        /// Default bridge's name.
        pub bridge: String,
        /// Network namespace's id.
        #[serde(rename = "SandboxID")]
        pub sandbox_id: String,
        /// Network namespace's file.
        pub sandbox_key: String,
        /// Ports.
        pub ports: PortMap,
        /// Unused.
        #[serde(rename = "HairpinMode")]
        pub hairpin_mode: bool,
        /// Unused.
        #[serde(rename = "LinkLocalIPv6Address")]
        pub link_local_ipv6_address: String,
        /// Unused.
        #[serde(rename = "LinkLocalIPv6PrefixLen")]
        pub link_local_ipv6_prefix_len: i64,
        /// Unused.
        #[serde(rename = "SecondaryIPAddresses")]
        pub secondary_ip_addresses: Option<Vec<Value>>,
        /// Unused.
        #[serde(rename = "SecondaryIPv6Addresses")]
        pub secondary_ipv6_addresses: Option<Vec<Value>>,
        /// Of the default bridge.
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        /// Of the default bridge.
        pub gateway: String,
        /// Of the default bridge.
        #[serde(rename = "GlobalIPv6Address")]
        pub global_ipv6_address: String,
        /// Of the default bridge.
        #[serde(rename = "GlobalIPv6PrefixLen")]
        pub global_ipv6_prefix_len: i64,
        /// Of the default bridge.
        #[serde(rename = "IPAddress")]
        pub ip_address: String,
        /// Of the default bridge.
        #[serde(rename = "IPPrefixLen")]
        pub ip_prefix_len: i64,
        /// Of the default bridge.
        #[serde(rename = "IPv6Gateway")]
        pub ipv6_gateway: String,
        /// Of the default bridge.
        pub mac_address: String,
        /// Endpoints by network name.
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// Answer of `GET /containers/{id}/top`.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerTop {
        /// Column heads.
        pub titles: Vec<String>,
        /// Rows.
        pub processes: Vec<Vec<String>>,
    }

    /// Answer of `POST /containers/{id}/wait`.
    #[serde(rename_all = "PascalCase")]
    pub struct WaitResponse {
        /// Exit code.
        pub status_code: i64,
        /// Why waiting failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error: Option<WaitError>,
    }

    /// Why waiting failed.
    #[serde(rename_all = "PascalCase")]
    pub struct WaitError {
        /// Message.
        pub message: String,
    }

    /// A path a container changed.
    #[serde(rename_all = "PascalCase")]
    pub struct FilesystemChange {
        /// Absolute path.
        pub path: String,
        /// 0 modified, 1 added, 2 deleted.
        pub kind: u8,
    }

    /// What `X-Docker-Container-Path-Stat` carries, base64 of this as JSON.
    pub struct PathStat {
        /// Last component.
        pub name: String,
        /// Bytes.
        pub size: i64,
        /// Go's `os.FileMode` bits.
        pub mode: u32,
        /// RFC 3339.
        pub mtime: String,
        /// Target of a symbolic link.
        #[serde(rename = "linkTarget")]
        pub link_target: String,
    }

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
        /// What was adjusted.
        pub warnings: Vec<String>,
    }

    /// Answer of `POST /containers/prune`.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainersPruneReport {
        /// Removed containers' ids; null when none.
        pub containers_deleted: Option<Vec<String>>,
        /// Bytes.
        pub space_reclaimed: u64,
    }

    /// Body of `POST /commit`'s answer and other `{"Id": ..}` answers.
    #[serde(rename_all = "PascalCase")]
    pub struct IdResponse {
        /// Id of what was made.
        pub id: String,
    }
}
