//! FAT file systems that are written in one piece, and read by name.
//!
//! Three things on a disk are FAT because firmware and GRUB read it everywhere: the EFI system partition, the kernel slots
//! and the envelope of the boot records. Each is made at once, with files in one run and names of 8.3, fixed serial number
//! and times: the same contents give the same bytes. Layout: Microsoft's FAT specification 1.03.

mod reader;
mod volume;
mod writer;

pub use reader::read;
pub use volume::Volume;
pub use writer::{Source, write};

/// Bytes of a cluster, whatever the size of sectors.
const CLUSTER_BYTES: u64 = 4096;
/// Bytes of an entry of a directory.
const ENTRY_BYTES: usize = 32;
/// The attribute of a directory.
const DIRECTORY: u8 = 0x10;
/// The attribute of the entry that holds the label.
const LABEL: u8 = 0x08;

/// Which of the three forms: it follows from the number of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Fat12,
    Fat16,
    Fat32,
}

impl Form {
    fn of(clusters: u64) -> Self {
        match clusters {
            0..4085 => Self::Fat12,
            4085..65525 => Self::Fat16,
            _ => Self::Fat32,
        }
    }

    /// What ends a chain of clusters.
    fn end(self) -> u32 {
        match self {
            Self::Fat12 => 0xfff,
            Self::Fat16 => 0xffff,
            Self::Fat32 => 0x0fff_ffff,
        }
    }
}

/// `BOOTX64.EFI` as a directory has it: eight characters, then three, filled with blanks.
fn short_name(name: &str) -> Option<[u8; 11]> {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits = |part: &str, longest| {
        part.len() <= longest
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if stem.is_empty() || !fits(stem, 8) || !fits(extension, 3) {
        return None;
    }
    let mut short = [b' '; 11];
    short[..stem.len()].copy_from_slice(stem.to_ascii_uppercase().as_bytes());
    short[8..8 + extension.len()].copy_from_slice(extension.to_ascii_uppercase().as_bytes());
    Some(short)
}

#[cfg(test)]
mod tests;
