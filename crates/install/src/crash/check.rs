//! Whether a machine comes back from a state of its disk.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::bios::BOOT_CODE_BYTES;
use crate::chooser::{Why, choose};
use crate::disk::Disk;
use crate::fat;
use crate::layout::{Layout, Role};
use crate::records::{RECORD_BYTES, Records, TRIES, Which};
use crate::slot::Slot;
use crate::steps;

use super::recorder::Sectors;

/// A version, as its own kernel and initrd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its name.
    pub name: &'static str,
    pub(super) kernel: Rc<Vec<u8>>,
    pub(super) initrd: Rc<Vec<u8>>,
    /// Its program GRUB has for BIOS, when the disk is installed with it.
    pub(super) core: Rc<Vec<u8>>,
}

/// What must be after a power cut.
#[derive(Clone, Debug)]
pub enum Expect {
    /// A new disk: it does not start, or it has everything.
    Nothing,
    /// A machine: a version that has proven itself starts, or one that is counted and whole.
    Machine {
        /// All versions that there are.
        versions: Vec<Version>,
        /// The names of those that have proven themselves.
        proven: Vec<&'static str>,
        /// The boot code is just being written: without it the disk does not start.
        begins: bool,
    },
}

/// What lies in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// The boot loader finds no kernel.
    Nothing,
    /// All of the version with this number.
    Whole(usize),
    /// Something that the boot loader may start, and that nobody wants to run.
    Part,
}

/// What is remembered of the flushed disk: what an epoch does not touch is the same in all its states.
#[derive(Default)]
pub(super) struct Known {
    slots: RefCell<HashMap<Slot, Content>>,
    loader: RefCell<Option<Result<(), String>>>,
}

/// A state to be looked at.
pub(super) struct State<'s, V> {
    pub(super) view: &'s V,
    pub(super) layout: &'s Layout,
    pub(super) known: &'s Known,
    /// Partitions that the unflushed writes touch.
    pub(super) touched: &'s [Role],
    /// Whether they touch the boot code.
    pub(super) boot_code: bool,
}

/// Reads only.
struct Reading<'v, V>(&'v V);

