//! Block devices: what there is (/sys/class/block), what is on them, and files as devices (loop(4)).

mod blank;
mod disk;
mod loop_device;
mod partition;
mod superblock;

use std::fs;
use std::path::{Path, PathBuf};

pub use blank::first_data;
pub use disk::{Identity, drop_buffers, identity, reread_partitions, resize_partition};
pub use loop_device::{LoopDevice, loop_attach};
pub use partition::partition_uuid;
pub use superblock::{Kind, Superblock, probe};

/// A disk or partition with something in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockDevice {
    /// Its node, `/dev/sda1`.
    pub path: PathBuf,
    /// The node of the disk that a partition is on.
    pub parent: Option<PathBuf>,
    /// Number of the partition.
    pub partition: Option<u32>,
    /// Its name in a GUID partition table.
    pub partition_name: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The kernel calls the disk removable.
    pub removable: bool,
    /// It cannot be written.
    pub read_only: bool,
    /// Major and minor number.
    pub device: (u32, u32),
}

/// All block devices with a size, sorted by path; empty without /sys.
#[must_use]
pub fn list() -> Vec<BlockDevice> {
    list_from(Path::new("/sys/class/block"))
}

fn list_from(class: &Path) -> Vec<BlockDevice> {
    let entries = fs::read_dir(class).into_iter().flatten().flatten();
    let mut devices: Vec<BlockDevice> = entries
        .filter_map(|entry| describe(&entry.path()))
        .collect();
    devices.sort();
    devices
}

/// Bytes in one unit of the kernel's `size` file, whatever the disk's own sectors are.
const SIZE_UNIT: u64 = 512;

fn describe(entry: &Path) -> Option<BlockDevice> {
    let directory = fs::canonicalize(entry).ok()?;
    let size = number(&directory.join("size"))?.saturating_mul(SIZE_UNIT);
    if size == 0 {
        return None;
    }
    let partition = number(&directory.join("partition")).and_then(|n| u32::try_from(n).ok());
    let disk = if partition.is_some() {
        directory.parent()?
    } else {
        &directory
    };
    let device = fs::read_to_string(directory.join("dev")).ok()?;
    let (major, minor) = device.trim().split_once(':')?;
    Some(BlockDevice {
        path: node(&directory)?,
        parent: partition.and_then(|_| node(disk)),
        partition,
        partition_name: partition.and_then(|_| partition_name(&directory)),
        size,
        removable: number(&disk.join("removable")) == Some(1),
        read_only: number(&directory.join("ro")) == Some(1),
        device: (major.parse().ok()?, minor.parse().ok()?),
    })
}

/// The device node; in /sys a `!` stands for the `/` in names such as `cciss/c0d0`.
fn node(directory: &Path) -> Option<PathBuf> {
    let name = directory.file_name()?.to_str()?.replace('!', "/");
    Some(Path::new("/dev").join(name))
}

/// `PARTNAME` of the partition's uevent, which the kernel makes of the table that it has read.
fn partition_name(directory: &Path) -> Option<String> {
    let text = fs::read_to_string(directory.join("uevent")).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| Some(line.strip_prefix("PARTNAME=")?.to_owned()))
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_and_partitions_are_told_apart() {
        let sys = tempfile::tempdir().unwrap();
        let disk = sys.path().join("devices/sda");
        let write = |file: &str, text: &str| {
            let path = disk.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("size", "2048\n");
        write("dev", "8:0\n");
        write("ro", "0\n");
        write("removable", "1\n");
        write("sda1/size", "1024\n");
        write("sda1/dev", "8:1\n");
        write("sda1/ro", "1\n");
        write("sda1/partition", "1\n");
        write(
            "sda1/uevent",
            "DEVNAME=sda1\nPARTN=1\nPARTNAME=RANCHER_OS\n",
        );
        let class = sys.path().join("class");
        fs::create_dir(&class).unwrap();
        std::os::unix::fs::symlink(&disk, class.join("sda")).unwrap();
        std::os::unix::fs::symlink(disk.join("sda1"), class.join("sda1")).unwrap();
        let devices = list_from(&class);
        assert_eq!(devices.len(), 2);
        assert_eq!(
            (devices[0].size, devices[0].parent.as_deref()),
            (1_048_576, None)
        );
        assert_eq!(devices[1].parent.as_deref(), Some(Path::new("/dev/sda")));
        assert_eq!(devices[1].partition_name.as_deref(), Some("RANCHER_OS"));
        assert!(devices[1].read_only && devices[1].removable && devices[1].partition == Some(1));
    }
}
