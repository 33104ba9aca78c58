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
    /// The program for UEFI, under the name for removable media.
    pub(super) program: PathBuf,
    /// Image of the EFI system partition.
    pub(super) efi_partition: PathBuf,
}

/// GRUB for BIOS.
pub(super) struct Bios {
    /// Boot image of a disc.
    pub(super) el_torito: PathBuf,
    /// Boot record of a disk that the image is copied to.
    pub(super) mbr: PathBuf,
    /// GRUB itself, as it lies behind the boot image of a disc and in a partition of an installed disk.
    pub(super) core: PathBuf,
    /// Boot code of an installed disk.
    pub(super) boot: PathBuf,
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
        let script = Script::write(build, &folder, marker)?;
        let (mut bios, mut uefi) = (None, None);
        for platform in Platform::all(build.arch) {
            match platform {
                Platform::Bios => {
                    bios = Some(for_bios(
                        grub,
                        &script,
                        &folder,
                        &declaration.grub.bios.modules,
                    )?);
                }
                Platform::UefiX86 | Platform::UefiArm => {
                    let modules = &declaration.grub.uefi.modules;
                    let image = folder.join(platform.removable_name());
                    mkimage(grub, *platform, &image, modules, &script)?;
                    let path = folder.join("efi.img");
                    efi_file_system(build, &image, platform.removable_name(), &path)?;
                    uefi = Some((image, path));
                }
            }
        }
        let (program, efi_partition) = uefi.context("the architecture has no UEFI")?;
        Ok(Self {
            bios,
            program,
            efi_partition,
        })
    }
}

/// Where GRUB looks: a partition of the disk that the firmware started it from, whatever that is called.
const PREFIX: &str = "(,gpt3)/";
/// Where `boot.cfg` has the name of the medium's marker.
const MARKER: &str = "@MARKER@";

/// The scripts inside of GRUB.
struct Script {
    /// A tar archive that GRUB sees as a file system: `boot.cfg`.
    memdisk: PathBuf,
    /// What starts it.
    first: PathBuf,
}

impl Script {
    /// Writes them; a disc or stick is found by its file `marker`.
    fn write(build: &Build, folder: &Path, marker: &str) -> Result<Self> {
        let path = build.root.join("iso/boot.cfg");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let text = text.replace(MARKER, marker);
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let mut archive = tar::Builder::new(Vec::new());
        archive
            .append_data(&mut header, "boot.cfg", text.as_bytes())
            .context("pack boot.cfg")?;
        let script = Self {
            memdisk: folder.join("boot.tar"),
            first: folder.join("first.cfg"),
        };
        cache::write(
            &script.memdisk,
            &archive.into_inner().context("pack boot.cfg")?,
        )?;
        cache::write(&script.first, b"normal (memdisk)/boot.cfg\n")?;
        Ok(script)
    }
}

/// GRUB for BIOS: the core image behind the loader of a disc.
fn for_bios(grub: &Grub, script: &Script, folder: &Path, modules: &[String]) -> Result<Bios> {
    let core = folder.join("core.img");
    mkimage(grub, Platform::Bios, &core, modules, script)?;
    let parts = grub.parts(Platform::Bios);
    let read = |path: PathBuf| fs::read(&path).with_context(|| format!("read {}", path.display()));
    let mut el_torito = read(parts.join("cdboot.img"))?;
    el_torito.extend(read(core.clone())?);
    let path = folder.join("eltorito.img");
    cache::write(&path, &el_torito)?;
    Ok(Bios {
        el_torito: path,
        mbr: parts.join("boot_hybrid.img"),
        core,
        boot: parts.join("boot.img"),
    })
}

fn mkimage(
    grub: &Grub,
    platform: Platform,
    target: &Path,
    modules: &[String],
    script: &Script,
) -> Result<()> {
    // In this order: --memdisk sets a prefix, too
    let arguments = [
        ("--memdisk", script.memdisk.display().to_string()),
        ("--prefix", PREFIX.to_owned()),
        ("--config", script.first.display().to_string()),
    ];
    let arguments: Vec<String> = arguments
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect();
    grub.image(platform, modules, &arguments, target)
}

/// Kibibytes that the FAT file system needs in addition to the program.
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
