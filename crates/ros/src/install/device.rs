//! Disks of this machine: which one `-d` means.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use install::{Disk, Layout};
use sys::blockdev::{self, BlockDevice};

use super::medium::Medium;
use crate::os::failure::fail;

/// Disks that no rule means: in RAM, optical, files, made of others (device mapper, md, bcache), on another machine.
const NOT_DISKS: [&str; 10] = [
    "ram", "sr", "loop", "zram", "fd", "dm-", "md", "bcache", "nbd", "drbd",
];
/// Parts of eMMC that only look like disks: `mmcblk0boot0`, `mmcblk0rpmb`.
const PARTS_OF_EMMC: [&str; 2] = ["boot", "rpmb"];
/// The rule for the smallest disk.
const SMALLEST: &str = "smallest";
/// The rule for a disk by its serial number.
const SERIAL: &str = "serial:";

/// For the question whether a disk is large enough: the layout of both sizes of sectors needs the same room.
const SECTOR_BYTES: u64 = 512;

/// A file or device as a disk.
pub(crate) struct DiskFile(pub(crate) File);

impl Disk for DiskFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        Disk::read_at(&mut self.0, offset, buffer)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        Disk::write_at(&mut self.0, offset, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Disk::flush(&mut self.0)
    }

    fn forget(&mut self) -> io::Result<()> {
        if self.0.metadata()?.file_type().is_block_device() {
            blockdev::drop_buffers(&self.0).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// How long a disk may be claimed by whoever only looks at it.
const BUSY_DEADLINE: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// `O_EXCL` of Linux, which on a block device fails when anything has mounted or claimed it (open(2)).
const EXCLUSIVE: i32 = 0o200;

/// Opens a disk or a partition that nobody else uses.
///
/// # Errors
/// When it, or a partition of it, is mounted or a part of something else, or cannot be written.
pub(crate) fn alone(path: &Path) -> anyhow::Result<File> {
    let end = Instant::now() + BUSY_DEADLINE;
    loop {
        let opened = File::options()
            .read(true)
            .write(true)
            .custom_flags(EXCLUSIVE)
            .open(path);
        match opened {
            // The kernel claims a disk for as long as it reads its table, which udev has it do at a boot
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {
                std::thread::sleep(BUSY_PAUSE);
            }
            opened => {
                return opened
                    .with_context(|| format!("{} is in use, or cannot be opened", path.display()));
            }
        }
    }
}

/// Whole disks that could be installed on.
fn disks() -> Vec<BlockDevice> {
    let mut disks = blockdev::list();
    disks.retain(is_disk);
    disks
}

fn is_disk(device: &BlockDevice) -> bool {
    let name = device.path.strip_prefix("/dev").unwrap_or(&device.path);
    let name = name.to_string_lossy();
    let is_part_of_emmc =
        name.starts_with("mmcblk") && PARTS_OF_EMMC.iter().any(|part| name.contains(part));
    device.parent.is_none()
        && !device.read_only
        && !is_part_of_emmc
        && !NOT_DISKS.iter().any(|not| name.starts_with(not))
}

/// What is on a disk and its partitions, a line each; empty for a disk that nobody has used.
pub(super) fn contents(disk: &BlockDevice, parts: &[BlockDevice]) -> Vec<String> {
    let mut lines = Vec::new();
    for device in std::iter::once(disk).chain(parts) {
        let mut line = format!("{}, {}", device.path.display(), size(device.size));
        match blockdev::probe(&device.path) {
            Some(superblock) => {
                line.push_str(&format!(", {:?}", superblock.kind).to_lowercase());
                if let Some(label) = &superblock.label {
                    line.push_str(&format!(" {label:?}"));
                }
            }
            None if device.parent.is_some() => line.push_str(", unknown"),
            // Its partitions are the lines that follow
            None if !parts.is_empty() => continue,
            None => match blockdev::first_data(&device.path) {
                Ok(None) => continue,
                Ok(Some(at)) => {
                    line.push_str(&format!(", data of an unknown kind (byte {at} is written)"));
                }
                Err(error) => line.push_str(&format!(", cannot be read: {error}")),
            },
        }
        lines.push(line);
    }
    lines
}

/// The partitions of a disk, out of all devices.
pub(super) fn parts_of(disk: &Path, all: Vec<BlockDevice>) -> Vec<BlockDevice> {
    let mut parts = all;
    parts.retain(|part| part.parent.as_deref() == Some(disk));
    parts
}

/// The smallest disk that nobody would miss: it does not come out of the machine, the system has room on it, and, unless `force` is
/// given, it has no data.
fn smallest(
    disks: Vec<BlockDevice>,
    force: bool,
    has_data: impl Fn(&BlockDevice) -> bool,
) -> Option<BlockDevice> {
    let fits = |disk: &BlockDevice| Layout::plan(disk.size, SECTOR_BYTES, false).is_ok();
    let mut disks = disks;
    disks.retain(|disk| !disk.removable && fits(disk));
    disks.sort_by_key(|disk| (disk.size, disk.path.clone()));
    disks.into_iter().find(|disk| force || !has_data(disk))
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
pub(crate) fn resolve(rule: &str, medium: &Medium, force: bool) -> anyhow::Result<PathBuf> {
    let mut candidates = disks();
    candidates.retain(|disk| !holds(disk, medium.device.as_deref()));
    if rule == SMALLEST {
        let has_data = |disk: &BlockDevice| {
            !contents(disk, &parts_of(&disk.path, blockdev::list())).is_empty()
        };
        let Some(disk) = smallest(candidates, force, has_data) else {
            fail!(
                Refused,
                "there is no disk that is built in, large enough and empty (-f takes one with data, a name takes any); disks of this \
                 machine:\n{}",
                list()
            );
        };
        return Ok(disk.path);
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    fn device(name: &str, gigabytes: u64) -> BlockDevice {
        BlockDevice {
            path: Path::new("/dev").join(name),
            parent: None,
            partition: None,
            partition_name: None,
            size: gigabytes << 30,
            removable: false,
            read_only: false,
            device: (0, 0),
        }
    }

    #[test]
    fn the_smallest_disk_is_one_that_nobody_would_miss() {
        let stick = BlockDevice {
            removable: true,
            ..device("sda", 4)
        };
        let disks = || {
            vec![
                stick.clone(),
                device("sdb", 1),
                device("sdc", 20),
                device("sdd", 30),
                device("sde", 40),
            ]
        };
        let has_data = |disk: &BlockDevice| disk.path.ends_with("sdc");
        let path = |found: Option<BlockDevice>| found.unwrap().path;
        assert_eq!(
            path(smallest(disks(), false, has_data)),
            Path::new("/dev/sdd")
        );
        assert_eq!(
            path(smallest(disks(), true, has_data)),
            Path::new("/dev/sdc")
        );
        assert!(smallest(disks(), false, |_| true).is_none());
        assert!(smallest(vec![stick], true, |_| false).is_none());
    }

    #[test]
    fn arrays_and_parts_of_emmc_are_not_disks() {
        for (name, expected) in [
            ("sda", true),
            ("nvme0n1", true),
            ("mmcblk0", true),
            ("cciss/c0d0", true),
            ("md0", false),
            ("md/0", false),
            ("mmcblk0boot0", false),
            ("dm-1", false),
        ] {
            assert_eq!(is_disk(&device(name, 20)), expected, "{name}");
        }
    }

    #[test]
    fn a_disk_without_a_table_has_data_whatever_they_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        let disk = BlockDevice {
            path: file.path().to_owned(),
            ..device("none", 1)
        };
        assert!(contents(&disk, &[]).is_empty());
        for (at, bytes, word) in [
            (5 << 20, &[3; 2 << 20][..], "unknown kind"),
            (3, &b"NTFS    "[..], "ntfs"),
        ] {
            file.as_file().write_all_at(bytes, at).unwrap();
            let lines = contents(&disk, &[]);
            assert!(lines.len() == 1 && lines[0].contains(word), "{lines:?}");
        }
        let gone = BlockDevice {
            path: "/no/such/disk".into(),
            ..device("none", 1)
        };
        assert!(contents(&gone, &[])[0].contains("cannot be read"));
    }
}
