//! The disk to install on: what it is, what is on it, and why it may not be taken.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use install::{Layout, Role};
use sys::blockdev::{self, BlockDevice, Identity};
use sys::mount;

use super::device::{self, DiskFile};
use super::medium::Medium;

/// `O_EXCL` of Linux, which on a block device fails when anything has mounted or claimed it (open(2)).
const EXCLUSIVE: i32 = 0o200;

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
            bail!(
                "{name} is a partition of {}: name the disk",
                parent.display()
            );
        }
        ensure!(!disk.read_only, "{name} cannot be written");
        ensure!(
            !device::holds(&disk, medium.device.as_deref()),
            "{name} is the medium that this system runs from"
        );
        let parts: Vec<BlockDevice> = all
            .into_iter()
            .filter(|part| part.parent.as_deref() == Some(node))
            .collect();
        let target = Self {
            node: node.to_owned(),
            identity: blockdev::identity(node),
            disk,
            parts,
        };
        target.refuse_in_use()?;
        let contents = target.contents();
        ensure!(
            force || contents.is_empty(),
            "{name} has data, -f installs over it:\n  {}",
            contents.join("\n  ")
        );
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
                bail!(
                    "{name} is mounted on {}, cannot repartition",
                    used.target.display()
                );
            }
            let holders = blockdev::identity(&device.path).holders;
            ensure!(
                holders.is_empty(),
                "{name} is used by {}",
                holders.join(", ")
            );
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(EXCLUSIVE)
                .open(&device.path)
                .with_context(|| format!("{name} is in use, or cannot be opened"))?;
        }
        Ok(())
    }

    /// For people: node, size, model.
    pub(super) fn describe(&self) -> String {
        device::describe(&self.disk)
    }

    /// What is on it, a line each; empty for a disk that nobody has used.
    pub(super) fn contents(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for device in self.devices() {
            let found = blockdev::probe(&device.path);
            let mut line = format!("{}, {}", device.path.display(), device::size(device.size));
            match &found {
                Some(superblock) => {
                    line.push_str(&format!(", {:?}", superblock.kind).to_lowercase());
                    if let Some(label) = &superblock.label {
                        line.push_str(&format!(" {label:?}"));
                    }
                }
                None if device.parent.is_none() => continue,
                None => line.push_str(", unknown"),
            }
            lines.push(line);
        }
        lines
    }

    /// The partitions it gets.
    pub(super) fn layout(&self, bios: bool) -> anyhow::Result<Layout> {
        let layout = Layout::plan(self.disk.size, self.identity.sector_bytes, bios);
        layout.with_context(|| format!("{} cannot be used", self.node.display()))
    }

    /// # Errors
    /// When there is no state partition where the layout has it.
    pub(super) fn check_kept_state(&self, layout: &Layout) -> anyhow::Result<()> {
        let mut disk = DiskFile(std::fs::File::open(&self.node).context("cannot read the disk")?);
        let table = install::read_table(&mut disk, self.identity.sector_bytes)?;
        let wanted = layout.get(Role::State)?;
        let found = table.iter().any(|entry| {
            entry.number == Role::State.number()
                && (entry.start, entry.size) == (wanted.start, wanted.size)
        });
        ensure!(
            found,
            "{} has no state partition of an installation like this one to keep",
            self.node.display()
        );
        Ok(())
    }
}
