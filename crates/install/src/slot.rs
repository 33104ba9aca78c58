//! A kernel slot: one version's kernel and initrd in a file system that is written in one piece.

use std::fmt;
use std::io::Read;

use crate::disk::Disk;
use crate::error::Result;
use crate::fat::{self, Source};
use crate::layout::Partition;
use crate::records;

/// One of the three places for a version; the number is its partition's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// Partition 4.
    A,
    /// Partition 5.
    B,
    /// Partition 6.
    C,
}

impl Slot {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// The partition's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::A => 4,
            Self::B => 5,
            Self::C => 6,
        }
    }

    /// The slot with this partition.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.number() == number)
    }
}

/// As the records and the kernel's command line have it.
impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.number())
    }
}

/// Bytes of `slot.env`.
const ENVIRONMENT_BYTES: usize = 4096;

/// `slot.env`: what the boot loader reads of a slot, nothing of which it executes.
///
/// # Errors
/// When a value has characters that could end a line, or all do not fit.
pub fn environment(version: &str, digest: &str, arguments: &str) -> Result<Vec<u8>> {
    let lines = [
        ("version", version),
        ("digest", digest),
        ("args", arguments),
    ];
    let bad = |text: &str| text.contains(|letter: char| letter.is_control() || letter == '\\');
    if let Some((name, value)) = lines.iter().find(|(_, value)| bad(value)) {
        invalid!("{name} {value:?} has characters that the boot loader does not keep");
    }
    records::block(&lines, ENVIRONMENT_BYTES)
}

/// The values of a `slot.env`, by name.
#[must_use]
pub fn environment_values(block: &[u8]) -> Vec<(String, String)> {
    records::values(block).into_iter().collect()
}

/// What goes into a slot.
pub struct SlotFiles<'a> {
    /// `slot.env`, from [`environment`].
    pub environment: &'a [u8],
    /// The kernel, and its length.
    pub kernel: (&'a mut dyn Read, u64),
    /// The initrd, and its length.
    pub initrd: (&'a mut dyn Read, u64),
    /// The manifest of the version.
    pub manifest: &'a [u8],
}

/// Makes a slot that has no version: the boot loader finds an empty file system there and says nothing.
///
/// # Errors
/// When the disk cannot be written.
pub fn clear_slot(disk: &mut impl Disk, partition: Partition, sector_bytes: u64) -> Result<()> {
    fat::write(
        disk,
        partition.start,
        &volume(partition, sector_bytes)?,
        &mut [],
    )
}

fn volume(partition: Partition, sector_bytes: u64) -> Result<fat::Volume> {
    let role = partition.role;
    fat::Volume::new(partition.size, sector_bytes, role.name(), role.number())
}

/// Writes the whole slot, and flushes. `sector_bytes` are the disk's.
///
/// # Errors
/// When the files do not fit, cannot be read or written.
pub fn write_slot(
    disk: &mut impl Disk,
    partition: Partition,
    sector_bytes: u64,
    files: SlotFiles<'_>,
) -> Result<()> {
    let volume = volume(partition, sector_bytes)?;
    let (mut environment, mut manifest) = (files.environment, files.manifest);
    let environment_bytes = environment.len() as u64;
    let manifest_bytes = manifest.len() as u64;
    let mut sources = [
        Source::file("SLOT.ENV", &mut environment, environment_bytes),
        Source::file("VMLINUZ", files.kernel.0, files.kernel.1),
        Source::file("INITRD", files.initrd.0, files.initrd.1),
        Source::file("MANIFEST", &mut manifest, manifest_bytes),
    ];
    fat::write(disk, partition.start, &volume, &mut sources)
}
