//! This machine's disk: its records, slots and store of layers.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use config::CommandLine;
use install::{
    BLOCK_BYTES, Disk as _, Event, History, Manifest, Outcome, Records, Role, Slot, Step, store,
};
use sys::blockdev;
use sys::mount::{self, MountFlags};

use super::damage;
use super::failure::fail;
use super::lock::{self, Lock};
use crate::install::device::DiskFile;
use crate::install::medium::{hex, sha256};

/// Where PID 1 has mounted the store of layers.
pub(super) const STORE: &str = "/run/rancher/os";

/// An installed machine, as it was booted.
pub(super) struct Installed {
    /// The slot that runs.
    pub(super) slot: Slot,
    /// The id of the choice that this boot was made by; empty when GRUB found none.
    pub(super) id: String,
    /// Number of the try; 0 for the good version.
    pub(super) attempt: u32,
    /// Why, in GRUB's word.
    pub(super) why: String,
    /// The disk.
    pub(super) disk: PathBuf,
    /// Bytes in a logical sector of it.
    pub(super) sector_bytes: u64,
}

/// A version in a slot.
pub(super) struct Version {
    /// What it consists of.
    pub(super) manifest: Manifest,
    /// SHA-256 of the manifest.
    pub(super) digest: String,
    /// The manifest's bytes.
    pub(super) text: Vec<u8>,
}

impl Installed {
    /// # Errors
    /// When this system runs from a medium.
    pub(super) fn here() -> anyhow::Result<Self> {
        let line = fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
        let line = CommandLine::parse(&line);
        let last = |key: &str| line.values(key).last().unwrap_or_default().to_owned();
        let slot = last("rancher.slot")
            .parse()
            .ok()
            .and_then(Slot::from_number);
        let Some(slot) = slot else {
            fail!(
                Refused,
                "this system runs from a medium: only one on a disk has versions, `ros install` makes it"
            );
        };
        let device = crate::install::medium::source_of(Path::new(STORE))?;
        let devices = blockdev::list();
        let part = devices.iter().find(|part| part.path == device);
        let disk = part.and_then(|part| part.parent.clone());
        let disk = disk.with_context(|| format!("{} is not on a disk", device.display()))?;
        let boot = last("rancher.boot");
        let mut boot = boot.split('.');
        let mut next = || boot.next().unwrap_or_default().to_owned();
        Ok(Self {
            slot,
            id: next(),
            attempt: next().parse().unwrap_or(0),
            why: next(),
            sector_bytes: blockdev::identity(&disk).sector_bytes,
            disk,
        })
    }

    /// The node of one of its partitions.
    pub(super) fn node(&self, role: Role) -> anyhow::Result<PathBuf> {
        crate::install::write::partition(&self.disk, role)
            .with_context(|| format!("{} has no partition {role}", self.disk.display()))
    }

    /// Opens a partition for writing.
    pub(super) fn open(&self, role: Role) -> anyhow::Result<DiskFile> {
        let node = self.node(role)?;
        let file = OpenOptions::new().read(true).write(true).open(&node);
        Ok(DiskFile(file.with_context(|| {
            format!("cannot open {}", node.display())
        })?))
    }

    /// The records.
    pub(super) fn records(&self) -> anyhow::Result<Records> {
        let node = self.node(Role::BootState)?;
        let file = File::open(&node).with_context(|| format!("cannot open {}", node.display()))?;
        Ok(Records::read(&mut DiskFile(file), 0)?)
    }

    /// Reads the records, and writes what `decide` makes of them, with nobody in between.
    pub(super) fn decide(
        &self,
        decide: impl FnOnce(&Records) -> install::Result<Vec<Step>>,
    ) -> anyhow::Result<()> {
        let _lock = lock::take()?;
        self.apply(&decide(&self.records()?)?)
    }

    /// Makes the records whole again; returns what was done. When both copies of the choice are lost, the history tells what is
    /// good: the boot loader then has started the first slot with a kernel, which may be one that has failed.
    pub(super) fn repair(&self) -> anyhow::Result<Option<String>> {
        let _lock = lock::take()?;
        let records = self.records()?;
        let (mut good, mut prev) = (self.slot, None);
        let mut said = "a boot record was damaged and is repaired".to_owned();
        if records.choice().is_none() {
            let has = |slot: Slot, digest: &str| {
                let there = self.version(slot);
                there.is_some_and(|version| version.digest == digest)
            };
            let proven = self.history().proven(has);
            good = proven.first().copied().unwrap_or(self.slot);
            prev = proven.get(1).copied();
            said = format!(
                "the boot records were lost: the version in slot {good} is the good one, {}",
                if proven.is_empty() {
                    "because it runs; the history does not name one"
                } else {
                    "as the history says"
                }
            );
        }
        let steps = install::repair(&records, good, prev);
        if steps.is_empty() {
            return Ok(None);
        }
        self.apply(&steps)?;
        Ok(Some(said))
    }

