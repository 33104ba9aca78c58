//! GRUB for BIOS on a disk: boot code in the first sector, the core image in the BIOS boot partition.
//!
//! Places of the fields: GRUB's `include/grub/i386/pc/boot.h`; what is done here is what grub-bios-setup does to them.

use crate::disk::Disk;
use crate::error::Result;
use crate::layout::{MIB, Partition};

/// Boot code in front of a partition table.
pub const BOOT_CODE_BYTES: usize = 440;
/// The unit in which GRUB and the firmware count, whatever the disk's sectors are.
pub(crate) const SECTOR: u64 = 512;
/// Where the boot code has the number of the core image's first sector.
const KERNEL_SECTOR: usize = 0x5c;
/// Two bytes that, as no-operations, make the boot code use the drive the firmware names.
const DRIVE_CHECK: usize = 0x66;
/// Where the core image's first sector has the place of the rest.
pub(crate) const BLOCK_LIST: usize = 500;
/// Segment that the rest is loaded to.
const REST_SEGMENT: u16 = 0x0820;
/// GRUB's own limit: what lies behind would run into the firmware's memory.
const CORE_LIMIT: usize = 0x78000;

/// GRUB's `boot.img`, made to load the core image from `sector`.
///
/// # Errors
/// When it is not a boot sector.
pub fn boot_code(image: &[u8], sector: u64) -> Result<[u8; BOOT_CODE_BYTES]> {
    if image.len() != SECTOR as usize || image[510..] != [0x55, 0xaa] {
        invalid!("GRUB's boot image is not a boot sector");
    }
    let mut code = [0; BOOT_CODE_BYTES];
    code.copy_from_slice(&image[..BOOT_CODE_BYTES]);
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&sector.to_le_bytes());
    code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    Ok(code)
}

/// The sector that a boot code loads the core image from.
pub(crate) fn core_sector(code: &[u8; BOOT_CODE_BYTES]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&code[KERNEL_SECTOR..KERNEL_SECTOR + 8]);
    u64::from_le_bytes(number)
}

/// Writes the core image into one half of the BIOS boot partition and flushes; returns the sector for [`boot_code`].
///
/// An update writes the half that is not in use: the boot code, one sector, then decides.
///
/// # Errors
/// When the image is not one of GRUB's or does not fit, or the disk cannot be written.
pub fn embed_core(
    disk: &mut impl Disk,
    partition: Partition,
    second_half: bool,
    core: &[u8],
) -> Result<u64> {
    if core.len() <= SECTOR as usize || core.len() > CORE_LIMIT {
        invalid!("GRUB's core image has {} bytes", core.len());
    }
    let start = partition.start + if second_half { MIB } else { 0 };
    let mut image = core.to_vec();
    image.resize(core.len().next_multiple_of(SECTOR as usize), 0);
    let sector = start / SECTOR;
    let rest = image.len() / SECTOR as usize - 1;
    let Ok(rest) = u16::try_from(rest) else {
        invalid!("GRUB's core image has {rest} sectors");
    };
    image[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(sector + 1).to_le_bytes());
    image[BLOCK_LIST + 8..BLOCK_LIST + 10].copy_from_slice(&rest.to_le_bytes());
    image[BLOCK_LIST + 10..SECTOR as usize].copy_from_slice(&REST_SEGMENT.to_le_bytes());
    disk.write_at(start, &image)?;
    disk.flush()?;
    Ok(sector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Memory;
    use crate::layout::Role;

    #[test]
    fn halves_do_not_touch_each_other_and_the_boot_code_finds_the_one_written() {
        let mut disk = Memory(vec![0; 4 << 20]);
        let partition = Partition {
            role: Role::Bios,
            start: MIB,
            size: 2 * MIB,
        };
        let core = vec![7; 170_001];
        let first = embed_core(&mut disk, partition, false, &core).unwrap();
        let second = embed_core(&mut disk, partition, true, &core).unwrap();
        assert_eq!((first, second), (2048, 4096));
        assert_eq!(
            disk.0[MIB as usize + 500..MIB as usize + 512],
            [0x01, 0x08, 0, 0, 0, 0, 0, 0, 0x4c, 0x01, 0x20, 0x08]
        );
        let mut image = vec![1; 512];
        image[510..].copy_from_slice(&[0x55, 0xaa]);
        let code = boot_code(&image, second).unwrap();
        assert_eq!(
            code[0x5c..0x68],
            [0, 0x10, 0, 0, 0, 0, 0, 0, 1, 1, 0x90, 0x90]
        );
        assert!(boot_code(&image[..511], second).is_err());
        assert!(embed_core(&mut disk, partition, false, &[0; 600_000]).is_err());
    }
}
