//! The life of a machine's disk, by the functions that the machine uses.

use std::rc::Rc;

use crate::begin::begin;
use crate::bios::{boot_code, embed_core};
use crate::chooser::choose;
use crate::disk::Disk;
use crate::guid::Guid;
use crate::layout::{Layout, Role};
use crate::loader::Loader;
use crate::records::{BLOCK_BYTES, Records};
use crate::slot::{Slot, SlotFiles, environment, write_slot};
use crate::steps::{self, Step};

use super::check::{Expect, Version};
use super::recorder::{Event, Recorder};

/// The first bytes of every kernel here: GRUB refuses what does not have a kernel's.
pub(super) const MARK: &[u8] = b"HdrS";
/// The smallest disk there is.
const DISK_BYTES: u64 = 2 << 30;
/// Sizes of what is written: some hundred sectors each.
const KERNEL_BYTES: usize = 30_000;
const INITRD_BYTES: usize = 40_000;
const CORE_BYTES: usize = 20_000;
const PROGRAM_BYTES: usize = 100_000;

/// A wrong order, made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The choice names a version before its tries are there.
    ChoiceBeforeTries,
    /// Nothing is flushed from staging to arming.
    ArmedUnflushed,
    /// A version is written over the one to come back to.
    StagedOverGood,
    /// One copy of the choice, written in place, in two halves.
    OneCopy,
    /// The boot code comes first.
    BootCodeFirst,
    /// The boot code leads to the new GRUB before that is on the disk.
    LoaderUnflushed,
    /// A version is committed that was never tried.
    CommittedUntried,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ChoiceBeforeTries,
        Self::ArmedUnflushed,
        Self::StagedOverGood,
        Self::OneCopy,
        Self::BootCodeFirst,
        Self::LoaderUnflushed,
        Self::CommittedUntried,
    ];
}

/// What happened.
pub struct Story {
    /// Of the disk.
    pub layout: Layout,
    /// In order.
    pub events: Vec<Event>,
}

/// Bytes that look random, the same each time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

fn version(name: &'static str, seed: u64) -> Version {
    let mut kernel = noise(seed, KERNEL_BYTES);
    kernel[..MARK.len()].copy_from_slice(MARK);
    Version {
        name,
        kernel: Rc::new(kernel),
        initrd: Rc::new(noise(seed + 1, INITRD_BYTES)),
        core: Rc::new(noise(seed + 2, CORE_BYTES)),
    }
}

fn boot_image() -> Vec<u8> {
    let mut image = vec![0x90; 512];
    image[510..].copy_from_slice(&[0x55, 0xaa]);
    image
}

struct Life {
    disk: Recorder,
    layout: Layout,
    versions: Vec<Version>,
    proven: Vec<&'static str>,
    fault: Option<Fault>,
}

/// Everything that happens to a disk, with a fault or without.
///
/// # Panics
/// When the functions that write a disk fail, which they do not in RAM.
#[must_use]
pub fn story(fault: Option<Fault>) -> Story {
    let layout = Layout::plan(DISK_BYTES, 512, true).unwrap();
    let mut life = Life {
        disk: Recorder::new(DISK_BYTES),
        layout,
        versions: vec![
            version("v1", 10),
            version("v2", 20),
            version("v3", 30),
            version("v4", 40),
        ],
        proven: vec!["v1"],
        fault,
    };
    life.install();
    // A version that is kept, one that fails at once, one that is given up after its tries, one that is taken back.
    life.stage("stage v2", 1, Slot::B);
    life.arm("arm v2", Slot::B);
    life.boot("try v2");
    life.commit("commit v2", Slot::B, 1);
    life.grub("update GRUB", 1);
    life.stage("stage v3", 2, Slot::C);
    life.arm("arm v3", Slot::C);
    life.boot("try v3");
    life.reject("reject v3");
    life.stage("stage v4", 3, Slot::C);
    life.arm("arm v4", Slot::C);
    for name in ["first try of v4", "second try of v4", "third try of v4"] {
        life.boot(name);
    }
    life.reject("give v4 up");
    life.arm("arm v4 again", Slot::C);
    life.reject("cancel v4");
    // Back to the version before, and on from there.
    life.arm("roll back to v1", Slot::A);
    life.boot("try v1");
    life.commit("commit v1", Slot::A, 0);
    life.stage("stage v3 over v4", 2, Slot::C);
    life.arm("arm v3 again", Slot::C);
    life.boot("try v3 again");
    life.commit("commit v3", Slot::C, 2);
    life.grub("update GRUB again", 2);
    Story {
        layout: life.layout,
        events: life.disk.events,
    }
}

impl Life {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn name(&mut self, name: &'static str) {
        self.disk.events.push(Event::Name(name));
    }

    fn expect(&mut self) {
        let expect = Expect::Machine {
            versions: self.versions.clone(),
            proven: self.proven.clone(),
            begins: false,
        };
        self.disk.events.push(Event::Expect(expect));
    }

