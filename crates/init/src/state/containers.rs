//! What the state disk can be inside of: md arrays, LVM and LUKS, opened by their own programs.
//!
//! These are in a separate image on the media, which is mounted only when the configuration asks for it, or when the
//! state is not found and a device of that kind is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::blockdev::{self, BlockDevice, Kind, Superblock};
use sys::modules::ModuleIndex;
use sys::mount::{self, UnmountFlags};

use super::find::Name;
use super::unlock;
use crate::log;
use crate::machine::Machine;
use crate::toolbox::Toolbox;
use crate::warnings::warn;

/// An array of many disks, or volume groups, on slow ones.
const DEADLINE: Duration = Duration::from_secs(60);
/// LUKS on LVM on md, and one more look: no chain that people make is longer.
const MAX_ROUNDS: usize = 5;
/// Where the phase "mount modules" has them.
const MODULES: &str = "/run/rancher/modules";
/// Where the initrd has its own.
const INITRD_MODULES: &str = "/lib/modules";
/// mdadm(8), "EXIT STATUS" of assembling: nothing was found to assemble.
const NO_ARRAY: i32 = 2;
/// No udev runs yet that would make the nodes, and nothing watches volumes (lvm.conf(5)).
const LVM_SETTINGS: &str =
    "devices{obtain_device_list_from_udev=0} activation{udev_sync=0 udev_rules=0 monitoring=0}";

/// Why devices are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// The configuration says so.
    Configured,
    /// The state is not found otherwise.
    NotFound,
}

/// The devices that hold others, and what was done with them.
pub(super) struct Containers<'a> {
    machine: &'a Machine,
    name: &'a Name,
    /// Those that were tried: a wrong passphrase is not asked for without end.
    tried: BTreeSet<PathBuf>,
    /// What is in the LUKS device that the name itself means.
    pub(super) inside: Option<PathBuf>,
    /// Mounted once it is needed.
    toolbox: Option<Toolbox>,
    /// Whether the media's modules are in the place of the initrd's.
    has_lent: bool,
}

/// One of them.
type Found = (BlockDevice, Superblock);

impl<'a> Containers<'a> {
    /// Nothing is opened yet. `name` is how the state is looked for.
    pub(super) fn new(machine: &'a Machine, name: &'a Name) -> Self {
        Containers {
            machine,
            name,
            tried: BTreeSet::new(),
            inside: None,
            toolbox: None,
            has_lent: false,
        }
    }

    /// Opens what was not tried yet, and what appears in it; whether there was anything.
    pub(super) fn open(&mut self, ask: Ask) -> bool {
        let rounds = (0..MAX_ROUNDS).take_while(|_| self.open_one_kind(ask));
        rounds.count() > 0
    }

    /// Starts arrays although disks of theirs are missing; whether there were any.
    pub(super) fn start_degraded(&mut self) -> bool {
        if self.wanted().mdadm_scan == Some(false) {
            return false;
        }
        let waiting = waiting_arrays();
        for array in &waiting {
            self.attempt("md", |own| own.start_array(array));
        }
        !waiting.is_empty()
    }

    /// md, LVM or LUKS: the first that has something new, since the next kind may be in it.
    fn open_one_kind(&mut self, ask: Ask) -> bool {
        let (md, lvm) = (self.wanted().mdadm_scan, self.wanted().lvm_scan);
        if self.has_new(Kind::Raid, is_asked(md, ask)) {
            self.attempt("md", Self::assemble);
            return true;
        }
        if self.has_new(Kind::Lvm, is_asked(lvm, ask)) {
            self.attempt("LVM", Self::activate);
            return true;
        }
        let all = self.wanted().cryptsetup;
        if !is_asked(all, ask) {
            return false;
        }
        let locked = of_kind(Kind::Luks).into_iter().find(|(device, found)| {
            let is_one = all == Some(true) || self.name.fits(device, Some(found));
            is_one && !self.tried.contains(&device.path)
        });
        let Some((device, found)) = locked else {
            return false;
        };
        self.tried.insert(device.path.clone());
        self.attempt("LUKS", |own| own.unlock(&device, &found));
        true
    }

