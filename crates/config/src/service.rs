//! A service entry as types, and the labels that steer it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Location;
use crate::cloud_config::StringMap;

/// Label: `system` or user scope.
pub const SCOPE: &str = "io.rancher.os.scope";
/// Label: comma list of services this one starts after.
pub const AFTER: &str = "io.rancher.os.after";
/// Label: comma list of services this one starts before.
pub const BEFORE: &str = "io.rancher.os.before";
/// Label: `"false"` means that the next ones wait until this one has ended.
pub const DETACH: &str = "io.rancher.os.detach";
/// Label: `"true"` means created and never started.
pub const CREATE_ONLY: &str = "io.rancher.os.createonly";
/// Label: `"true"` means that the configuration is read again after the start.
pub const RELOAD_CONFIG: &str = "io.rancher.os.reloadconfig";
/// Label: name of the console this container is.
pub const CONSOLE: &str = "io.rancher.os.console";
/// Label: hash of the definition a container was made from.
pub const HASH: &str = "io.rancher.os.hash";
/// Label: when an existing container is replaced by a new one: `always`, `"false"`, or on a change of the definition.
pub const REBUILD: &str = "io.docker.compose.rebuild";

/// One service in compose v1 form; see [`crate::schema::SERVICE`] for the keys.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "the fields are compose's keys, documented by compose"
)]
pub struct Service {
    /// Where the definition stands.
    #[serde(skip)]
    pub at: Option<Location>,
    pub blkio_weight: Option<i64>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub cgroup: Option<String>,
    pub cgroup_parent: Option<String>,
    pub command: Option<Vec<String>>,
    pub container_name: Option<String>,
    pub cpu_period: Option<i64>,
    pub cpu_quota: Option<i64>,
    pub cpu_shares: Option<i64>,
    pub cpus: Option<String>,
    pub cpuset: Option<String>,
    pub depends_on: Option<DependsOn>,
    pub device_cgroup_rules: Vec<String>,
    pub devices: Vec<String>,
    pub dns: Vec<String>,
    pub dns_opts: Vec<String>,
    pub dns_search: Vec<String>,
    pub domainname: Option<String>,
    pub entrypoint: Option<Vec<String>>,
    pub env_file: Vec<String>,
    pub environment: StringMap,
    pub expose: Vec<String>,
    pub external_links: Vec<String>,
    pub extra_hosts: Vec<String>,
    pub group_add: Vec<String>,
    pub healthcheck: Option<Healthcheck>,
    pub hostname: Option<String>,
    pub image: Option<String>,
    pub init: Option<bool>,
    pub ipc: Option<String>,
    pub labels: StringMap,
    pub links: Vec<String>,
    pub log_driver: Option<String>,
    pub log_opt: StringMap,
    pub logging: Logging,
    pub mac_address: Option<String>,
    pub mem_limit: Option<String>,
    pub mem_reservation: Option<String>,
    pub mem_swappiness: Option<i64>,
    pub memswap_limit: Option<String>,
    pub net: Option<String>,
    pub network_mode: Option<String>,
    pub oom_kill_disable: Option<bool>,
    pub oom_score_adj: Option<i64>,
    pub pid: Option<String>,
    pub pids_limit: Option<i64>,
    pub ports: Vec<Port>,
    pub privileged: Option<bool>,
    pub read_only: Option<bool>,
    pub restart: Option<String>,
    pub security_opt: Vec<String>,
    pub shm_size: Option<String>,
    pub stdin_open: Option<bool>,
    pub stop_grace_period: Option<String>,
    pub stop_signal: Option<String>,
    pub sysctls: StringMap,
    pub tmpfs: Vec<String>,
    pub tty: Option<bool>,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub user: Option<String>,
    pub userns_mode: Option<String>,
    pub uts: Option<String>,
    pub volume_driver: Option<String>,
    pub volumes: Vec<Volume>,
    pub volumes_from: Vec<String>,
    pub working_dir: Option<String>,
}

/// A resource limit: one number for both, or soft and hard.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Ulimit {
    /// The same soft and hard limit.
    Both(i64),
    /// Different limits.
    Each {
        /// Soft limit.
        soft: i64,
        /// Hard limit.
        hard: i64,
    },
    /// Something else: ignored by the conversion, which reports it.
    Invalid(IgnoredAny),
}

