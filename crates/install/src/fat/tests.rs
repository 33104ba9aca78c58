//! File systems of each form, judged by another implementation.

use std::io::{Cursor, Read as _, Write as _};

use super::*;
use crate::disk::Memory;

const MIB: u64 = 1 << 20;

/// The three file systems of an installed disk, on both kinds of disk.
const VOLUMES: [(u64, u64); 6] = [
    (1, 512),
    (64, 512),
    (64, 4096),
    (128, 4096),
    (288, 512),
    (288, 4096),
];

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

fn written(mebibytes: u64, sector: u64, offset: u64) -> Memory {
    let volume = Volume::new(mebibytes * MIB, sector, "RANCHER_TEST", 4).unwrap();
    let mut disk = Memory(vec![0; (mebibytes * MIB + offset) as usize]);
    let (large, small) = (content(300_001), content(512));
    let (mut a, mut b, mut c): (&[u8], &[u8], &[u8]) = (&large, &small, &[]);
    let mut files = [
        Source::file("EFI/BOOT/BOOTX64.EFI", &mut a, 300_001),
        Source::file("slot.env", &mut b, 512),
        Source::file("EMPTY", &mut c, 0),
    ];
    write(&mut disk, offset, &volume, &mut files).unwrap();
    disk
}

/// The crate fatfs has never heard of ours.
#[test]
fn another_implementation_reads_what_is_written() {
    for (mebibytes, sector) in VOLUMES {
        let disk = written(mebibytes, sector, 0);
        let system = fatfs::FileSystem::new(Cursor::new(disk.0), fatfs::FsOptions::new()).unwrap();
        let wanted = match mebibytes {
            1 => fatfs::FatType::Fat12,
            64 | 128 => fatfs::FatType::Fat16,
            _ => fatfs::FatType::Fat32,
        };
        assert_eq!(system.fat_type(), wanted);
        let root = system.root_dir();
        for (path, length) in [
            ("efi/boot/bootx64.efi", 300_001),
            ("SLOT.ENV", 512),
            ("EMPTY", 0),
        ] {
            let mut bytes = Vec::new();
            root.open_file(path)
                .unwrap()
                .read_to_end(&mut bytes)
                .unwrap();
            assert_eq!(bytes, content(length), "{path} of {mebibytes} MiB");
        }
        let used = system.stats().unwrap();
        let directories = if mebibytes == 288 { 3 } else { 2 };
        assert_eq!(
            used.total_clusters() - used.free_clusters(),
            74 + 1 + directories
        );
    }
}

#[test]
fn what_is_written_is_read_again_and_clusters_are_aligned() {
    for (mebibytes, sector) in VOLUMES {
        let volume = Volume::new(mebibytes * MIB, sector, "X", 1).unwrap();
        assert!(volume.data_start().is_multiple_of(CLUSTER_BYTES));
        let mut disk = written(mebibytes, sector, MIB);
        let large = read(&mut disk, MIB, "EFI/BOOT/BOOTX64.EFI", 1 << 20).unwrap();
        assert_eq!(large, content(300_001));
        assert_eq!(read(&mut disk, MIB, "EMPTY", 10).unwrap(), b"");
        assert!(
            read(&mut disk, MIB, "SLOT.ENV", 511).is_err(),
            "over the limit"
        );
        assert!(read(&mut disk, MIB, "EFI", 5000).is_err(), "a directory");
        assert!(read(&mut disk, MIB, "EFI/BOOT/NONE", 10).is_err());
    }
}

#[test]
fn the_same_files_give_the_same_bytes() {
    assert!(written(64, 512, 0) == written(64, 512, 0));
}

#[test]
fn a_foreign_file_system_is_read() {
    let mut image = Cursor::new(vec![0; 3 << 20]);
    let options = fatfs::FormatVolumeOptions::new().bytes_per_cluster(512);
    fatfs::format_volume(&mut image, options).unwrap();
    {
        let system = fatfs::FileSystem::new(&mut image, fatfs::FsOptions::new()).unwrap();
        let root = system.root_dir();
        root.create_dir("EFI").unwrap().create_dir("BOOT").unwrap();
        let mut file = root.create_file("EFI/BOOT/BOOTX64.EFI").unwrap();
        file.write_all(&content(70_000)).unwrap();
    }
    let mut disk = Memory(image.into_inner());
    let bytes = read(&mut disk, 0, "EFI/BOOT/BOOTX64.EFI", 1 << 20).unwrap();
    assert_eq!(bytes, content(70_000));
}

#[test]
fn what_does_not_fit_is_refused() {
    let volume = Volume::new(MIB, 512, "X", 1).unwrap();
    let mut disk = Memory(vec![0; MIB as usize]);
    let mut endless = std::io::repeat(1);
    let mut files = [Source::file("BIG", &mut endless, 2 * MIB)];
    let error = write(&mut disk, 0, &volume, &mut files).unwrap_err();
    assert_eq!(error.to_string(), "the files do not fit into 1 MiB");
    let mut short: &[u8] = &[1, 2];
    let mut files = [Source::file("SHORT", &mut short, 3)];
    assert!(
        write(&mut disk, 0, &volume, &mut files).is_err(),
        "a source that ends early"
    );
    let mut some: &[u8] = &[1];
    let mut files = [Source::file("much-too-long.name", &mut some, 1)];
    assert!(write(&mut disk, 0, &volume, &mut files).is_err());
    assert!(Volume::new(MIB + 1, 512, "X", 1).is_err());
}

#[test]
fn damage_never_panics() {
    let mut disk = written(1, 512, 0);
    for at in 0..6000 {
        let whole = disk.0[at];
        for value in [0, 0xff, whole ^ 0x10] {
            disk.0[at] = value;
            // An error or some bytes, but an end
            let _ = read(&mut disk, 0, "EFI/BOOT/BOOTX64.EFI", 1 << 20);
        }
        disk.0[at] = whole;
    }
}
