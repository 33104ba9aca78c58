//! `rancher.resize_device`: the first partition of a disk grows to its end, once, and the file system follows.
//!
//! Both kinds of partition tables are changed in place: an entry's size, and for GUID tables also the second table, which
//! moves to the disk's new end (UEFI specification, chapter 5.3). Nothing is done when something lies behind the partition.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sys::process::Command;

use super::CONF;
use super::mounts::succeed;

/// Written when it was done; RancherOS's name.
const DONE: &str = "../resizefs.done";
/// Growing a file system of some TiB.
const DEADLINE: Duration = Duration::from_secs(600);
const SECTOR: u64 = 512;
/// Less than this is not worth a change: alignment, and the place of the second table.
const ROOM: u64 = 2 << 20;

/// Grows partition 1 (2 on SD cards, as in RancherOS) of `device`.
pub(super) fn grow(device: &str) -> anyhow::Result<()> {
    let done = Path::new(CONF).join(DONE);
    if done.exists() {
        return Ok(());
    }
    let number = if device.contains("mmcblk") { 2 } else { 1 };
    let mut disk = OpenOptions::new()
        .read(true)
        .write(true)
        .open(device)
        .with_context(|| format!("cannot open {device}"))?;
    let bytes = disk
        .seek(SeekFrom::End(0))
        .context("cannot size the disk")?;
    let sectors = grow_table(&mut disk, bytes / SECTOR, number)?;
    disk.sync_all()
        .context("cannot write the partition table")?;
    if let Some(sectors) = sectors {
        let (number, sectors) = (number.to_string(), sectors.to_string());
        // The kernel's own idea of the partition; the disk is in use, so the table cannot be read again.
        succeed(
            &Command::new("resizepart")
                .args([device, &number, &sectors])
                .deadline(DEADLINE),
        )
        .context("resizepart")?;
        println!("{device}: partition {number} has {sectors} sectors now");
    }
    let partition = partition(device, number);
    succeed(&Command::new("resize2fs").arg(&partition).deadline(DEADLINE))
        .with_context(|| format!("resize2fs {}", partition.display()))?;
    fs::write(&done, "").with_context(|| format!("cannot write {}", done.display()))
}

/// `/dev/vda1`, `/dev/nvme0n1p1`.
fn partition(device: &str, number: u32) -> PathBuf {
    let middle = if device.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    PathBuf::from(format!("{device}{middle}{number}"))
}

/// Changes the table on the disk; the partition's new length in sectors, none when there is no room.
fn grow_table(
    disk: &mut (impl Read + Write + Seek),
    disk_sectors: u64,
    number: u32,
) -> anyhow::Result<Option<u64>> {
    let mut record = [0; 512];
    disk.seek(SeekFrom::Start(0))?;
    disk.read_exact(&mut record)
        .context("cannot read the partition table")?;
    ensure!(
        record[510..] == [0x55, 0xaa],
        "the disk has no partition table"
    );
    if record[446 + 4] == 0xee {
        return gpt(disk, disk_sectors, number);
    }
    let entry = |index: usize| 446 + 16 * index;
    let at = entry(number as usize - 1);
    let (start, length) = (u32_at(&record, at + 8), u32_at(&record, at + 12));
    ensure!(
        record[at + 4] != 0 && length > 0,
        "the disk has no partition {number}"
    );
    for other in (0..4).map(entry).filter(|other| *other != at) {
        ensure!(
            record[other + 4] == 0 || u32_at(&record, other + 8) < start,
            "another partition lies behind partition {number}"
        );
    }
    // A table of this kind counts in 32 bits: 2 TiB.
    let end = disk_sectors.min(u64::from(u32::MAX));
    let new = end.saturating_sub(u64::from(start));
    if new <= u64::from(length) + ROOM / SECTOR {
        return Ok(None);
    }
    let new = u32::try_from(new).unwrap_or(u32::MAX);
    record[at + 12..at + 16].copy_from_slice(&new.to_le_bytes());
    disk.seek(SeekFrom::Start(0))?;
    disk.write_all(&record)
        .context("cannot write the partition table")?;
    Ok(Some(u64::from(new)))
}

