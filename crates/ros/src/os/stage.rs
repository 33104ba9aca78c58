//! Puts a version into a free slot. Nothing in the records changes, so a power cut leaves the machine as it was.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use install::{Manifest, Outcome, Partition, Role, Slot, store};

use super::failure::fail;
use super::heal::{self, Aside};
use super::installed::{Installed, STORE, Writable};
use super::{loader, lock};
use crate::install::medium::Medium;
use crate::install::progress::Progress;
use crate::install::{copy, write};

/// Where PID 1 mounts the folder of a slot.
const MEDIUM: &str = "/run/rancher/media";
/// How names of copies end that are not whole; some of them are folders.
const HALF: &str = ".part";
/// What the file system needs in addition to contents: folders, links, the manifest.
const OVERHEAD_BYTES: u64 = 4 << 20;

/// The slot that is written next.
pub(super) fn slot(machine: &Installed) -> anyhow::Result<Slot> {
    let free = free(machine)?;
    Ok(*free.first().context("no slot is free")?)
}

/// Slots that may be written to. The one whose layers this boot borrows is not among them.
fn free(machine: &Installed) -> anyhow::Result<Vec<Slot>> {
    let mut free = install::free(&machine.records()?, machine.slot)?;
    let layers = layers();
    free.retain(|slot| Some(*slot) != layers);
    Ok(free)
}

/// The slot that PID 1 has mounted as the medium (crate init, `media/slot.rs`).
fn layers() -> Option<Slot> {
    let mounts = sys::mount::mountinfo().ok()?;
    let medium = mounts
        .iter()
        .rev()
        .find(|entry| entry.target == Path::new(MEDIUM))?;
    let slots = Slot::ALL.into_iter();
    let mut shown = slots.filter(|slot| medium.root.ends_with(store::slot_folder(*slot)));
    shown.next()
}

/// Fetches what the disk does not have, and writes layers and slot. What the disk has and is damaged is fetched again.
pub(super) fn stage(
    machine: &Installed,
    medium: &Medium,
    slot: Slot,
    append: Option<&str>,
) -> anyhow::Result<()> {
    let _lock = lock::take()?;
    // The slot was chosen before somebody was asked
    ensure!(
        free(machine)?.contains(&slot),
        "slot {slot} was taken by another command: try again"
    );
    let arguments = arguments(machine, &medium.manifest, append)?;
    let mut progress = Progress::new(medium.manifest.payload().map(|item| item.size).sum());
    let writable = Writable::new()?;
    for path in heal::set_aside(writable.root(), &medium.manifest)? {
        println!("{path} is damaged on the disk: it is taken again");
    }
    collect(writable.root(), slot, &medium.manifest)?;
    copy::version(medium, writable.root(), slot, &mut progress)?;
    heal::relink(writable.root(), &medium.manifest)?;
    if let Some(running) = machine.version(machine.slot) {
        loader::keep(&running.manifest, medium, writable.root())?;
    }
    let role = Role::Kernel(slot);
    let mut disk = machine.open(role)?;
    let size = end_of(&mut disk.0).context("cannot size a slot")?;
    let partition = Partition {
        role,
        start: 0,
        size,
    };
    write::slot(
        &mut disk,
        partition,
        machine.sector_bytes,
        (medium, writable.root()),
        &arguments,
    )?;
    copy::forget_kernel(medium, writable.root())?;
    progress.end();
    drop(writable);
    machine.note(slot, Outcome::Staged, "")
}

/// Bytes of a device.
fn end_of(file: &mut File) -> std::io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// The other version's parameters, with those that this machine's user has added to the running one's.
fn arguments(
    machine: &Installed,
    other: &Manifest,
    append: Option<&str>,
) -> anyhow::Result<String> {
    // None when its folder is damaged: then only the words that the other version does not have are the user's
    let running = machine.version(machine.slot);
    let known = running.map_or_else(
        || other.arguments.clone(),
        |version| version.manifest.arguments,
    );
    let environment = machine.environment(machine.slot)?;
    let now = environment.into_iter().find(|(name, _)| name == "args");
    let now = now.map(|(_, value)| value).unwrap_or_default();
    let own = now
        .split_whitespace()
        .filter(|word| !known.iter().any(|known| known == word))
        .map(str::to_owned);
    let mut words: Vec<String> = other.arguments.iter().cloned().chain(own).collect();
    words.extend(append.map(str::to_owned));
    Ok(words.join(" "))
}

