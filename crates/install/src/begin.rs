//! The first writes of an installation: what an earlier one starts with goes before anything else changes.

use crate::bios::BOOT_CODE_BYTES;
use crate::disk::Disk;
use crate::error::Result;
use crate::gpt::write_table;
use crate::guid::Guid;
use crate::layout::{Layout, MIB, Role};
use crate::loader::wipe;

/// Begins an installation: from here until [`crate::finish`] the disk does not start, whatever it had before.
///
/// With `keep_state` the tables are never both gone: the second is written and flushed before the first, and each of them names the
/// state partition.
///
/// # Errors
/// When the disk cannot be written.
pub fn begin(
    disk: &mut impl Disk,
    layout: &Layout,
    keep_state: bool,
    guid: impl FnMut() -> Guid,
) -> Result<()> {
    disarm(disk, layout)?;
    if !keep_state {
        wipe(disk, layout.disk_bytes)?;
    }
    write_table(disk, layout, guid)
}

/// Takes away what starts an earlier installation, and flushes: boot code, the file system of UEFI's program, the records. Half of
/// a new version under an old loader would be started by it.
fn disarm(disk: &mut impl Disk, layout: &Layout) -> Result<()> {
    let zeros = vec![0; MIB as usize];
    disk.write_at(0, &zeros[..BOOT_CODE_BYTES])?;
    for role in [Role::Esp, Role::BootState] {
        disk.write_at(layout.get(role)?.start, &zeros)?;
    }
    disk.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Failing, Memory};
    use crate::gpt::{Entry, read_second_table, read_table};
    use crate::layout::Partition;
    use crate::loader::Loader;
    use crate::records::Records;
    use crate::slot::Slot;
    use crate::{fat, steps};

    const DISK_MIB: u64 = 40;

    fn layout() -> Layout {
        let part = |role, start, size| Partition {
            role,
            start: start * MIB,
            size: size * MIB,
        };
        Layout {
            disk_bytes: DISK_MIB * MIB,
            sector_bytes: 512,
            partitions: vec![
                part(Role::Bios, 1, 2),
                part(Role::Esp, 3, 24),
                part(Role::BootState, 27, 1),
                part(Role::State, 28, 11),
            ],
        }
    }

    fn guids() -> impl FnMut() -> Guid {
        let mut number = 0;
        move || {
            number += 1;
            Guid([number; 16])
        }
    }

    fn installed() -> Memory {
        let mut disk = Memory(vec![0; (DISK_MIB * MIB) as usize]);
        let mut boot = vec![0x90; 512];
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        let loader = Loader {
            bios: Some((boot, vec![7; 20_000])),
            uefi: ("BOOTX64.EFI".to_owned(), vec![1; 5000]),
        };
        begin(&mut disk, &layout(), false, guids()).unwrap();
        let code = steps::finish(&mut disk, &layout(), &loader, Slot::A).unwrap();
        disk.write_at(0, &code.unwrap()).unwrap();
        assert!(starts(&mut disk));
        disk
    }

    /// Whether either firmware finds something to start, and that finds records.
    fn starts(disk: &mut Memory) -> bool {
        let esp = layout().get(Role::Esp).unwrap().start;
        let uefi = fat::read(disk, esp, "EFI/BOOT/BOOTX64.EFI", 1 << 20).is_ok();
        let bios = disk.0[..BOOT_CODE_BYTES].iter().any(|byte| *byte != 0);
        let start = layout().get(Role::BootState).unwrap().start;
        let records = Records::read(disk, start).is_ok_and(|found| found.choice().is_some());
        (uefi || bios) && records
    }

    fn has_state(table: Result<Vec<Entry>>) -> bool {
        let wanted = layout().get(Role::State).unwrap();
        table.is_ok_and(|entries| {
            let mut entries = entries.iter();
            entries.any(|entry| (entry.start, entry.size) == (wanted.start, wanted.size))
        })
    }

    #[test]
    fn an_earlier_installation_does_not_start_the_half_of_a_new_one() {
        for keep_state in [false, true] {
            let mut disk = installed();
            begin(&mut disk, &layout(), keep_state, guids()).unwrap();
            assert!(!starts(&mut disk));
            assert!(has_state(read_table(&mut disk, 512)));
        }
    }

    #[test]
    fn a_kept_state_is_found_after_a_cut_at_any_write() {
        let first = installed();
        let mut cuts = 0;
        for torn in [false, true] {
            for left in 0.. {
                let mut disk = Failing {
                    disk: first.clone(),
                    left,
                    torn: torn.then_some(0),
                };
                if begin(&mut disk, &layout(), true, guids()).is_ok() {
                    break;
                }
                cuts += 1;
                let mut disk = disk.disk;
                let second = read_second_table(&mut disk, 512, DISK_MIB * MIB);
                assert!(
                    has_state(read_table(&mut disk, 512)) || has_state(second),
                    "write {left} cut, torn: {torn}"
                );
            }
        }
        assert!(cuts >= 16, "only {cuts} cuts");
    }
}
