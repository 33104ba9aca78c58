//! The boot loader of an installed disk: GRUB for UEFI in the EFI system partition, for BIOS in its own partition.

use crate::bios::{BLOCK_LIST, BOOT_CODE_BYTES, SECTOR, boot_code, core_sector, embed_core};
use crate::disk::Disk;
use crate::error::Result;
use crate::fat::{self, Source};
use crate::layout::{Layout, MIB, Partition, Role};

/// Name of GRUB's boot code in a manifest.
pub const BOOT_IMAGE: &str = "boot.img";
/// Name of GRUB for BIOS in a manifest; its digest is that of [`plain_core`].
pub const CORE_IMAGE: &str = "core.img";
/// Bytes of GRUB's loader for discs, in front of the core image.
const DISC_LOADER_BYTES: usize = 2048;
/// Where a core image says where its rest lies, which differs from disk to disk.
const PLACE: std::ops::Range<usize> = 500..508;

/// A core image without the place of its rest: the same bytes wherever it comes from.
#[must_use]
pub fn plain_core(core: &[u8]) -> Vec<u8> {
    let mut plain = core.to_vec();
    if let Some(place) = plain.get_mut(PLACE) {
        place.fill(0);
    }
    plain
}

/// The core image of a boot image for discs, which has its own loader in front.
///
/// # Errors
/// When it is too short to be one.
pub fn core_of_disc(image: &[u8]) -> Result<Vec<u8>> {
    match image.get(DISC_LOADER_BYTES..) {
        Some(core) if !core.is_empty() => Ok(plain_core(core)),
        _ => invalid!("the boot image for discs has only {} bytes", image.len()),
    }
}

/// GRUB's parts.
#[derive(Clone, Debug)]
pub struct Loader {
    /// Boot code and core image, for machines with a BIOS.
    pub bios: Option<(Vec<u8>, Vec<u8>)>,
    /// Name for removable media, such as `BOOTX64.EFI`, and the program.
    pub uefi: (String, Vec<u8>),
}

impl Loader {
    /// Writes all but the boot code in the first sector; returns that, to be written last of all.
    ///
    /// # Errors
    /// When the parts are not GRUB's, do not fit, or the disk cannot be written.
    pub fn write(
        &self,
        disk: &mut impl Disk,
        layout: &Layout,
    ) -> Result<Option<[u8; BOOT_CODE_BYTES]>> {
        let esp = layout.get(Role::Esp)?;
        let volume = fat::Volume::new(
            esp.size,
            layout.sector_bytes,
            "RANCHER_ESP",
            Role::Esp.number(),
        )?;
        let (name, program) = &self.uefi;
        let mut content: &[u8] = program;
        let path = format!("EFI/BOOT/{name}");
        let mut files = [Source::file(&path, &mut content, program.len() as u64)];
        fat::write(disk, esp.start, &volume, &mut files)?;
        match (&self.bios, layout.get(Role::Bios)) {
            (Some((boot, core)), Ok(partition)) => {
                let sector = embed_core(disk, partition, false, core)?;
                Ok(Some(boot_code(boot, sector)?))
            }
            _ => Ok(None),
        }
    }
}

/// A core image without its list of blocks, which [`embed_core`] writes.
fn rest(core: &[u8]) -> Vec<u8> {
    let mut rest = core.to_vec();
    if let Some(list) = rest.get_mut(BLOCK_LIST..SECTOR as usize) {
        list.fill(0);
    }
    rest
}

/// Puts another GRUB for BIOS on an installed disk, in the half of its partition that is not in use; the boot code, one sector,
/// then decides. Returns whether there was something to do.
///
/// # Errors
/// When the disk starts something else, gives back other bytes than were written, or cannot be read or written. The GRUB that was
/// there then still starts.
pub fn update_bios(
    disk: &mut impl Disk,
    partition: Partition,
    (boot, core): (&[u8], &[u8]),
) -> Result<bool> {
    let mut first = [0; BOOT_CODE_BYTES];
    disk.read_at(0, &mut first)?;
    let sector = core_sector(&first);
    let halves = [partition.start, partition.start + MIB];
    let Some(used) = halves.iter().position(|start| start / SECTOR == sector) else {
        invalid!("the boot code starts sector {sector}, which is not GRUB's on this disk");
    };
    let mut now = vec![0; core.len()];
    disk.read_at(halves[used], &mut now)?;
    if first == boot_code(boot, sector)? && rest(&now) == rest(core) {
        return Ok(false);
    }
    let sector = embed_core(disk, partition, used == 0, core)?;
    // Compares what the disk, not the cache, has
    disk.forget()?;
    disk.read_at(halves[1 - used], &mut now)?;
    if rest(&now) != rest(core) {
        invalid!("the disk gives other bytes than were written (GRUB's core image)");
    }
    disk.write_at(0, &boot_code(boot, sector)?)?;
    disk.flush()?;
    Ok(true)
}