    /// Writes steps one after the other, each on the disk before the next.
    pub(super) fn apply(&self, steps: &[Step]) -> anyhow::Result<()> {
        let _lock = lock::take()?;
        // Refuses a partition that holds something else
        self.records()?;
        let mut disk = self.open(Role::BootState)?;
        for step in steps {
            let mut block = [0; BLOCK_BYTES];
            block[..step.block.len()].copy_from_slice(&step.block);
            disk.write_at(step.which.offset(), &block)
                .context("cannot write a boot record")?;
            disk.flush().context("cannot write a boot record")?;
        }
        Ok(())
    }

    /// The version in a slot, if there is one.
    pub(super) fn version(&self, slot: Slot) -> Option<Version> {
        let text = fs::read(Path::new(STORE).join(store::manifest(slot))).ok()?;
        Some(Version {
            manifest: Manifest::parse(&text).ok()?,
            digest: hex(&sha256(&text)),
            text,
        })
    }

    /// The version that is good.
    pub(super) fn good(&self) -> Option<Version> {
        self.version(self.records().ok()?.choice()?.good)
    }

    /// What became of versions here; an unreadable history is an empty one, said aloud.
    pub(super) fn history(&self) -> History {
        let path = Path::new(STORE).join(store::HISTORY);
        let read = fs::read(&path).map_err(anyhow::Error::from);
        let parsed = read.and_then(|text| Ok(serde_json::from_slice(&text)?));
        parsed.unwrap_or_else(|error| {
            eprintln!("{}: {error:#}: earlier events are lost", path.display());
            History::default()
        })
    }

    /// As [`Installed::note`], for what the records have already, or must have all the same: a history that cannot be written, as on
    /// a disk that is hurt, is said and keeps nobody from the way back.
    pub(super) fn note_or_say(&self, slot: Slot, outcome: Outcome, reason: &str) {
        if let Err(error) = self.note(slot, outcome, reason) {
            eprintln!("warning: the history does not have it: {error:#}");
        }
    }

    /// Adds an event about the version in a slot.
    pub(super) fn note(&self, slot: Slot, outcome: Outcome, reason: &str) -> anyhow::Result<()> {
        let _lock = lock::take()?;
        let version = self.version(slot);
        let mut history = self.history();
        history.add(Event {
            time: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |now| now.as_secs()),
            version: version
                .as_ref()
                .map_or_else(String::new, |known| known.manifest.version.clone()),
            digest: version.map_or_else(String::new, |known| known.digest),
            slot: slot.number(),
            outcome,
            reason: reason.to_owned(),
        });
        let text = serde_json::to_vec_pretty(&history).context("cannot write the history")?;
        let writable = Writable::new()?;
        cloud_init::store::write_atomic(&writable.root().join(store::HISTORY), &text, 0o644)?;
        Ok(())
    }

    /// What the boot loader has of a slot: `args` is how the kernel is started.
    pub(super) fn environment(&self, slot: Slot) -> anyhow::Result<Vec<(String, String)>> {
        let mut disk = self.open(Role::Kernel(slot))?;
        let block = install::fat::read(&mut disk, 0, "SLOT.ENV", 64 << 10)?;
        Ok(install::environment_values(&block))
    }
}

/// The store of layers, writable until this is dropped. Nobody else has it writable, and so nobody makes it read-only under this.
pub(super) struct Writable {
    _lock: Lock,
}

impl Writable {
    /// # Errors
    /// When somebody else changes versions, or the file system is damaged or cannot be written.
    pub(super) fn new() -> anyhow::Result<Self> {
        let lock = lock::take()?;
        damage::check()?;
        remount(MountFlags::empty()).context("the store of layers cannot be written")?;
        Ok(Self { _lock: lock })
    }

    pub(super) fn root(&self) -> &'static Path {
        Path::new(STORE)
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        sys::fs::sync();
        if let Err(error) = remount(MountFlags::RDONLY) {
            eprintln!("{STORE} stays writable: {error:#}");
        }
    }
}

fn remount(flags: MountFlags) -> anyhow::Result<()> {
    let flags = flags | MountFlags::REMOUNT | MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount::mount("none", Path::new(STORE), "", flags, "")?)
}
