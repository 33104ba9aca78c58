//! From a container's record to an OCI runtime specification. Pure, apart from looking at the files it is told about.

mod capabilities;
mod devices;
mod mounts;
pub(crate) mod process;
mod resources;
pub(crate) mod seccomp_profile;
pub(crate) mod security;
mod sysctls;

use std::path::{Path, PathBuf};

use engine_api::{HostConfig, Result};
use runtime::oci::{self, Linux, Namespace, NamespaceType};

pub(crate) use capabilities::{EVERY as EVERY_CAPABILITY, choose as choose_capabilities};
pub(crate) use devices::{Gathered, refusal as device_refusal};
pub(crate) use mounts::SHM_SIZE;
pub(crate) use resources::resources;

use crate::container::Record;

/// Other processes whose namespaces are joined.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Joins {
    /// `container:` of the network.
    pub(crate) network: Option<i32>,
    /// `container:` of process numbers.
    pub(crate) pid: Option<i32>,
    /// `container:` of IPC.
    pub(crate) ipc: Option<i32>,
}

/// Files that are bound into every container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// `/etc/resolv.conf`.
    pub(crate) resolv_conf: Option<PathBuf>,
    /// `/etc/hostname`.
    pub(crate) hostname: Option<PathBuf>,
    /// `/etc/hosts`.
    pub(crate) hosts: Option<PathBuf>,
    /// `/dev/shm`, when it is shared with another container.
    pub(crate) shm: Option<PathBuf>,
    /// This program, for `--init`.
    pub(crate) init: Option<PathBuf>,
}

/// Everything the specification is made from.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    /// The container.
    pub(crate) record: &'a Record,
    /// Where its root file system is mounted.
    pub(crate) rootfs: &'a Path,
    /// Files to bind.
    pub(crate) files: &'a Files,
    /// Namespaces to join.
    pub(crate) joins: Joins,
    /// The nodes that its devices mean.
    pub(crate) devices: &'a Gathered,
    /// Its cgroup, relative to the root of the tree.
    pub(crate) cgroup: &'a str,
    /// The AppArmor profile of containers that name none; empty: none.
    pub(crate) apparmor_profile: &'a str,
}

/// Builds the specification.
///
/// # Errors
/// 400 for what only now turns out to be wrong (an unknown device or capability), 500 otherwise.
pub(crate) fn build(input: &Input<'_>) -> Result<oci::Spec> {
    let record = input.record;
    let host = &record.host_config;
    let capabilities = choose_capabilities(host)?;
    let security = security::Security::read(host, &capabilities, input.apparmor_profile)?;
    let shares_host_name = host.uts_mode == "host";
    Ok(oci::Spec {
        oci_version: oci::VERSION.to_owned(),
        process: Some(process::first(record, input.files, capabilities, &security)),
        root: Some(oci::Root {
            path: input.rootfs.to_string_lossy().into_owned(),
            readonly: host.readonly_rootfs,
        }),
        hostname: if shares_host_name {
            String::new()
        } else {
            record.config.hostname.clone()
        },
        domainname: if shares_host_name {
            String::new()
        } else {
            record.config.domainname.clone()
        },
        mounts: mounts::mounts(input),
        annotations: host.annotations.clone(),
        linux: Some(linux(input, security)?),
    })
}

#[cfg(any(test, feature = "fuzz"))]
/// For [`crate::fuzz`]: the specification of a container without files; its system call rules.
pub(crate) fn fuzz_build(record: &Record) -> Option<oci::Seccomp> {
    let spec = build(&Input {
        record,
        rootfs: Path::new("/nonexistent"),
        files: &Files::default(),
        joins: Joins::default(),
        devices: &Gathered::default(),
        cgroup: "fuzz",
        apparmor_profile: "",
    });
    spec.ok()?.linux?.seccomp
}

fn linux(input: &Input<'_>, security: security::Security) -> Result<Linux> {
    let host = &input.record.host_config;
    let devices = devices::Devices::read(host, input.devices)?;
    let mut resources = resources(host)?;
    resources.devices = devices.rules;
    Ok(Linux {
        sysctl: sysctls::sysctls(host, input.joins)?,
        resources: Some(resources),
        cgroups_path: input.cgroup.to_owned(),
        namespaces: namespaces(host, input.joins),
        devices: devices.nodes,
        seccomp: security.seccomp,
        rootfs_propagation: mounts::rootfs_propagation(input.record).to_owned(),
        masked_paths: security.masked_paths,
        readonly_paths: security.readonly_paths,
        ..Linux::default()
    })
}

fn namespaces(host: &HostConfig, joins: Joins) -> Vec<Namespace> {
    let mut namespaces = vec![Namespace::new(NamespaceType::Mount)];
    let mut add = |kind, mode: &str, join: Option<i32>, file: &str| match join {
        Some(pid) => namespaces.push(Namespace::join(kind, format!("/proc/{pid}/ns/{file}"))),
        None if mode == "host" => {}
        None => namespaces.push(Namespace::new(kind)),
    };
    add(
        NamespaceType::Network,
        &host.network_mode,
        joins.network,
        "net",
    );
    add(NamespaceType::Pid, &host.pid_mode, joins.pid, "pid");
    add(NamespaceType::Ipc, &host.ipc_mode, joins.ipc, "ipc");
    add(NamespaceType::Uts, &host.uts_mode, None, "uts");
    add(NamespaceType::Cgroup, &host.cgroupns_mode, None, "cgroup");
    namespaces
}
