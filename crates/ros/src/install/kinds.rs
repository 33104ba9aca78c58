//! Kinds of installation, by RancherOS's names: what they are here, and what to do in place of those that do not exist.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use install::Role;
use sys::blockdev::{self, BlockDevice};

use super::Options;
use crate::os::failure::fail;

/// Names that mean a whole disk with a boot loader.
const WHOLE_DISK: [&str; 6] = [
    "generic",
    "syslinux",
    "gptsyslinux",
    "amazon-ebs-hvm",
    "googlecompute",
    "arm",
];
/// The disk of an earlier installation, whose state partition is kept.
const KEEP: &str = "noformat";
/// Names that mean something else, and what to do.
const OTHER: [(&str, &str); 5] = [
    (
        "raid",
        "the boot loader does not start from an array: install on one disk, and keep the state on an array (rancher.state.dev, \
         rancher.state.mdadm_scan)",
    ),
    (
        "bootstrap",
        "this system needs no prepared disk: rancher.state.autoformat formats a blank one at the boot",
    ),
    (
        "amazon-ebs-pv",
        "paravirtual machines of EC2 are not supported: take a machine with HVM, and generic",
    ),
    (
        "upgrade",
        "`ros os upgrade` puts another version on this machine's disk",
    ),
    (
        "rancher-upgrade",
        "a disk of RancherOS 1.x has no slots: install on another disk, and copy /home and /var/lib/docker",
    ),
];

/// # Errors
/// For what this system does not do; the error says what to do in its place.
pub(super) fn check(options: &Options) -> anyhow::Result<()> {
    let kind = options.install_type.as_str();
    if let Some((_, instead)) = OTHER.iter().find(|(name, _)| *name == kind) {
        fail!(Refused, "-t {kind}: {instead}");
    }
    if kind != KEEP && !WHOLE_DISK.contains(&kind) {
        bail!("unexpected install type {kind}");
    }
    if options.partition.is_some() && kind != KEEP {
        fail!(
            Refused,
            "-p: one partition has no room for the versions of this system: name the disk by -d; -t {KEEP} keeps its state partition"
        );
    }
    ensure!(
        options.partition.is_none() || options.device.is_none(),
        "-p and -d name the disk twice: give one of them"
    );
    if options.kexec {
        fail!(
            Refused,
            "-k: the first start goes through the firmware, which shows that the disk starts by itself: leave it out"
        );
    }
    if options.save {
        fail!(
            Refused,
            "-s: images of this boot are not copied: put archives of them into /var/lib/rancher/preload/docker of the installed \
             machine, or pull them there"
        );
    }
    if let Some(directory) = options.statedir.as_deref() {
        inside(directory)?;
    }
    Ok(())
}

/// Whether the state partition stays as it is.
pub(super) fn keeps_state(options: &Options) -> bool {
    options.keep_state || options.install_type == KEEP
}

/// Whether a disk with data is taken: by order, or because the kind is about such a disk.
pub(super) fn takes_data(options: &Options) -> bool {
    // A farm gives the same parameters at each boot: without an order it would install again and again
    options.force || (keeps_state(options) && !options.unattended)
}

/// The disk, by `-d`, by the state partition of `-p`, or, where one is kept and only one is there, by that.
pub(super) fn device(options: &Options) -> anyhow::Result<Option<String>> {
    if options.device.is_some() || !keeps_state(options) {
        return Ok(options.device.clone());
    }
    let disk = disk_of_state(
        &blockdev::list(),
        options.partition.as_deref().map(Path::new),
    )?;
    Ok(Some(disk.display().to_string()))
}

