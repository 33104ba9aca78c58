//! What is on a block device, by the magic numbers of its first sectors.
//!
//! Offsets are those of the formats' own documents: `Documentation/filesystems/ext4`, ECMA-119, the FAT specification,
//! linux/magic.h and the on-disk headers of the kernel.

mod foreign;

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a device holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ext2, ext3 or ext4.
    Ext4,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// ISO 9660.
    Iso9660,
    /// UDF, which a disc may have without ISO 9660.
    Udf,
    /// Squashfs.
    Squashfs,
    /// EROFS.
    Erofs,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// Swap space.
    Swap,
    /// LUKS, encrypted.
    Luks,
    /// A physical volume of LVM2.
    Lvm,
    /// A member of an md array, whatever its data look like.
    Raid,
    /// NTFS, of Windows.
    Ntfs,
    /// exFAT, of cards and sticks.
    Exfat,
    /// F2FS.
    F2fs,
    /// A member of a pool of ZFS.
    Zfs,
    /// A device of bcache.
    Bcache,
    /// An object store of Ceph.
    Bluestore,
}

impl Kind {
    /// Whether it holds other devices, and is itself never mounted.
    #[must_use]
    pub fn is_container(self) -> bool {
        matches!(
            self,
            Kind::Luks | Kind::Lvm | Kind::Raid | Kind::Zfs | Kind::Bcache | Kind::Bluestore
        )
    }
}

/// A recognised superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// What it is.
    pub kind: Kind,
    /// Volume label.
    pub label: Option<String>,
    /// UUID, or what stands for it: `1234-ABCD` for FAT, the date for ISO 9660.
    pub uuid: Option<String>,
}

/// Looks at the first sectors of a device or file. `None`: unreadable, or nothing known.
#[must_use]
pub fn probe(path: &Path) -> Option<Superblock> {
    let file = File::open(path).ok()?;
    PROBES.iter().find_map(|probe| probe(&file))
}

/// md is first: a mirror can begin as the file system in it. FAT is last but one: boot sectors of other formats look like it.
const PROBES: [fn(&File) -> Option<Superblock>; 13] = [
    raid,
    luks,
    squashfs,
    xfs,
    iso9660,
    udf,
    ext4,
    erofs,
    btrfs,
    lvm,
    foreign::probe,
    vfat,
    swap,
];

