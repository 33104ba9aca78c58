//! The layout of an installation that is there already, for an installation over it that keeps its state.
//!
//! The plan for a disk depends on its size ([`Layout::plan`]), and disks grow: what is on one says where its state is.

use crate::error::Result;
use crate::gpt::Entry;
use crate::layout::{Layout, MIB, Partition, Role};
use crate::slot::Slot;

/// In the order in which they lie on the disk.
const ROLES: [Role; 8] = [
    Role::Bios,
    Role::Esp,
    Role::BootState,
    Role::Kernel(Slot::A),
    Role::Kernel(Slot::B),
    Role::Kernel(Slot::C),
    Role::Os,
    Role::State,
];

/// The layout that `entries`, a partition table, has; `bios` as for [`Layout::plan`].
///
/// # Errors
/// When it lacks a partition of ours, one is not where it could be, or it has one that is not ours.
pub fn kept_layout(
    entries: &[Entry],
    disk_bytes: u64,
    sector_bytes: u64,
    bios: bool,
) -> Result<Layout> {
    let is_ours = |entry: &Entry| {
        let mut ours = ROLES.iter();
        ours.any(|role| entry.number == role.number() && entry.name == role.name())
    };
    // The table is written again, and would not have it any more
    if let Some(other) = entries.iter().find(|entry| !is_ours(entry)) {
        invalid!(
            "the disk has a partition {} {:?} that is not of an installation, and would be lost",
            other.number,
            other.name
        );
    }
    let mut free = MIB;
    let mut partitions = Vec::new();
    let wanted = ROLES.into_iter().filter(|role| bios || *role != Role::Bios);
    for role in wanted {
        let named = |entry: &&Entry| entry.number == role.number() && entry.name == role.name();
        let Some(entry) = entries.iter().find(named) else {
            invalid!("the disk has no partition {role}");
        };
        let (start, size) = (entry.start, entry.size);
        // The last MiB is the second table's
        let end = start.saturating_add(size);
        if start < free
            || !start.is_multiple_of(MIB)
            || size < MIB
            || end > disk_bytes.saturating_sub(MIB)
        {
            invalid!("the partition {role} is not where an installation has it");
        }
        free = end;
        partitions.push(Partition { role, start, size });
    }
    Ok(Layout {
        disk_bytes,
        sector_bytes,
        partitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guid::Guid;

    const GIB: u64 = 1 << 30;

    fn entries(layout: &Layout) -> Vec<Entry> {
        let entry = |part: &Partition| Entry {
            number: part.role.number(),
            type_guid: part.role.type_guid(),
            guid: Guid::random([1; 16]),
            start: part.start,
            size: part.size,
            name: part.role.name().to_owned(),
        };
        layout.partitions.iter().map(entry).collect()
    }

    #[test]
    fn a_disk_that_grew_keeps_its_partitions() {
        for bios in [true, false] {
            let before = Layout::plan(4 * GIB, 512, bios).unwrap();
            let kept = kept_layout(&entries(&before), 100 * GIB, 512, bios).unwrap();
            assert_eq!(kept.partitions, before.partitions);
            let planned = Layout::plan(100 * GIB, 512, bios).unwrap();
            assert_ne!(kept.partitions, planned.partitions);
        }
        // From a machine that starts by BIOS to a version without GRUB for it
        let before = entries(&Layout::plan(4 * GIB, 512, true).unwrap());
        assert!(kept_layout(&before, 4 * GIB, 512, false).is_ok());
    }

    #[test]
    fn what_is_no_installation_is_refused() {
        let layout = Layout::plan(4 * GIB, 512, true).unwrap();
        let good = entries(&layout);
        for number in 0..good.len() {
            let mut missing = good.clone();
            missing.remove(number);
            assert!(
                kept_layout(&missing, 4 * GIB, 512, true).is_err(),
                "{number}"
            );
            let mut other = good.clone();
            other[number].name = "PHOTOS".to_owned();
            assert!(kept_layout(&other, 4 * GIB, 512, true).is_err(), "{number}");
            let mut moved = good.clone();
            moved[number].start = if number == 0 { 512 } else { MIB };
            assert!(kept_layout(&moved, 4 * GIB, 512, true).is_err(), "{number}");
        }
        let mut more = good.clone();
        more.push(Entry {
            number: 9,
            name: "photos".to_owned(),
            ..good[7].clone()
        });
        let error = kept_layout(&more, 9 * GIB, 512, true).unwrap_err();
        assert!(error.to_string().contains("\"photos\""), "{error}");
        let error = kept_layout(&good, 3 * GIB, 512, true).unwrap_err();
        assert!(error.to_string().contains("RANCHER_STATE"), "{error}");
    }
}
