//! Disks of this machine: which one `-d` means.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use install::Disk;
use sys::blockdev::{self, BlockDevice};

use super::medium::Medium;

/// Disks that cannot be installed on: in RAM, optical, files, made of others.
const NOT_DISKS: [&str; 6] = ["ram", "sr", "loop", "zram", "fd", "dm-"];
/// The rule for the smallest disk.
const SMALLEST: &str = "smallest";
/// The rule for a disk by its serial number.
const SERIAL: &str = "serial:";

/// A file or device as a disk.
pub(crate) struct DiskFile(pub(crate) File);

impl Disk for DiskFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Whole disks that could be installed on.
fn disks() -> Vec<BlockDevice> {
    let mut disks = blockdev::list();
    disks.retain(|disk| {
        let name = disk.path.file_name().unwrap_or_default().to_string_lossy();
        disk.parent.is_none()
            && !disk.read_only
            && !NOT_DISKS.iter().any(|not| name.starts_with(not))
    });
    disks
}

/// One line a disk, for a person who has to choose.
pub(crate) fn list() -> String {
    let lines: Vec<String> = disks()
        .iter()
        .map(|disk| format!("  {}", describe(disk)))
        .collect();
    if lines.is_empty() {
        "  none".to_owned()
    } else {
        lines.join("\n")
    }
}

/// `/dev/sda, 20 GB, QEMU HARDDISK, serial QM00001`.
pub(crate) fn describe(disk: &BlockDevice) -> String {
    let identity = blockdev::identity(&disk.path);
    let mut text = format!("{}, {}", disk.path.display(), size(disk.size));
    if !identity.model.is_empty() {
        text.push_str(&format!(", {}", identity.model));
    }
    if !identity.serial.is_empty() {
        text.push_str(&format!(", serial {}", identity.serial));
    }
    text
}

/// In the units that disks are sold by.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// The disk that a path or a rule means. The medium's own is never one of a rule's.
pub(crate) fn resolve(rule: &str, medium: &Medium) -> anyhow::Result<PathBuf> {
    let mut candidates = disks();
    candidates.retain(|disk| !holds(disk, medium.device.as_deref()));
    if rule == SMALLEST {
        let smallest = candidates
            .into_iter()
            .min_by_key(|disk| (disk.size, disk.path.clone()));
        return Ok(smallest.context("there is no disk to install on")?.path);
    }
    if let Some(serial) = rule.strip_prefix(SERIAL) {
        candidates.retain(|disk| blockdev::identity(&disk.path).serial == serial);
        return match &candidates[..] {
            [one] => Ok(one.path.clone()),
            [] => bail!(
                "there is no disk with the serial number {serial}; disks of this machine:\n{}",
                list()
            ),
            _ => bail!("{} disks have the serial number {serial}", candidates.len()),
        };
    }
    // Also links: /dev/disk/by-id/...
    fs::canonicalize(rule).with_context(|| {
        format!(
            "there is no disk {rule}; disks of this machine:\n{}",
            list()
        )
    })
}

/// Whether `device` is this disk or a partition of it.
pub(crate) fn holds(disk: &BlockDevice, device: Option<&Path>) -> bool {
    let Some(device) = device else { return false };
    disk.path == device
        || blockdev::list()
            .iter()
            .any(|part| part.path == device && part.parent.as_deref() == Some(&disk.path))
}
