//! What is installed from: the disc or stick that runs, or an ISO file.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use install::{BOOT_IMAGE, CORE_IMAGE, Item, Layout, Loader, Manifest, Role, Slot, store};
use sha2::{Digest as _, Sha256};
use sys::blockdev;
use sys::mount::{self, MountFlags, UnmountFlags};

use super::device::DiskFile;
use super::running_medium;

/// Sectors of the partition table of an ISO, also on a disc.
const ISO_SECTOR_BYTES: u64 = 512;
/// GRUB for UEFI has less than 2 MB.
const LARGEST_LOADER_BYTES: usize = 16 << 20;
/// Where the medium has GRUB's parts for BIOS.
const BOOT_IMAGE_PATH: &str = "boot/grub/boot.img";
const DISC_IMAGE_PATH: &str = "boot/grub/eltorito.img";
/// What a slot needs beside kernel and initrd: tables, `slot.env`, the manifest.
const SLOT_OVERHEAD_BYTES: u64 = 1 << 20;

/// A medium, read and checked as far as it can be without reading everything.
pub(crate) struct Medium {
    /// For people.
    pub(crate) name: String,
    /// The folder with `boot` and `rancheros`.
    pub(crate) root: PathBuf,
    /// The device that it is on, which nobody may install on.
    pub(crate) device: Option<PathBuf>,
    /// What it has.
    pub(crate) manifest: Manifest,
    /// The manifest's bytes.
    pub(crate) manifest_text: Vec<u8>,
    /// GRUB.
    pub(crate) loader: Loader,
    _mounted: Option<Mounted>,
}

impl Medium {
    /// Opens the medium that runs, or an ISO file.
    pub(crate) fn open(image: Option<&str>) -> anyhow::Result<Self> {
        match image {
            None => {
                let root = running_medium().to_owned();
                let device = source_of(&root)?;
                let name = device.display().to_string();
                Self::read(name, root, device.clone(), Some(device), None)
            }
            Some(image) => {
                let path = Path::new(image);
                let is_device =
                    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device());
                ensure!(
                    is_device || path.is_file(),
                    "{image} is not an ISO file; images from a registry cannot be installed yet"
                );
                let mounted = Mounted::iso(path, is_device)?;
                let root = mounted.0.clone();
                Self::read(image.to_owned(), root, path.to_owned(), None, Some(mounted))
            }
        }
    }

    fn read(
        name: String,
        root: PathBuf,
        image: PathBuf,
        device: Option<PathBuf>,
        mounted: Option<Mounted>,
    ) -> anyhow::Result<Self> {
        let path = root.join(store::MANIFEST);
        let manifest_text = fs::read(&path).with_context(|| {
            format!(
                "{name} cannot be installed from: cannot read {}",
                path.display()
            )
        })?;
        let manifest = Manifest::parse(&manifest_text)?;
        ensure!(
            manifest.arch == std::env::consts::ARCH,
            "{name} is for {}, this machine is {}",
            manifest.arch,
            std::env::consts::ARCH
        );
        for item in [&manifest.kernel, &manifest.initrd]
            .into_iter()
            .chain(&manifest.files)
        {
            let path = root.join(&item.path);
            let length = fs::metadata(&path)
                .with_context(|| format!("{name} has no {}: name an ISO file with -i", item.path))?
                .len();
            ensure!(
                length == item.size,
                "{} of {name} has {length} bytes in place of {}",
                item.path,
                item.size
            );
        }
        let loader =
            loader(&root, &image, &manifest).with_context(|| format!("boot loader of {name}"))?;
        Ok(Self {
            name,
            root,
            device,
            manifest,
            manifest_text,
            loader,
            _mounted: mounted,
        })
    }

    /// SHA-256 of the manifest, which stands for the version.
    pub(crate) fn digest(&self) -> String {
        hex(&Sha256::digest(&self.manifest_text))
    }

    /// Whether a disk with this layout has room for the version, and for a second one beside it.
    pub(crate) fn check_room(&self, layout: &Layout) -> anyhow::Result<()> {
        let slot = layout.get(Role::Kernel(Slot::A))?.size;
        let kernel = self.manifest.kernel.size + self.manifest.initrd.size + SLOT_OVERHEAD_BYTES;
        ensure!(
            kernel <= slot,
            "kernel and initrd have {kernel} bytes, a slot has {slot}"
        );
        let room = layout.get(Role::Os)?.size / 10 * 9;
        let twice = 2 * self.manifest.store_bytes();
        ensure!(
            twice <= room,
            "two versions need {twice} bytes, the disk has {room} for them"
        );
        Ok(())
    }
}

