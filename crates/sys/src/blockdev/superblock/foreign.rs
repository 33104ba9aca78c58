//! Formats that this system never mounts or opens by itself: they are known, so that nobody takes their disks for empty ones.

use std::fs::File;

use super::{Kind, Superblock, magic, read, text, uuid};

/// The first that fits.
pub(super) fn probe(file: &File) -> Option<Superblock> {
    let probes: [fn(&File) -> Option<Superblock>; 6] = [ntfs, exfat, f2fs, zfs, bcache, bluestore];
    probes.iter().find_map(|probe| probe(file))
}

fn found(kind: Kind) -> Superblock {
    Superblock {
        kind,
        label: None,
        uuid: None,
    }
}

/// The name of the system in the boot sector; the label is a file.
fn ntfs(file: &File) -> Option<Superblock> {
    magic(file, 3, b"NTFS    ")?;
    let serial = u64::from_le_bytes(read(file, 0x48)?);
    Some(Superblock {
        uuid: Some(format!("{serial:016X}")),
        ..found(Kind::Ntfs)
    })
}

/// As for NTFS; the label is an entry of the root directory.
fn exfat(file: &File) -> Option<Superblock> {
    magic(file, 3, b"EXFAT   ")?;
    let serial = u32::from_le_bytes(read(file, 100)?);
    Some(Superblock {
        uuid: Some(format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff)),
        ..found(Kind::Exfat)
    })
}

/// `struct f2fs_super_block` of linux/f2fs_fs.h, at byte 1024; the label is UTF-16.
fn f2fs(file: &File) -> Option<Superblock> {
    magic(file, 1024, &0xF2F5_2010_u32.to_le_bytes())?;
    let name: Vec<u16> = read::<64>(file, 1024 + 124)?
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    Some(Superblock {
        kind: Kind::F2fs,
        label: text(String::from_utf16_lossy(&name).as_bytes()),
        uuid: uuid(read(file, 1024 + 108)?),
    })
}

/// The list of names and values that each of the four labels has behind its 16 KiB for boot code: in the form of XDR, whose first
/// entry is the version. The second label is 256 KiB behind the first.
fn zfs(file: &File) -> Option<Superblock> {
    const XDR: u8 = 1;
    let is_label = |start: u64| {
        let list = start + (16 << 10);
        read::<1>(file, list)?[0].eq(&XDR).then_some(())?;
        magic(file, list + 24, b"version")
    };
    [0, 256 << 10].into_iter().find_map(is_label)?;
    Some(found(Kind::Zfs))
}

/// `struct cache_sb_disk` of the kernel's drivers/md/bcache, at byte 4096.
fn bcache(file: &File) -> Option<Superblock> {
    const MAGIC: [u8; 16] = [
        0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d,
        0x81,
    ];
    magic(file, 4096 + 24, &MAGIC)?;
    Some(Superblock {
        uuid: uuid(read(file, 4096 + 40)?),
        ..found(Kind::Bcache)
    })
}

/// Its first line is text.
fn bluestore(file: &File) -> Option<Superblock> {
    magic(file, 0, b"bluestore block device")?;
    Some(found(Kind::Bluestore))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// Where bytes are, and which.
    type Parts<'a> = &'a [(u64, &'a [u8])];

    fn image(parts: Parts<'_>) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(512 << 10).unwrap();
        for (offset, bytes) in parts {
            file.as_file().write_all_at(bytes, *offset).unwrap();
        }
        file
    }

    #[test]
    fn each_is_told_by_its_name() {
        let boot: (u64, &[u8]) = (510, &[0x55, 0xaa]);
        let list = 16 << 10;
        let bcache = [
            0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba,
            0x6d, 0x81,
        ];
        let kinds: [(Parts<'_>, Kind); 7] = [
            (&[boot, (3, b"NTFS    ")], Kind::Ntfs),
            (&[boot, (3, b"EXFAT   ")], Kind::Exfat),
            (&[(1024, &[0x10, 0x20, 0xf5, 0xf2])], Kind::F2fs),
            (&[(list, &[1, 1]), (list + 24, b"version")], Kind::Zfs),
            (&[(0x4_4000, &[1, 0]), (0x4_4018, b"version")], Kind::Zfs),
            (&[(4096 + 24, &bcache)], Kind::Bcache),
            (&[(0, b"bluestore block device\n")], Kind::Bluestore),
        ];
        for (parts, kind) in kinds {
            let found = super::super::probe(image(parts).path());
            assert_eq!(found.map(|found| found.kind), Some(kind));
        }
    }

    #[test]
    fn the_label_of_f2fs_is_read() {
        let name: Vec<u8> = "data".bytes().flat_map(|letter| [letter, 0]).collect();
        let file = image(&[(1024, &[0x10, 0x20, 0xf5, 0xf2]), (1024 + 124, &name)]);
        let found = f2fs(file.as_file()).unwrap();
        assert_eq!(found.label.as_deref(), Some("data"));
    }
}
