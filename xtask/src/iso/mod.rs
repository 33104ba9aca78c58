//! Builds the bootable ISO image: one file that starts from a disc or copied to a disk, under BIOS and under UEFI.

mod grub;
mod manifest;
mod menu;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;

use crate::cache::{self, Inputs, Pending};
use crate::grub::Grub;
use crate::kernel::{self, Kernel};
use crate::setup::{self, Purpose};
use crate::workspace::{Build, VERSION};
use crate::{images, initrd, progress, size};

/// Options of `cargo xtask iso`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    initrd: initrd::Options,
}

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    ensure(build, &options.initrd).map(|_| ())
}

/// Builds the ISO as `cargo xtask iso` does.
pub(crate) fn build(build: &Build) -> Result<PathBuf> {
    ensure(build, &initrd::Options::default())
}

/// Builds the ISO and everything it needs, unless it is there; returns its path.
pub(crate) fn ensure(build: &Build, options: &initrd::Options) -> Result<PathBuf> {
    let _lock = build.lock()?;
    setup::ensure(
        build,
        &[
            Purpose::Fetch,
            Purpose::Programs,
            Purpose::Kernel,
            Purpose::Images,
            Purpose::Iso,
        ],
    )?;
    let (kernel, media) = parts(build)?;
    let initrd = initrd::ensure(build, options, &kernel)?;
    initrd::netboot(build, &initrd)?;
    let iso = path(build);
    progress::step("iso", || {
        let grub = Grub::get(build)?;
        let key = key(build, &kernel, &initrd, &media, &grub)?;
        if !cache::is_done(build, "iso", &key, std::slice::from_ref(&iso)) {
            write(build, &kernel, [&initrd, &media, &iso], &grub, &key)?;
            cache::mark_done(build, "iso", &key)?;
        }
        checksums(build)
    })?;
    size::show(build)?;
    progress::note("iso", &iso.display().to_string());
    Ok(iso)
}

/// Builds the kernel, and at the same time what does not need it: images and programs. A cold build of the kernel takes most of
/// twenty minutes on two processors and does not keep them busy all the time.
fn parts(build: &Build) -> Result<(Kernel, PathBuf)> {
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let made =
                images::ensure(build).and_then(|media| initrd::program(build).map(|_| media));
            if let Err(error) = &made {
                progress::warn(&format!(
                    "{error:#}; the kernel does not need it and is finished first"
                ));
            }
            made
        });
        let kernel = kernel::ensure(build);
        let media = others
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((kernel?, media?))
    })
}

/// Where the ISO is, or will be.
pub(crate) fn path(build: &Build) -> PathBuf {
    build
        .dist()
        .join(format!("rancheros-{VERSION}-{}.iso", build.arch.name()))
}

fn key(build: &Build, kernel: &Kernel, initrd: &Path, media: &Path, grub: &Grub) -> Result<String> {
    let mut inputs = Inputs::new("iso");
    inputs
        .text("kernel", &kernel.key)
        .file(initrd)?
        .tree(media)?
        .tree(&build.root.join("iso"))?;
    inputs
        .text("version", VERSION)
        .text("epoch", &build.epoch()?.to_string())
        .text("grub", grub.key());
    Ok(inputs.key())
}

/// Lays the ISO's files out in a folder and packs it.
fn write(
    build: &Build,
    kernel: &Kernel,
    [initrd, media, iso]: [&Path; 3],
    grub: &Grub,
    key: &str,
) -> Result<()> {
    let declaration = menu::Declaration::read(build)?;
    let folder = build.scratch().join("iso");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    // The loader under UEFI starts from another partition and finds this one by a file that no other ISO has
    let marker = format!("boot/{}", &key[..MARKER_LENGTH]);
    cache::place(&kernel.image(), &folder.join("boot/vmlinuz"))?;
    cache::place(initrd, &folder.join("boot/initrd"))?;
    cache::write(&folder.join(&marker), b"")?;
    cache::write(
        &folder.join("boot/grub/grub.cfg"),
        menu::write(build, &declaration)?.as_bytes(),
    )?;
    for path in cache::walk(media)? {
        if media.join(&path).is_file() {
            cache::place(&media.join(&path), &folder.join("rancheros").join(&path))?;
        }
    }
    let loader = grub::Loader::build(build, grub, &declaration, &marker)?;
    if let Some(bios) = &loader.bios {
        cache::place(&bios.boot, &folder.join("boot/grub/boot.img"))?;
    }
    manifest::write(build, kernel, &declaration, &loader, &folder)?;
    let pending = Pending::create(iso)?;
    xorriso(build, &declaration.label, &loader, &folder, pending.path())?;
    pending.commit()
}