/// GRUB's parts, each with the digest that the manifest says.
fn loader(root: &Path, image: &Path, manifest: &Manifest) -> anyhow::Result<Loader> {
    let mut bios = (None, None);
    let mut uefi = None;
    for item in &manifest.loader {
        let read =
            |path: &str| fs::read(root.join(path)).with_context(|| format!("cannot read {path}"));
        let bytes = match item.path.as_str() {
            BOOT_IMAGE => read(BOOT_IMAGE_PATH)?,
            CORE_IMAGE => install::core_of_disc(&read(DISC_IMAGE_PATH)?)?,
            name => from_efi_partition(image, name)?,
        };
        check(item, &bytes)?;
        match item.path.as_str() {
            BOOT_IMAGE => bios.0 = Some(bytes),
            CORE_IMAGE => bios.1 = Some(bytes),
            name => uefi = Some((name.to_owned(), bytes)),
        }
    }
    Ok(Loader {
        bios: bios.0.zip(bios.1),
        uefi: uefi.context("there is no program for UEFI")?,
    })
}

fn check(item: &Item, bytes: &[u8]) -> anyhow::Result<()> {
    ensure!(
        hex(&Sha256::digest(bytes)) == item.sha256,
        "{} is damaged",
        item.path
    );
    Ok(())
}

/// The program of the EFI system partition behind the ISO's own file system.
fn from_efi_partition(image: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let file = File::open(image).with_context(|| format!("cannot open {}", image.display()))?;
    let mut disk = DiskFile(file);
    let table = install::read_table(&mut disk, ISO_SECTOR_BYTES)?;
    let partition = table
        .iter()
        .find(|entry| entry.type_guid == Role::Esp.type_guid());
    let start = partition.context("there is no EFI system partition")?.start;
    let path = format!("EFI/BOOT/{name}");
    Ok(install::fat::read(
        &mut disk,
        start,
        &path,
        LARGEST_LOADER_BYTES,
    )?)
}

/// The device that is mounted on `target`.
pub(crate) fn source_of(target: &Path) -> anyhow::Result<PathBuf> {
    let mounts = mount::mountinfo()?;
    let found = mounts.iter().rev().find(|entry| entry.target == target);
    match found {
        Some(entry) if entry.source.starts_with("/dev/") => Ok(PathBuf::from(&entry.source)),
        _ => bail!("this boot has no medium that can be installed from: name an ISO file with -i"),
    }
}

/// An ISO file that is mounted until this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn iso(image: &Path, is_device: bool) -> anyhow::Result<Self> {
        let target = PathBuf::from(format!("/run/ros-iso-{}", std::process::id()));
        fs::create_dir_all(&target)
            .with_context(|| format!("cannot create {}", target.display()))?;
        // Kept until it is mounted
        let device = if is_device {
            None
        } else {
            Some(blockdev::loop_attach(image, true)?)
        };
        let node = device.as_ref().map_or(image, |device| device.path());
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        mount::mount(node, &target, "iso9660", flags, "")
            .with_context(|| format!("{} is not an ISO image", image.display()))?;
        Ok(Self(target))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Nothing of it is open any more; what fails here is undone by the reboot.
        let _ = mount::unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

/// The digest of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// In hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
