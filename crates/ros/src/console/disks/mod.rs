//! `disk_setup` and `fs_setup`: partitions and file systems of disks for data, once for each instance. What is as asked stays, and
//! something else goes only where `overwrite` or `replace_fs` says so.

mod file_system;
mod partitions;
mod record;

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sys::blockdev::{self, BlockDevice};

use self::record::Record;
use super::part;
use crate::install::device::alone;
use crate::machine_config::MachineConfig;

/// Longest wait for the partitions of a new table.
const NODES_DEADLINE: Duration = Duration::from_secs(10);
/// Longest wait for a device: udevd takes partitions of a disk that was written away for a moment, and makes them again.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Partitions first, then file systems, each alone: one that fails is reported, and the others follow.
pub(super) fn set_up(machine: &MachineConfig) {
    let config = &machine.loaded.config;
    if config.disk_setup.is_empty() && config.fs_setup.is_empty() {
        return;
    }
    let instance = machine.metadata.instance_id.as_deref().unwrap_or("none");
    let mut record = Record::load(instance);
    for (name, setup) in &config.disk_setup {
        part("disk_setup", || {
            partitions::make(name, setup, &mut record).with_context(|| name.clone())
        });
    }
    for setup in &config.fs_setup {
        let name = setup.device.clone().unwrap_or_default();
        part("fs_setup", || {
            file_system::make(&name, setup, &mut record).with_context(|| name.clone())
        });
    }
}

/// The device that a name means, as `mounts` has them: a path, or a name in /dev.
fn find(name: &str, all: &[BlockDevice]) -> anyhow::Result<BlockDevice> {
    ensure!(
        !name.starts_with("ephemeral"),
        "clouds' names for disks are not known here: write the path, such as /dev/vdb"
    );
    let path = Path::new("/dev").join(name);
    let real = fs::canonicalize(&path).context("there is no such device")?;
    let found = all.iter().find(|device| device.path == real);
    found.cloned().context("it is not a disk or a partition")
}

fn parts_of<'d>(
    disk: &BlockDevice,
    all: &'d [BlockDevice],
) -> impl Iterator<Item = &'d BlockDevice> {
    all.iter()
        .filter(move |part| part.parent.as_deref() == Some(&disk.path))
}

/// Whether nobody would miss what is there.
fn is_blank(device: &BlockDevice, all: &[BlockDevice]) -> anyhow::Result<bool> {
    if parts_of(device, all).next().is_some() || blockdev::probe(&device.path).is_some() {
        return Ok(false);
    }
    let data = blockdev::first_data(&device.path);
    Ok(data
        .with_context(|| format!("cannot read {}", device.path.display()))?
        .is_none())
}

/// Opens a device that nobody else uses; udevd may look at it in this moment.
fn alone_soon(path: &Path) -> anyhow::Result<File> {
    let end = Instant::now() + PATIENCE;
    loop {
        match alone(path) {
            Err(_) if Instant::now() < end => thread::sleep(LOOK_AGAIN),
            done => return done,
        }
    }
}
