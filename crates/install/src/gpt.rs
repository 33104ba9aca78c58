//! Partition tables (UEFI specification, chapter 5.3) on disks with sectors of 512 or 4096 bytes.

use crc::{CRC_32_ISO_HDLC, Crc};

use crate::disk::Disk;
use crate::error::Result;
use crate::guid::Guid;
use crate::layout::Layout;

pub(crate) const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
pub(crate) const HEADER_BYTES: usize = 92;
const ENTRY_BYTES: usize = 128;
const ENTRIES: usize = 128;
const TABLE_BYTES: usize = ENTRY_BYTES * ENTRIES;
/// Name of a partition, in UTF-16 units.
const NAME_UNITS: usize = 36;

/// A partition that a table names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u32,
    /// What kind it is.
    pub type_guid: Guid,
    /// Its own GUID: the PARTUUID of Linux.
    pub guid: Guid,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Its name.
    pub name: String,
}

/// Writes both tables and the protective boot record; the 440 bytes of boot code in front stay as they are.
///
/// `guid` gives each GUID that is needed: the disk's first, then one for each partition. The second table is written and
/// flushed before the first, so that a disk with a first table has everything.
///
/// # Errors
/// When the disk cannot be written.
pub fn write_table(
    disk: &mut impl Disk,
    layout: &Layout,
    mut guid: impl FnMut() -> Guid,
) -> Result<()> {
    let disk_guid = guid();
    let parts = layout.partitions.iter();
    let entries: Vec<Entry> = parts
        .map(|part| Entry {
            number: part.role.number(),
            type_guid: part.role.type_guid(),
            guid: guid(),
            start: part.start,
            size: part.size,
            name: part.role.name().to_owned(),
        })
        .collect();
    write_entries(
        disk,
        layout.disk_bytes,
        layout.sector_bytes,
        disk_guid,
        &entries,
    )
}

/// The same with partitions of anybody's.
///
/// # Errors
/// When the disk cannot be written, or a number is not one of the table's.
pub(crate) fn write_entries(
    disk: &mut impl Disk,
    disk_bytes: u64,
    sector: u64,
    disk_guid: Guid,
    entries: &[Entry],
) -> Result<()> {
    let mut table = vec![0; TABLE_BYTES];
    for part in entries {
        let index = (part.number as usize).checked_sub(1);
        let entry = index.and_then(|index| table.chunks_exact_mut(ENTRY_BYTES).nth(index));
        let Some(entry) = entry else {
            invalid!("a table has no partition {}", part.number);
        };
        entry[..16].copy_from_slice(&part.type_guid.swapped());
        entry[16..32].copy_from_slice(&part.guid.swapped());
        let first = part.start / sector;
        let last = first + part.size / sector - 1;
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        let name = part.name.encode_utf16().take(NAME_UNITS);
        for (unit, place) in name.zip(entry[56..].chunks_exact_mut(2)) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
    }
    let place = Place::of(disk_bytes, sector);
    let second = header(&place, disk_guid, &table, place.last, 1, place.second_table);
    let first = header(&place, disk_guid, &table, 1, place.last, 2);
    disk.write_at(place.second_table * sector, &table)?;
    disk.write_at(place.last * sector, &second)?;
    disk.flush()?;
    disk.write_at(446, &protective_record(place.last))?;
    disk.write_at(2 * sector, &table)?;
    disk.write_at(sector, &first)?;
    disk.flush()?;
    Ok(())
}

/// Sector numbers of the tables.
struct Place {
    /// Sectors of one table.
    table: u64,
    second_table: u64,
    /// The disk's last sector.
    last: u64,
}

impl Place {
    fn of(disk_bytes: u64, sector: u64) -> Self {
        let table = TABLE_BYTES as u64 / sector;
        let last = disk_bytes / sector - 1;
        Self {
            table,
            second_table: last - table,
            last,
        }
    }
}

