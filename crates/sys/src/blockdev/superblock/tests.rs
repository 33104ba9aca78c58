//! What is read of superblocks, one file system after the other.

use super::*;

fn image(parts: &[(u64, &[u8])]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(0x12000).unwrap();
    for (offset, bytes) in parts {
        file.as_file().write_all_at(bytes, *offset).unwrap();
    }
    file
}

#[test]
fn ext4_label_and_uuid_are_read() {
    let id: Vec<u8> = (1..=16).collect();
    let file = image(&[
        (0x438, &[0x53, 0xef]),
        (0x478, b"RANCHER_STATE"),
        (0x468, &id),
    ]);
    let found = probe(file.path()).unwrap();
    assert_eq!(
        (found.kind, found.label.as_deref()),
        (Kind::Ext4, Some("RANCHER_STATE"))
    );
    assert_eq!(
        found.uuid.as_deref(),
        Some("01020304-0506-0708-090a-0b0c0d0e0f10")
    );
}

#[test]
fn iso_with_a_boot_sector_is_an_iso() {
    let mut label = *b"RANCHEROS                       ";
    label[9] = b' ';
    let parts: &[(u64, &[u8])] = &[
        (510, &[0x55, 0xaa]),
        (0x8001, b"CD001"),
        (0x8028, &label),
        (0x8000 + 830, b"2026112101330000"),
    ];
    let found = probe(image(parts).path()).unwrap();
    assert_eq!(
        (found.kind, found.label.as_deref()),
        (Kind::Iso9660, Some("RANCHEROS"))
    );
    assert_eq!(found.uuid.as_deref(), Some("2026-11-21-01-33-00-00"));
}

#[test]
fn fat_serial_has_its_usual_form_and_a_partition_table_is_not_fat() {
    let parts: &[(u64, &[u8])] = &[
        (510, &[0x55, 0xaa]),
        (82, b"FAT32   "),
        (71, b"CIDATA     "),
        (67, &[0xcd, 0xab, 0x34, 0x12]),
    ];
    let found = probe(image(parts).path()).unwrap();
    assert_eq!(
        (found.label.as_deref(), found.uuid.as_deref()),
        (Some("CIDATA"), Some("1234-ABCD"))
    );
    assert_eq!(probe(image(&[(510, &[0x55, 0xaa])]).path()), None);
}

#[test]
fn a_mirror_is_not_taken_for_the_file_system_in_it() {
    let ext4: (u64, &[u8]) = (0x438, &[0x53, 0xef]);
    let magic: &[u8] = &0xa92b_4efc_u32.to_le_bytes();
    // The image has 0x12000 bytes.
    for offset in [0, 4096, 0x10000] {
        let label: (u64, &[u8]) = (offset + 32, b"rancher:state");
        let found = probe(image(&[ext4, (offset, magic), label]).path()).unwrap();
        assert_eq!(found.kind, Kind::Raid, "{offset:#x}");
        assert_eq!(found.label.as_deref(), Some("rancher:state"));
    }
    let old = image(&[ext4]);
    old.as_file().set_len(0x20000).unwrap();
    assert_eq!(probe(old.path()).unwrap().kind, Kind::Ext4);
    old.as_file().write_all_at(magic, 0x10000).unwrap();
    let found = probe(old.path()).unwrap();
    assert!(found.kind.is_container() && found.label.is_none());
}

#[test]
fn luks_has_a_label_since_its_second_version() {
    let header = |version: u8| {
        let version = [0, version];
        let parts: &[(u64, &[u8])] = &[
            (0, b"LUKS\xba\xbe"),
            (6, &version),
            (24, b"RANCHER_STATE"),
            (168, b"1-2"),
        ];
        probe(image(parts).path()).unwrap()
    };
    assert_eq!(header(2).label.as_deref(), Some("RANCHER_STATE"));
    assert_eq!(header(1).label, None);
    assert_eq!(header(1).uuid.as_deref(), Some("1-2"));
}

#[test]
fn short_and_empty_files_are_nothing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(probe(file.path()), None);
    assert_eq!(probe(Path::new("/no/such/device")), None);
}

#[test]
fn udf_without_iso9660_is_told() {
    let file = image(&[(0x8001, b"BEA01"), (0x8801, b"NSR02"), (0x9001, b"TEA01")]);
    assert_eq!(probe(file.path()).unwrap().kind, Kind::Udf);
    let file = image(&[(0x8001, b"BEA01"), (0x8801, b"OTHER")]);
    assert_eq!(probe(file.path()), None);
}
