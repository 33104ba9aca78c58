//! A partition that is the last of its disk grows to the end of a disk that became larger: GUID tables (UEFI specification,
//! chapter 5.3) and the older tables of boot records.

use crate::disk::Disk;
use crate::error::Result;
use crate::gpt::{CRC, HEADER_BYTES, Raw, read_u32, read_u64};
use crate::layout::MIB;

/// Less free room than this is not worth a change of the table: disks are made and copied with some MiB more or less.
const ROOM_BYTES: u64 = 64 * MIB;
/// Where a boot record has its four entries, and what ends it.
const PLACES: [usize; 4] = [446, 462, 478, 494];
const RECORD_BYTES: usize = 512;
const RECORD_END: [u8; 2] = [0x55, 0xaa];
/// The kind of the entry that keeps old tools off a disk with a GUID table.
const PROTECTIVE: u8 = 0xee;
/// Kinds of entries that hold other partitions.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

/// What became of a partition that was asked to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// The table says so now: where the partition begins, and its new size, in bytes.
    Grown {
        /// First byte on the disk.
        start: u64,
        /// Bytes.
        size: u64,
    },
    /// Nothing worth a change is free behind it.
    NoRoom,
    /// Another partition lies behind it.
    NotLast,
}

/// Moves the end of partition `number` to the end of the disk, a whole MiB, in every copy of the table.
///
/// A power cut leaves the old table or the new one, in the first copy, too: Linux looks for no second one. The header has
/// the checksum of its entries, so these are written to a free place, and the header, one sector, then names that. Only a disk
/// without such a place has the header and its entries written at once.
///
/// # Errors
/// When the disk has no table, a damaged one or no such partition, or cannot be read or written.
pub fn grow(
    disk: &mut impl Disk,
    disk_bytes: u64,
    sector_bytes: u64,
    number: u32,
) -> Result<Growth> {
    if !matches!(sector_bytes, 512 | 4096) {
        invalid!("sectors of {sector_bytes} bytes are not supported, only 512 and 4096");
    }
    let mut record = [0; RECORD_BYTES];
    disk.read_at(0, &mut record)?;
    if record[510..] != RECORD_END {
        invalid!("the disk has no partition table");
    }
    let size = Size {
        sectors: disk_bytes / sector_bytes,
        sector_bytes,
    };
    if PLACES.iter().any(|at| record[at + 4] == PROTECTIVE) {
        grow_guid_table(disk, &record, size, number)
    } else {
        grow_record(disk, record, size, number)
    }
}

/// The disk's.
#[derive(Clone, Copy)]
struct Size {
    sectors: u64,
    sector_bytes: u64,
}

impl Size {
    /// The sector at or before this one that begins a MiB.
    fn aligned(self, sector: u64) -> u64 {
        let unit = MIB / self.sector_bytes;
        sector / unit * unit
    }

    /// What a partition of the sectors from `first` to before `end` becomes when it may end before `new`.
    fn growth(self, first: u64, end: u64, new: u64) -> Growth {
        if new < end.saturating_add(ROOM_BYTES / self.sector_bytes) {
            return Growth::NoRoom;
        }
        Growth::Grown {
            start: first * self.sector_bytes,
            size: (new - first) * self.sector_bytes,
        }
    }
}

