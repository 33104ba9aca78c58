//! The engine itself: version, info, disk usage.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{is_default, model};
use crate::types::{ContainerSummary, ImageSummary, Volume};

model! {
    /// Answer of `GET /version`.
    #[serde(rename_all = "PascalCase")]
    pub struct SystemVersion {
        /// Product.
        pub platform: PlatformName,
        /// Parts with their versions.
        pub components: Vec<ComponentVersion>,
        /// Engine's version.
        pub version: String,
        /// Newest API version.
        pub api_version: String,
        /// Oldest API version.
        #[serde(rename = "MinAPIVersion")]
        pub min_api_version: String,
        /// Commit it was built from.
        pub git_commit: String,
        /// Language version.
        pub go_version: String,
        /// `linux`.
        pub os: String,
        /// `amd64`, ...
        pub arch: String,
        /// Kernel's version.
        pub kernel_version: String,
        /// Experimental features on.
        #[serde(skip_serializing_if = "is_default")]
        pub experimental: bool,
        /// RFC 3339.
        pub build_time: String,
    }

    /// Product.
    #[serde(rename_all = "PascalCase")]
    pub struct PlatformName {
        /// Its name.
        pub name: String,
    }

    /// A part and its version.
    #[serde(rename_all = "PascalCase")]
    pub struct ComponentVersion {
        /// `Engine`, ...
        pub name: String,
        /// Version.
        pub version: String,
        /// Further facts.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub details: BTreeMap<String, String>,
    }

    /// Answer of `GET /info`.
    #[serde(rename_all = "PascalCase")]
    pub struct SystemInfo {
        /// Engine's id.
        #[serde(rename = "ID")]
        pub id: String,
        /// All containers.
        pub containers: i64,
        /// Running containers.
        pub containers_running: i64,
        /// Paused containers.
        pub containers_paused: i64,
        /// Stopped containers.
        pub containers_stopped: i64,
        /// Images.
        pub images: i64,
        /// Storage driver.
        pub driver: String,
        /// Facts of the storage driver.
        pub driver_status: Vec<[String; 2]>,
        /// Unused.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub system_status: Vec<[String; 2]>,
        /// Drivers.
        pub plugins: PluginsInfo,
        /// Memory limits work.
        pub memory_limit: bool,
        /// Swap limits work.
        pub swap_limit: bool,
        /// CFS periods work.
        #[serde(rename = "CpuCfsPeriod")]
        pub cpu_cfs_period: bool,
        /// CFS quotas work.
        #[serde(rename = "CpuCfsQuota")]
        pub cpu_cfs_quota: bool,
        /// CPU weights work.
        #[serde(rename = "CPUShares")]
        pub cpu_shares: bool,
        /// cpusets work.
        #[serde(rename = "CPUSet")]
        pub cpu_set: bool,
        /// pids limits work.
        pub pids_limit: bool,
        /// The OOM killer can be disabled.
        pub oom_kill_disable: bool,
        /// IPv4 forwarding on.
        #[serde(rename = "IPv4Forwarding")]
        pub ipv4_forwarding: bool,
        /// bridge-nf-call-iptables on.
        #[serde(rename = "BridgeNfIptables")]
        pub bridge_nf_iptables: bool,
        /// bridge-nf-call-ip6tables on.
        #[serde(rename = "BridgeNfIp6tables")]
        pub bridge_nf_ip6tables: bool,
        /// Debug mode.
        pub debug: bool,
        /// Open descriptors.
        #[serde(rename = "NFd")]
        pub n_fd: i64,
        /// Tasks.
        #[serde(rename = "NGoroutines")]
        pub n_goroutines: i64,
        /// RFC 3339.
        pub system_time: String,
        /// Default logging driver.
        pub logging_driver: String,
        /// `cgroupfs`.
        pub cgroup_driver: String,
        /// `2`.
        pub cgroup_version: String,
        /// Event listeners.
        #[serde(rename = "NEventsListener")]
        pub n_events_listener: i64,
        /// Kernel's version.
        pub kernel_version: String,
        /// Distribution.
        pub operating_system: String,
        /// Distribution's version.
        #[serde(rename = "OSVersion")]
        pub os_version: String,
        /// `linux`.
        #[serde(rename = "OSType")]
        pub os_type: String,
        /// `x86_64`, ...
        pub architecture: String,
        /// Registry asked for logins.
        pub index_server_address: String,
        /// Registries.
        pub registry_config: RegistryConfig,
        /// Unused.
        pub generic_resources: Option<Vec<Value>>,
        /// CPUs.
        #[serde(rename = "NCPU")]
        pub n_cpu: i64,
        /// Bytes.
        pub mem_total: i64,
        /// Engine's root directory.
        pub docker_root_dir: String,
        /// Proxy.
        pub http_proxy: String,
        /// Proxy.
        pub https_proxy: String,
        /// Hosts without a proxy.
        pub no_proxy: String,
        /// Host name.
        pub name: String,
        /// Engine's labels.
        pub labels: Vec<String>,
        /// Experimental features on.
        pub experimental_build: bool,
        /// Engine's version.
        pub server_version: String,
        /// Runtimes by name.
        pub runtimes: BTreeMap<String, RuntimeInfo>,
        /// Default runtime.
        pub default_runtime: String,
        /// API 1.24 only.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub execution_driver: String,
        /// Swarm: `inactive`.
        pub swarm: SwarmInfo,
        /// Containers survive the engine.
        pub live_restore_enabled: bool,
        /// Windows only.
        pub isolation: String,
        /// `docker-init`.
        pub init_binary: String,
        /// Part.
        pub containerd_commit: Commit,
        /// Part.
        pub runc_commit: Commit,
        /// Part.
        pub init_commit: Commit,
        /// `name=seccomp,profile=builtin`, ...
        pub security_options: Vec<String>,
        /// Product licence.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub product_license: String,
        /// What the administrator should know.
        pub warnings: Option<Vec<String>>,
        /// Directories of CDI files.
        #[serde(rename = "CDISpecDirs")]
        pub cdi_spec_dirs: Vec<String>,
    }

    /// Drivers by what they do.
    #[serde(rename_all = "PascalCase")]
    pub struct PluginsInfo {
        /// Volume drivers.
        pub volume: Vec<String>,
        /// Network drivers.
        pub network: Vec<String>,
        /// Authorization plugins.
        pub authorization: Option<Vec<String>>,
        /// Logging drivers.
        pub log: Vec<String>,
    }

    /// Registries the engine knows.
    #[serde(rename_all = "PascalCase")]
    pub struct RegistryConfig {
        /// Deprecated.
        #[serde(rename = "AllowNondistributableArtifactsCIDRs")]
        pub allow_nondistributable_artifacts_cidrs: Option<Vec<String>>,
        /// Deprecated.
        pub allow_nondistributable_artifacts_hostnames: Option<Vec<String>>,
        /// Networks whose registries need no TLS.
        #[serde(rename = "InsecureRegistryCIDRs")]
        pub insecure_registry_cidrs: Vec<String>,
        /// Registries by name.
        pub index_configs: BTreeMap<String, IndexInfo>,
        /// Mirrors.
        pub mirrors: Option<Vec<String>>,
    }

    /// A registry.
    #[serde(rename_all = "PascalCase")]
    pub struct IndexInfo {
        /// Its name.
        pub name: String,
        /// Its mirrors.
        pub mirrors: Vec<String>,
        /// TLS is required.
        pub secure: bool,
        /// Docker Hub.
        pub official: bool,
    }

    /// A runtime.
    pub struct RuntimeInfo {
        /// Program.
        pub path: String,
        /// Its arguments.
        #[serde(rename = "runtimeArgs", skip_serializing_if = "Vec::is_empty")]
        pub runtime_args: Vec<String>,
    }

    /// Swarm state.
    #[serde(rename_all = "PascalCase")]
    pub struct SwarmInfo {
        /// Node's id.
        #[serde(rename = "NodeID")]
        pub node_id: String,
        /// Node's address.
        pub node_addr: String,
        /// `inactive`.
        pub local_node_state: String,
        /// Can manage.
        pub control_available: bool,
        /// Why it is not well.
        pub error: String,
        /// Managers known.
        pub remote_managers: Option<Vec<Value>>,
    }

    /// A part's version.
    #[serde(rename_all = "PascalCase")]
    pub struct Commit {
        /// What it is.
        #[serde(rename = "ID")]
        pub id: String,
        /// What was expected.
        pub expected: String,
    }

    /// Answer of `GET /system/df`.
    #[serde(rename_all = "PascalCase")]
    pub struct DiskUsage {
        /// Bytes of all layers.
        pub layers_size: i64,
        /// Images.
        pub images: Vec<ImageSummary>,
        /// Containers.
        pub containers: Vec<ContainerSummary>,
        /// Volumes.
        pub volumes: Vec<Volume>,
        /// Build cache; empty here.
        pub build_cache: Vec<Value>,
    }

    /// Answer of `GET /engine` and `POST /engine/upgrade`; not Docker's.
    #[serde(rename_all = "PascalCase")]
    pub struct EngineStatus {
        /// Engine's version.
        pub version: String,
        /// Path of its program.
        pub program: String,
        /// Its process.
        pub pid: i64,
        /// How often the program was replaced since the process started.
        pub generation: i64,
        /// Version of what one program hands to the next.
        pub state_version: i64,
        /// How the last replacement went.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_upgrade: Option<LastUpgrade>,
    }

    /// How a replacement of the engine's program went.
    #[serde(rename_all = "PascalCase")]
    pub struct LastUpgrade {
        /// `done`; `fell back` when the former program had to go on; `failed` when it never stopped.
        pub outcome: String,
        /// Why it is not `done`.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub error: String,
        /// RFC 3339.
        pub time: String,
    }
}
