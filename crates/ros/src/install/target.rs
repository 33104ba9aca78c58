//! The disk to install on: what it is, what is on it, and why it may not be taken.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use install::{Entry, Layout, Role};
use sys::blockdev::{self, BlockDevice, Identity};
use sys::mount;

use super::device::{self, DiskFile};
use super::medium::Medium;
use crate::os::failure::{Failure, fail};

/// A disk that may be written.
pub(super) struct Target {
    /// Its node.
    pub(super) node: PathBuf,
    disk: BlockDevice,
    parts: Vec<BlockDevice>,
    /// What it says about itself.
    pub(super) identity: Identity,
}

impl Target {
    /// Looks at a disk without changing it.
    ///
    /// # Errors
    /// When it is not a whole disk, is in use, is the medium, or has data and `force` is not given.
    pub(super) fn open(node: &Path, medium: &Medium, force: bool) -> anyhow::Result<Self> {
        let all = blockdev::list();
        let name = node.display();
        let found = all.iter().find(|device| device.path == node);
        let disk = found
            .with_context(|| format!("{name} is not a disk"))?
            .clone();
        if let Some(parent) = &disk.parent {
            fail!(
                Refused,
                "{name} is a partition of {}: name the disk",
                parent.display()
            );
        }
        if disk.read_only {
            fail!(Refused, "{name} cannot be written");
        }
        if device::holds(&disk, medium.device.as_deref()) {
            fail!(Refused, "{name} is the medium that this system runs from");
        }
        let parts = device::parts_of(node, all);
        let target = Self {
            node: node.to_owned(),
            identity: blockdev::identity(node),
            disk,
            parts,
        };
        target.refuse_in_use()?;
        let contents = target.contents();
        if !force && !contents.is_empty() {
            fail!(
                Refused,
                "{name} has data, -f installs over it:\n  {}",
                contents.join("\n  ")
            );
        }
        Ok(target)
    }

    fn devices(&self) -> impl Iterator<Item = &BlockDevice> {
        std::iter::once(&self.disk).chain(&self.parts)
    }

    fn refuse_in_use(&self) -> anyhow::Result<()> {
        let mounts = mount::mountinfo()?;
        for device in self.devices() {
            let name = device.path.display();
            let number = format!("{}:{}", device.device.0, device.device.1);
            if let Some(used) = mounts.iter().find(|entry| entry.device == number) {
                fail!(
                    Refused,
                    "{name} is mounted on {}, cannot repartition{}",
                    used.target.display(),
                    match device.partition_name.as_deref() {
                        Some(state) if state == Role::State.name() =>
                            ": the entry of the boot menu without the state of a disk (rancher.state.dev=none) leaves it alone",
                        _ => "",
                    }
                );
            }
            let holders = blockdev::identity(&device.path).holders;
            if !holders.is_empty() {
                fail!(Refused, "{name} is used by {}", holders.join(", "));
            }
        }
        for device in self.devices() {
            device::alone(&device.path).context(Failure::Refused)?;
        }
        Ok(())
    }

    /// For people: node, size, model.
    pub(super) fn describe(&self) -> String {
        device::describe(&self.disk)
    }

    /// What is on it, a line each; empty for a disk that nobody has used.
    pub(super) fn contents(&self) -> Vec<String> {
        device::contents(&self.disk, &self.parts)
    }

    /// The partitions it gets.
    pub(super) fn layout(&self, bios: bool) -> anyhow::Result<Layout> {
        let layout = Layout::plan(self.disk.size, self.identity.sector_bytes, bios);
        layout.with_context(|| format!("{} cannot be used", self.node.display()))
    }

    /// The partitions of the installation that is there, and its state, which is to be kept. An installation that was cut off may
    /// have left only one of the two tables whole.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn kept(&self, bios: bool) -> anyhow::Result<(Layout, Entry)> {
        let mut disk = DiskFile(std::fs::File::open(&self.node).context("cannot read the disk")?);
        let (size, sector) = (self.disk.size, self.identity.sector_bytes);
        let tables = [
            install::read_table(&mut disk, sector),
            install::read_second_table(&mut disk, sector, size),
        ];
        let mut why = "no partition table".to_owned();
        for entries in tables.into_iter().flatten() {
            let state = |entry: &&Entry| entry.number == Role::State.number();
            match install::kept_layout(&entries, size, sector, bios) {
                Ok(layout) => {
                    if let Some(state) = entries.iter().find(state) {
                        return Ok((layout, state.clone()));
                    }
                }
                Err(error) => why = error.to_string(),
            }
        }
        fail!(
            Refused,
            "{} has no state partition of an installation like this one to keep ({why}): install on another disk and copy what is on it, or \
             leave it and name it by rancher.state.dev with -a",
            self.node.display()
        )
    }
}
