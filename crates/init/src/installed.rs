//! The installed disk that this boot comes from, as the boot loader names it on the kernel's command line (`iso/boot.cfg`).

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use install::{Role, Slot};
use sys::blockdev::{self, BlockDevice};

/// Where the partition of layers is mounted.
pub(crate) const STORE: &str = "/run/rancher/os";

/// A boot from a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installed {
    /// The slot whose kernel runs.
    pub(crate) slot: Slot,
    /// PARTUUID of the partition with the boot records, which tells this disk from others with the same labels.
    disk: String,
}

impl Installed {
    /// From `rancher.slot` and `rancher.disk`; none when the boot comes from other media.
    pub(crate) fn named_by(command_line: &str) -> Option<Installed> {
        let value = |key: &str| {
            let words = command_line.split_ascii_whitespace();
            words.rev().find_map(|word| word.strip_prefix(key))
        };
        let number = value("rancher.slot=")?.parse().ok()?;
        Some(Installed {
            slot: Slot::from_number(number)?,
            disk: value("rancher.disk=").unwrap_or_default().to_owned(),
        })
    }

    /// The folder of the version, which looks like a medium.
    pub(crate) fn folder(&self) -> PathBuf {
        Path::new(STORE).join(install::store::slot_folder(self.slot))
    }

    /// The partition of the disk for this purpose, once the kernel has found it.
    pub(crate) fn partition(&self, role: Role) -> Option<PathBuf> {
        let devices = blockdev::list();
        let on = |role: Role| {
            devices.iter().filter(move |device| {
                device.partition == Some(role.number())
                    && device.partition_name.as_deref() == Some(role.name())
            })
        };
        let disk = on(Role::BootState)
            .find(|device| self.is_named_by(device))?
            .parent
            .as_deref()?;
        let mut wanted = on(role);
        wanted
            .find(|device: &&BlockDevice| device.parent.as_deref() == Some(disk))
            .map(|device| device.path.clone())
    }

    /// Whether the partition is the one that the boot loader read. Firmware that GRUB cannot ask leaves the name empty: then
    /// any disk of ours is taken.
    fn is_named_by(&self, device: &BlockDevice) -> bool {
        self.disk.is_empty()
            || blockdev::partition_uuid(device)
                .is_some_and(|uuid| uuid.eq_ignore_ascii_case(&self.disk))
    }
}

/// Opens the node of a disk or a partition that is only read.
pub(crate) fn open(node: &Path) -> anyhow::Result<File> {
    File::open(node).with_context(|| format!("cannot open {}", node.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_slot_of_an_installed_disk_is_one() {
        let line = "console=tty0 rancher.slot=5 rancher.boot=00000007.1.ok rancher.disk=ABC-1";
        let found = Installed::named_by(line).unwrap();
        assert_eq!((found.slot, &*found.disk), (Slot::B, "ABC-1"));
        for line in [
            "",
            "rancher.slot=",
            "rancher.slot=7",
            "rancher.slot=x",
            "xrancher.slot=4",
        ] {
            assert_eq!(Installed::named_by(line), None, "{line}");
        }
    }
}
