//! How an engine is set up: its folders, its programs, and what it may do on this machine.

use std::path::PathBuf;

use network::NetworkOptions;
use runtime::Confinement;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// What survives a reboot: containers, images, volumes, networks.
    pub root: PathBuf,
    /// What does not: mounted root file systems, bundles.
    pub run: PathBuf,
    /// This program, started again as `runtime`, `network` and `docker-init`.
    pub program: PathBuf,
    /// The program that reaches registries and reads archives. Its owner says where it is: without it there are no
    /// transfers of images, and all else works.
    pub worker: PathBuf,
    /// The engine's cgroup, from the root of the tree.
    pub cgroup_parent: String,
    /// Whether containers start on a machine that cannot hold them to their limits and devices.
    pub confinement: Confinement,
    /// Compiled AppArmor policy with the profile `docker-default`, loaded when the engine opens.
    pub apparmor_policy: Option<PathBuf>,
    /// The engine's version.
    pub version: String,
    /// How networks are set up.
    pub network: NetworkOptions,
    /// How registries are reached.
    pub registry: oci_image::registry::RegistryOptions,
}

impl EngineOptions {
    /// System Docker's own: everything below `root` and `run`, the bridge `docker-sys`.
    #[must_use]
    pub fn new(root: PathBuf, run: PathBuf) -> Self {
        Self {
            network: NetworkOptions::new(root.join("networks"), run.join("network")),
            root,
            run,
            program: PathBuf::from("/proc/self/exe"),
            worker: PathBuf::from("worker"),
            cgroup_parent: "system-docker".to_owned(),
            confinement: Confinement::Required,
            apparmor_policy: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            registry: oci_image::registry::RegistryOptions::default(),
        }
    }
}