    /// As `ros install` does it (crates/ros/src/install/write.rs).
    fn install(&mut self) {
        self.name("install");
        self.disk.events.push(Event::Expect(Expect::Nothing));
        let loader = Loader {
            bios: Some((boot_image(), self.versions[0].core.to_vec())),
            uefi: ("BOOTX64.EFI".to_owned(), noise(1, PROGRAM_BYTES)),
        };
        let mut number = 0;
        begin(&mut self.disk, &self.layout, false, || {
            number += 1;
            Guid([number; 16])
        })
        .unwrap();
        if self.is(Fault::BootCodeFirst) {
            let code = boot_code(&boot_image(), 2048).unwrap();
            self.disk.write_at(0, &code).unwrap();
        }
        self.slot(0, Slot::A);
        for empty in [Slot::B, Slot::C] {
            let partition = self.layout.get(Role::Kernel(empty)).unwrap();
            crate::slot::clear_slot(&mut self.disk, partition, 512).unwrap();
        }
        let code = crate::steps::finish(&mut self.disk, &self.layout, &loader, Slot::A).unwrap();
        self.name("write the boot code");
        let begins = Expect::Machine {
            versions: self.versions.clone(),
            proven: self.proven.clone(),
            begins: true,
        };
        self.disk.events.push(Event::Expect(begins));
        self.disk.write_at(0, &code.unwrap()).unwrap();
        self.disk.flush().unwrap();
        self.expect();
    }

    fn slot(&mut self, version: usize, slot: Slot) {
        let version = self.versions[version].clone();
        let environment = environment(version.name, version.name, "quiet").unwrap();
        let (mut kernel, mut initrd) = (&version.kernel[..], &version.initrd[..]);
        let partition = self.layout.get(Role::Kernel(slot)).unwrap();
        let files = SlotFiles {
            environment: &environment,
            kernel: (&mut kernel, version.kernel.len() as u64),
            initrd: (&mut initrd, version.initrd.len() as u64),
            manifest: b"{}",
        };
        write_slot(&mut self.disk, partition, 512, files).unwrap();
    }

    fn stage(&mut self, name: &'static str, version: usize, slot: Slot) {
        self.name(name);
        let slot = if self.is(Fault::StagedOverGood) {
            Slot::A
        } else {
            slot
        };
        self.disk.deaf = self.is(Fault::ArmedUnflushed);
        self.slot(version, slot);
    }

    fn records(&mut self) -> (u64, Records) {
        let start = self.layout.get(Role::BootState).unwrap().start;
        (start, Records::read(&mut self.disk, start).unwrap())
    }

    /// As `Installed::apply` does it (crates/ros/src/os/installed.rs).
    fn apply(&mut self, steps: &[Step]) {
        let (start, _) = self.records();
        for step in steps {
            let mut block = [0; BLOCK_BYTES];
            block[..step.block.len()].copy_from_slice(&step.block);
            self.disk
                .write_at(start + step.which.offset(), &block)
                .unwrap();
            self.disk.flush().unwrap();
        }
        if self.disk.deaf {
            self.disk.deaf = false;
            self.disk.flush().unwrap();
        }
    }

    fn arm(&mut self, name: &'static str, slot: Slot) {
        self.name(name);
        let (_, records) = self.records();
        if self.fault.is_some() && records.choice().is_none_or(|choice| choice.good == slot) {
            return;
        }
        let mut steps = steps::arm(&records, slot).unwrap();
        if self.is(Fault::ChoiceBeforeTries) {
            steps.reverse();
        }
        self.apply(&steps);
    }

    /// GRUB counts, and flushes nothing.
    fn boot(&mut self, name: &'static str) {
        self.name(name);
        let (start, records) = self.records();
        if let Some(tries) = choose(&records, true).tries {
            let at = start + crate::records::Which::Tries.offset();
            self.disk.write_at(at, &tries).unwrap();
        }
        if self.is(Fault::CommittedUntried) {
            // The record of the decision, without the gate.
            let (_, records) = self.records();
            let running = records.choice().and_then(|choice| choice.next);
            if let Some(running) = running {
                self.apply(&steps::commit(&records, running).unwrap());
            }
        }
    }

    /// The gate has passed before the first record is written.
    fn commit(&mut self, name: &'static str, slot: Slot, version: usize) {
        self.name(name);
        self.proven.push(self.versions[version].name);
        self.expect();
        let (_, records) = self.records();
        let mut steps = steps::commit(&records, slot).unwrap();
        if self.is(Fault::OneCopy) {
            // Both at once: no order holds between them, and none of them fills a whole sector.
            let half: Vec<Step> = steps
                .iter()
                .map(|step| {
                    let mut block = step.block;
                    block[60..].fill(0);
                    Step {
                        block,
                        ..step.clone()
                    }
                })
                .collect();
            steps.splice(0..0, half);
        }
        self.apply(&steps);
    }

    fn reject(&mut self, name: &'static str) {
        self.name(name);
        let (_, records) = self.records();
        self.apply(&steps::reject(&records).unwrap());
    }

    /// The half of the partition that is not in use, then one sector (shared/reference/install.md, A6).
    fn grub(&mut self, name: &'static str, version: usize) {
        self.name(name);
        let mut code = [0; 440];
        self.disk.read_at(0, &mut code).unwrap();
        let partition = self.layout.get(Role::Bios).unwrap();
        let now = u64::from_le_bytes(code[0x5c..0x64].try_into().unwrap());
        let second = now == partition.start / 512;
        self.disk.deaf = self.is(Fault::LoaderUnflushed);
        let core = self.versions[version].core.clone();
        let sector = embed_core(&mut self.disk, partition, second, &core).unwrap();
        let code = boot_code(&boot_image(), sector).unwrap();
        self.disk.write_at(0, &code).unwrap();
        self.disk.deaf = false;
        self.disk.flush().unwrap();
    }
}
