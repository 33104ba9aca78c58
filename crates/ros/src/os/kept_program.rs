//! `system-docker engine upgrade --keep`: a program of PID 1's that also the next boots start.
//!
//! It becomes a version: the running one's kernel, layers and settings, and its initrd with the program behind it. So it is tried,
//! judged, kept or given up as any version is, and no power cut or bad program takes the good one away.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, ensure};
use install::{Item, Manifest, Role, Slot, store};

use super::failure::fail;
use super::installed::{Installed, STORE};
use super::policy::Policy;
use super::source::Folder;
use super::{initrd, lock, order, stage};
use crate::install::medium::{Medium, hex, sha256};

/// Kernel and initrd in a slot, and the largest that are read, in bytes: 13 MB today.
const KERNEL: &str = "VMLINUZ";
const INITRD: &str = "INITRD";
const LARGEST_FILE_BYTES: usize = 128 << 20;
/// Digits of the program's SHA-256 in the version's name.
const NAME_DIGITS: usize = 8;

/// What keeps a program of PID 1's here.
///
/// # Errors
/// When this system runs from a medium, another version is tried next, or this is not root.
pub(crate) fn keeper() -> anyhow::Result<system_docker::Keep> {
    let keeper = Keeper::new()?;
    Ok(Box::new(move |program: &[u8]| keeper.keep(program)))
}

/// A machine that can keep a program, and the slot for it.
struct Keeper {
    machine: Installed,
    slot: Slot,
}

impl Keeper {
    fn new() -> anyhow::Result<Self> {
        ensure!(
            sys::process::is_root(),
            "it is written to the disk: sudo system-docker engine upgrade --keep"
        );
        let machine = Installed::here()?;
        order::refuse_when_given(&machine)?;
        let slot = stage::slot(&machine)?;
        Ok(Self { machine, slot })
    }

    /// Writes the version with `program`, and has the next boot try it; not one that was rejected before.
    fn keep(&self, program: &[u8]) -> anyhow::Result<()> {
        let machine = &self.machine;
        let running = machine
            .version(machine.slot)
            .context("the running version has no manifest")?
            .manifest;
        let mut disk = machine.open(Role::Kernel(machine.slot))?;
        let mut read = |name: &str| install::fat::read(&mut disk, 0, name, LARGEST_FILE_BYTES);
        let (kernel, initrd) = (read(KERNEL)?, read(INITRD)?);
        let initrd = initrd::with_program(&initrd, program)?;
        let manifest = manifest(&running, program, &initrd);
        let folder = Folder::new("program")?;
        let links = Path::new(STORE).join(store::slot_folder(machine.slot));
        lay_out(folder.path(), &links, &manifest, (&kernel, &initrd))?;
        let medium = Medium::of_folder(folder.path(), &Policy::of_machine(false)?)?;
        if let Some(event) = machine.history().rejected(&medium.digest()) {
            fail!(Refused, "it was rejected before ({})", event.reason);
        }
        // Nobody writes to the slot before it is armed
        let _lock = lock::take()?;
        stage::check_room(self.slot, &medium)?;
        stage::stage(machine, &medium, self.slot, None)?;
        println!("v{} is in slot {}.", manifest.version, self.slot);
        order::arm(machine, self.slot)
    }
}

/// The version that `running` is with this program. Semver's build metadata tells it from others and does not make it newer.
fn manifest(running: &Manifest, program: &[u8], initrd: &[u8]) -> Manifest {
    let digest = hex(&sha256(program));
    let mut next = running.clone();
    let version = running.version.split('+').next().unwrap_or_default();
    next.version = format!("{version}+engine.{}", &digest[..NAME_DIGITS]);
    next.release.notes = format!("PID 1's program has the SHA-256 {digest}");
    next.initrd = Item {
        size: initrd.len() as u64,
        sha256: hex(&sha256(initrd)),
        ..running.initrd.clone()
    };
    next
}

/// Makes `folder` look like a medium: kernel and initrd as files, everything else as links into the running version's folder.
fn lay_out(
    folder: &Path,
    running: &Path,
    manifest: &Manifest,
    (kernel, initrd): (&[u8], &[u8]),
) -> anyhow::Result<()> {
    let place = |path: &str| -> anyhow::Result<_> {
        let path = folder.join(path);
        let parent = path.parent().context("a path without a folder")?;
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        Ok(path)
    };
    let text = serde_json::to_vec(manifest).context("cannot write a manifest")?;
    for (path, content) in [
        (manifest.kernel.path.as_str(), kernel),
        (manifest.initrd.path.as_str(), initrd),
        (store::MANIFEST, text.as_slice()),
    ] {
        let path = place(path)?;
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    for item in &manifest.files {
        let path = place(&item.path)?;
        symlink(running.join(&item.path), &path)
            .with_context(|| format!("cannot link {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(path: &str, content: &[u8]) -> Item {
        Item {
            path: path.to_owned(),
            size: content.len() as u64,
            sha256: hex(&sha256(content)),
        }
    }

    #[test]
    fn it_is_the_running_version_with_another_program() {
        let folder = tempfile::tempdir().unwrap();
        let (running, medium) = (folder.path().join("slots/4"), folder.path().join("medium"));
        fs::create_dir_all(running.join("rancheros")).unwrap();
        fs::write(running.join("rancheros/images.json"), "{}").unwrap();
        let mut installed = Manifest::new(
            "0.1.0+engine.00000000",
            std::env::consts::ARCH,
            vec!["quiet".to_owned()],
            item("boot/vmlinuz", b"kernel"),
            item("boot/initrd", b"initrd"),
        );
        installed.files.push(item("rancheros/images.json", b"{}"));
        let next = manifest(&installed, b"program", b"longer initrd");
        lay_out(&medium, &running, &next, (b"kernel", b"longer initrd")).unwrap();
        let policy = Policy::with_keys(&[]);
        let read = Medium::of_folder(&medium, &policy).unwrap();
        assert_eq!(read.manifest, next);
        assert_eq!(
            (&read.manifest.kernel, &read.manifest.files),
            (&installed.kernel, &installed.files)
        );
        assert_eq!(read.manifest.version.split('+').next(), Some("0.1.0"));
        assert!(install::compare(&next.version, &installed.version).is_eq());
        assert_ne!(next.version, installed.version);
        // The same program gives the same version, so that a rejected one is known again
        assert_eq!(manifest(&installed, b"program", b"longer initrd"), next);
    }
}
