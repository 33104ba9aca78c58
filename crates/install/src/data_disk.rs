//! Partition tables of disks for data, as cloud-init's `disk_setup` describes them: not of a system's layout.

use crate::disk::Disk;
use crate::error::Result;
use crate::gpt::{self, Entry};
use crate::guid::Guid;
use crate::layout::MIB;

/// Of a boot record: its length, where its four entries are, and what ends it.
const RECORD_BYTES: usize = 512;
const ENTRIES_AT: usize = 446;
const ENTRY_BYTES: usize = 16;
const MOST_OF_RECORD: usize = 4;
const END: [u8; 2] = [0x55, 0xaa];
/// Where a disk has a number, by which Linux names the partitions of a boot record (PARTUUID).
const DISK_NUMBER_AT: usize = 440;
/// The type of the entry that keeps old tools off a newer table.
const PROTECTIVE: u8 = 0xee;
/// Types of partitions in boot records: Linux, and Linux swap.
const LINUX: u8 = 0x83;
const SWAP: u8 = 0x82;
/// Of a partition of another type, which nobody can ask for.
const OTHER: u8 = 0;
const LINUX_GUID: Guid = Guid::new(0x0FC6_3DAF_8483_4772_8E79_3D69_D847_7DE4);
const SWAP_GUID: Guid = Guid::new(0x0657_FD6D_A4AB_43C4_84E5_0933_C84B_4F4F);
/// Whole disks end with the second table and this much room.
const LAST_BYTES: u64 = MIB;

/// A kind of partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The boot record's four entries.
    Mbr,
    /// GUID partition table.
    Gpt,
}

/// One partition, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its part of the disk, in percent.
    pub percent: u64,
    /// Its type, as boot records have it.
    pub kind: u8,
}

impl Share {
    /// The whole disk, for a Linux file system.
    pub const WHOLE: Share = Share {
        percent: 100,
        kind: LINUX,
    };

    /// Reads a type as people write it for fdisk or sgdisk: `83`, `82`, `8300`.
    ///
    /// # Errors
    /// When it is not the number of a type.
    pub fn new(percent: u64, kind: &str) -> Result<Share> {
        let number = u16::from_str_radix(kind.trim_start_matches("0x"), 16).ok();
        let kind = match number {
            Some(0x8300) => LINUX,
            Some(0x8200) => SWAP,
            Some(number @ 1..=0xff) => number as u8,
            _ => invalid!("{kind} is not a type of a partition, such as 83 or 82"),
        };
        Ok(Share { percent, kind })
    }
}

impl Table {
    /// Whether the disk has partitions of these types, in this order, and no others. Their sizes do not count: somebody may have
    /// grown one.
    pub fn is_as_asked(self, disk: &mut impl Disk, sector_bytes: u64, shares: &[Share]) -> bool {
        let kinds = match self {
            Self::Gpt => gpt::read_table(disk, sector_bytes).ok().map(|entries| {
                let kinds = entries.iter().map(|entry| match entry.type_guid {
                    SWAP_GUID => SWAP,
                    LINUX_GUID => LINUX,
                    _ => OTHER,
                });
                kinds.collect()
            }),
            Self::Mbr => kinds_of_record(disk),
        };
        let asked: Vec<u8> = shares.iter().map(|share| share.kind).collect();
        kinds.is_some_and(|kinds: Vec<u8>| kinds == asked)
    }

    /// Whether a disk of so many bytes, with sectors of so many, can have these partitions.
    ///
    /// # Errors
    /// When the shares do not fit on the disk or in the table.
    pub fn check(self, (disk_bytes, sector_bytes): (u64, u64), shares: &[Share]) -> Result<()> {
        let parts: Vec<_> = places(disk_bytes, shares)?
            .into_iter()
            .zip(shares)
            .collect();
        if self == Self::Mbr {
            record(&parts, sector_bytes, Guid::new(0))?;
            return Ok(());
        }
        match shares
            .iter()
            .find(|share| !matches!(share.kind, LINUX | SWAP))
        {
            Some(other) => invalid!("type {:02x} is not known for a table of GUIDs", other.kind),
            None => Ok(()),
        }
    }

