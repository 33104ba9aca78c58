//! Builds GRUB's images for BIOS and UEFI from Debian 13's GRUB.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;

use super::menu::Declaration;
use crate::cache;
use crate::grub::{Grub, Platform};
use crate::workspace::Build;

/// Serial number of the EFI partition's file system; fixed, so that two builds give the same bytes.
const EFI_SERIAL: &str = "52414e43";

/// The boot loaders of one ISO.
pub(super) struct Loader {
    /// For BIOS, which only PCs have.
    pub(super) bios: Option<Bios>,
    /// Image of the EFI system partition.
    pub(super) efi_partition: PathBuf,
}

/// GRUB for BIOS.
pub(super) struct Bios {
    /// Boot image of a disc.
    pub(super) el_torito: PathBuf,
    /// Boot record of a disk.
    pub(super) mbr: PathBuf,
}

impl Loader {
    /// Builds the loaders; under UEFI the menu is found on the file system that has the file `marker`.
    pub(super) fn build(
        build: &Build,
        grub: &Grub,
        declaration: &Declaration,
        marker: &str,
    ) -> Result<Self> {
        let folder = build.scratch().join("grub");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let (mut bios, mut efi_partition) = (None, None);
        for platform in Platform::all(build.arch) {
            match platform {
                Platform::Bios => {
                    bios = Some(for_bios(grub, &folder, &declaration.grub.bios.modules)?);
                }
                Platform::UefiX86 | Platform::UefiArm => {
                    let modules = &declaration.grub.uefi.modules;
                    let first = first_script(&folder, marker)?;
                    let image = folder.join("grub.efi");
                    mkimage(grub, *platform, &image, modules, Some(&first))?;
                    let path = folder.join("efi.img");
                    efi_file_system(build, &image, platform.removable_name(), &path)?;
                    efi_partition = Some(path);
                }
            }
        }
        Ok(Self {
            bios,
            efi_partition: efi_partition.context("the architecture has no UEFI")?,
        })
    }
}

/// The script inside GRUB for UEFI, which finds the menu.
fn first_script(folder: &Path, marker: &str) -> Result<PathBuf> {
    let path = folder.join("uefi.cfg");
    let text = format!(
        "search --no-floppy --set=root --file /{marker}\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
    );
    cache::write(&path, text.as_bytes())?;
    Ok(path)
}

/// GRUB for BIOS: the core image behind the loader of a disc.
fn for_bios(grub: &Grub, folder: &Path, modules: &[String]) -> Result<Bios> {
    let core = folder.join("core.img");
    mkimage(grub, Platform::Bios, &core, modules, None)?;
    let parts = grub.parts(Platform::Bios);
    let read = |path: PathBuf| fs::read(&path).with_context(|| format!("read {}", path.display()));
    let mut el_torito = read(parts.join("cdboot.img"))?;
    el_torito.extend(read(core)?);
    let path = folder.join("eltorito.img");
    cache::write(&path, &el_torito)?;
    Ok(Bios {
        el_torito: path,
        mbr: parts.join("boot_hybrid.img"),
    })
}

fn mkimage(
    grub: &Grub,
    platform: Platform,
    target: &Path,
    modules: &[String],
    first: Option<&Path>,
) -> Result<()> {
    let mut arguments = vec!["--prefix".to_owned(), "/boot/grub".to_owned()];
    if let Some(first) = first {
        arguments.extend(["--config".to_owned(), first.display().to_string()]);
    }
    grub.image(platform, modules, &arguments, target)
}

/// Kibibytes that the FAT file system needs beside the program.
const EFI_OVERHEAD: u64 = 128;

/// Makes the file system that UEFI firmware looks for: FAT with the loader under the name for removable media.
fn efi_file_system(build: &Build, program: &Path, name: &str, target: &Path) -> Result<()> {
    let size = fs::metadata(program)
        .with_context(|| format!("stat {}", program.display()))?
        .len();
    let kibibytes = (size / 1024 + EFI_OVERHEAD).next_multiple_of(64);
    fs::remove_file(target).ok();
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let epoch = build.epoch()?.to_string();
    let run = |program: &str, arguments: &[&str]| {
        let result = cmd(program, arguments)
            .env("PATH", &path)
            .env("SOURCE_DATE_EPOCH", &epoch)
            .env("TZ", "UTC")
            .env("MTOOLS_SKIP_CHECK", "1")
            .stdout_null()
            .run();
        result.with_context(|| format!("run {program} for the EFI partition"))
    };
    let image = target.display().to_string();
    run(
        "mkfs.vfat",
        &[
            "-C",
            "--invariant",
            "-i",
            EFI_SERIAL,
            "-n",
            "RANCHEREFI",
            &image,
            &kibibytes.to_string(),
        ],
    )?;
    run("mmd", &["-i", &image, "::/EFI", "::/EFI/BOOT"])?;
    run(
        "mcopy",
        &[
            "-i",
            &image,
            &program.display().to_string(),
            &format!("::/EFI/BOOT/{name}"),
        ],
    )?;
    Ok(())
}
