//! GRUB itself, updated when a version that brings another one is kept: rarely, never together with a slot, and so that at every
//! instant either the old or the new one starts (docs/upgrade.md).

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use install::{BOOT_IMAGE, CORE_IMAGE, Entry, Item, Loader, Manifest, Partition, Role};
use sys::kmsg::{self, Priority};
use sys::mount::{self, MountFlags, UnmountFlags};

use super::installed::{Installed, STORE, Version, Writable};
use crate::install::device::DiskFile;
use crate::install::medium::{Medium, hex, sha256};

/// Next to the history: parts of a GRUB that is to come, by their digests.
const FOLDER: &str = "loader";
/// The programs' folder on the EFI system partition.
const EFI: &str = "EFI/BOOT";
/// What the new program is called until it is whole, and what the old one is called then: 8.3 names.
const NEW: &str = "NEW";
const OLD: &str = "OLD";

/// Keeps the parts of GRUB that come with a version, when they are not those of the version that runs. Those of the version that runs
/// stay, when there are any: its update has failed, and is tried again.
pub(super) fn keep(running: &Manifest, medium: &Medium, root: &Path) -> anyhow::Result<()> {
    let folder = root.join(FOLDER);
    let next = &medium.manifest;
    forget(&folder, &[running, next])?;
    let missing = |digest: &&str| !folder.join(digest).exists();
    if digests(running) == digests(next) || !digests(next).iter().any(missing) {
        return Ok(());
    }
    let Loader { bios, uefi } = medium.loader()?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (boot, core) = bios.unwrap_or_default();
    for item in &next.loader {
        let content = match item.path.as_str() {
            BOOT_IMAGE => &boot,
            CORE_IMAGE => &core,
            _ => &uefi.1,
        };
        // Whole or not there: an update takes what has its name
        cloud_init::store::write_atomic(&folder.join(&item.sha256), content, 0o644)?;
    }
    Ok(())
}

/// Removes parts that none of these versions has.
fn forget(folder: &Path, versions: &[&Manifest]) -> anyhow::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context("cannot list an earlier GRUB's parts"),
    };
    for entry in entries {
        let name = entry
            .context("cannot list an earlier GRUB's parts")?
            .file_name();
        let is_had = |manifest: &&Manifest| digests(manifest).iter().any(|known| name == **known);
        if !versions.iter().any(is_had) {
            sys::fs::remove_all(&folder.join(&name))?;
        }
    }
    Ok(())
}

fn digests(manifest: &Manifest) -> Vec<&str> {
    let items = manifest.loader.iter();
    items.map(|item| item.sha256.as_str()).collect()
}

/// Puts the GRUB of a version that was kept on the disk, if it is another one than the disk has.
///
/// A failure is told, and is nothing more: the GRUB that is there starts the version as well. Each boot of the version tries again.
pub(super) fn update(machine: &Installed) {
    let Some(version) = machine.version(machine.slot) else {
        return;
    };
    // None are kept for a version with the same GRUB; what is there may be of one that was given up
    let folder = Path::new(STORE).join(FOLDER);
    let mut digests = digests(&version.manifest).into_iter();
    if !digests.all(|digest| folder.join(digest).exists()) {
        return;
    }
    match update_parts(machine, &version) {
        Ok(done) => {
            if !done.is_empty() {
                let line = format!("upgrade: GRUB for {} was updated", done.join(" and "));
                println!("{line}");
                kmsg::log(Priority::Info, &line);
            }
        }
        Err(error) => crate::problems::warn(
            "boot-loader",
            &format!("GRUB stays the one of an earlier version: {error:#}"),
        ),
    }
}

fn update_parts(machine: &Installed, version: &Version) -> anyhow::Result<Vec<&'static str>> {
    let part = |item: &Item| -> anyhow::Result<Vec<u8>> {
        let path = Path::new(STORE).join(FOLDER).join(&item.sha256);
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(
            hex(&sha256(&content)) == item.sha256,
            "{} is damaged",
            path.display()
        );
        Ok(content)
    };
    let items = &version.manifest.loader;
    let named = |name: &str| items.iter().find(|item| item.path == name);
    let mut done = Vec::new();
    if let (Some(boot), Some(core)) = (named(BOOT_IMAGE), named(CORE_IMAGE))
        && update_bios(machine, (&part(boot)?, &part(core)?)).context("for BIOS")?
    {
        done.push("BIOS");
    }
    let is_program = |item: &&Item| !matches!(item.path.as_str(), BOOT_IMAGE | CORE_IMAGE);
    if let Some(program) = items.iter().find(is_program)
        && update_uefi(machine, &program.path, &part(program)?).context("for UEFI")?
    {
        done.push("UEFI");
    }
    let writable = Writable::new()?;
    // A staged version may have brought others
    let slots = install::Slot::ALL.into_iter();
    let others: Vec<Version> = slots.filter_map(|slot| machine.version(slot)).collect();
    let others: Vec<&Manifest> = others
        .iter()
        .map(|other| &other.manifest)
        .filter(|other| digests(other) != digests(&version.manifest))
        .collect();
    forget(&writable.root().join(FOLDER), &others)?;
    Ok(done)
}