/// Overwrites the first and the last MiB, where tables and labels of earlier systems lie, and flushes.
///
/// # Errors
/// When the disk cannot be written.
pub(crate) fn wipe(disk: &mut impl Disk, disk_bytes: u64) -> Result<()> {
    let zeros = vec![0; crate::layout::MIB as usize];
    disk.write_at(0, &zeros)?;
    disk.write_at(disk_bytes - zeros.len() as u64, &zeros)?;
    disk.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Failing, Memory};
    use crate::error::Error;

    const PARTITION: Partition = Partition {
        role: Role::Bios,
        start: MIB,
        size: 2 * MIB,
    };

    fn parts(byte: u8) -> (Vec<u8>, Vec<u8>) {
        let mut boot = vec![byte; 512];
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        (boot, vec![byte; 170_001])
    }

    fn installed(byte: u8) -> Memory {
        let mut disk = Memory(vec![0; 4 << 20]);
        let (boot, core) = parts(byte);
        let sector = embed_core(&mut disk, PARTITION, false, &core).unwrap();
        let code = boot_code(&boot, sector).unwrap();
        disk.write_at(0, &code).unwrap();
        disk
    }

    /// The core image that the firmware would start, by its bytes.
    fn starts(disk: &Memory) -> u8 {
        let mut first = [0; BOOT_CODE_BYTES];
        first.copy_from_slice(&disk.0[..BOOT_CODE_BYTES]);
        let start = (core_sector(&first) * SECTOR) as usize;
        let core = &disk.0[start..start + 170_001];
        let byte = core[1000];
        assert!(rest(core) == rest(&parts(byte).1), "half a GRUB");
        byte
    }

    fn update(disk: &mut impl Disk, byte: u8) -> Result<bool> {
        let (boot, core) = parts(byte);
        update_bios(disk, PARTITION, (&boot, &core))
    }

    #[test]
    fn halves_take_turns_and_the_same_grub_is_not_written_again() {
        let mut disk = installed(1);
        for byte in [2, 3, 4] {
            assert!(update(&mut disk, byte).unwrap());
            assert_eq!(starts(&disk), byte);
            assert!(!update(&mut disk, byte).unwrap());
        }
    }

    #[test]
    fn a_cut_at_any_write_starts_the_one_or_the_other() {
        for torn in [false, true] {
            for left in 0..2 {
                let mut disk = Failing {
                    disk: installed(1),
                    left,
                    // A sector is whole or not at all
                    torn: torn.then_some(512),
                };
                assert!(matches!(update(&mut disk, 2), Err(Error::Io(_))));
                assert_eq!(starts(&disk.disk), 1);
            }
        }
    }

    /// A disk that loses what is written, and a cache in front of it that does not.
    struct Lying {
        disk: Memory,
        cache: Memory,
    }

    impl Disk for Lying {
        fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
            self.cache.read_at(offset, buffer)
        }

        fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
            if bytes.len() == BOOT_CODE_BYTES {
                self.disk.write_at(offset, bytes)?;
            }
            self.cache.write_at(offset, bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }

        fn forget(&mut self) -> std::io::Result<()> {
            self.cache = self.disk.clone();
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_loses_what_is_written_keeps_its_grub() {
        let mut disk = Lying {
            disk: installed(1),
            cache: installed(1),
        };
        let error = update(&mut disk, 2).unwrap_err();
        assert!(error.to_string().contains("other bytes"), "{error}");
        assert_eq!(starts(&disk.disk), 1);
    }

    #[test]
    fn a_disk_that_starts_something_else_is_left_alone() {
        let mut disk = installed(1);
        disk.0[0x5c] ^= 0xff;
        let before = disk.0.clone();
        assert!(update(&mut disk, 2).is_err());
        assert!(disk.0 == before);
    }
}
