//! `rancher.resize_device`: the first partition of a disk grows to its end, once, and the file system follows.
//!
//! A disk of this system's own layout has its state in another partition, which PID 1 grows at every boot.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use install::{Disk, Growth, Role};
use sys::blockdev;
use sys::process::Command;

use super::CONF;
use super::mounts::succeed;
use crate::install::device::DiskFile;

/// Written when it was done; RancherOS's name.
const DONE: &str = "../resizefs.done";
/// Growing a file system of some TiB.
const DEADLINE: Duration = Duration::from_secs(600);

/// Grows partition 1 (2 on SD cards, as in RancherOS) of `device`.
pub(super) fn grow(device: &str) -> anyhow::Result<()> {
    let done = Path::new(CONF).join(DONE);
    if done.exists() {
        return Ok(());
    }
    let disk = OpenOptions::new()
        .read(true)
        .write(true)
        .open(device)
        .with_context(|| format!("cannot open {device}"))?;
    let bytes = (&disk)
        .seek(SeekFrom::End(0))
        .context("cannot size the disk")?;
    let sector_bytes = blockdev::identity(Path::new(device)).sector_bytes;
    let number = if device.contains("mmcblk") { 2 } else { 1 };
    let mut disk = DiskFile(disk);
    if !is_ours(&mut disk, sector_bytes) {
        match install::grow(&mut disk, bytes, sector_bytes, number)? {
            Growth::Grown { start, size } => {
                blockdev::resize_partition(&disk.0, number, start, size)?;
                println!("{device}: partition {number} has {size} bytes now");
            }
            Growth::NoRoom => {}
            Growth::NotLast => bail!("{device}: another partition lies behind partition {number}"),
        }
        let partition = partition(device, number);
        succeed(&Command::new("resize2fs").arg(&partition).deadline(DEADLINE))
            .with_context(|| format!("resize2fs {}", partition.display()))?;
    }
    fs::write(&done, "").with_context(|| format!("cannot write {}", done.display()))
}

/// Whether `ros install` or `cargo xtask cloud-image` made the disk.
fn is_ours(disk: &mut impl Disk, sector_bytes: u64) -> bool {
    let table = install::read_table(disk, sector_bytes).unwrap_or_default();
    table
        .iter()
        .any(|entry| entry.number == Role::State.number() && entry.name == Role::State.name())
}

/// `/dev/vda1`, `/dev/nvme0n1p1`.
fn partition(device: &str, number: u32) -> PathBuf {
    let middle = if device.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    PathBuf::from(format!("{device}{middle}{number}"))
}

#[cfg(test)]
mod tests {
    use install::{Guid, Layout, Memory, write_table};

    use super::*;

    #[test]
    fn a_disk_of_our_layout_is_left_to_pid_1() {
        let mut layout = Layout::plan(2 << 30, 512, true).unwrap();
        layout.disk_bytes = 64 << 20; // only the table is looked at
        let mut disk = Memory(vec![0; 64 << 20]);
        assert!(!is_ours(&mut disk, 512));
        write_table(&mut disk, &layout, || Guid::random([1; 16])).unwrap();
        assert!(is_ours(&mut disk, 512));
        layout.partitions.truncate(1);
        write_table(&mut disk, &layout, || Guid::random([1; 16])).unwrap();
        assert!(!is_ours(&mut disk, 512));
    }

    #[test]
    fn partitions_of_disks_with_numbers_have_a_p() {
        assert_eq!(partition("/dev/vda", 1), Path::new("/dev/vda1"));
        assert_eq!(partition("/dev/nvme0n1", 1), Path::new("/dev/nvme0n1p1"));
    }
}
