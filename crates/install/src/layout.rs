//! Which partitions a disk gets, and how large.
//!
//! The numbers of partitions never change: the boot loader's script names 3 to 6, PID 1 names 7 and 8.

use std::fmt;

use crate::error::Result;
use crate::guid::Guid;
use crate::slot::Slot;

/// One mebibyte, to which everything is aligned.
pub const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The smallest disk that can be installed on: what is not state needs 1.5 GiB of it.
const SMALLEST_BYTES: u64 = 2 * GIB;
/// Below this the slots and the store of layers are small.
const SMALL_BYTES: u64 = 8 * GIB;
/// Above this the store of layers is large.
const LARGE_BYTES: u64 = 64 * GIB;
/// 4 KiB clusters make a file system FAT32 from 65,525 clusters on, and with 4096-byte sectors clusters cannot be smaller.
const ESP_MIB: u64 = 288;

/// What a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// GRUB for BIOS.
    Bios,
    /// GRUB for UEFI.
    Esp,
    /// The boot records.
    BootState,
    /// Kernel and initrd of one version.
    Kernel(Slot),
    /// Layers and files of all versions.
    Os,
    /// What the user made.
    State,
}

impl Role {
    /// Number of the partition.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Bios => 1,
            Self::Esp => 2,
            Self::BootState => 3,
            Self::Kernel(slot) => slot.number(),
            Self::Os => 7,
            Self::State => 8,
        }
    }

    /// The partition's name; for file systems it is their label too.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bios => "RANCHER_BIOS",
            Self::Esp => "RANCHER_ESP",
            Self::BootState => "RANCHER_BOOTSTATE",
            Self::Kernel(Slot::A) => "RANCHER_KERN_A",
            Self::Kernel(Slot::B) => "RANCHER_KERN_B",
            Self::Kernel(Slot::C) => "RANCHER_KERN_C",
            Self::Os => "RANCHER_OS",
            Self::State => "RANCHER_STATE",
        }
    }

    /// The partition's type.
    #[must_use]
    pub const fn type_guid(self) -> Guid {
        Guid::new(match self {
            Self::Bios => 0x2168_6148_6449_6E6F_744E_6565_6445_4649,
            Self::Esp => 0xC12A_7328_F81F_11D2_BA4B_00C0_4FC9_3C9B,
            Self::BootState => 0x0CEF_6C93_DBDF_40AE_A00C_72C2_00C4_6B24,
            Self::Kernel(_) => 0x8BCE_5C7F_27FD_4C14_9ED4_4F56_712B_E735,
            Self::Os => 0xE4BA_2668_126A_4F01_938F_A658_2758_BB64,
            Self::State => 0x0FC6_3DAF_8483_4772_8E79_3D69_D847_7DE4, // Linux file system data
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One partition of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub role: Role,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

/// The partitions of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// Bytes in a logical sector: 512 or 4096.
    pub sector_bytes: u64,
    /// In order of their place.
    pub partitions: Vec<Partition>,
}

impl Layout {
    /// Plans a disk. `bios` leaves room for GRUB for BIOS, which only PCs have; the numbers of the others stay.
    ///
    /// # Errors
    /// When the disk is too small, or its sectors are of a size that GPT and FAT cannot both have.
    pub fn plan(disk_bytes: u64, sector_bytes: u64, bios: bool) -> Result<Self> {
        if !matches!(sector_bytes, 512 | 4096) {
            invalid!("sectors of {sector_bytes} bytes are not supported, only 512 and 4096");
        }
        if disk_bytes < SMALLEST_BYTES {
            invalid!(
                "the disk has {} MiB, at least {} are needed",
                disk_bytes / MIB,
                SMALLEST_BYTES / MIB
            );
        }
        let (kernel, os) = if disk_bytes < SMALL_BYTES {
            (64, 768)
        } else if disk_bytes <= LARGE_BYTES {
            (128, 2048)
        } else {
            (128, 4096)
        };
        let mut sizes = vec![
            (Role::Bios, 2),
            (Role::Esp, ESP_MIB),
            (Role::BootState, 1),
            (Role::Kernel(Slot::A), kernel),
            (Role::Kernel(Slot::B), kernel),
            (Role::Kernel(Slot::C), kernel),
            (Role::Os, os),
        ];
        if !bios {
            sizes.remove(0);
        }
        let mut start = MIB;
        let mut partitions = Vec::new();
        for (role, mebibytes) in sizes {
            let size = mebibytes * MIB;
            partitions.push(Partition { role, start, size });
            start += size;
        }
        // The last MiB is the second table's
        let end = disk_bytes / MIB * MIB - MIB;
        partitions.push(Partition {
            role: Role::State,
            start,
            size: end - start,
        });
        Ok(Self {
            disk_bytes,
            sector_bytes,
            partitions,
        })
    }

    /// The partition for this purpose.
    ///
    /// # Errors
    /// When the plan does not have it.
    pub fn get(&self, role: Role) -> Result<Partition> {
        match self.partitions.iter().find(|part| part.role == role) {
            Some(found) => Ok(*found),
            None => invalid!("the disk has no partition {role}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_aligned_apart_and_inside_of_any_disk() {
        let sizes = [2048, 2049, 8191, 8192, 16_384, 65_536, 65_537, 20_000_000];
        for (mebibytes, sector, bios) in sizes
            .into_iter()
            .flat_map(|size| [(size, 512, true), (size, 4096, true), (size, 512, false)])
        {
            // A disk whose size is not a multiple of a MiB, as disks are
            let bytes = mebibytes * MIB + 700 * 1024;
            let layout = Layout::plan(bytes, sector, bios).unwrap();
            let mut free = MIB;
            for part in &layout.partitions {
                assert!(part.start >= free && part.start % MIB == 0 && part.size >= MIB);
                free = part.start + part.size;
            }
            assert!(free + MIB <= bytes);
            assert_eq!(layout.partitions.len(), if bios { 8 } else { 7 });
            assert!(layout.get(Role::State).unwrap().size >= 500 * MIB);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let small = Layout::plan(2 * GIB - 512, 512, true).unwrap_err();
        assert_eq!(
            small.to_string(),
            "the disk has 2047 MiB, at least 2048 are needed"
        );
        assert!(Layout::plan(GIB * 10, 520, true).is_err());
    }
}
