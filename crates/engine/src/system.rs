//! The machine and the engine as `docker version`, `docker info` and `docker system df` show them.

use std::collections::BTreeMap;
use std::fs;

use engine_api::Timestamp;
use engine_api::options::ListOptions;
use engine_api::{
    API_VERSION, Commit, ComponentVersion, DOCKER_VERSION, DiskUsage, MIN_API_VERSION,
    PlatformName, PluginsInfo, RegistryConfig, Result, RuntimeInfo, SwarmInfo, SystemInfo,
    SystemVersion,
};
use runtime::apparmor;

use crate::Engine;
use crate::container::{RUNTIME_NAME, Status};

/// The machine's resolver configuration.
pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where Docker's public registry says who you are; shown by `docker info`.
const INDEX: &str = "https://index.docker.io/v1/";

/// What this engine is called among the versions.
const PRODUCT: &str = "RancherOS System Docker";
/// The label of the engine, in `info`, that has its own version.
const VERSION_LABEL: &str = "io.rancher.system-docker.version";

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The processors in use, `0-3`.
pub(crate) fn online_cpu_list() -> String {
    let list = read("/sys/devices/system/cpu/online").trim().to_owned();
    if list.is_empty() {
        "0".to_owned()
    } else {
        list
    }
}

/// The memory nodes in use, `0`.
pub(crate) fn online_memory_nodes() -> String {
    let list = read("/sys/devices/system/node/online").trim().to_owned();
    if list.is_empty() {
        "0".to_owned()
    } else {
        list
    }
}

/// How many processors there are.
pub(crate) fn online_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Memory of the machine in bytes.
pub(crate) fn memory_total() -> u64 {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Processor time of the whole machine in nanoseconds since boot.
pub(crate) fn cpu_time() -> u64 {
    /// Nanoseconds of one clock tick in /proc (USER_HZ is 100).
    const TICK: u64 = 10_000_000;
    let text = read("/proc/stat");
    let fields = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .take(8);
    fields
        .filter_map(|field| field.parse::<u64>().ok())
        .sum::<u64>()
        * TICK
}

fn flag(path: &str) -> bool {
    read(path).trim() == "1"
}

/// The architecture as Docker's versions name it.
fn go_arch() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}

impl Engine {
    /// `GET /version`: Docker's version by its API, and our own as the platform and as a component.
    #[must_use]
    pub fn version(&self) -> SystemVersion {
        let own = &self.0.version;
        let mut details = BTreeMap::new();
        for (name, value) in [
            ("ApiVersion", API_VERSION),
            ("MinAPIVersion", MIN_API_VERSION),
            ("Os", "linux"),
            ("Arch", go_arch()),
            ("GitCommit", "unknown"),
            ("GoVersion", "none"),
            ("Experimental", "false"),
        ] {
            details.insert(name.to_owned(), value.to_owned());
        }
        details.insert("KernelVersion".to_owned(), sys::kernel_release());
        SystemVersion {
            platform: PlatformName {
                name: format!("{PRODUCT} {own}"),
            },
            components: vec![
                ComponentVersion {
                    name: "Engine".to_owned(),
                    version: DOCKER_VERSION.to_owned(),
                    details,
                },
                ComponentVersion {
                    name: PRODUCT.to_owned(),
                    version: own.clone(),
                    ..ComponentVersion::default()
                },
            ],
            version: DOCKER_VERSION.to_owned(),
            api_version: API_VERSION.to_owned(),
            min_api_version: MIN_API_VERSION.to_owned(),
            git_commit: "unknown".to_owned(),
            go_version: "none".to_owned(),
            os: "linux".to_owned(),
            arch: go_arch().to_owned(),
            kernel_version: sys::kernel_release(),
            experimental: false,
            build_time: String::new(),
        }
    }

