//! Whole disks: what they say about themselves (/sys/block), and the kernel's view of their partitions (blkdev ioctls).

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result, check};

/// `BLKRRPART` of linux/fs.h.
const REREAD_PARTITIONS: libc::c_ulong = 0x125F;
/// `BLKFLSBUF` of linux/fs.h.
const DROP_BUFFERS: libc::c_ulong = 0x1261;

/// `BLKPG` of linux/blkpg.h, and its operation `BLKPG_RESIZE_PARTITION`.
const CHANGE_PARTITIONS: libc::c_ulong = 0x1269;
const RESIZE_PARTITION: libc::c_int = 3;

/// `struct blkpg_partition` of linux/blkpg.h.
#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: libc::c_int,
    names: [u8; 128],
}

/// `struct blkpg_ioctl_arg` of linux/blkpg.h.
#[repr(C)]
struct Change {
    operation: libc::c_int,
    flags: libc::c_int,
    data_bytes: libc::c_int,
    data: *mut Partition,
}

/// What a disk says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Vendor and model, as far as it has them.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Bytes in a logical sector.
    pub sector_bytes: u64,
    /// Devices made of it: device mapper, md.
    pub holders: Vec<String>,
}

/// Asks /sys about a disk or partition by its node, `/dev/sda`.
#[must_use]
pub fn identity(node: &Path) -> Identity {
    let name = node.strip_prefix("/dev").unwrap_or(node);
    let name = name.to_string_lossy().replace('/', "!");
    let class = PathBuf::from("/sys/class/block").join(name);
    let text = |file: &str| {
        let text = fs::read_to_string(class.join(file)).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let first = |files: [&str; 2]| {
        let found = files.iter().map(|file| text(file));
        found
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    };
    // The vendor of virtio is a number, that of SATA the word ATA
    let vendor =
        Some(text("device/vendor")).filter(|vendor| !vendor.starts_with("0x") && vendor != "ATA");
    let model = format!("{} {}", vendor.unwrap_or_default(), text("device/model"));
    let holders = fs::read_dir(class.join("holders"))
        .into_iter()
        .flatten()
        .flatten();
    Identity {
        model: model.trim().to_owned(),
        serial: first(["device/serial", "serial"]),
        sector_bytes: text("queue/logical_block_size").parse().unwrap_or(512),
        holders: holders
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect(),
    }
}

/// Has the kernel read the partition table again.
///
/// # Errors
/// When a partition is in use, also for the moment in which udevd looks at it.
pub fn reread_partitions(disk: &File) -> Result<()> {
    // SAFETY: BLKRRPART has no argument.
    let result = unsafe { libc::ioctl(disk.as_raw_fd(), REREAD_PARTITIONS) };
    check(i64::from(result)).what(|| "read the partition table again".to_owned())?;
    Ok(())
}

/// Forgets what was read of a device, so that the next read asks the device.
///
/// # Errors
/// When it is not a block device, or not ours to ask.
pub fn drop_buffers(device: &File) -> Result<()> {
    // SAFETY: BLKFLSBUF has no argument.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), DROP_BUFFERS) };
    check(i64::from(result)).what(|| "drop a device's buffers".to_owned())?;
    Ok(())
}

/// Tells the kernel the size of a partition that its table gives another one, in bytes; it may be mounted.
///
/// # Errors
/// When the kernel does not know the partition, or another one is in the way.
pub fn resize_partition(disk: &File, number: u32, start: u64, size: u64) -> Result<()> {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut partition = Partition {
        start: signed(start),
        length: signed(size),
        number: libc::c_int::try_from(number).unwrap_or(0),
        names: [0; 128],
    };
    let mut change = Change {
        operation: RESIZE_PARTITION,
        flags: 0,
        data_bytes: size_of::<Partition>() as libc::c_int,
        data: &raw mut partition,
    };
    // SAFETY: BLKPG reads the two structs, which live until it returns, and keeps neither.
    let result = unsafe { libc::ioctl(disk.as_raw_fd(), CHANGE_PARTITIONS, &raw mut change) };
    check(i64::from(result)).what(|| format!("give partition {number} its new size"))?;
    Ok(())
}