    /// Writes the table, in place of whatever the disk begins and ends with. What the partitions begin and end with goes, too.
    ///
    /// `random` gives what is to differ between disks.
    ///
    /// # Errors
    /// When the shares do not fit on the disk or in the table, or the disk cannot be written.
    pub fn write(
        self,
        disk: &mut impl Disk,
        (disk_bytes, sector_bytes): (u64, u64),
        shares: &[Share],
        mut random: impl FnMut() -> Guid,
    ) -> Result<()> {
        self.check((disk_bytes, sector_bytes), shares)?;
        let places = places(disk_bytes, shares)?;
        let parts: Vec<_> = places.into_iter().zip(shares).collect();
        let record = match self {
            Self::Mbr => Some(record(&parts, sector_bytes, random())?),
            Self::Gpt => None,
        };
        // What was there would be found again: a file system's superblock, the second table
        let nothing = vec![0; MIB as usize];
        disk.write_at(disk_bytes - MIB, &nothing)?;
        disk.write_at(0, &nothing)?;
        for ((start, size), _) in &parts {
            disk.write_at(*start, &nothing)?;
            disk.write_at(start + size - MIB, &nothing)?;
        }
        disk.flush()?;
        if let Some(record) = record {
            disk.write_at(0, &record)?;
            return Ok(disk.flush()?);
        }
        let entry = |(number, ((start, size), share)): (u32, &((u64, u64), &Share))| Entry {
            number,
            type_guid: if share.kind == SWAP {
                SWAP_GUID
            } else {
                LINUX_GUID
            },
            guid: random(),
            start: *start,
            size: *size,
            name: String::new(),
        };
        let entries: Vec<Entry> = (1..).zip(&parts).map(entry).collect();
        gpt::write_entries(disk, disk_bytes, sector_bytes, random(), &entries)
    }
}

/// First byte and length of each.
fn places(disk_bytes: u64, shares: &[Share]) -> Result<Vec<(u64, u64)>> {
    let sum: u64 = shares.iter().map(|share| share.percent.min(101)).sum();
    if sum > 100 || shares.is_empty() {
        invalid!("the partitions have {sum} % of the disk");
    }
    if disk_bytes < 4 * MIB {
        invalid!("the disk is too small for partitions");
    }
    let end = (disk_bytes - LAST_BYTES) / MIB * MIB;
    let room = (end - MIB) / MIB;
    let mut at = MIB;
    let mut places = Vec::new();
    for (index, share) in shares.iter().enumerate() {
        let is_rest = index + 1 == shares.len() && sum == 100;
        let size = match is_rest {
            true => end - at,
            false => room * share.percent / 100 * MIB,
        };
        if size == 0 {
            invalid!("{} % of the disk is less than a mebibyte", share.percent);
        }
        places.push((at, size));
        at += size;
    }
    Ok(places)
}

