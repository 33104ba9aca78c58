//! Builds GRUB's images for BIOS and UEFI from the host's GRUB packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;

use super::menu::Declaration;
use crate::cache;
use crate::workspace::{Arch, Build};

/// Where Debian keeps GRUB's parts, a folder per platform.
const PARTS: &str = "/usr/lib/grub";

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

/// GRUB as it names itself.
pub(super) fn version() -> Result<String> {
    cmd!("grub-mkimage", "--version")
        .read()
        .context("run grub-mkimage")
}

impl Loader {
    /// Builds the loaders; under UEFI the menu is found on the file system that has the file `marker`.
    pub(super) fn build(build: &Build, declaration: &Declaration, marker: &str) -> Result<Self> {
        let folder = build.scratch().join("grub");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let bios = match build.arch {
            Arch::X86_64 => Some(bios(&folder, &declaration.grub.bios.modules)?),
            Arch::Aarch64 => None,
        };
        let (platform, program) = match build.arch {
            Arch::X86_64 => ("x86_64-efi", "BOOTX64.EFI"),
            Arch::Aarch64 => ("arm64-efi", "BOOTAA64.EFI"),
        };
        let first = folder.join("uefi.cfg");
        let text = format!(
            "search --no-floppy --set=root --file /{marker}\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
        );
        cache::write(&first, text.as_bytes())?;
        let image = folder.join(program);
        mkimage(
            platform,
            &image,
            &declaration.grub.uefi.modules,
            Some(&first),
        )?;
        let efi_partition = folder.join("efi.img");
        efi_file_system(build, &image, program, &efi_partition)?;
        Ok(Self {
            bios,
            efi_partition,
        })
    }
}

/// GRUB for BIOS: the core image behind the loader of a disc.
fn bios(folder: &Path, modules: &[String]) -> Result<Bios> {
    let platform = "i386-pc";
    let core = folder.join("core.img");
    mkimage(platform, &core, modules, None)?;
    let parts = Path::new(PARTS).join(platform);
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

fn mkimage(platform: &str, target: &Path, modules: &[String], first: Option<&Path>) -> Result<()> {
    let mut arguments = vec![
        "--format".to_owned(),
        platform.to_owned(),
        "--prefix".to_owned(),
        "/boot/grub".to_owned(),
    ];
    arguments.extend([
        "--directory".to_owned(),
        format!("{PARTS}/{platform}"),
        "--output".to_owned(),
        target.display().to_string(),
    ]);
    if let Some(first) = first {
        arguments.extend(["--config".to_owned(), first.display().to_string()]);
    }
    arguments.extend_from_slice(modules);
    cmd("grub-mkimage", arguments)
        .run()
        .with_context(|| format!("build GRUB for {platform}"))?;
    Ok(())
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
