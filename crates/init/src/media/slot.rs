//! The slot of an installed disk as media: its partition is mounted in whatever way it can be, and where the version that was booted
//! is not whole, another one's layers are taken.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use install::{Manifest, Records, Role, Slot, store};
use sys::mount::{self, MountFlags};

use crate::installed::{self, Installed, STORE};
use crate::machine::Machine;
use crate::trial;
use crate::warnings::warn;

/// Subject of the warnings.
pub(super) const SUBJECT: &str = "os-disk";

/// Ways to mount the partition, and why the first one did not do. It is only read, so a journal that cannot be replayed costs what was
/// written last; the copy of the superblock is where mke2fs puts it for blocks of 4 KiB (ext4(5), `sb`).
const WAYS: [(&str, &str); 3] = [
    ("", ""),
    ("noload", "its journal cannot be replayed"),
    ("noload,sb=131072", "its superblock is damaged"),
];

/// What was mounted.
pub(super) struct Mounted {
    pub(super) device: PathBuf,
    /// Not all was as it should be.
    pub(super) is_damaged: bool,
}

pub(super) const FLAGS: MountFlags = MountFlags::RDONLY
    .union(MountFlags::NOSUID)
    .union(MountFlags::NODEV);

/// Mounts the store of layers, and on `target` the folder of the slot that was booted, or of another one that is whole; none when the
/// disk is not there yet.
///
/// # Errors
/// When the partition cannot be mounted in any way, or has no whole version that may run.
pub(super) fn mount(
    installed: &Installed,
    command_line: &str,
    target: &Path,
) -> anyhow::Result<Option<Mounted>> {
    let Some(device) = installed.partition(Role::Os) else {
        return Ok(None);
    };
    fs::create_dir_all(STORE).with_context(|| format!("cannot create {STORE}"))?;
    // It stays mounted where somebody uses it
    let trouble = if mount::is_mount_point(STORE).unwrap_or(false) {
        None
    } else {
        mount_store(&device)?
    };
    if let Some(trouble) = trouble {
        let device = device.display();
        warn(
            SUBJECT,
            &format!("{device}: {trouble}: it is mounted all the same"),
        );
    }
    let wanted = order(installed.slot, records(installed).as_ref());
    let found = choose(Path::new(STORE), &wanted, trial::is_one(command_line))
        .with_context(|| format!("{}: install again with --keep-state", device.display()))?;
    if let Some(said) = &found.said {
        warn(SUBJECT, said);
    }
    let folder = Path::new(STORE).join(store::slot_folder(found.slot));
    mount::bind(&folder, target, false)?;
    mount::remount_bind(target, FLAGS)?;
    Ok(Some(Mounted {
        device,
        is_damaged: trouble.is_some() || found.said.is_some(),
    }))
}

/// Returns what was wrong, if it could be mounted only in another way.
fn mount_store(device: &Path) -> anyhow::Result<Option<&'static str>> {
    let mut first = None;
    for (options, trouble) in WAYS {
        match mount::mount(device, Path::new(STORE), "ext4", FLAGS, options) {
            Ok(()) => return Ok(Some(trouble).filter(|trouble| !trouble.is_empty())),
            Err(error) => first = first.or(Some(error)),
        }
    }
    let error = first.map_or_else(String::new, |error| error.to_string());
    bail!(
        "{error}; start another medium and repair {} with e2fsck, or install again with --keep-state",
        device.display()
    )
}

fn records(installed: &Installed) -> Option<Records> {
    let node = installed.partition(Role::BootState)?;
    Records::read(&mut installed::open(&node).ok()?, 0).ok()
}

/// The slot that was booted, then the good one, the one before it, and the rest.
fn order(booted: Slot, records: Option<&Records>) -> Vec<Slot> {
    let choice = records.and_then(Records::choice);
    let mut order = vec![booted];
    let proven = choice
        .into_iter()
        .flat_map(|choice| [Some(choice.good), choice.prev]);
    for slot in proven.flatten().chain(Slot::ALL) {
        if !order.contains(&slot) {
            order.push(slot);
        }
    }
    order
}

/// The slot whose layers are taken.
#[derive(Debug)]
struct Found {
    slot: Slot,
    /// What the owner must know.
    said: Option<String>,
}

