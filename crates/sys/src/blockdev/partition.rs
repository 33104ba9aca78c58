//! The unique number of a partition (PARTUUID), read from the table of its disk: the kernel tells only its name.
//!
//! GPT: UEFI specification 2.10, 5.3; numbers of MBR partitions: the kernel's block/partitions/msdos.c.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::BlockDevice;

/// Sizes of sectors that disks have.
const SECTORS: [u64; 2] = [512, 4096];
/// The smallest entry that the specification allows.
const LEAST_ENTRY_BYTES: u64 = 128;

/// `01234567-89ab-cdef-0123-456789abcdef` on a GPT disk, `01234567-01` on an MBR disk. `None`: not a partition, or its
/// disk's table cannot be read.
#[must_use]
pub fn partition_uuid(device: &BlockDevice) -> Option<String> {
    let number = device.partition?;
    let disk = File::open(device.parent.as_deref()?).ok()?;
    SECTORS
        .iter()
        .find_map(|sector| gpt(&disk, *sector, number))
        .or_else(|| mbr(&disk, number))
}

fn gpt(disk: &File, sector: u64, number: u32) -> Option<String> {
    let mut header = [0; 92];
    disk.read_exact_at(&mut header, sector).ok()?;
    if !header.starts_with(b"EFI PART") {
        return None;
    }
    let four = |at: usize| header[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let eight = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let (first, count, size) = (eight(72)?, four(80)?, u64::from(four(84)?));
    if number == 0 || number > count || size < LEAST_ENTRY_BYTES {
        return None;
    }
    let at = first
        .checked_mul(sector)?
        .checked_add(u64::from(number - 1).checked_mul(size)?)?
        .checked_add(16)?;
    let mut guid = [0; 16];
    disk.read_exact_at(&mut guid, at).ok()?;
    guid_text(&guid)
}

/// The first three fields are little endian, the rest is in order (UEFI, appendix A).
fn guid_text(guid: &[u8; 16]) -> Option<String> {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    if *guid == [0; 16] {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (place, at) in ORDER.into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{:02x}", guid[at]));
    }
    Some(text)
}

fn mbr(disk: &File, number: u32) -> Option<String> {
    let mut end = [0; 72];
    disk.read_exact_at(&mut end, 440).ok()?;
    if !end.ends_with(&[0x55, 0xaa]) {
        return None;
    }
    let signature = u32::from_le_bytes(end[..4].try_into().ok()?);
    (signature != 0).then(|| format!("{signature:08x}-{number:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(disk: &std::path::Path) -> BlockDevice {
        BlockDevice {
            path: "/dev/none2".into(),
            parent: Some(disk.to_owned()),
            partition: Some(2),
            partition_name: None,
            size: 1,
            removable: false,
            read_only: false,
            device: (0, 0),
        }
    }

    #[test]
    fn numbers_are_written_as_blkid_writes_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut disk = vec![0_u8; 8192];
        disk[440..444].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(file.path(), &disk).unwrap();
        let found = partition_uuid(&partition(file.path()));
        assert_eq!(found.as_deref(), Some("12345678-02"));

        disk[512..520].copy_from_slice(b"EFI PART");
        disk[584] = 2; // first sector of the entries
        disk[592] = 4; // entries
        disk[596] = 128; // bytes of each
        for (at, byte) in disk[1024 + 128 + 16..][..16].iter_mut().enumerate() {
            *byte = u8::try_from(at + 1).unwrap();
        }
        std::fs::write(file.path(), &disk).unwrap();
        let found = partition_uuid(&partition(file.path()));
        assert_eq!(
            found.as_deref(),
            Some("04030201-0605-0807-090a-0b0c0d0e0f10")
        );
        disk[592] = 1;
        std::fs::write(file.path(), &disk).unwrap();
        // The table says that there is one only: what is left is the MBR's number.
        let found = partition_uuid(&partition(file.path()));
        assert_eq!(found.as_deref(), Some("12345678-02"));
    }
}