    /// `GET /info`.
    ///
    /// # Errors
    /// Never yet.
    pub async fn info(&self) -> Result<SystemInfo> {
        let containers = self.all_containers();
        let count = |test: &dyn Fn(Status) -> bool| {
            i64::try_from(
                containers
                    .iter()
                    .filter(|container| test(container.status()))
                    .count(),
            )
            .unwrap_or(i64::MAX)
        };
        let tree = &self.0.cgroups;
        let running = count(&|status| matches!(status, Status::Running | Status::Restarting));
        let paused = count(&|status| status == Status::Paused);
        let total = count(&|_| true);
        Ok(SystemInfo {
            id: self.0.id.clone(),
            containers: total,
            containers_running: running,
            containers_paused: paused,
            containers_stopped: total - running - paused,
            images: i64::try_from(self.0.images.count()).unwrap_or(i64::MAX),
            driver: "overlay2".to_owned(),
            driver_status: driver_status(),
            plugins: plugins(),
            memory_limit: tree.has("memory"),
            swap_limit: tree.has("memory"),
            cpu_cfs_period: tree.has("cpu"),
            cpu_cfs_quota: tree.has("cpu"),
            cpu_shares: tree.has("cpu"),
            cpu_set: tree.has("cpuset"),
            pids_limit: tree.has("pids"),
            ipv4_forwarding: flag("/proc/sys/net/ipv4/ip_forward"),
            bridge_nf_iptables: flag("/proc/sys/net/bridge/bridge-nf-call-iptables"),
            bridge_nf_ip6tables: flag("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
            n_fd: i64::try_from(fs::read_dir("/proc/self/fd").map_or(0, Iterator::count))
                .unwrap_or(0),
            n_goroutines: i64::try_from(
                tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks(),
            )
            .unwrap_or(0),
            system_time: Timestamp::now().to_string(),
            n_events_listener: i64::try_from(self.0.events.listeners()).unwrap_or(0),
            warnings: Some(self.warnings()).filter(|warnings| !warnings.is_empty()),
            ..self.fixed_info()
        })
    }

    /// The part of `info` that does not change while the engine runs.
    fn fixed_info(&self) -> SystemInfo {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let field = |key: &str| {
            let line = release
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        SystemInfo {
            logging_driver: "json-file".to_owned(),
            cgroup_driver: "cgroupfs".to_owned(),
            cgroup_version: "2".to_owned(),
            kernel_version: sys::kernel_release(),
            operating_system: field("PRETTY_NAME"),
            os_version: field("VERSION_ID"),
            os_type: "linux".to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            index_server_address: INDEX.to_owned(),
            registry_config: RegistryConfig {
                mirrors: Some(Vec::new()),
                ..RegistryConfig::default()
            },
            n_cpu: i64::try_from(online_cpus()).unwrap_or(1),
            mem_total: i64::try_from(memory_total()).unwrap_or(i64::MAX),
            docker_root_dir: self.0.root.to_string_lossy().into_owned(),
            name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            server_version: DOCKER_VERSION.to_owned(),
            labels: vec![format!("{VERSION_LABEL}={}", self.0.version)],
            runtimes: BTreeMap::from([(
                RUNTIME_NAME.to_owned(),
                RuntimeInfo {
                    path: self.0.program.to_string_lossy().into_owned(),
                    ..RuntimeInfo::default()
                },
            )]),
            default_runtime: RUNTIME_NAME.to_owned(),
            swarm: SwarmInfo {
                local_node_state: "inactive".to_owned(),
                ..SwarmInfo::default()
            },
            live_restore_enabled: false,
            init_binary: "docker-init".to_owned(),
            containerd_commit: Commit::default(),
            runc_commit: Commit::default(),
            init_commit: Commit::default(),
            security_options: security_options(),
            ..SystemInfo::default()
        }
    }

    /// `GET /system/df`.
    ///
    /// # Errors
    /// When images or volumes cannot be listed.
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        let containers = self
            .containers_list(ListOptions {
                all: true,
                size: true,
                ..ListOptions::default()
            })
            .await?;
        let images = self.0.images.list(&images::ImageListOptions {
            shared_size: true,
            ..Default::default()
        })?;
        let volumes = self.0.volumes.usage().await;
        Ok(DiskUsage {
            layers_size: self.0.images.layers_size(),
            images,
            containers,
            volumes,
            build_cache: Vec::new(),
        })
    }
}

fn driver_status() -> Vec<[String; 2]> {
    [
        ("Backing Filesystem", "extfs"),
        ("Supports d_type", "true"),
        ("Using metacopy", "false"),
        ("Native Overlay Diff", "true"),
    ]
    .map(|(key, value)| [key.to_owned(), value.to_owned()])
    .to_vec()
}

fn plugins() -> PluginsInfo {
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    PluginsInfo {
        volume: words(&["local"]),
        network: words(&["bridge", "host", "ipvlan", "macvlan", "null"]),
        authorization: None,
        log: words(&["json-file", "local", "none"]),
    }
}

fn security_options() -> Vec<String> {
    let mut options = vec!["name=seccomp,profile=builtin".to_owned()];
    if apparmor::is_enabled() {
        options.push("name=apparmor".to_owned());
    }
    options.push("name=cgroupns".to_owned());
    options
}
