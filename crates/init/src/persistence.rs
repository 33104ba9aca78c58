//! Phase "keep directories": the directories that survive a reboot live on the state partition.
//!
//! Without a state partition they are directories of the root tmpfs, and nothing is to be done.

use std::fs;
use std::path::Path;

use anyhow::Context;
use sys::mount;

use crate::machine::Machine;
use crate::state::STATE;

/// What survives a reboot; everything else returns to its original state (design, section 7).
const KEPT: &[&str] = &[
    "/home",
    "/opt",
    "/var/lib/docker",
    "/var/lib/rancher",
    "/var/lib/kubelet",
    "/var/lib/system-docker",
    "/mnt",
    "/media",
    "/var/log",
    "/etc/docker",
];

/// Binds each kept directory of the state partition on the root.
pub(crate) fn bind(machine: Machine) -> anyhow::Result<Machine> {
    if machine.state_device.is_none() {
        return Ok(machine);
    }
    mount::bind(Path::new("/run/rancher/state"), Path::new(STATE), false)?;
    for directory in KEPT {
        let source = Path::new(STATE).join(&directory[1..]);
        fs::create_dir_all(&source)
            .with_context(|| format!("cannot create {}", source.display()))?;
        mount::bind(&source, Path::new(directory), false)?;
    }
    fs::create_dir_all("/var/lib/rancher/conf").context("cannot create /var/lib/rancher/conf")?;
    Ok(machine)
}