/// A boot record with these partitions.
fn record(
    parts: &[((u64, u64), &Share)],
    sector_bytes: u64,
    random: Guid,
) -> Result<[u8; RECORD_BYTES]> {
    if parts.len() > MOST_OF_RECORD {
        invalid!("a boot record has room for {MOST_OF_RECORD} partitions: table_type: gpt");
    }
    let mut record = [0; RECORD_BYTES];
    record[DISK_NUMBER_AT..][..4].copy_from_slice(&random.0[..4]);
    for (index, ((start, size), share)) in parts.iter().enumerate() {
        let sectors = |bytes: u64| u32::try_from(bytes / sector_bytes);
        let (Ok(first), Ok(count)) = (sectors(*start), sectors(*size)) else {
            invalid!("the disk is too large for a boot record: table_type: gpt");
        };
        let entry = &mut record[ENTRIES_AT + index * ENTRY_BYTES..][..ENTRY_BYTES];
        // Cylinders, heads and sectors that say: look at the numbers of sectors
        entry[..8].copy_from_slice(&[0, 0xfe, 0xff, 0xff, share.kind, 0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&count.to_le_bytes());
    }
    record[RECORD_BYTES - 2..].copy_from_slice(&END);
    Ok(record)
}

fn kinds_of_record(disk: &mut impl Disk) -> Option<Vec<u8>> {
    let mut record = [0; RECORD_BYTES];
    disk.read_at(0, &mut record).ok()?;
    let entries = record[ENTRIES_AT..RECORD_BYTES - 2].chunks_exact(ENTRY_BYTES);
    let kinds: Vec<u8> = entries.map(|entry| entry[4]).filter(|k| *k != 0).collect();
    let is_record = record[RECORD_BYTES - 2..] == END && !kinds.contains(&PROTECTIVE);
    is_record.then_some(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Memory;

    const BYTES: u64 = 64 * MIB;

    fn shares(all: &[(u64, &str)]) -> Vec<Share> {
        let share = |(percent, kind): &(u64, &str)| Share::new(*percent, kind).unwrap();
        all.iter().map(share).collect()
    }

    #[test]
    fn what_is_written_is_as_asked() {
        let two = shares(&[(30, "8200"), (70, "83")]);
        for table in [Table::Mbr, Table::Gpt] {
            for sector in [512, 4096] {
                let mut disk = Memory(vec![0xa5; BYTES as usize]);
                assert!(!table.is_as_asked(&mut disk, sector, &two));
                table
                    .write(&mut disk, (BYTES, sector), &two, || Guid::random([7; 16]))
                    .unwrap();
                assert!(table.is_as_asked(&mut disk, sector, &two), "{table:?}");
                let whole = [Share::WHOLE];
                assert!(!table.is_as_asked(&mut disk, sector, &whole));
                let other = match table {
                    Table::Mbr => Table::Gpt,
                    Table::Gpt => Table::Mbr,
                };
                assert!(!other.is_as_asked(&mut disk, sector, &two));
            }
        }
    }

    #[test]
    fn shares_fill_the_disk_and_do_not_overlap() {
        let all = places(BYTES, &shares(&[(33, "83"), (33, "83"), (34, "82")])).unwrap();
        assert_eq!(all.iter().map(|(_, size)| size / MIB).sum::<u64>(), 62);
        for pair in all.windows(2) {
            assert_eq!(pair[0].0 + pair[0].1, pair[1].0);
        }
        let half = places(BYTES, &shares(&[(50, "83")])).unwrap();
        assert_eq!(half, [(MIB, 31 * MIB)]);
        for bad in [
            shares(&[(60, "83"), (50, "83")]),
            shares(&[(1, "83")]),
            vec![],
        ] {
            assert!(places(BYTES, &bad).is_err(), "{bad:?}");
        }
        assert!(places(MIB, &[Share::WHOLE]).is_err());
    }

    #[test]
    fn what_a_table_cannot_have_is_refused_before_anything_is_written() {
        let mut disk = Memory(vec![0xa5; BYTES as usize]);
        let five = shares(&[(20, "83"); 5]);
        let efi = shares(&[(100, "ef")]);
        for (table, asked) in [(Table::Mbr, five), (Table::Gpt, efi)] {
            assert!(table.check((BYTES, 512), &asked).is_err(), "{asked:?}");
            let done = table.write(&mut disk, (BYTES, 512), &asked, || Guid::random([7; 16]));
            assert!(done.is_err(), "{asked:?}");
        }
        assert!(disk.0.iter().all(|byte| *byte == 0xa5));
        assert!(Share::new(1, "x").is_err() && Share::new(1, "0").is_err());
    }
}
