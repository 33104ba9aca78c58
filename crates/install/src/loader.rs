//! The boot loader of an installed disk: GRUB for UEFI in the EFI system partition, for BIOS in a partition of its own.

use crate::bios::{BOOT_CODE_BYTES, boot_code, embed_core};
use crate::disk::Disk;
use crate::error::Result;
use crate::fat::{self, Source};
use crate::layout::{Layout, Role};

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

/// The core image of a boot image for discs, which has a loader of its own in front.
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

/// Overwrites the first and the last MiB, where tables and labels of earlier systems lie, and flushes.
///
/// # Errors
/// When the disk cannot be written.
pub fn wipe(disk: &mut impl Disk, disk_bytes: u64) -> Result<()> {
    let zeros = vec![0; crate::layout::MIB as usize];
    disk.write_at(0, &zeros)?;
    disk.write_at(disk_bytes - zeros.len() as u64, &zeros)?;
    disk.flush()?;
    Ok(())
}
