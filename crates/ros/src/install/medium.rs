//! What is installed from: the disc or stick that runs, an ISO file, or an image, by its name or as an archive.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use install::{BOOT_IMAGE, CORE_IMAGE, Item, Layout, Loader, Manifest, Role, Slot, image, store};
use sha2::{Digest as _, Sha256};
use sys::blockdev;
use sys::mount::{self, MountFlags, UnmountFlags};

use super::device::DiskFile;
pub(crate) use super::digest::{hex, sha256, sha256_file};
use super::foreign;
use super::progress::Progress;
use super::running_medium;
use crate::os::failure::fail;
use crate::os::policy::Policy;
use crate::os::source::{File, Source, is_archive};

/// Sectors of the partition table of an ISO, also on a disc.
const ISO_SECTOR_BYTES: u64 = 512;
/// GRUB for UEFI has less than 2 MB.
const LARGEST_LOADER_BYTES: usize = 16 << 20;
/// Where the medium has GRUB's parts for BIOS.
const BOOT_IMAGE_PATH: &str = "boot/grub/boot.img";
const DISC_IMAGE_PATH: &str = "boot/grub/eltorito.img";
/// What a slot needs in addition to kernel and initrd: tables, `slot.env`, the manifest.
const SLOT_OVERHEAD_BYTES: u64 = 1 << 20;

/// A version that can be put on a disk, read and checked as far as it can be without reading everything.
pub(crate) struct Medium {
    /// For people.
    pub(crate) name: String,
    /// The device that it is on, which nobody may install on.
    pub(crate) device: Option<PathBuf>,
    /// What it has.
    pub(crate) manifest: Manifest,
    /// The manifest's bytes.
    pub(crate) manifest_text: Vec<u8>,
    /// Signatures over these.
    pub(crate) signature: Option<Vec<u8>>,
    /// Whose signature was found good.
    pub(crate) signed_by: Option<String>,
    place: Place,
}

/// Where its files are.
enum Place {
    /// In the folder with `boot` and `rancheros`; `image` is what it is mounted from.
    Folder {
        root: PathBuf,
        image: PathBuf,
        _mounted: Option<Mounted>,
    },
    /// In the folder of an image that was unpacked, as a container of it has them.
    Unpacked(PathBuf),
    /// In an image, from which they are fetched into the store.
    Image(Source),
}

