//! The geometry of a file system, and its boot sector.

use super::{CLUSTER_BYTES, Form};
use crate::error::Result;

/// Entries of the root directory of FAT12 and FAT16, which has its own place: four clusters.
const ROOT_ENTRIES: u64 = 512;
/// Sizes that make sense here, and whose numbers fit everywhere.
const SIZES: std::ops::Range<u64> = 16 * CLUSTER_BYTES..1 << 31;
/// Where FAT32 keeps the copy of its boot sector.
const BACKUP_SECTOR: u16 = 6;

/// A file system to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub(super) form: Form,
    pub(super) sector: u64,
    pub(super) sectors: u64,
    /// Sectors in front of the first table.
    pub(super) reserved: u64,
    /// Sectors of one of the two tables.
    pub(super) table: u64,
    /// Bytes of the root directory's own place, 0 for FAT32.
    pub(super) root: u64,
    pub(super) clusters: u64,
    pub(super) label: [u8; 11],
    serial: u32,
}

impl Volume {
    /// Plans a file system of `size` bytes. Clusters begin at multiples of 4 KiB, so that writing one sector of a file never
    /// changes another file on a disk with sectors of that size.
    ///
    /// # Errors
    /// When the size is too small, or is not a multiple of a cluster.
    pub fn new(size: u64, sector: u64, label: &str, serial: u32) -> Result<Self> {
        if !size.is_multiple_of(CLUSTER_BYTES) || !SIZES.contains(&size) {
            invalid!("a FAT file system cannot have {size} bytes");
        }
        let sectors = size / sector;
        // The number of clusters depends on the tables' size and the other way round: begin with too many
        let guess = size / CLUSTER_BYTES;
        let form = Form::of(guess);
        let bits = match form {
            Form::Fat12 => 12,
            Form::Fat16 => 16,
            Form::Fat32 => 32,
        };
        let table = ((guess + 2) * bits).div_ceil(8).div_ceil(sector);
        let root = if form == Form::Fat32 {
            0
        } else {
            ROOT_ENTRIES * 32
        };
        let least = if form == Form::Fat32 { 32 } else { 1 };
        let fixed = 2 * table * sector + root;
        let data = (least * sector + fixed).next_multiple_of(CLUSTER_BYTES);
        let clusters = (size - data) / CLUSTER_BYTES;
        if Form::of(clusters) != form {
            invalid!("a FAT file system of {size} bytes would be of two forms");
        }
        let mut padded = [b' '; 11];
        for (place, byte) in padded.iter_mut().zip(label.bytes()) {
            *place = byte.to_ascii_uppercase();
        }
        Ok(Self {
            form,
            sector,
            sectors,
            reserved: (data - fixed) / sector,
            table,
            root,
            clusters,
            label: padded,
            serial,
        })
    }

    /// Byte at which the root directory begins (FAT12 and FAT16).
    pub(super) fn root_start(&self) -> u64 {
        (self.reserved + 2 * self.table) * self.sector
    }

    /// Byte at which the first cluster, number 2, begins.
    pub(super) fn data_start(&self) -> u64 {
        self.root_start() + self.root
    }

    /// Byte at which a cluster begins.
    pub(super) fn cluster_start(&self, cluster: u32) -> u64 {
        self.data_start() + (u64::from(cluster) - 2) * CLUSTER_BYTES
    }

    /// What lies in front of the first table: boot sector, and for FAT32 its copy and the sector of hints.
    pub(super) fn reserved_bytes(&self) -> Vec<u8> {
        let sector = self.sector as usize;
        let mut bytes = vec![0; self.reserved as usize * sector];
        let boot = self.boot_sector();
        bytes[..512].copy_from_slice(&boot);
        if self.form == Form::Fat32 {
            let backup = usize::from(BACKUP_SECTOR) * sector;
            bytes[backup..backup + 512].copy_from_slice(&boot);
            for hints in [sector, backup + sector] {
                bytes[hints..hints + 4].copy_from_slice(b"RRaA");
                bytes[hints + 484..hints + 488].copy_from_slice(b"rrAa");
                bytes[hints + 488..hints + 496].fill(0xff); // free clusters: unknown
                bytes[hints + 510..hints + 512].copy_from_slice(&[0x55, 0xaa]);
            }
        }
        bytes
    }

    fn boot_sector(&self) -> [u8; 512] {
        let mut boot = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| boot[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0xeb, 0xfe, 0x90]); // whoever executes it waits
        put(3, b"RANCHER ");
        put(11, &(self.sector as u16).to_le_bytes());
        put(13, &[(CLUSTER_BYTES / self.sector) as u8]);
        put(14, &(self.reserved as u16).to_le_bytes());
        put(16, &[2]); // tables
        put(17, &((self.root / 32) as u16).to_le_bytes());
        put(21, &[0xf8]); // a fixed disk
        put(24, &63_u16.to_le_bytes());
        put(26, &255_u16.to_le_bytes());
        put(32, &(self.sectors as u32).to_le_bytes());
        let rest = if self.form == Form::Fat32 {
            put(36, &(self.table as u32).to_le_bytes());
            put(44, &2_u32.to_le_bytes()); // the root directory's first cluster
            put(48, &1_u16.to_le_bytes());
            put(50, &BACKUP_SECTOR.to_le_bytes());
            64
        } else {
            put(22, &(self.table as u16).to_le_bytes());
            36
        };
        let form = match self.form {
            Form::Fat12 => b"FAT12   ",
            Form::Fat16 => b"FAT16   ",
            Form::Fat32 => b"FAT32   ",
        };
        put(rest, &[0x80, 0, 0x29]);
        put(rest + 3, &self.serial.to_le_bytes());
        put(rest + 7, &self.label);
        put(rest + 18, form);
        put(510, &[0x55, 0xaa]);
        boot
    }
}