impl<V: Sectors> Disk for Reading<'_, V> {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.0.bytes(offset, buffer);
        Ok(())
    }

    fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<V: Sectors> State<'_, V> {
    /// # Errors
    /// What is bad about it.
    pub(super) fn check(&self, expect: &Expect) -> Result<(), String> {
        match expect {
            Expect::Nothing => self.unfinished(),
            Expect::Machine { begins: true, .. } if !self.has_boot_code() => Ok(()),
            Expect::Machine {
                versions, proven, ..
            } => self.machine(versions, proven),
        }
    }

    fn has_boot_code(&self) -> bool {
        let mut code = [0; BOOT_CODE_BYTES];
        self.view.bytes(0, &mut code);
        code.iter().any(|byte| *byte != 0)
    }

    /// Boot code is the last that an installation writes.
    fn unfinished(&self) -> Result<(), String> {
        if self.has_boot_code() {
            return Err("the disk starts before the installation has ended".to_owned());
        }
        Ok(())
    }

    fn records(&self) -> Option<Records> {
        let start = self.layout.get(Role::BootState).ok()?.start;
        let block = |which: Which| {
            let mut block = [0; RECORD_BYTES];
            self.view.bytes(start + which.offset(), &mut block);
            block
        };
        Some(Records {
            choice0: block(Which::Choice0),
            choice1: block(Which::Choice1),
            tries: block(Which::Tries),
        })
    }

    fn machine(&self, versions: &[Version], proven: &[&'static str]) -> Result<(), String> {
        let mut records = self.records().ok_or("no records")?;
        self.has_loader(versions)?;
        self.boots(&records, versions, proven)?;
        // Nobody commits: the tries end, and a proven version runs.
        for _ in 0..TRIES {
            if let Some(tries) = choose(&records, true).tries {
                records.tries = tries;
            }
        }
        let running = self.boots(&records, versions, proven)?;
        // What PID 1 does first changes nothing of that.
        for step in steps::repair(&records, running, None) {
            records.set(step.which, step.block);
            self.boots(&records, versions, proven)?;
        }
        Ok(())
    }

    /// Which slot this boot starts, if that is well.
    fn boots(
        &self,
        records: &Records,
        versions: &[Version],
        proven: &[&'static str],
    ) -> Result<Slot, String> {
        let decision = choose(records, true);
        if decision.why == Why::Lost {
            return Err("both choices are lost".to_owned());
        }
        if decision.why == Why::Stale {
            return Err("a version is armed whose tries are another's".to_owned());
        }
        let mut order = decision.order.iter();
        let (slot, content) = order
            .find_map(|slot| {
                let content = self.content(*slot, versions);
                (content != Content::Nothing).then_some((*slot, content))
            })
            .ok_or("no slot has a kernel")?;
        let counted = decision.attempt > 0 && slot == decision.order[0];
        match content {
            Content::Whole(number) if counted || proven.contains(&versions[number].name) => {
                Ok(slot)
            }
            Content::Whole(number) => Err(format!(
                "{} starts from slot {slot} without being counted ({})",
                versions[number].name, decision.why
            )),
            Content::Part | Content::Nothing => Err(format!(
                "a part of a version starts from slot {slot} ({}, try {})",
                decision.why, decision.attempt
            )),
        }
    }

    fn content(&self, slot: Slot, versions: &[Version]) -> Content {
        if self.touched.contains(&Role::Kernel(slot)) {
            return self.read(slot, versions);
        }
        if let Some(content) = self.known.slots.borrow().get(&slot) {
            return *content;
        }
        let content = self.read(slot, versions);
        self.known.slots.borrow_mut().insert(slot, content);
        content
    }

    fn read(&self, slot: Slot, versions: &[Version]) -> Content {
        let Ok(partition) = self.layout.get(Role::Kernel(slot)) else {
            return Content::Nothing;
        };
        let file = |name: &str| {
            let mut disk = Reading(self.view);
            fat::read(&mut disk, partition.start, name, 1 << 20)
        };
        let Ok(kernel) = file("VMLINUZ") else {
            return Content::Nothing;
        };
        // GRUB loads a kernel by its own mark: the first bytes of ours.
        if !kernel.starts_with(super::story::MARK) {
            return Content::Nothing;
        }
        let initrd = file("INITRD").unwrap_or_default();
        versions
            .iter()
            .position(|version| *version.kernel == kernel && *version.initrd == initrd)
            .map_or(Content::Part, Content::Whole)
    }

    fn has_loader(&self, versions: &[Version]) -> Result<(), String> {
        if self.boot_code || self.touched.contains(&Role::Bios) {
            return self.loader(versions);
        }
        let known = self.known.loader.borrow().clone();
        known.unwrap_or_else(|| {
            let found = self.loader(versions);
            *self.known.loader.borrow_mut() = Some(found.clone());
            found
        })
    }

    /// The boot code leads to a whole program of GRUB's.
    fn loader(&self, versions: &[Version]) -> Result<(), String> {
        let mut code = [0; BOOT_CODE_BYTES];
        self.view.bytes(0, &mut code);
        let sector = u64::from_le_bytes(code[0x5c..0x64].try_into().unwrap());
        // The list of what follows is the disk's own.
        let plain = |core: &[u8]| {
            let mut core = core.to_vec();
            core[500..512].fill(0);
            core
        };
        let found = versions.iter().any(|version| {
            let mut core = vec![0; version.core.len()];
            self.view.bytes(sector * 512, &mut core);
            plain(&core) == plain(&version.core)
        });
        if found {
            Ok(())
        } else {
            Err(format!(
                "the boot code leads to sector {sector}, where no GRUB is"
            ))
        }
    }
}
