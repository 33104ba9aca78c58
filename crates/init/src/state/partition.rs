//! The state partition takes the room of a disk that became larger while the machine was off.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use anyhow::Context;
use install::{Growth, MIB};
use sys::blockdev;

/// Grows the partition when it is the last of its disk and has room behind it; its new size in MiB. What is not a partition,
/// or not the last one, is left alone.
pub(super) fn grow(device: &Path) -> anyhow::Result<Option<u64>> {
    let known = blockdev::list();
    let Some(partition) = known.iter().find(|known| known.path == device) else {
        return Ok(None);
    };
    let (Some(parent), Some(number)) = (&partition.parent, partition.partition) else {
        return Ok(None);
    };
    let disk = OpenOptions::new().read(true).write(true).open(parent);
    // Its partitions may be in use: nothing but the table is written
    let mut disk = disk.with_context(|| format!("cannot open {}", parent.display()))?;
    let bytes = (&disk)
        .seek(SeekFrom::End(0))
        .context("cannot size the disk")?;
    let sector_bytes = blockdev::identity(parent).sector_bytes;
    match install::grow(&mut disk, bytes, sector_bytes, number)? {
        Growth::Grown { start, size } => {
            blockdev::resize_partition(&disk, number, start, size)
                .context("the table says so, and the kernel follows at the next boot")?;
            Ok(Some(size / MIB))
        }
        Growth::NoRoom | Growth::NotLast => Ok(None),
    }
}