/// Digests of what a version needs in the store, for good or until its slot is written.
fn wanted(manifest: &Manifest) -> BTreeSet<&str> {
    manifest
        .payload()
        .map(|item| item.sha256.as_str())
        .collect()
}

/// Removes the folder of the slot that is written next, and contents that no slot has any more. What `next` needs stays, also the
/// blob that an earlier download has left, which goes on from there; a half copy is of no use to anybody.
fn collect(root: &Path, slot: Slot, next: &Manifest) -> anyhow::Result<()> {
    let folder = root.join(store::slot_folder(slot));
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let wanted = wanted(next);
    for (name, metadata) in contents(root)? {
        let digest = name.split('.').next().unwrap_or_default();
        let aside = heal::is_aside(&name);
        let is_left = metadata.is_dir() || name.ends_with(HALF) || aside == Some(Aside::Earlier);
        let is_unused = metadata.nlink() == 1 && !wanted.contains(digest) && aside.is_none();
        if is_left || is_unused {
            sys::fs::remove_all(&root.join(store::STORE).join(&name))
                .context("cannot remove a content that nobody has")?;
        }
    }
    Ok(())
}

fn contents(root: &Path) -> anyhow::Result<Vec<(String, fs::Metadata)>> {
    let folder = root.join(store::STORE);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.context("cannot list the store")?;
        let metadata = entry.metadata().context("cannot stat a content")?;
        found.push((entry.file_name().to_string_lossy().into_owned(), metadata));
    }
    Ok(found)
}

/// Looks for room before the first byte is fetched, and counts what goes with the version that is in the slot now.
pub(super) fn check_room(slot: Slot, medium: &Medium) -> anyhow::Result<()> {
    let root = Path::new(STORE);
    let free = sys::fs::free_bytes(root)?;
    let room = room(root, slot, &medium.manifest, medium.is_remote())?;
    if room.needed > free + room.reclaimed {
        fail!(
            Room,
            "{} bytes are to be stored, the disk has {free} and gets {} back from slot {slot}",
            room.needed,
            room.reclaimed
        );
    }
    Ok(())
}

/// Bytes of a version that the disk does not have yet.
pub(super) fn missing(slot: Slot, medium: &Medium) -> anyhow::Result<u64> {
    let room = room(Path::new(STORE), slot, &medium.manifest, medium.is_remote())?;
    Ok(room.missing)
}

/// What a version costs, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    /// Contents that the store does not have, and the largest of them once more: a layer is unpacked while its blob is still there.
    needed: u64,
    /// Contents that only the version in the slot has, or nobody.
    reclaimed: u64,
    /// Contents that the store does not have.
    missing: u64,
}

fn room(root: &Path, slot: Slot, next: &Manifest, remote: bool) -> anyhow::Result<Room> {
    let mut missing = BTreeSet::new();
    let items: Vec<_> = if remote {
        next.payload().collect()
    } else {
        next.files.iter().collect()
    };
    for item in items {
        if !root.join(store::stored(item)).exists() {
            missing.insert((item.sha256.as_str(), item.size));
        }
    }
    let largest = missing.iter().map(|(_, size)| *size).max().unwrap_or(0);
    let sum: u64 = missing.iter().map(|(_, size)| size).sum();
    // Names that a content has in the folder that goes
    let text = fs::read(root.join(store::manifest(slot))).unwrap_or_default();
    let there = Manifest::parse(&text).ok();
    let names = |digest: &str| {
        let files = there.iter().flat_map(|manifest| &manifest.files);
        files.filter(|item| item.sha256 == digest).count() as u64
    };
    let wanted = wanted(next);
    let gone = contents(root)?.into_iter().filter(|(name, metadata)| {
        let digest = name.split('.').next().unwrap_or_default();
        !wanted.contains(digest) && metadata.nlink() <= 1 + names(digest)
    });
    Ok(Room {
        needed: sum + if remote { largest } else { 0 } + OVERHEAD_BYTES,
        reclaimed: gone.map(|(_, metadata)| metadata.len()).sum(),
        missing: sum,
    })
}

