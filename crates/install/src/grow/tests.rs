//! Disks that became larger, also with the power cut at every write.

use super::*;
use crate::crash::{Event, Recorder, Sparse};
use crate::disk::Memory;
use crate::gpt::{read_table, write_table};
use crate::guid::Guid;
use crate::layout::{Layout, Role};

const OLD: u64 = 2 << 30;
const NEW: u64 = (5 << 30) + 700 * 1024;

/// A disk of ours, copied to a larger one.
fn enlarged(sector: u64) -> (Recorder, Layout) {
    let layout = Layout::plan(OLD, sector, true).unwrap();
    let mut disk = Recorder::new(NEW);
    let mut number = 0;
    let guid = || {
        number += 1;
        Guid::random([number; 16])
    };
    write_table(&mut disk, &layout, guid).unwrap();
    disk.events.clear();
    (disk, layout)
}

/// The state's size by the copy whose header is in this sector; none when that copy is damaged.
fn state_size(disk: &mut impl Disk, sector: u64, own: u64) -> Option<u64> {
    let raw = Raw::read(disk, sector, own).ok()?;
    let entry = &raw.table[raw.entry_bytes * (Role::State.number() as usize - 1)..];
    Some((read_u64(entry, 40) + 1 - read_u64(entry, 32)) * sector)
}

#[test]
fn the_state_takes_the_room_and_a_second_look_changes_nothing() {
    for sector in [512, 4096] {
        let (mut disk, layout) = enlarged(sector);
        let before = read_table(&mut disk, sector).unwrap();
        let state = layout.get(Role::State).unwrap();
        let number = Role::State.number();
        let grown = grow(&mut disk, NEW, sector, number).unwrap();
        let plan = Layout::plan(NEW, sector, true).unwrap();
        let size = plan.get(Role::State).unwrap().size;
        assert_eq!(plan.get(Role::State).unwrap().start, state.start);
        let start = state.start;
        assert_eq!(grown, Growth::Grown { start, size });
        let own = NEW / sector - 1;
        assert_eq!(state_size(&mut disk, sector, 1), Some(size));
        assert_eq!(state_size(&mut disk, sector, own), Some(size));
        for (copy, other) in [(1, own), (own, 1)] {
            let header = Raw::read(&mut disk, sector, copy).unwrap().header;
            assert_eq!(
                (read_u64(&header, 24), read_u64(&header, 32)),
                (copy, other)
            );
        }
        let mut after = read_table(&mut disk, sector).unwrap();
        after[7].size = before[7].size;
        assert_eq!(after, before, "another partition was changed");
        let mut record = [0; RECORD_BYTES];
        disk.read_at(0, &mut record).unwrap();
        assert_eq!(u64::from(read_u32(&record, 458)), own);
        disk.events.clear();
        let again = grow(&mut disk, NEW, sector, number).unwrap();
        assert_eq!(again, Growth::NoRoom);
        assert!(disk.events.is_empty(), "the second boot wrote");
    }
}