fn grow_record(
    disk: &mut impl Disk,
    mut record: [u8; RECORD_BYTES],
    size: Size,
    number: u32,
) -> Result<Growth> {
    let Some(at) = PLACES.get((number as usize).wrapping_sub(1)).copied() else {
        invalid!("partition {number} is inside of another one, which does not grow");
    };
    let kind = |at: usize| record[at + 4];
    let place = |at: usize| {
        let (first, count) = (read_u32(&record, at + 8), read_u32(&record, at + 12));
        (u64::from(first), u64::from(first) + u64::from(count))
    };
    let (first, end) = place(at);
    if kind(at) == 0 || first == end || EXTENDED.contains(&kind(at)) {
        invalid!("the disk has no partition {number} that can grow");
    }
    let mut others = PLACES
        .iter()
        .filter(|other| **other != at && kind(**other) != 0);
    if others.any(|other| place(*other).1 > first) {
        return Ok(Growth::NotLast);
    }
    // Such a table counts in 32 bits: 2 TiB with sectors of 512 bytes.
    let new = size.aligned(size.sectors.min(first + u64::from(u32::MAX)));
    let growth = size.growth(first, end, new);
    if let Growth::Grown { .. } = growth {
        let count = u32::try_from(new - first).unwrap_or(u32::MAX);
        record[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
        disk.write_at(0, &record)?;
        disk.flush()?;
    }
    Ok(growth)
}

fn grow_guid_table(
    disk: &mut impl Disk,
    record: &[u8; RECORD_BYTES],
    size: Size,
    number: u32,
) -> Result<Growth> {
    let mut raw = Raw::read(disk, size.sector_bytes, 1)?;
    let at = (number as usize)
        .wrapping_sub(1)
        .saturating_mul(raw.entry_bytes);
    let is_there = |entry: &[u8]| entry[..16] != [0; 16];
    let Some(entry) = raw.table.get(at..at.saturating_add(raw.entry_bytes)) else {
        invalid!("the disk has no partition {number}");
    };
    let (first, last) = (read_u64(entry, 32), read_u64(entry, 40));
    if !is_there(entry) || last < first || last >= size.sectors {
        invalid!("the disk has no partition {number} that can grow");
    }
    let mut entries = raw.table.chunks_exact(raw.entry_bytes).enumerate();
    if entries.any(|(index, other)| {
        index + 1 != number as usize && is_there(other) && read_u64(other, 40) >= first
    }) {
        return Ok(Growth::NotLast);
    }
    let own = size.sectors - 1;
    let sectors_of_table = (raw.table.len() as u64).div_ceil(size.sector_bytes);
    let second = own.saturating_sub(sectors_of_table);
    // As `Layout::plan` has it, so that `ros install --keep-state` finds what it would make.
    let new = size
        .aligned(size.sectors)
        .saturating_sub(MIB / size.sector_bytes);
    let growth = size.growth(first, last + 1, new);
    if let Growth::Grown { .. } = growth {
        raw.table[at + 40..at + 48].copy_from_slice(&(new - 1).to_le_bytes());
        raw.header[48..56].copy_from_slice(&(second - 1).to_le_bytes()); // last usable sector
        let checksum = CRC.checksum(&raw.table);
        raw.header[88..92].copy_from_slice(&checksum.to_le_bytes());
        write_copies(disk, raw, size, second)?;
        widen_protective(disk, record, size)?;
    }
    Ok(growth)
}

/// Both copies of the table; `second` is where the second one's entries go.
fn write_copies(disk: &mut impl Disk, mut raw: Raw, size: Size, second: u64) -> Result<()> {
    let unit = size.sector_bytes;
    let own = size.sectors - 1;
    let place = read_u64(&raw.header, 72);
    let header_of_second = header(&mut raw.header, [own, 1, second], unit);
    disk.write_at(second * unit, &raw.table)?;
    disk.write_at(own * unit, &header_of_second)?;
    disk.flush()?;
    let Some(spare) = spare_place(disk, &raw, place, unit)? else {
        let mut first = header(&mut raw.header, [1, own, place], unit);
        if place == 2 {
            first.extend_from_slice(&raw.table);
        } else {
            disk.write_at(place.saturating_mul(unit), &raw.table)?;
        }
        disk.write_at(unit, &first)?;
        return Ok(disk.flush()?);
    };
    for place in [spare, place] {
        disk.write_at(place * unit, &raw.table)?;
        disk.flush()?;
        disk.write_at(unit, &header(&mut raw.header, [1, own, place], unit))?;
        disk.flush()?;
    }
    disk.write_at(spare * unit, &vec![0; raw.table.len()])?;
    Ok(disk.flush()?)
}

/// Where the entries can be for the moment in which their place is written: behind it, in front of all partitions, and
/// zeros, since boards have boot loaders there.
fn spare_place(disk: &mut impl Disk, raw: &Raw, place: u64, unit: u64) -> Result<Option<u64>> {
    let sectors = (raw.table.len() as u64).div_ceil(unit);
    let spare = place.saturating_add(sectors);
    let entries = raw.table.chunks_exact(raw.entry_bytes);
    let used = entries.filter(|entry| entry[..16] != [0; 16]);
    let first = used.map(|entry| read_u64(entry, 32)).min();
    if first.is_none_or(|first| spare.saturating_add(sectors) > first) {
        return Ok(None);
    }
    let mut found = vec![0; raw.table.len()];
    disk.read_at(spare * unit, &mut found)?;
    Ok(found.iter().all(|byte| *byte == 0).then_some(spare))
}

/// A header's sector: where it is, where the other one is, and where its entries are.
fn header(bytes: &mut [u8; HEADER_BYTES], [own, other, table]: [u64; 3], unit: u64) -> Vec<u8> {
    for (at, value) in [(24, own), (32, other), (72, table)] {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes[16..20].fill(0);
    let checksum = CRC.checksum(&bytes[..]);
    bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
    let mut sector = bytes.to_vec();
    sector.resize(usize::try_from(unit).unwrap_or(RECORD_BYTES), 0);
    sector
}

/// The boot record's only entry covers the whole disk. With other entries the record is somebody's own work, and stays.
fn widen_protective(disk: &mut impl Disk, record: &[u8; RECORD_BYTES], size: Size) -> Result<()> {
    let mut used = PLACES.into_iter().filter(|at| record[at + 4] != 0);
    let (Some(at), None) = (used.next(), used.next()) else {
        return Ok(());
    };
    let count = u32::try_from(size.sectors - 1).unwrap_or(u32::MAX);
    let mut record = *record;
    record[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
    disk.write_at(0, &record)?;
    disk.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests;