#[cfg(test)]
mod tests {
    use install::Item;

    use super::*;

    fn item(path: &str, letter: char, size: u64) -> Item {
        Item {
            path: path.to_owned(),
            size,
            sha256: letter.to_string().repeat(64),
        }
    }

    fn manifest(files: Vec<Item>) -> Manifest {
        let boot = |path, letter| item(path, letter, 1000);
        let mut manifest = Manifest::new(
            "1",
            "x86_64",
            vec![],
            boot("boot/vmlinuz", 'e'),
            boot("boot/initrd", 'f'),
        );
        manifest.files = files;
        manifest
    }

    /// A store with a version in slot 4.
    fn store_with(files: &[Item]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join(store::STORE)).unwrap();
        for item in files {
            fs::write(root.join(store::stored(item)), vec![0; item.size as usize]).unwrap();
            let link = root.join(store::linked(Slot::A, item));
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            fs::hard_link(root.join(store::stored(item)), link).unwrap();
        }
        let text = serde_json::to_vec(&manifest(files.to_vec())).unwrap();
        fs::write(root.join(store::manifest(Slot::A)), text).unwrap();
        folder
    }

    #[test]
    fn room_counts_what_is_missing_and_what_goes() {
        let (kept, old) = (item("rancheros/a", 'a', 10), item("rancheros/b", 'b', 200));
        let folder = store_with(&[kept.clone(), old]);
        fs::write(
            folder
                .path()
                .join("files")
                .join(format!("{}.x.blob", "c".repeat(64))),
            [0; 7],
        )
        .unwrap();
        let next = manifest(vec![kept, item("rancheros/d", 'd', 50)]);
        let counted = |slot, remote| room(folder.path(), slot, &next, remote).unwrap();
        let local = counted(Slot::A, false);
        assert_eq!((local.needed - OVERHEAD_BYTES, local.reclaimed), (50, 207));
        // Kernel and initrd pass through the store, and a blob is there at the same time as its file
        let remote = counted(Slot::A, true);
        assert_eq!(remote.needed - OVERHEAD_BYTES, 50 + 2000 + 1000);
        // The version in slot 4 stays: only what nobody has goes
        assert_eq!(counted(Slot::B, false).reclaimed, 7);
    }

    #[test]
    fn a_part_of_what_is_wanted_survives_and_the_rest_goes() {
        let old = item("rancheros/b", 'b', 200);
        let folder = store_with(std::slice::from_ref(&old));
        let name = |letter: char, end: &str| {
            let name = format!("{}{end}", letter.to_string().repeat(64));
            folder.path().join("files").join(name)
        };
        for path in [
            name('d', ".1234.blob"),
            name('c', ".1234.blob"),
            name('b', ".part"),
            name('e', ""),
        ] {
            fs::write(path, [0; 7]).unwrap();
        }
        let aside = name('d', ".damaged-01234567");
        fs::write(&aside, [0; 7]).unwrap();
        // As a copy out of System Docker leaves it
        fs::create_dir(name('d', ".part")).unwrap();
        fs::write(name('d', ".part").join("half"), [0; 7]).unwrap();
        let next = manifest(vec![item("rancheros/d", 'd', 50)]);
        collect(folder.path(), Slot::B, &next).unwrap();
        assert!(name('d', ".1234.blob").exists() && name('e', "").exists());
        for path in [
            name('c', ".1234.blob"),
            name('b', ".part"),
            name('d', ".part"),
            aside,
        ] {
            assert!(!path.exists(), "{} stays", path.display());
        }
        assert!(name('b', "").exists(), "slot 4 has it");
        collect(folder.path(), Slot::A, &next).unwrap();
        assert!(!name('b', "").exists() && !folder.path().join("slots/4").exists());
    }
}