/// Characters of the ISO's key that name its marker.
const MARKER_LENGTH: usize = 16;

/// Packs `folder`: El Torito for discs, a hybrid MBR and GPT for disks.
fn xorriso(
    build: &Build,
    label: &str,
    loader: &grub::Loader,
    folder: &Path,
    target: &Path,
) -> Result<()> {
    let mut arguments: Vec<String> = [
        "-as",
        "mkisofs",
        "-quiet",
        "-r",
        "-J",
        "-joliet-long",
        "-V",
        label,
        "-partition_offset",
        "16",
    ]
    .map(str::to_owned)
    .to_vec();
    let text = |path: &Path| path.display().to_string();
    arguments.extend([
        "--set_all_file_dates".to_owned(),
        format!("={}", build.epoch()?),
    ]);
    if let Some(bios) = &loader.bios {
        cache::place(&bios.el_torito, &folder.join("boot/grub/eltorito.img"))?;
        arguments.extend([
            "--grub2-mbr".to_owned(),
            text(&bios.mbr),
            "--mbr-force-bootable".to_owned(),
        ]);
        arguments.extend(
            [
                "-c",
                "/boot/boot.cat",
                "-b",
                "/boot/grub/eltorito.img",
                "-no-emul-boot",
            ]
            .map(str::to_owned),
        );
        arguments.extend(
            [
                "-boot-load-size",
                "4",
                "-boot-info-table",
                "--grub2-boot-info",
                "-eltorito-alt-boot",
            ]
            .map(str::to_owned),
        );
    }
    arguments.extend([
        "-append_partition".to_owned(),
        "2".to_owned(),
        EFI_SYSTEM.to_owned(),
        text(&loader.efi_partition),
    ]);
    arguments.extend(
        [
            "-appended_part_as_gpt",
            "-e",
            "--interval:appended_partition_2:all::",
            "-no-emul-boot",
        ]
        .map(str::to_owned),
    );
    arguments.extend(["-o".to_owned(), text(target), text(folder)]);
    cmd("xorriso", arguments)
        .env("SOURCE_DATE_EPOCH", build.epoch()?.to_string())
        .env("TZ", "UTC")
        .run()
        .with_context(|| format!("pack {}", folder.display()))?;
    Ok(())
}

/// GPT type of an EFI system partition.
const EFI_SYSTEM: &str = "C12A7328-F81F-11D2-BA4B-00C04FC93C9B";

/// Writes `dist/SHA256SUMS-ARCH` over all files that are handed out, in the form of sha256sum(1).
fn checksums(build: &Build) -> Result<()> {
    let dist = build.dist();
    let suffix = format!("-{VERSION}-{}", build.arch.name());
    let mut names = Vec::new();
    let images = build.images();
    for folder in [&dist, &images] {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", dist.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(&suffix) || name.ends_with(".oci.tar") {
                let path = entry.path();
                names.push(path.strip_prefix(&dist).unwrap_or(&path).to_path_buf());
            }
        }
    }
    names.sort();
    let mut sums = String::new();
    for name in names {
        sums.push_str(&format!(
            "{}  {}\n",
            cache::sha256_file(&dist.join(&name))?,
            name.display()
        ));
    }
    let name = format!("SHA256SUMS-{}", build.arch.name());
    cache::write(&dist.join(name), sums.as_bytes())
}
