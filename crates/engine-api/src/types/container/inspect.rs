//! One container in all details: state, health, mounts, addresses.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::model;
use crate::types::{ContainerConfig, EndpointSettings, HostConfig, PortMap};

model! {
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
}
