//! Phases "find media", "check media" and "mount modules": where this boot's images come from.
//!
//! Looked for in this order: the slot that the boot loader names, the initrd itself (a network boot carries the images there), a file
//! system labelled RANCHEROS (the ISO, on a disc or copied to a disk), any other file system with
//! `/rancheros/images.json`.

mod check;
mod slot;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sys::blockdev::{self, BlockDevice};
use sys::mount::{self, MountFlags};

use crate::coldplug::Late;
use crate::installed::Installed;
use crate::log;
use crate::machine::{MEDIA, Machine};

pub(crate) use check::check;

/// Volume label of the ISO.
const LABEL: &str = "RANCHEROS";

/// How long to look: a USB disk behind a hub can take 20 s to answer.
const PATIENCE: Duration = Duration::from_secs(45);

/// Pause between two looks at the list of block devices.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Finds and mounts the media at [`MEDIA`].
pub(crate) fn find(mut machine: Machine) -> anyhow::Result<Machine> {
    let target = PathBuf::from(MEDIA);
    fs::create_dir_all(&target).with_context(|| format!("cannot create {MEDIA}"))?;
    if Machine::has_images(Path::new("/")) {
        let inside = target.join("rancheros");
        fs::create_dir_all(&inside).context("cannot create the media directory")?;
        mount::bind(Path::new("/rancheros"), &inside, false)?;
        machine.media = Some(target);
        return Ok(machine);
    }
    let installed = Installed::named_by(&machine.command_line);
    let give_up = sys::clock::boottime() + PATIENCE;
    let mut late = Late::default();
    while sys::clock::boottime() < give_up {
        if let Some(installed) = &installed {
            if let Some(mounted) = slot::mount(installed, &machine.command_line, &target)? {
                log::info(&format!(
                    "media: slot {} of {}",
                    installed.slot,
                    mounted.device.display()
                ));
                machine.media_is_damaged = mounted.is_damaged;
                machine.media = Some(target);
                return Ok(machine);
            }
            // Another medium would be another version under this kernel
        } else if let Some(device) = look(&target) {
            log::info(&format!("media: {}", device.display()));
            machine.media = Some(target);
            return Ok(machine);
        }
        late.load();
        std::thread::sleep(LOOK_AGAIN);
    }
    bail!(
        "{} (looked for {} s)",
        missing(installed.as_ref()),
        PATIENCE.as_secs()
    )
}

fn missing(installed: Option<&Installed>) -> String {
    installed.map_or_else(
        || "no disc, disk or partition has /rancheros/images.json".to_owned(),
        |installed| format!("the disk with slot {} is not there", installed.slot),
    )
}

/// Tries every block device once; the ones with our label come first.
fn look(target: &Path) -> Option<PathBuf> {
    let mut candidates: Vec<(bool, PathBuf, &'static str)> = Vec::new();
    for BlockDevice { path, .. } in blockdev::list() {
        let Some(superblock) = blockdev::probe(&path) else {
            continue;
        };
        let Some(kind) = mountable(&superblock.kind) else {
            continue;
        };
        candidates.push((superblock.label.as_deref() != Some(LABEL), path, kind));
    }
    candidates.sort();
    candidates
        .into_iter()
        .map(|(_, path, kind)| (path, kind))
        .find_map(|(path, kind)| {
            let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
            mount::mount(&path, target, kind, flags, "").ok()?;
            if Machine::has_images(target) {
                return Some(path);
            }
            // Somebody else's file system: leave it as it was.
            let _ = mount::unmount(target, mount::UnmountFlags::DETACH);
            None
        })
}

/// File systems that media can be made of, by the name mount(2) knows.
fn mountable(kind: &blockdev::Kind) -> Option<&'static str> {
    match kind {
        blockdev::Kind::Iso9660 => Some("iso9660"),
        blockdev::Kind::Ext4 => Some("ext4"),
        blockdev::Kind::Vfat => Some("vfat"),
        _ => None,
    }
}

/// Mounts the media's modules and firmware where the kernel and udevd look for them.
pub(crate) fn mount_modules(machine: Machine) -> anyhow::Result<Machine> {
    let mut missing = Vec::new();
    for (file, target) in [
        ("modules.squashfs", "/run/rancher/modules"),
        ("firmware.squashfs", "/run/rancher/firmware"),
    ] {
        let image = machine.media_file(file).context("no media")?;
        if let Err(error) = mount_image(&image, Path::new(target)) {
            missing.push(format!("{error:#}"));
        }
    }
    if missing.is_empty() {
        return Ok(machine);
    }
    bail!("{}", missing.join("; "))
}

/// Mounts a squashfs file read-only through a loop device.
pub(crate) fn mount_image(image: &Path, target: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(target).with_context(|| format!("cannot create {}", target.display()))?;
    let device = blockdev::loop_attach(image, true)?;
    mount::squashfs(&device, target, MountFlags::NOSUID | MountFlags::NODEV)?;
    Ok(())
}