/// The first of `wanted`, or, when that is not whole, another one: a system that somebody can log in to and repair. In a try nothing
/// takes the place of what is tried.
fn choose(root: &Path, wanted: &[Slot], is_trial: bool) -> anyhow::Result<Found> {
    let [booted, others @ ..] = wanted else {
        bail!("no slot was booted");
    };
    let Err(damage) = whole(root, *booted) else {
        return Ok(Found {
            slot: *booted,
            said: None,
        });
    };
    let other = others.iter().find(|slot| whole(root, **slot).is_ok());
    match other {
        Some(other) if !is_trial => Ok(Found {
            slot: *other,
            said: Some(format!(
                "the version in slot {booted} is damaged ({damage:#}): the system of slot {other} runs under its kernel, and drivers may \
                 be missing; `ros os upgrade -f -i IMAGE` puts a whole version on the disk"
            )),
        }),
        _ => {
            let folder = root.join(store::slot_folder(*booted));
            ensure!(
                Machine::has_images(&folder) && !is_trial,
                "the version in slot {booted} is damaged ({damage:#}), and no other may take its place"
            );
            Ok(Found {
                slot: *booted,
                said: Some(format!(
                    "the version in slot {booted} is damaged ({damage:#}), and there is no other: what is left of it runs"
                )),
            })
        }
    }
}

/// Whether a slot has all files of its manifest, by their lengths: to read them takes longer than a boot may.
fn whole(root: &Path, slot: Slot) -> anyhow::Result<()> {
    let path = root.join(store::manifest(slot));
    let length = fs::metadata(&path).context("it has no manifest")?.len();
    ensure!(
        length <= install::image::MANIFEST_MAX,
        "its manifest has {length} bytes"
    );
    let text = fs::read(&path).context("its manifest cannot be read")?;
    let manifest = Manifest::parse(&text).context("its manifest cannot be read")?;
    for item in &manifest.files {
        let length = fs::metadata(root.join(store::linked(slot, item)))
            .with_context(|| format!("it has no {}", item.path))?
            .len();
        ensure!(
            length == item.size,
            "{} has {length} bytes in place of {}",
            item.path,
            item.size
        );
    }
    let folder = root.join(store::slot_folder(slot));
    ensure!(Machine::has_images(&folder), "it has no images");
    Ok(())
}

#[cfg(test)]
mod tests {
    use install::Item;

    use super::*;

    const IMAGES: &str = "rancheros/images.json";
    const LAYER: &str = "rancheros/layers/console";

    fn item(path: &str) -> Item {
        Item {
            path: path.to_owned(),
            size: 4,
            sha256: "0".repeat(64),
        }
    }

    /// A store whose slots 4 and 5 have a version.
    fn disk() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for slot in [Slot::A, Slot::B] {
            let kernel = || item("boot/vmlinuz");
            let mut manifest = Manifest::new("1", "x86_64", vec![], kernel(), kernel());
            manifest.files = vec![item(IMAGES), item(LAYER)];
            for item in &manifest.files {
                let path = folder.path().join(store::linked(slot, item));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "text").unwrap();
            }
            let text = serde_json::to_vec(&manifest).unwrap();
            fs::write(folder.path().join(store::manifest(slot)), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_version_that_is_not_whole_gives_its_place_to_one_that_is() {
        let order = [Slot::A, Slot::C, Slot::B];
        let whole = disk();
        let found = choose(whole.path(), &order, true).unwrap();
        assert_eq!((found.slot, found.said), (Slot::A, None));
        let breaks: [&dyn Fn(&Path); 4] = [
            &|root| fs::remove_dir_all(root.join("slots/4")).unwrap(),
            &|root| fs::remove_file(root.join("slots/4").join(LAYER)).unwrap(),
            &|root| fs::write(root.join("slots/4").join(LAYER), "te").unwrap(),
            &|root| fs::write(root.join(store::manifest(Slot::A)), "{").unwrap(),
        ];
        for damage in breaks {
            let disk = disk();
            damage(disk.path());
            let found = choose(disk.path(), &order, false).unwrap();
            assert_eq!(found.slot, Slot::B);
            let said = found.said.unwrap();
            assert!(said.contains("slot 4 is damaged"), "{said}");
            // In a try the machine goes back by a reboot, to the kernel that belongs to those layers
            choose(disk.path(), &order, true).unwrap_err();
        }
    }

    #[test]
    fn the_only_version_runs_as_far_as_it_can() {
        let disk = disk();
        fs::remove_dir_all(disk.path().join("slots/5")).unwrap();
        fs::remove_file(disk.path().join("slots/4").join(LAYER)).unwrap();
        let found = choose(disk.path(), &Slot::ALL, false).unwrap();
        assert!(found.slot == Slot::A && found.said.is_some());
        fs::remove_file(disk.path().join("slots/4").join(IMAGES)).unwrap();
        let error = choose(disk.path(), &Slot::ALL, false).unwrap_err();
        assert!(error.to_string().contains("slot 4 is damaged"), "{error}");
    }

    #[test]
    fn proven_versions_come_before_others() {
        let mut records = install::install(Slot::C);
        for step in install::arm(&records, Slot::A).unwrap() {
            records.set(step.which, step.block);
        }
        assert_eq!(order(Slot::A, Some(&records)), [Slot::A, Slot::C, Slot::B]);
        assert_eq!(order(Slot::B, None), [Slot::B, Slot::A, Slot::C]);
    }
}
