//! The state partition takes the room of a disk that became larger while the machine was off.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;
use install::{Disk, Growth, MIB};
use sys::blockdev;

/// The whole disk. Its partitions may be in use: nothing but the table is written.
struct Whole(File);

impl Disk for Whole {
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
    let disk = disk.with_context(|| format!("cannot open {}", parent.display()))?;
    let bytes = (&disk)
        .seek(SeekFrom::End(0))
        .context("cannot size the disk")?;
    let sector_bytes = blockdev::identity(parent).sector_bytes;
    let mut disk = Whole(disk);
    match install::grow(&mut disk, bytes, sector_bytes, number)? {
        Growth::Grown { start, size } => {
            blockdev::resize_partition(&disk.0, number, start, size)
                .context("the table says so, and the kernel follows at the next boot")?;
            Ok(Some(size / MIB))
        }
        Growth::NoRoom | Growth::NotLast => Ok(None),
    }
}