    fn wanted(&self) -> &'a config::cloud_config::State {
        &self.machine.config.rancher.state
    }

    /// Whether there are devices of this kind that were not tried; they count as tried from now on.
    fn has_new(&mut self, kind: Kind, is_asked: bool) -> bool {
        if !is_asked {
            return false;
        }
        let before = self.tried.len();
        let paths = of_kind(kind).into_iter().map(|(device, _)| device.path);
        self.tried.extend(paths);
        self.tried.len() > before
    }

    fn attempt(&mut self, kind: &str, work: impl FnOnce(&mut Self) -> anyhow::Result<()>) {
        if let Err(error) = work(self) {
            warn("state", &format!("{kind}: {error:#}"));
        }
    }

    fn toolbox(&mut self) -> anyhow::Result<&Toolbox> {
        let opened = match self.toolbox.take() {
            Some(toolbox) => toolbox,
            None => {
                if let Err(error) = self.lend_modules() {
                    log::warning(&format!("state: {error:#}"));
                }
                Toolbox::open_storage(self.machine)?
            }
        };
        Ok(self.toolbox.insert(opened))
    }

    /// Until the root is switched the initrd's few modules are where the kernel's requests look: those of the media take
    /// their place. Two come at once, since the programs look for what they show in /dev and /sys; those of targets and
    /// levels are asked for by the kernel.
    fn lend_modules(&mut self) -> anyhow::Result<()> {
        if !self.has_lent {
            mount::bind(MODULES, INITRD_MODULES, false)?;
            self.has_lent = true;
        }
        let directory = Path::new(INITRD_MODULES).join(sys::kernel_release());
        let mut index = ModuleIndex::open(&directory)?;
        index.load("dm-mod", "")?;
        index.load("md-mod", "")?;
        Ok(())
    }

    /// An array that lacks a disk has its others then, and waits: the disk may come.
    fn assemble(&mut self) -> anyhow::Result<()> {
        let arguments = ["--assemble", "--scan", "--no-degraded"];
        let output = self.toolbox()?.run("mdadm", &arguments, DEADLINE)?;
        if !matches!(output.code(), Some(0 | NO_ARRAY)) {
            log::warning(&format!("state: mdadm: {}", output.summary()));
        }
        say_what_is_degraded();
        Ok(())
    }

    fn start_array(&mut self, array: &Path) -> anyhow::Result<()> {
        let arguments = ["--run", &array.to_string_lossy()];
        let output = self.toolbox()?.run("mdadm", &arguments, DEADLINE)?;
        output.success("mdadm")?;
        say_what_is_degraded();
        Ok(())
    }

    fn activate(&mut self) -> anyhow::Result<()> {
        let arguments = ["vgchange", "-ay", "--sysinit", "--config", LVM_SETTINGS];
        let output = self.toolbox()?.run("lvm", &arguments, DEADLINE)?;
        output.success("lvm")?;
        log::info(&format!("state: lvm: {}", output.words()));
        Ok(())
    }

    fn unlock(&mut self, device: &BlockDevice, found: &Superblock) -> anyhow::Result<()> {
        let is_meant = self.name.fits(device, Some(found));
        let state = self.wanted();
        let inside = unlock::open(self.toolbox()?, device, found, state)?;
        if is_meant {
            self.inside = Some(inside);
        }
        Ok(())
    }
}

/// Without a word in the configuration, what is found is opened when it may have the state.
fn is_asked(flag: Option<bool>, ask: Ask) -> bool {
    flag.unwrap_or(ask == Ask::NotFound)
}

fn of_kind(kind: Kind) -> Vec<Found> {
    let probed = blockdev::list().into_iter().filter_map(|device| {
        let found = blockdev::probe(&device.path)?;
        (found.kind == kind).then_some((device, found))
    });
    probed.collect()
}

impl Drop for Containers<'_> {
    fn drop(&mut self) {
        drop(self.toolbox.take());
        if self.has_lent {
            // The next root has these modules there anyway.
            let _ = mount::unmount(INITRD_MODULES, UnmountFlags::DETACH);
        }
    }
}

/// Arrays that have disks and do not run (Linux's Documentation/admin-guide/md.rst, `array_state`).
fn waiting_arrays() -> Vec<PathBuf> {
    arrays("array_state", |state| state == "inactive")
}

/// An array that runs without some of its disks is not as safe as its owner believes.
fn say_what_is_degraded() {
    let is_some = |missing: &str| missing.parse::<u32>().is_ok_and(|missing| missing > 0);
    for array in arrays("degraded", is_some) {
        warn(
            "state",
            &format!("{} runs without all of its disks", array.display()),
        );
    }
}

/// The arrays of which a file of theirs in sysfs says so.
fn arrays(file: &str, says: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    // A machine without sysfs has no arrays, either.
    let devices = fs::read_dir("/sys/class/block").into_iter().flatten();
    devices
        .filter_map(|device| {
            let device = device.ok()?;
            let text = fs::read_to_string(device.path().join("md").join(file)).ok()?;
            says(text.trim()).then(|| Path::new("/dev").join(device.file_name()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_says_holds_and_else_only_what_is_needed_is_opened() {
        for (flag, configured, not_found) in [
            (None, false, true),
            (Some(true), true, true),
            (Some(false), false, false),
        ] {
            assert_eq!(is_asked(flag, Ask::Configured), configured, "{flag:?}");
            assert_eq!(is_asked(flag, Ask::NotFound), not_found, "{flag:?}");
        }
    }
}
