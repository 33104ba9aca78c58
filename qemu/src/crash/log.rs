//! The log that QEMU's blklogwrites keeps of a disk: every write, in order, and every flush. Its form is that of the kernel's
//! dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// What the log begins with.
const MAGIC: u64 = 0x006a_7366_7773_6872;
/// Of the log, as we ask QEMU for it; also the unit of what it says about the disk.
pub(super) const SECTOR: u64 = 512;
/// The disk has written all that it had in its cache.
const FLAG_FLUSH: u64 = 1;
const FLAG_DISCARD: u64 = 4;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// These bytes of the log were written there.
    Write {
        /// Byte of the disk.
        to: u64,
        bytes: u64,
        /// Byte of the log.
        from: u64,
    },
    /// What was written before is on the disk.
    Flush,
    /// The guest does not need these bytes any more: they stay as they are.
    Discard,
}

/// The log of a machine that runs, or ran.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
}

impl Log {
    /// An empty one.
    pub(super) fn new(folder: &Path) -> anyhow::Result<Log> {
        let path = folder.join("writes");
        File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Log { path })
    }

    /// QEMU's arguments for a virtio disk whose writes are logged.
    pub(super) fn arguments(&self, disk: &Path) -> Vec<String> {
        let blockdev = serde_json::json!({
            "node-name": "logged",
            "driver": "blklogwrites",
            "log-sector-size": SECTOR,
            "file": {"driver": "file", "filename": disk},
            "log": {"driver": "file", "filename": self.path},
        });
        let device = "virtio-blk-pci,drive=logged,discard=off,write-zeroes=off,bootindex=1";
        [
            "-blockdev".to_owned(),
            blockdev.to_string(),
            "-device".to_owned(),
            device.to_owned(),
        ]
        .into()
    }

    /// All entries so far. The guest is told that an operation is done after its entry is complete.
    pub(super) fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let file = File::open(&self.path).context("cannot open the log")?;
        let length = file.metadata()?.len();
        let mut entries = Vec::new();
        let mut at = SECTOR;
        while at + SECTOR <= length {
            let mut head = [0; 24];
            file.read_exact_at(&mut head, at)?;
            let word = |index: usize| {
                let bytes = head[index * 8..][..8].try_into();
                bytes.map(u64::from_le_bytes).unwrap_or_default()
            };
            let (sector, sectors, flags) = (word(0), word(1), word(2));
            if sectors == 0 && flags == 0 {
                break; // not written yet
            }
            at += SECTOR;
            if flags & FLAG_DISCARD != 0 {
                entries.push(Entry::Discard);
                continue;
            }
            if flags & FLAG_FLUSH != 0 {
                entries.push(Entry::Flush);
            }
            if sectors > 0 {
                let bytes = sectors * SECTOR;
                if at + bytes > length {
                    break;
                }
                entries.push(Entry::Write {
                    to: sector * SECTOR,
                    bytes,
                    from: at,
                });
                at += bytes;
            }
        }
        Ok(entries)
    }

    /// Does some of the writes to a disk again.
    pub(super) fn replay(&self, writes: &[Entry], disk: &Path) -> anyhow::Result<()> {
        let log = File::open(&self.path).context("cannot open the log")?;
        let disk = File::options().write(true).open(disk)?;
        let mut buffer = Vec::new();
        for entry in writes {
            let Entry::Write { to, bytes, from } = *entry else {
                continue;
            };
            buffer.resize(usize::try_from(bytes)?, 0);
            log.read_exact_at(&mut buffer, from)?;
            disk.write_all_at(&buffer, to)?;
        }
        Ok(())
    }

    /// Fails when the file is not such a log.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let mut head = [0; 8];
        File::open(&self.path)?.read_exact_at(&mut head, 0)?;
        let magic = u64::from_le_bytes(head);
        ensure!(magic == MAGIC, "QEMU's log begins with {magic:#x}");
        Ok(())
    }
}