fn disk_of_state(devices: &[BlockDevice], named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let is_state = |part: &&BlockDevice| {
        part.partition == Some(Role::State.number())
            && part.partition_name.as_deref() == Some(Role::State.name())
    };
    let named = named.map(|name| std::fs::canonicalize(name).unwrap_or_else(|_| name.to_owned()));
    let is_named = |part: &&BlockDevice| named.as_ref().is_none_or(|name| part.path == *name);
    let found: Vec<&BlockDevice> = devices.iter().filter(is_state).filter(is_named).collect();
    match (found.as_slice(), &named) {
        ([part], _) => part.parent.clone().context("a partition without a disk"),
        ([], Some(name)) => fail!(
            Refused,
            "{} is not the state partition of an installation of this system, which is number {} with the name {}",
            name.display(),
            Role::State.number(),
            Role::State
        ),
        ([], None) => fail!(
            Refused,
            "no disk has an installation of this system whose state could be kept; after an installation that was cut off, name the disk by -d"
        ),
        _ => bail!("several disks have a state partition that could be kept: name one by -d"),
    }
}

/// A directory of the state partition, as a path in it.
///
/// # Errors
/// When it is none, or leads out of it.
pub(super) fn inside(directory: &str) -> anyhow::Result<PathBuf> {
    let relative = Path::new(directory.trim_start_matches('/'));
    let is_below = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    ensure!(
        is_below
            && relative.components().next().is_some()
            && !directory.contains(char::is_whitespace),
        "--statedir {directory}: it is not a directory of the state partition"
    );
    Ok(relative.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::failure::Failure;

    fn of_kind(kind: &str) -> Options {
        Options {
            install_type: kind.to_owned(),
            ..Options::default()
        }
    }

    #[test]
    fn what_is_refused_says_what_to_do() {
        let partition = Options {
            partition: Some("/dev/sda2".to_owned()),
            ..of_kind("generic")
        };
        let kexec = Options {
            kexec: true,
            ..of_kind("generic")
        };
        let save = Options {
            save: true,
            ..of_kind("generic")
        };
        for (options, words) in [
            (of_kind("raid"), "rancher.state.dev"),
            (of_kind("upgrade"), "`ros os upgrade`"),
            (partition, "name the disk by -d"),
            (kexec, "leave it out"),
            (save, "preload"),
        ] {
            let error = check(&options).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Failure::Refused), "{words}");
            assert!(format!("{error:#}").contains(words), "{error:#}");
        }
        assert!(check(&of_kind("bogus")).is_err());
        assert!(check(&of_kind("arm")).is_ok());
        let keep = Options {
            keep_state: true,
            ..of_kind("generic")
        };
        for (options, keeps) in [
            (of_kind("noformat"), true),
            (of_kind("generic"), false),
            (keep, true),
        ] {
            assert_eq!(
                (keeps_state(&options), takes_data(&options)),
                (keeps, keeps)
            );
            let unattended = Options {
                unattended: true,
                ..options
            };
            assert!(!takes_data(&unattended));
        }
    }

    #[test]
    fn a_state_directory_stays_on_its_partition() {
        assert_eq!(inside("/ros/state").unwrap(), Path::new("ros/state"));
        for bad in ["/", "", "../x", "a/../../b", "a b"] {
            assert!(inside(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_disk_is_the_one_with_the_state_partition() {
        let part = |disk: &str, number, name: &str| BlockDevice {
            path: PathBuf::from(format!("/dev/{disk}{number}")),
            parent: Some(Path::new("/dev").join(disk)),
            partition: Some(number),
            partition_name: Some(name.to_owned()),
            size: 1 << 30,
            removable: false,
            read_only: false,
            device: (0, 0),
        };
        let state = |disk| part(disk, 8, "RANCHER_STATE");
        let devices = [
            part("sda", 1, "RANCHER_STATE"),
            part("sdb", 7, "RANCHER_OS"),
            state("sdb"),
        ];
        let found = |devices: &[BlockDevice], named: Option<&str>| {
            disk_of_state(devices, named.map(Path::new)).ok()
        };
        assert_eq!(found(&devices, None), Some("/dev/sdb".into()));
        assert_eq!(found(&devices, Some("/dev/sdb8")), Some("/dev/sdb".into()));
        assert_eq!(found(&devices, Some("/dev/sdb7")), None);
        assert_eq!(found(&[], None), None);
        let two = [state("sdb"), state("sdc")];
        assert_eq!(found(&two, None), None);
        assert_eq!(found(&two, Some("/dev/sdc8")), Some("/dev/sdc".into()));
    }
}