fn read<const N: usize>(file: &File, offset: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn magic<const N: usize>(file: &File, offset: u64, expected: &[u8; N]) -> Option<()> {
    (read::<N>(file, offset)? == *expected).then_some(())
}

/// Text up to the first NUL, without blanks at the end; `None` if empty.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

fn uuid(bytes: [u8; 16]) -> Option<String> {
    if bytes == [0; 16] {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Some(text)
}

/// Descriptors of 2 KiB from 32 KiB on; one of them names UDF's revision (ECMA-167, 2/9).
fn udf(file: &File) -> Option<Superblock> {
    const FIRST: u64 = 32 << 10;
    const SECTOR: u64 = 2 << 10;
    const MOST: u64 = 8;
    let mut sectors = (0..MOST).map_while(|index| read::<6>(file, FIRST + index * SECTOR));
    let found = sectors.any(|sector| matches!(&sector[1..], b"NSR02" | b"NSR03"));
    found.then_some(Superblock {
        kind: Kind::Udf,
        label: None,
        uuid: None,
    })
}

fn ext4(file: &File) -> Option<Superblock> {
    magic(file, 0x438, &[0x53, 0xef])?;
    Some(Superblock {
        kind: Kind::Ext4,
        label: text(&read::<16>(file, 0x478)?),
        uuid: uuid(read(file, 0x468)?),
    })
}

fn squashfs(file: &File) -> Option<Superblock> {
    magic(file, 0, b"hsqs")?;
    Some(Superblock {
        kind: Kind::Squashfs,
        label: None,
        uuid: None,
    })
}

fn erofs(file: &File) -> Option<Superblock> {
    magic(file, 1024, &0xE0F5_E1E2_u32.to_le_bytes())?;
    Some(Superblock {
        kind: Kind::Erofs,
        label: text(&read::<16>(file, 1088)?),
        uuid: uuid(read(file, 1072)?),
    })
}

fn xfs(file: &File) -> Option<Superblock> {
    magic(file, 0, b"XFSB")?;
    Some(Superblock {
        kind: Kind::Xfs,
        label: text(&read::<12>(file, 108)?),
        uuid: uuid(read(file, 32)?),
    })
}

fn btrfs(file: &File) -> Option<Superblock> {
    magic(file, 0x10040, b"_BHRfS_M")?;
    Some(Superblock {
        kind: Kind::Btrfs,
        label: text(&read::<256>(file, 0x1012b)?),
        uuid: uuid(read(file, 0x10020)?),
    })
}

fn iso9660(file: &File) -> Option<Superblock> {
    magic(file, 0x8001, b"CD001")?;
    // Modification time, or creation time where that is not set: YYYYMMDDhhmmsscc as digits.
    let date = [0x8000 + 830, 0x8000 + 813].into_iter().find_map(|offset| {
        let digits = read::<16>(file, offset)?;
        let set =
            digits.iter().all(u8::is_ascii_digit) && digits.iter().any(|digit| *digit != b'0');
        set.then_some(digits)
    });
    let uuid = date.and_then(|digits| {
        let text = std::str::from_utf8(&digits).ok()?.to_owned();
        let pairs: Vec<&str> = (4..16)
            .step_by(2)
            .filter_map(|at| text.get(at..at + 2))
            .collect();
        Some(format!("{}-{}", &text[..4], pairs.join("-")))
    });
    Some(Superblock {
        kind: Kind::Iso9660,
        label: text(&read::<32>(file, 0x8028)?),
        uuid,
    })
}

fn vfat(file: &File) -> Option<Superblock> {
    magic(file, 510, &[0x55, 0xaa])?;
    let (label, serial) = if magic(file, 82, b"FAT32   ").is_some() {
        (71, 67)
    } else if magic(file, 54, b"FAT16   ")
        .or_else(|| magic(file, 54, b"FAT12   "))
        .is_some()
    {
        (43, 39)
    } else {
        return None;
    };
    let serial = u32::from_le_bytes(read(file, serial)?);
    Some(Superblock {
        kind: Kind::Vfat,
        label: text(&read::<11>(file, label)?).filter(|label| label != "NO NAME"),
        uuid: Some(format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff)),
    })
}

fn swap(file: &File) -> Option<Superblock> {
    // The signature ends the first page: 4 KiB on both architectures.
    magic(file, 4086, b"SWAPSPACE2")?;
    Some(Superblock {
        kind: Kind::Swap,
        label: text(&read::<16>(file, 1052)?),
        uuid: uuid(read(file, 1036)?),
    })
}

fn luks(file: &File) -> Option<Superblock> {
    magic(file, 0, b"LUKS\xba\xbe")?;
    // Version 1 has the name of a cipher there.
    let label = match read(file, 6)? {
        [0, 2] => text(&read::<48>(file, 24)?),
        _ => None,
    };
    Some(Superblock {
        kind: Kind::Luks,
        label,
        uuid: text(&read::<40>(file, 168)?),
    })
}

/// Versions 1.1 and 1.2 at the start, 1.0 and 0.90 near the end (md(4), "md metadata").
fn raid(file: &File) -> Option<Superblock> {
    const MAGIC: u32 = 0xa92b_4efc;
    const OLD: u64 = 64 << 10;
    // The last sectors of a disc may be unreadable, which costs seconds.
    if iso9660(file).or_else(|| udf(file)).is_some() {
        return None;
    }
    let size = (&mut &*file).seek(SeekFrom::End(0)).ok()?;
    let new = [0, 4096, (size.checked_sub(8 << 10)?) & !4095];
    let found = new
        .into_iter()
        .find(|offset| magic(file, *offset, &MAGIC.to_le_bytes()).is_some());
    let (label, id) = match found {
        // set_uuid and set_name of struct mdp_superblock_1 (linux/raid/md_p.h).
        Some(offset) => (
            text(&read::<32>(file, offset + 32)?),
            uuid(read(file, offset + 16)?),
        ),
        None => {
            let offset = (size & !(OLD - 1)).checked_sub(OLD)?;
            // The order of bytes is that of the machine that made it.
            magic(file, offset, &MAGIC.to_le_bytes())
                .or_else(|| magic(file, offset, &MAGIC.to_be_bytes()))?;
            (None, None)
        }
    };
    Some(Superblock {
        kind: Kind::Raid,
        label,
        uuid: id,
    })
}

fn lvm(file: &File) -> Option<Superblock> {
    magic(file, 512, b"LABELONE")?;
    Some(Superblock {
        kind: Kind::Lvm,
        label: None,
        uuid: None,
    })
}

#[cfg(test)]
mod tests;
