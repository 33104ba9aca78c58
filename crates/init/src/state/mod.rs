//! Phase "mount state": the partition that keeps what the user made.
//!
//! A hurt, full or absent disk never keeps the machine from coming up: it takes what it can from the disk, has the rest
//! in RAM, and says so. Only `rancher.state.required` makes the rescue shell of it.

mod check;
mod containers;
mod directory;
pub(crate) mod ext4;
mod find;
mod format;
mod partition;
mod reserve;
mod unlock;
mod usable;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use install::Role;
use sys::blockdev::{self, Kind};

use crate::installed::Installed;
use crate::log;
use crate::machine::Machine;
use crate::toolbox::Toolbox;
use crate::warnings::warn;
use containers::{Ask, Containers};
use find::{Candidate, Name};
pub(crate) use usable::Use;

/// Where the host sees the state partition.
pub(crate) const STATE: &str = "/state";

/// Its mount point until the root is switched, and the one that stays.
pub(crate) const EARLY_STATE: &str = "/run/rancher/state";

/// The label that `ros install` and autoformat give.
const LABEL: &str = "RANCHER_STATE";

/// The key that names the state partition.
const DEV: &str = "rancher.state.dev";

/// The label of boot2docker's disks.
const BOOT2DOCKER: &str = "LABEL=B2D_STATE";

/// A full check of a 10 TB disk takes minutes, as does making a file system on one; the phase's own deadline is longer.
const CHECK_DEADLINE: Duration = Duration::from_secs(540);

/// The state partition, as far as it can be used.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) device: PathBuf,
    pub(crate) usable: Use,
}

/// Whether the machine must not come up without its disk.
pub(crate) fn is_required(machine: &Machine) -> bool {
    machine.config.rancher.state.required == Some(true)
}

/// Mounts the state partition, or goes on in RAM unless `rancher.state.required` is set.
pub(crate) fn mount(mut machine: Machine) -> anyhow::Result<Machine> {
    let wanted = machine.config.rancher.state.clone();
    let name = wanted
        .dev
        .clone()
        .unwrap_or_else(|| format!("LABEL={LABEL}"));
    if matches!(name.as_str(), "" | "none") {
        return Ok(machine);
    }
    let found = search(&machine, &name, wanted.wait.unwrap_or(false));
    // boot2docker's disks, which docker-machine made, count where none of ours is there (RancherOS's rule).
    let is_ours = name == format!("LABEL={LABEL}");
    let other = || choose(DEV, BOOT2DOCKER, &find::look(&Name::parse(BOOT2DOCKER)));
    let found = found.or_else(|| is_ours.then(other).flatten());
    let found = found.map_or_else(
        || format::format_blank(&machine, &wanted.autoformat.clone().unwrap_or_default()),
        |device| Ok(Some(device)),
    );
    let mounted = found.and_then(|device| mount_found(&machine, device, wanted.fstype.as_deref()));
    let entered = mounted.and_then(|found| {
        let usable = found.as_ref().map(|(state, _)| state.usable);
        let place = Path::new(EARLY_STATE);
        let entered = directory::enter(wanted.directory.as_deref(), usable, place);
        if let Some((state, Some(repaired))) = &found {
            check::tell(&state.device, repaired, entered.is_ok());
        }
        entered?;
        Ok(found.map(|(state, _)| state))
    });
    match entered {
        Ok(Some(state)) => {
            log::info(&format!("state: {}", state.device.display()));
            machine.state = Some(state);
        }
        Ok(None) if is_required(&machine) => bail!("{name} is required and was not found"),
        Ok(None) => log::warning(&format!(
            "state: {name} was not found: nothing will survive a reboot"
        )),
        Err(error) if is_required(&machine) => return Err(error),
        Err(error) => warn(
            "state",
            &format!("{error:#}: the machine runs in RAM, and nothing will survive a reboot"),
        ),
    }
    Ok(machine)
}

/// The partition next to the slot that was booted, when it has the label that is looked for: of two installed disks each
/// keeps to itself.
fn beside_slot(machine: &Machine, name: &str) -> Option<PathBuf> {
    let label = name.strip_prefix("LABEL=")?;
    let device = Installed::named_by(&machine.command_line)?.partition(Role::State)?;
    let superblock = blockdev::probe(&device)?;
    let is_it = superblock.label.as_deref() == Some(label) && !superblock.kind.is_container();
    is_it.then_some(device)
}

/// The device to use, inside of others too where there is none outside.
fn search(machine: &Machine, name: &str, wait: bool) -> Option<PathBuf> {
    let parsed = Name::parse(name);
    let mut containers = Containers::new(machine, &parsed);
    containers.open(Ask::Configured);
    if let Some(device) = beside_slot(machine, name) {
        return Some(device);
    }
    let look = |containers: &mut Containers<'_>| {
        let found = find::look(&parsed);
        if !found.is_empty() || !containers.open(Ask::NotFound) {
            return found;
        }
        let found = find::look(&parsed);
        let inside = || containers.inside.as_deref().map(find::named);
        let inside = found.is_empty().then(inside).flatten();
        found.into_iter().chain(inside).collect()
    };
    let mut found = find::until_found(wait, || look(&mut containers));
    if found.is_empty() && containers.start_degraded() {
        found = look(&mut containers);
    }
    choose(DEV, name, &found)
}

/// The device to use for what this key of the configuration names; more than one that fits is said.
fn choose(key: &str, name: &str, found: &[Candidate]) -> Option<PathBuf> {
    if let Some(message) = several(key, name, found) {
        warn("state", &message);
    }
    found.first().map(|first| first.path.clone())
}