/// The services that one starts after, as today's compose names them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum DependsOn {
    /// One name.
    One(String),
    /// Names.
    Names(Vec<String>),
    /// Names with what is waited for.
    Conditions(BTreeMap<String, Option<Dependency>>),
    /// Something else: ignored by the conversion, which reports it.
    Invalid(IgnoredAny),
}

/// What is waited for of a service that another one depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dependency {
    /// `service_started`, `service_healthy` or `service_completed_successfully`.
    pub condition: Option<String>,
}

/// Where output goes, as today's compose has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// The driver.
    pub driver: Option<String>,
    /// Its options.
    pub options: StringMap,
}

/// An entry of `ports`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Port {
    /// `[[address:]host:]container[/protocol]`.
    Short(String),
    /// The same as a map.
    Long(LongPort),
}

/// An entry of `ports` as a map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LongPort {
    /// The address of the machine.
    pub host_ip: Option<String>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: Option<String>,
    /// The port, or range, of the machine.
    pub published: Option<String>,
    /// The port, or range, in the container.
    pub target: Option<String>,
}

/// An entry of `volumes`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Volume {
    /// `source:target[:options]`, or a path alone.
    Short(String),
    /// The same as a map.
    Long(Box<LongVolume>),
}

impl From<String> for Volume {
    fn from(text: String) -> Self {
        Volume::Short(text)
    }
}

/// An entry of `volumes` as a map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "the fields are compose's keys, documented by compose"
)]
pub struct LongVolume {
    pub bind: BindOptions,
    pub read_only: Option<bool>,
    pub source: Option<String>,
    pub target: Option<String>,
    pub tmpfs: TmpfsOptions,
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub volume: VolumeOptions,
}

/// What only a bind mount has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BindOptions {
    /// `rprivate`, `rslave`, `rshared` ...
    pub propagation: Option<String>,
}

/// What only a file system in memory has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TmpfsOptions {
    /// Octal mode of its root.
    pub mode: Option<String>,
    /// Bytes, or `64m`.
    pub size: Option<String>,
}

/// What only a named volume has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VolumeOptions {
    /// Whether the image's files of that path are left out of a new volume.
    pub nocopy: Option<bool>,
}

/// How the health of a service is found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// Whether the image's own check is switched off.
    pub disable: Option<bool>,
    /// Time between probes, `30s`.
    pub interval: Option<String>,
    /// Failures until unhealthy.
    pub retries: Option<i64>,
    /// Time in which failures do not count.
    pub start_period: Option<String>,
    /// `[CMD, program, ...]`, `[CMD-SHELL, line]`, `[NONE]`, or one line.
    pub test: Vec<String>,
    /// Time one probe may take.
    pub timeout: Option<String>,
}

impl Service {
    /// A label's value, empty when it has none.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .get(name)
            .map(|value| value.as_deref().unwrap_or(""))
    }

    /// A label with a comma list of names.
    pub fn label_list(&self, name: &str) -> Vec<&str> {
        self.label(name)
            .unwrap_or("")
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect()
    }

    /// Whether System Docker runs it.
    pub fn is_system(&self) -> bool {
        self.label(SCOPE) == Some("system")
    }

    /// Whether later services wait until it has ended.
    pub fn waits_for_exit(&self) -> bool {
        self.label(DETACH).and_then(crate::scalar::boolean) == Some(false)
    }

    /// Whether the configuration is read again after it.
    pub fn reloads_config(&self) -> bool {
        self.label(RELOAD_CONFIG).and_then(crate::scalar::boolean) == Some(true)
    }

    /// Whether it is created and not started.
    pub fn is_create_only(&self) -> bool {
        self.label(CREATE_ONLY).and_then(crate::scalar::boolean) == Some(true)
    }

    /// The services of `depends_on`.
    pub fn dependencies(&self) -> Vec<&str> {
        match &self.depends_on {
            Some(DependsOn::One(name)) => vec![name],
            Some(DependsOn::Names(names)) => names.iter().map(String::as_str).collect(),
            Some(DependsOn::Conditions(map)) => map.keys().map(String::as_str).collect(),
            Some(DependsOn::Invalid(_)) | None => Vec::new(),
        }
    }

    /// The log driver, whichever of the two spellings is used.
    pub fn logs_by(&self) -> Option<&str> {
        self.logging
            .driver
            .as_deref()
            .or(self.log_driver.as_deref())
    }

    /// The network mode, whichever of the two spellings is used; `None` is the default bridge.
    pub fn network(&self) -> Option<&str> {
        self.network_mode.as_deref().or(self.net.as_deref())
    }
}
