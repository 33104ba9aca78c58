//! What PID 1 reads of an ext4 superblock itself (kernel documentation, filesystems/ext4/super.rst): at byte 1024 of the
//! device, little endian.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Facts of a superblock and of the device that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ext4 {
    /// Seconds since 1970; 0 when it was never mounted.
    pub(super) last_mount: u64,
    /// The kernel or a check has found errors that nobody has repaired.
    pub(crate) has_errors: bool,
    /// The whole of it was checked since it was made, and it was not mounted for writing since then.
    pub(crate) is_checked: bool,
    bytes: u64,
    device_bytes: u64,
}

impl Ext4 {
    /// Whether the device has room that the file system does not use.
    pub(super) fn can_grow(&self) -> bool {
        /// Less than this is rounding, not room.
        const ROOM_BYTES: u64 = 64 << 20;
        self.bytes.saturating_add(ROOM_BYTES) < self.device_bytes
    }
}

/// The bit of the state (`s_state`) that says so.
const ERRORS: u8 = 2;

/// Reads the superblock. `None`: there is none, or it cannot be read.
pub(crate) fn read(device: &Path) -> Option<Ext4> {
    let mut file = File::open(device).ok()?;
    let device_bytes = file.seek(SeekFrom::End(0)).ok()?;
    let mut superblock = [0; 1024];
    file.seek(SeekFrom::Start(1024)).ok()?;
    file.read_exact(&mut superblock).ok()?;
    if superblock[0x38..0x3a] != [0x53, 0xef] {
        return None;
    }
    let field = |at: usize| {
        let bytes = superblock[at..at + 4].try_into();
        bytes.map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes)))
    };
    let blocks = field(0x4) | (field(0x150) << 32);
    let block_bytes = 1024_u64 << field(0x18).min(6);
    Some(Ext4 {
        has_errors: superblock[0x3a] & ERRORS != 0,
        // e2fsck begins to count mounts again, and mke2fs writes one time as both (s_mnt_count, s_lastcheck, s_mkfs_time)
        is_checked: superblock[0x34..0x36] == [0, 0] && field(0x40) > field(0x108),
        last_mount: field(0x2c) | (u64::from(superblock[0x274]) << 32),
        bytes: blocks.saturating_mul(block_bytes),
        device_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_superblock_tells_size_and_last_mount() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut disk = vec![0; 8192];
        disk[1024 + 0x38..][..2].copy_from_slice(&[0x53, 0xef]);
        disk[1024 + 0x4] = 8; // blocks of 1 KiB
        disk[1024 + 0x2c] = 7;
        std::fs::write(file.path(), &disk).expect("written");
        let found = read(file.path()).expect("an ext4");
        assert!(!found.has_errors && !found.is_checked);
        assert_eq!((found.last_mount, found.can_grow()), (7, false));
        file.as_file().set_len(100 << 20).expect("grown");
        assert!(read(file.path()).expect("an ext4").can_grow());
        disk[1024 + 0x40] = 9;
        disk[1024 + 0x108] = 8;
        std::fs::write(file.path(), &disk).expect("written");
        assert!(read(file.path()).expect("an ext4").is_checked);
        disk[1024 + 0x34] = 1;
        std::fs::write(file.path(), &disk).expect("written");
        assert!(!read(file.path()).expect("an ext4").is_checked);
        disk[1024 + 0x3a] = 3;
        std::fs::write(file.path(), &disk).expect("written");
        assert!(read(file.path()).expect("an ext4").has_errors);
        file.as_file().set_len(0).expect("emptied");
        assert_eq!(read(file.path()), None);
    }
}