fn update_bios(machine: &Installed, parts: (&[u8], &[u8])) -> anyhow::Result<bool> {
    let node = &machine.disk;
    let file = OpenOptions::new().read(true).write(true).open(node);
    let mut disk = DiskFile(file.with_context(|| format!("cannot open {}", node.display()))?);
    let entries = install::read_table(&mut disk, machine.sector_bytes)?;
    let is_bios =
        |entry: &&Entry| entry.number == Role::Bios.number() && entry.name == Role::Bios.name();
    let Some(entry) = entries.iter().find(is_bios) else {
        return Ok(false);
    };
    let partition = Partition {
        role: Role::Bios,
        start: entry.start,
        size: entry.size,
    };
    Ok(install::update_bios(&mut disk, partition, parts)?)
}

fn update_uefi(machine: &Installed, name: &str, program: &[u8]) -> anyhow::Result<bool> {
    let node = machine.node(Role::Esp)?;
    let stem = name.split('.').next().unwrap_or(name);
    let file = |esp: &Esp, name: &str| esp.0.join(EFI).join(name);
    let (new, old) = (format!("{stem}.{NEW}"), format!("{stem}.{OLD}"));
    let esp = Esp::mount(&node)?;
    let there = fs::read(file(&esp, name)).with_context(|| format!("cannot read {name}"))?;
    if there == program {
        return Ok(false);
    }
    write(&file(&esp, &new), program)?;
    write(&file(&esp, &old), &there)?;
    // What the disk, not the cache, has
    esp.end()?;
    let esp = Esp::mount(&node)?;
    let written = fs::read(file(&esp, &new)).with_context(|| format!("cannot read {new}"))?;
    ensure!(
        written == program,
        "the disk gives other bytes than were written ({new})"
    );
    // vfat changes one entry of the folder, and removes the new name after
    fs::rename(file(&esp, &new), file(&esp, name))
        .with_context(|| format!("cannot rename {new}"))?;
    esp.end()?;
    Ok(true)
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// The EFI system partition, which is mounted only for these moments.
struct Esp(PathBuf);

impl Esp {
    fn mount(node: &Path) -> anyhow::Result<Self> {
        let target = PathBuf::from(format!("/run/ros-esp-{}", std::process::id()));
        fs::create_dir_all(&target)
            .with_context(|| format!("cannot create {}", target.display()))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount::mount(node, &target, "vfat", flags, "umask=077")?;
        Ok(Self(target))
    }

    /// Unmounts; with it everything is on the disk.
    fn end(self) -> anyhow::Result<()> {
        mount::unmount(&self.0, UnmountFlags::empty()).map_err(anyhow::Error::from)
    }
}

impl Drop for Esp {
    fn drop(&mut self) {
        // After `end` there is nothing mounted, which is an error that says nothing
        let _ = mount::unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(loader: &[(&str, &str)]) -> Manifest {
        let item = |path: &str, digest: &str| Item {
            path: path.to_owned(),
            size: 1,
            sha256: digest.to_owned(),
        };
        let kernel = || item("boot/vmlinuz", "k");
        let mut manifest = Manifest::new("1", "x86_64", vec![], kernel(), kernel());
        manifest.loader = loader
            .iter()
            .map(|(path, digest)| item(path, digest))
            .collect();
        manifest
    }

    #[test]
    fn a_grub_whose_update_failed_is_there_for_the_next_try() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["boot2", "core2", "core1", ".core3.new"] {
            fs::write(path.join(name), "").unwrap();
        }
        let running = version(&[(BOOT_IMAGE, "boot2"), (CORE_IMAGE, "core2")]);
        forget(path, &[&running, &running]).unwrap();
        let mut left: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["boot2", "core2"]);
        forget(&path.join("none"), &[&running]).unwrap();
    }
}