fn gpt(
    disk: &mut (impl Read + Write + Seek),
    disk_sectors: u64,
    number: u32,
) -> anyhow::Result<Option<u64>> {
    let mut header = [0; 512];
    disk.seek(SeekFrom::Start(SECTOR))?;
    disk.read_exact(&mut header)
        .context("cannot read the partition table")?;
    ensure!(
        &header[..8] == b"EFI PART",
        "the disk has no GUID partition table with sectors of 512 bytes"
    );
    let size = u32_at(&header, 12) as usize;
    let (count, each) = (u32_at(&header, 80) as usize, u32_at(&header, 84) as usize);
    ensure!(
        (92..=512).contains(&size) && count <= 1024 && (128..=1024).contains(&each),
        "the partition table is not of a usual size"
    );
    let mut table = vec![0; count * each];
    disk.seek(SeekFrom::Start(u64_at(&header, 72) * SECTOR))?;
    disk.read_exact(&mut table)
        .context("cannot read the partition table")?;
    ensure!(
        crc32(&table) == u32_at(&header, 88),
        "the partition table is damaged"
    );
    let at = (number as usize - 1) * each;
    ensure!(
        at < table.len() && table[at..at + 16] != [0; 16],
        "the disk has no partition {number}"
    );
    let (first, last) = (u64_at(&table, at + 32), u64_at(&table, at + 40));
    for other in table
        .chunks_exact(each)
        .filter(|entry| entry[..16] != [0; 16])
    {
        ensure!(
            u64_at(other, 32) <= first,
            "another partition lies behind partition {number}"
        );
    }
    let table_sectors = (table.len() as u64).div_ceil(SECTOR);
    let second = disk_sectors - 1 - table_sectors;
    // Ends on a whole MiB, as it began.
    let end = second / 2048 * 2048 - 1;
    if end <= last + ROOM / SECTOR {
        return Ok(None);
    }
    table[at + 40..at + 48].copy_from_slice(&end.to_le_bytes());
    header[48..56].copy_from_slice(&(second - 1).to_le_bytes()); // last usable sector
    header[88..92].copy_from_slice(&crc32(&table).to_le_bytes());
    // The second copy first, at the new end: a power cut then leaves a whole first one.
    let place = u64_at(&header, 72);
    put(
        disk,
        &mut header,
        size,
        [disk_sectors - 1, 1, second],
        &table,
    )?;
    put(
        disk,
        &mut header,
        size,
        [1, disk_sectors - 1, place],
        &table,
    )?;
    Ok(Some(end + 1 - first))
}

/// Writes one copy: where its header is, where the other's is, where its table is.
fn put(
    disk: &mut (impl Write + Seek),
    header: &mut [u8; 512],
    size: usize,
    [own, other, place]: [u64; 3],
    table: &[u8],
) -> anyhow::Result<()> {
    header[24..32].copy_from_slice(&own.to_le_bytes());
    header[32..40].copy_from_slice(&other.to_le_bytes());
    header[72..80].copy_from_slice(&place.to_le_bytes());
    header[16..20].fill(0);
    let checksum = crc32(&header[..size]);
    header[16..20].copy_from_slice(&checksum.to_le_bytes());
    for (sector, bytes) in [(place, table), (own, &header[..])] {
        disk.seek(SeekFrom::Start(sector * SECTOR))?;
        disk.write_all(bytes)
            .context("cannot write the partition table")?;
    }
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | (u64::from(u32_at(bytes, at + 4)) << 32)
}

/// CRC-32 of GUID tables (ISO 3309, as zlib's).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn disk(mib: u64) -> Cursor<Vec<u8>> {
        Cursor::new(vec![0; usize::try_from(mib << 20).unwrap()])
    }

    #[test]
    fn an_old_table_grows_to_the_end_and_stays_when_something_is_behind() {
        let mut disk = disk(64);
        let bytes = disk.get_mut();
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes[446 + 4] = 0x83;
        bytes[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
        bytes[446 + 12..446 + 16].copy_from_slice(&20480_u32.to_le_bytes());
        assert_eq!(
            grow_table(&mut disk, 64 * 2048, 1).unwrap(),
            Some(63 * 2048)
        );
        assert_eq!(grow_table(&mut disk, 64 * 2048, 1).unwrap(), None);
        let bytes = disk.get_mut();
        bytes[462 + 4] = 0x83;
        bytes[462 + 8..462 + 12].copy_from_slice(&100_000_u32.to_le_bytes());
        assert!(
            grow_table(&mut disk, 64 * 2048, 1)
                .unwrap_err()
                .to_string()
                .contains("behind")
        );
        assert!(grow_table(&mut disk, 64 * 2048, 3).is_err());
    }

    #[test]
    fn a_guid_table_grows_and_both_copies_are_whole() {
        let mut disk = disk(64);
        let (mut header, mut table) = ([0_u8; 512], vec![0_u8; 128 * 128]);
        table[..16].fill(7);
        table[32..40].copy_from_slice(&2048_u64.to_le_bytes());
        table[40..48].copy_from_slice(&20479_u64.to_le_bytes());
        header[..8].copy_from_slice(b"EFI PART");
        for (at, value) in [(12, 92_u32), (80, 128), (84, 128), (88, crc32(&table))] {
            header[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        put(&mut disk, &mut header, 92, [1, 32 * 2048 - 1, 2], &table).unwrap();
        let bytes = disk.get_mut();
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        bytes[446 + 4] = 0xee;
        let grown = grow_table(&mut disk, 64 * 2048, 1).unwrap().unwrap();
        assert!((62 * 2048..63 * 2048).contains(&grown), "{grown}");
        assert_eq!(grow_table(&mut disk, 64 * 2048, 1).unwrap(), None);
        let bytes = disk.get_ref();
        for sector in [1, 64 * 2048 - 1] {
            let header = &bytes[sector * 512..sector * 512 + 512];
            assert_eq!(&header[..8], b"EFI PART");
            let mut blank = header[..92].to_vec();
            blank[16..20].fill(0);
            assert_eq!(crc32(&blank), u32_at(header, 16));
            let place = usize::try_from(u64_at(header, 72)).unwrap() * 512;
            assert_eq!(crc32(&bytes[place..place + 128 * 128]), u32_at(header, 88));
        }
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn partitions_of_disks_with_numbers_have_a_p() {
        assert_eq!(partition("/dev/vda", 1), Path::new("/dev/vda1"));
        assert_eq!(partition("/dev/nvme0n1", 1), Path::new("/dev/nvme0n1p1"));
    }
}