/// What is to be said of several disks with one name.
fn several(key: &str, name: &str, found: &[Candidate]) -> Option<String> {
    let (first, others) = found.split_first()?;
    let tag = find::telling(found);
    let others: Vec<String> = others
        .iter()
        .map(|other| other.describe(tag.as_ref()))
        .collect();
    let path = first.path.display();
    let advice = match &tag {
        Some((tag, _)) => format!("name one by {key}={tag}=..."),
        None => format!(
            "they are copies that only the names of the kernel tell apart, which can change: name one by {key}={path}, or give the others new numbers (`tune2fs -U random` on ext4)"
        ),
    };
    (!others.is_empty()).then(|| {
        format!(
            "{name} is the name of several disks: {} is used, {} left alone; {advice}",
            first.describe(tag.as_ref()),
            others.join(" and ")
        )
    })
}

/// The device with the state, mounted, and what e2fsck has repaired on it, in its words.
fn mount_found(
    machine: &Machine,
    device: Option<PathBuf>,
    fstype: Option<&str>,
) -> anyhow::Result<Option<(State, Option<String>)>> {
    let Some(device) = device else {
        return Ok(None);
    };
    let Some(superblock) = blockdev::probe(&device) else {
        bail!("{} has no file system", device.display());
    };
    let kind = match (&superblock.kind, fstype) {
        (_, Some(kind)) if kind != "auto" => kind,
        (Kind::Ext4, _) => "ext4",
        (Kind::Xfs, _) => "xfs",
        (Kind::Btrfs, _) => "btrfs",
        (other, _) => bail!(
            "{} is {other:?}: state must be ext4, xfs or btrfs",
            device.display()
        ),
    };
    fs::create_dir_all(EARLY_STATE).with_context(|| format!("cannot create {EARLY_STATE}"))?;
    // What cannot be written cannot be repaired, and its mount says so.
    let checked = if kind == "ext4" && !is_read_only(&device) {
        check::check(machine, &device)
    } else {
        check::Checked::default()
    };
    let usable = usable::mount(&device, kind, Path::new(EARLY_STATE), checked.damage)?;
    if usable != Use::ReadOnly && kind == "ext4" {
        if machine.config.rancher.state.growpart != Some(false) {
            grow_partition(&device);
        }
        if ext4::read(&device).is_some_and(|found| found.can_grow()) {
            grow(machine, &device);
        }
    }
    Ok(Some((State { device, usable }, checked.repaired)))
}

fn is_read_only(device: &Path) -> bool {
    let known = blockdev::list();
    known
        .iter()
        .any(|known| known.path == device && known.read_only)
}

fn grow_partition(device: &Path) {
    let name = device.display();
    match partition::grow(device) {
        Ok(Some(mebibytes)) => log::info(&format!(
            "state: the partition {name} has {mebibytes} MiB now: its disk became larger"
        )),
        Ok(None) => {}
        Err(error) => log::warning(&format!(
            "state: the partition {name} is not grown: {error:#}"
        )),
    }
}

fn grow(machine: &Machine, device: &Path) {
    let result = Toolbox::open(machine).and_then(|toolbox| {
        // resize2fs takes a file system whose mount point it does not see for one that is not mounted, and finds it busy.
        toolbox.show(Path::new(EARLY_STATE))?;
        toolbox
            .run("resize2fs", &[&device.to_string_lossy()], CHECK_DEADLINE)?
            .success("resize2fs")
    });
    match result {
        Ok(()) => log::info(&format!(
            "state: {} now fills its partition",
            device.display()
        )),
        Err(error) => log::error(&format!(
            "state: {} is not grown: {error:#}",
            device.display()
        )),
    }
}

/// The device that a name means (`LABEL=`, `UUID=`, `PARTUUID=` or a path), if it is there now; `key` is what names it. More
/// than one that fits is said.
pub(crate) fn resolve(key: &str, name: &str) -> Option<PathBuf> {
    choose(key, name, &find::find(&Name::parse(name), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_disks_of_one_name_are_said_with_the_key_that_tells_them_apart() {
        let disk = |path: &str, uuid: &str, part_uuid: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let mut found = find::named(Path::new(path));
            (found.uuid, found.part_uuid) = (some(uuid), some(part_uuid));
            found
        };
        let name = "LABEL=RANCHER_OEM";
        let of = |found: &[Candidate]| several("rancher.state.oem_dev", name, found);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[disk("/dev/none1", "", "")]), None);
        // Numbers of the file systems, of the partitions, or none: copies of a disk have all in common.
        for (first, second, said) in [
            (
                ["a", "p"],
                ["b", "p"],
                "/dev/none2 (UUID=a) is used, /dev/none1 (UUID=b) left alone; name one by rancher.state.oem_dev=UUID=...",
            ),
            (
                ["a", "p"],
                ["a", "q"],
                "/dev/none2 (PARTUUID=p) is used, /dev/none1 (PARTUUID=q) left alone; name one by rancher.state.oem_dev=PARTUUID=...",
            ),
            (
                ["a", "p"],
                ["a", "p"],
                "/dev/none2 is used, /dev/none1 left alone; they are copies that only the names of the kernel tell apart, which can change: name one by rancher.state.oem_dev=/dev/none2, or give the others new numbers (`tune2fs -U random` on ext4)",
            ),
        ] {
            let found = [
                disk("/dev/none2", first[0], first[1]),
                disk("/dev/none1", second[0], second[1]),
            ];
            let expected = format!("{name} is the name of several disks: {said}");
            assert_eq!(of(&found), Some(expected));
        }
    }
}