/// A disk writes a sector as a whole or not at all, and loses any part of what was not flushed.
#[test]
fn a_power_cut_leaves_a_whole_first_copy_at_every_instant() {
    let (mut disk, layout) = enlarged(512);
    let mut kept = Sparse::new(NEW);
    let mut sector = [0; 512];
    for number in 0..64 {
        disk.read_at(number * 512, &mut sector).unwrap();
        kept.set(number, &sector);
    }
    let small = layout.get(Role::State).unwrap().size;
    grow(&mut disk, NEW, 512, 8).unwrap();
    let large = state_size(&mut disk, 512, 1).unwrap();
    let is_flush = |event: &Event| matches!(event, Event::Flush);
    let mut images = 0;
    for epoch in disk.events.split(is_flush) {
        let writes: Vec<_> = epoch
            .iter()
            .filter_map(|event| match event {
                Event::Write(number, content) => Some((*number, content)),
                _ => None,
            })
            .collect();
        type Loses = fn(usize, usize) -> bool;
        let losses: [Loses; 4] = [
            |index, cut| index >= cut,
            |index, cut| index < cut,
            |index, cut| index == cut,
            |index, cut| index != cut,
        ];
        for (cut, loses) in (0..=writes.len()).flat_map(|cut| losses.map(|loses| (cut, loses))) {
            let mut left = kept.clone();
            for (index, (number, content)) in writes.iter().enumerate() {
                if !loses(index, cut) {
                    left.set(*number, content);
                }
            }
            let found = state_size(&mut Recorder::of(left), 512, 1);
            assert!(found == Some(small) || found == Some(large), "{found:?}");
            images += 1;
        }
        for (number, content) in writes {
            kept.set(number, content);
        }
    }
    assert!(images > 400, "{images} images only");
    let mut spare = (34..66).map(|number| kept.get(number));
    assert!(
        spare.all(|sector| sector == [0; 512]),
        "the spare place is not free again"
    );
}

#[test]
fn a_disk_without_a_free_place_grows_too() {
    let (mut disk, _) = enlarged(512);
    disk.write_at(64 * 512, b"a board's boot loader").unwrap();
    disk.events.clear();
    grow(&mut disk, NEW, 512, 8).unwrap();
    let (first, second) = (
        state_size(&mut disk, 512, 1),
        state_size(&mut disk, 512, NEW / 512 - 1),
    );
    assert!(first.is_some() && first == second);
    let mut sector = [0; 21];
    disk.read_at(64 * 512, &mut sector).unwrap();
    assert_eq!(&sector, b"a board's boot loader");
}

fn record(parts: &[(u8, u32, u32)]) -> Memory {
    let mut disk = Memory(vec![0; 256 << 20]);
    for (at, (kind, first, count)) in PLACES.into_iter().zip(parts) {
        disk.0[at + 4] = *kind;
        disk.0[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        disk.0[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
    }
    disk.0[510..512].copy_from_slice(&RECORD_END);
    disk
}

#[test]
fn an_old_table_grows_too_and_foreign_ones_stay() {
    let bytes = (256 << 20) + 512;
    let mut disk = record(&[(0x83, 2048, 20_480)]);
    let grown = Growth::Grown {
        start: MIB,
        size: 255 * MIB,
    };
    assert_eq!(grow(&mut disk, bytes, 512, 1).unwrap(), grown);
    assert_eq!(grow(&mut disk, bytes, 512, 1).unwrap(), Growth::NoRoom);

    let mut disk = record(&[(0x83, 2048, 20_480), (0x83, 40_960, 2048)]);
    let before = disk.clone();
    assert_eq!(grow(&mut disk, bytes, 512, 1).unwrap(), Growth::NotLast);
    for number in [0, 3, 5] {
        grow(&mut disk, bytes, 512, number).unwrap_err();
    }
    assert_eq!(disk, before);
    let mut extended = record(&[(0x0f, 2048, 20_480)]);
    grow(&mut extended, bytes, 512, 1).unwrap_err();
    grow(&mut Memory(vec![0; 4096]), 4096, 512, 1).unwrap_err();
}

#[test]
fn a_guid_table_that_is_damaged_or_has_something_behind_stays() {
    let (mut disk, _) = enlarged(512);
    assert_eq!(grow(&mut disk, NEW, 512, 7).unwrap(), Growth::NotLast);
    for number in [0, 9, 129] {
        grow(&mut disk, NEW, 512, number).unwrap_err();
    }
    // The disk that became smaller.
    grow(&mut disk, OLD / 2, 512, 8).unwrap_err();
    let mut byte = [0; 1];
    disk.read_at(1024 + 40, &mut byte).unwrap();
    disk.write_at(1024 + 40, &[byte[0] ^ 1]).unwrap();
    disk.events.clear();
    grow(&mut disk, NEW, 512, 8).unwrap_err();
    assert!(disk.events.is_empty());
}