fn header(place: &Place, disk: Guid, table: &[u8], own: u64, other: u64, at: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(SIGNATURE);
    header.extend_from_slice(&REVISION.to_le_bytes());
    header.extend_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
    header.extend_from_slice(&[0; 8]); // its checksum, and a reserved word
    for number in [own, other, 2 + place.table, place.second_table - 1] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    header.extend_from_slice(&disk.swapped());
    header.extend_from_slice(&at.to_le_bytes());
    for number in [ENTRIES as u32, ENTRY_BYTES as u32, CRC.checksum(table)] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    let checksum = CRC.checksum(&header);
    header[16..20].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// Bytes 446 to 511: one partition of type 0xEE over the whole disk, so that old tools keep off.
fn protective_record(last: u64) -> [u8; 66] {
    let mut record = [0; 66];
    record[..8].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    record[8..12].copy_from_slice(&1_u32.to_le_bytes());
    record[12..16].copy_from_slice(&u32::try_from(last).unwrap_or(u32::MAX).to_le_bytes());
    record[64..].copy_from_slice(&[0x55, 0xaa]);
    record
}

/// Reads the first table of a disk, or of an image such as the ISO, whose table has sectors of 512 bytes even on a disc.
///
/// # Errors
/// When there is no table, or it is damaged.
pub fn read_table(disk: &mut impl Disk, sector_bytes: u64) -> Result<Vec<Entry>> {
    read_table_at(disk, sector_bytes, 1)
}

/// Reads the second table, whose header is the last sector: it holds while the first one is being written.
///
/// # Errors
/// As for [`read_table`].
pub fn read_second_table(
    disk: &mut impl Disk,
    sector_bytes: u64,
    disk_bytes: u64,
) -> Result<Vec<Entry>> {
    let last = (disk_bytes / sector_bytes).saturating_sub(1);
    read_table_at(disk, sector_bytes, last)
}

fn read_table_at(disk: &mut impl Disk, sector_bytes: u64, header: u64) -> Result<Vec<Entry>> {
    let raw = Raw::read(disk, sector_bytes, header)?;
    let mut entries = Vec::new();
    for (index, entry) in raw.table.chunks_exact(raw.entry_bytes).enumerate() {
        let (first, last) = (read_u64(entry, 32), read_u64(entry, 40));
        if entry[..16] == [0; 16] || last < first {
            continue;
        }
        entries.push(Entry {
            number: index as u32 + 1,
            type_guid: read_guid(entry, 0),
            guid: read_guid(entry, 16),
            start: first.saturating_mul(sector_bytes),
            size: (last - first + 1).saturating_mul(sector_bytes),
            name: read_name(&entry[56..ENTRY_BYTES]),
        });
    }
    Ok(entries)
}

/// A header and its table, whose checksums were right.
pub(crate) struct Raw {
    pub(crate) header: [u8; HEADER_BYTES],
    pub(crate) table: Vec<u8>,
    pub(crate) entry_bytes: usize,
}

impl Raw {
    /// Reads the copy whose header is in this sector: 1 for the first.
    pub(crate) fn read(disk: &mut impl Disk, sector_bytes: u64, own: u64) -> Result<Self> {
        let mut header = [0; HEADER_BYTES];
        disk.read_at(own.saturating_mul(sector_bytes), &mut header)?;
        if &header[..8] != SIGNATURE {
            invalid!("there is no GUID partition table");
        }
        let stored = read_u32(&header, 16);
        let mut blank = header;
        blank[16..20].fill(0);
        if CRC.checksum(&blank) != stored {
            invalid!("the header of the partition table is damaged");
        }
        let (count, entry_bytes) = (
            read_u32(&header, 80) as usize,
            read_u32(&header, 84) as usize,
        );
        // Larger tables are allowed and not made by anybody
        if entry_bytes < ENTRY_BYTES || count.saturating_mul(entry_bytes) > 4 * TABLE_BYTES {
            invalid!("the partition table has {count} entries of {entry_bytes} bytes");
        }
        let mut table = vec![0; count * entry_bytes];
        let place = read_u64(&header, 72).saturating_mul(sector_bytes);
        disk.read_at(place, &mut table)?;
        if CRC.checksum(&table) != read_u32(&header, 88) {
            invalid!("the partition table is damaged");
        }
        Ok(Self {
            header,
            table,
            entry_bytes,
        })
    }
}

fn read_name(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16_lossy(&units)
}

fn read_guid(bytes: &[u8], at: usize) -> Guid {
    let mut guid = [0; 16];
    guid.copy_from_slice(&bytes[at..at + 16]);
    Guid::from_disk(guid)
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from(read_u32(bytes, at)) | u64::from(read_u32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use gpt::disk::LogicalBlockSize;

    use super::*;
    use crate::disk::Memory;
    use crate::layout::Role;

    fn sample(sector: u64) -> (Memory, Layout) {
        // Only its two ends are looked at: a disk of 64 MiB with a small plan
        let mut layout = Layout::plan(2 << 30, sector, true).unwrap();
        layout.disk_bytes = 64 << 20;
        layout.partitions.truncate(1);
        let mut number = 0;
        let mut disk = Memory(vec![0x5a; 64 << 20]);
        write_table(&mut disk, &layout, || {
            number += 1;
            Guid::random([number; 16])
        })
        .unwrap();
        (disk, layout)
    }

    /// The crate gpt has never heard of ours, checks both headers and tables, and finds what we meant.
    #[test]
    fn another_implementation_reads_both_tables() {
        for (sector, size) in [
            (512, LogicalBlockSize::Lb512),
            (4096, LogicalBlockSize::Lb4096),
        ] {
            let (disk, layout) = sample(sector);
            let config = gpt::GptConfig::new()
                .logical_block_size(size)
                .only_valid_headers(true);
            let read = config
                .open_from_device(Cursor::new(disk.0.clone()))
                .unwrap();
            let part = &read.partitions()[&1];
            assert_eq!(part.name, "RANCHER_BIOS");
            assert_eq!(part.bytes_start(size).unwrap(), layout.partitions[0].start);
            assert_eq!(part.bytes_len(size).unwrap(), layout.partitions[0].size);
            assert_eq!(part.part_type_guid, gpt::partition_types::BIOS);
            assert_eq!(disk.0[..440], [0x5a; 440], "boot code was touched");
            gpt::mbr::ProtectiveMBR::from_bytes(&disk.0[..sector as usize], size).unwrap();
        }
    }

    #[test]
    fn a_table_is_read_as_written_and_damage_is_told() {
        for sector in [512, 4096] {
            let (mut disk, layout) = sample(sector);
            let entries = read_table(&mut disk, sector).unwrap();
            assert_eq!(entries.len(), 1);
            assert_eq!(
                (entries[0].number, entries[0].start),
                (1, layout.partitions[0].start)
            );
            assert_eq!(entries[0].type_guid, Role::Bios.type_guid());
            assert_eq!(entries[0].guid, Guid::random([2; 16]));
            let mut bad = disk.clone();
            bad.0[sector as usize + 40] ^= 1;
            assert!(read_table(&mut bad, sector).is_err());
            disk.0[2 * sector as usize + 40] ^= 1;
            assert!(read_table(&mut disk, sector).is_err());
        }
        assert!(read_table(&mut Memory(vec![0; 8192]), 512).is_err());
        assert!(read_table(&mut Memory(vec![0; 100]), 512).is_err());
    }
}