impl Medium {
    /// Opens the medium that runs, an ISO file or device, or an image: by its name, or an archive of it.
    pub(crate) fn open(image: Option<&str>, policy: &Policy) -> anyhow::Result<Self> {
        let Some(image) = image else {
            if let Some(root) = foreign::files() {
                let place = Place::Unpacked(root);
                return Self::in_folder("its image".to_owned(), None, place, policy);
            }
            let root = running_medium().to_owned();
            let device = source_of(&root)?;
            let name = device.display().to_string();
            let place = Place::Folder {
                root,
                image: device.clone(),
                _mounted: None,
            };
            return Self::in_folder(name, Some(device), place, policy);
        };
        let path = Path::new(image);
        let is_device =
            fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device());
        if !is_device && !path.is_file() {
            ensure!(
                !image.starts_with(['/', '.']) && !image.ends_with(".iso"),
                "{image} is not an ISO file, and not the name of an image"
            );
            return Self::in_image(Source::find(image, policy)?, policy);
        }
        if !is_device && is_archive(path)? {
            return Self::in_image(Source::load(path)?, policy);
        }
        let mounted = Mounted::iso(path, is_device)?;
        let place = Place::Folder {
            root: mounted.0.clone(),
            image: path.to_owned(),
            _mounted: Some(mounted),
        };
        Self::in_folder(image.to_owned(), None, place, policy)
    }

    /// Whoever named the file, or started the medium, is trusted with it: it may be unsigned, but not signed wrongly.
    fn in_folder(
        name: String,
        device: Option<PathBuf>,
        place: Place,
        policy: &Policy,
    ) -> anyhow::Result<Self> {
        let (Place::Folder { root, .. } | Place::Unpacked(root)) = &place else {
            bail!("{name} is not a folder");
        };
        let path = root.join(store::MANIFEST);
        let text = fs::read(&path).with_context(|| {
            format!(
                "{name} cannot be installed from: cannot read {}",
                path.display()
            )
        })?;
        let signature = fs::read(root.join(store::SIGNATURE)).ok();
        // Whoever has pulled an image has chosen it, and another Linux has no key of ours
        let can_be_checked = policy.knows_keys() || !matches!(place, Place::Unpacked(_));
        let signed_by = match signature.as_ref().filter(|_| can_be_checked) {
            Some(signature) => policy.check(&name, &text, Some(signature))?,
            None => None,
        };
        let medium = Self::new(name, device, text, (signature, signed_by), place)?;
        for item in medium.manifest.payload() {
            let path = medium.file(item, Path::new(""));
            let name = &medium.name;
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
        Ok(medium)
    }

    /// Anybody may have made an image: it must be signed, before anything but its manifest is fetched.
    fn in_image(source: Source, policy: &Policy) -> anyhow::Result<Self> {
        let (text, signature) = source.manifest().with_context(|| source.name.clone())?;
        let signed_by = policy.check(&source.name, &text, signature.as_deref())?;
        let name = source.name.clone();
        Self::new(
            name,
            None,
            text,
            (signature, signed_by),
            Place::Image(source),
        )
    }

    fn new(
        name: String,
        device: Option<PathBuf>,
        manifest_text: Vec<u8>,
        (signature, signed_by): (Option<Vec<u8>>, Option<String>),
        place: Place,
    ) -> anyhow::Result<Self> {
        let manifest = Manifest::parse(&manifest_text).with_context(|| name.clone())?;
        let ours = std::env::consts::ARCH;
        if manifest.arch != ours {
            fail!(
                Refused,
                "{name} is for {}, this machine is {ours}",
                manifest.arch
            );
        }
        Ok(Self {
            name,
            device,
            manifest,
            manifest_text,
            signature,
            signed_by,
            place,
        })
    }

    /// Whether its files have to be fetched.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.place, Place::Image(_))
    }

    /// Brings what the store of layers at `root` does not have into it, kernel and initrd too: the slot is written from there.
    /// Nothing, where the files are at hand.
    pub(crate) fn fetch(&self, root: &Path, progress: &mut Progress) -> anyhow::Result<()> {
        let Place::Image(source) = &self.place else {
            return Ok(());
        };
        let files: Vec<File<'_>> = self
            .manifest
            .payload()
            .map(|item| File {
                path: image::file(&item.path),
                item,
            })
            .collect();
        let folder = root.join(store::STORE);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        source.fetch(&files, &folder, Some(progress))
    }

    /// Where a file is that is at hand; after [`Medium::fetch`] for images.
    pub(crate) fn file(&self, item: &Item, store: &Path) -> PathBuf {
        match &self.place {
            Place::Folder { root, .. } | Place::Unpacked(root) => root.join(&item.path),
            Place::Image(_) => store.join(store::stored(item)),
        }
    }

    /// The content of one small file; fetched when neither the medium nor the store of layers has it at hand.
    pub(crate) fn read(&self, item: &Item, store: &Path) -> anyhow::Result<Vec<u8>> {
        let path = self.file(item, store);
        match &self.place {
            Place::Image(source) if !path.exists() => source.read(image::file(&item.path), item),
            _ => fs::read(&path).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// GRUB, each part with the digest that the manifest says.
    pub(crate) fn loader(&self) -> anyhow::Result<Loader> {
        let read = |item: &Item| -> anyhow::Result<Vec<u8>> {
            match &self.place {
                Place::Folder { root, image, .. } => part_of_medium(root, image, &item.path),
                Place::Unpacked(_) => {
                    let path = Path::new("/").join(image::loader(&item.path));
                    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
                }
                Place::Image(source) => source.read(image::loader(&item.path), item),
            }
        };
        loader(&self.manifest, read).with_context(|| format!("boot loader of {}", self.name))
    }

    /// The version in a folder, as a medium that is mounted there; without a boot loader for UEFI.
    pub(crate) fn of_folder(root: &Path, policy: &Policy) -> anyhow::Result<Self> {
        let place = Place::Folder {
            root: root.to_owned(),
            image: root.to_owned(),
            _mounted: None,
        };
        Self::in_folder("the medium".to_owned(), None, place, policy)
    }

    /// SHA-256 of the manifest, which stands for the version.
    pub(crate) fn digest(&self) -> String {
        hex(&Sha256::digest(&self.manifest_text))
    }

    /// Whether a disk with this layout has room for the version, and for a second one next to it.
    pub(crate) fn check_room(&self, layout: &Layout) -> anyhow::Result<()> {
        let slot = layout.get(Role::Kernel(Slot::A))?.size;
        let kernel = self.manifest.kernel.size + self.manifest.initrd.size + SLOT_OVERHEAD_BYTES;
        if kernel > slot {
            fail!(
                Room,
                "kernel and initrd have {kernel} bytes, a slot has {slot}"
            );
        }
        let room = layout.get(Role::Os)?.size / 10 * 9;
        let twice = 2 * self.manifest.store_bytes();
        if twice > room {
            fail!(
                Room,
                "two versions need {twice} bytes, the disk has {room} for them"
            );
        }
        Ok(())
    }
}

/// GRUB's parts, which `read` brings.
fn loader(
    manifest: &Manifest,
    read: impl Fn(&Item) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Loader> {
    let mut bios = (None, None);
    let mut uefi = None;
    for item in &manifest.loader {
        let bytes = read(item)?;
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

/// A part of GRUB, from where a medium has it.
fn part_of_medium(root: &Path, image: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let read =
        |path: &str| fs::read(root.join(path)).with_context(|| format!("cannot read {path}"));
    match name {
        BOOT_IMAGE => read(BOOT_IMAGE_PATH),
        CORE_IMAGE => Ok(install::core_of_disc(&read(DISC_IMAGE_PATH)?)?),
        name => from_efi_partition(image, name),
    }
}

fn check(item: &Item, bytes: &[u8]) -> anyhow::Result<()> {
    if hex(&Sha256::digest(bytes)) != item.sha256 {
        fail!(Verification, "{} is damaged", item.path);
    }
    Ok(())
}

/// The program of the EFI system partition behind the ISO's own file system.
fn from_efi_partition(image: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let file = fs::File::open(image).with_context(|| format!("cannot open {}", image.display()))?;
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
