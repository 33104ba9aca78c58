//! The OCI runtime specification 1.2 (`config.json`) as data: the part that this runtime carries out.
//!
//! Names are the specification's; fields it does not know are ignored when read.

mod linux;
mod seccomp;

use serde::{Deserialize, Serialize};

pub use linux::{
    BlockIo, CpuResources, Device, DeviceCgroup, HugepageLimit, IdMapping, Linux, MemoryResources,
    Namespace, NamespaceType, PidsResources, Resources, ThrottleDevice, WeightDevice,
};
pub use seccomp::{Seccomp, SeccompArg, SeccompSyscall};

/// The version written to `ociVersion`.
pub const VERSION: &str = "1.2.0";

/// `config.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Version of the specification.
    pub oci_version: String,
    /// The container's first process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Its root file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Host name; unchanged if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// NIS domain name; unchanged if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// What is mounted over the root, in this order.
    pub mounts: Vec<Mount>,
    /// Anything the caller wants to note.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// `process`: what runs, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Process {
    /// It gets a pseudo-terminal.
    pub terminal: bool,
    /// Size of the terminal at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Ids it runs with.
    pub user: User,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory, absolute; made if it is missing.
    pub cwd: String,
    /// Capabilities; all that the caller has if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Limits of setrlimit(2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<Rlimit>,
    /// It never gains privileges by execve(2).
    pub no_new_privileges: bool,
    /// AppArmor profile; none if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub apparmor_profile: String,
    /// /proc/PID/oom_score_adj; inherited if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// Ids of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct User {
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// File mode creation mask; 0022 if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
    /// `USER[:GROUP]`, names or numbers, in place of the above: looked up in the container's own passwd and group files when
    /// it is set up. Empty means root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// An addition of our own, with `username`: further groups, names or numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_groups: Vec<String>,
}

/// Capability sets, as names with `CAP_` (capabilities(7)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// What execve(2) can ever give.
    pub bounding: Vec<String>,
    /// What counts now.
    pub effective: Vec<String>,
    /// What is kept for programs with inheritable file capabilities.
    pub inheritable: Vec<String>,
    /// What may become effective.
    pub permitted: Vec<String>,
    /// What programs of other users than root keep.
    pub ambient: Vec<String>,
}

/// One limit of setrlimit(2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE` and the like.
    #[serde(rename = "type")]
    pub kind: String,
    /// Value that counts.
    pub soft: u64,
    /// Value up to which the process may raise it.
    pub hard: u64,
}

/// `root`: the root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Root {
    /// Directory on the host, absolute or relative to the bundle.
    pub path: String,
    /// Mounted read-only.
    pub readonly: bool,
}

/// An option of our own for binds: show only this path of the source, which must not lead out of it.
pub const SUBPATH_OPTION: &str = "engine.subpath=";

/// One mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// Where, inside the container; made if it is missing.
    pub destination: String,
    /// Type of the file system; `bind` (or empty with option `bind` or `rbind`) for a bind mount.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Device, or path on the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// As for mount(8): `ro`, `nosuid`, `rbind`, `rslave`, `size=64m`, ...
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Mount {
    /// A mount with its options.
    #[must_use]
    pub fn new(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
        Mount {
            destination: destination.to_owned(),
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }
}
