//! Reading a file of a FAT file system that anybody may have written; every number of it is doubted.

use super::{DIRECTORY, ENTRY_BYTES, Form, LABEL, short_name};
use crate::disk::Disk;
use crate::error::Result;

/// Reads the file `path`, of names of 8.3, from the file system at byte `start`; it may have `limit` bytes.
///
/// # Errors
/// When there is no such file system or file, it is larger, or damaged.
pub fn read(disk: &mut impl Disk, start: u64, path: &str, limit: usize) -> Result<Vec<u8>> {
    let volume = Geometry::read(disk, start)?;
    let mut at = Place::Root;
    let mut length = u64::MAX;
    for name in path.split('/') {
        let Some(short) = short_name(name) else {
            invalid!("{path} is not a name of eight and three characters");
        };
        let directory = volume.content(disk, at, LONGEST_DIRECTORY)?;
        let found = directory
            .chunks_exact(ENTRY_BYTES)
            .take_while(|entry| entry[0] != 0)
            .find(|entry| entry[..11] == short && entry[11] & LABEL == 0);
        let Some(entry) = found else {
            invalid!("there is no file {path}");
        };
        let word = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
        at = Place::Chain(word(26) | word(20) << 16);
        length = if entry[11] & DIRECTORY == 0 {
            u64::from(word(28) | word(30) << 16)
        } else {
            u64::MAX
        };
    }
    if length > limit as u64 {
        invalid!("{path} has more than {limit} bytes, or is a directory");
    }
    if length == 0 {
        return Ok(Vec::new());
    }
    let mut content = volume.content(disk, at, limit)?;
    let length = length as usize; // at most the limit
    if content.len() < length {
        invalid!("{path} is cut off");
    }
    content.truncate(length);
    Ok(content)
}

/// Bytes of a directory: FAT's own limit is 2 MiB.
const LONGEST_DIRECTORY: usize = 2 << 20;

#[derive(Clone, Copy)]
enum Place {
    Root,
    /// A chain that begins with this cluster.
    Chain(u32),
}

/// What the boot sector says.
struct Geometry {
    form: Form,
    table: u64,
    root: u64,
    root_bytes: u64,
    root_cluster: u32,
    data: u64,
    cluster_bytes: u64,
    clusters: u64,
}

impl Geometry {
    fn read(disk: &mut impl Disk, start: u64) -> Result<Self> {
        let mut boot = [0; 512];
        disk.read_at(start, &mut boot)?;
        let word = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let double = |at: usize| word(at) | word(at + 2) << 16;
        let (sector, each, tables) = (word(11), u64::from(boot[13]), u64::from(boot[16]));
        let first = |small: u64, large: u64| if small == 0 { large } else { small };
        let table_bytes = first(word(22), double(36)) * sector;
        let sectors = first(word(19), double(32));
        let root_bytes = (word(17) * 32).next_multiple_of(sector.max(1));
        let data = word(14) * sector + tables * table_bytes + root_bytes;
        let whole = sectors * sector;
        let sane = boot[510..] == [0x55, 0xaa]
            && sector.is_power_of_two()
            && (512..=4096).contains(&sector)
            && each.is_power_of_two()
            && (1..=2).contains(&tables)
            && data < whole;
        if !sane {
            invalid!("there is no FAT file system");
        }
        let clusters = (whole - data) / (each * sector);
        Ok(Self {
            form: Form::of(clusters),
            table: start + word(14) * sector,
            root: start + data - root_bytes,
            root_bytes,
            root_cluster: double(44) as u32,
            data: start + data,
            cluster_bytes: each * sector,
            clusters,
        })
    }

    fn content(&self, disk: &mut impl Disk, place: Place, limit: usize) -> Result<Vec<u8>> {
        let mut cluster = match place {
            Place::Root | Place::Chain(0) if self.form == Form::Fat32 => self.root_cluster,
            Place::Root | Place::Chain(0) => {
                let mut bytes = vec![0; self.root_bytes as usize];
                disk.read_at(self.root, &mut bytes)?;
                return Ok(bytes);
            }
            Place::Chain(cluster) => cluster,
        };
        let mut bytes = Vec::new();
        // A chain that is longer than the limit, such as a circle, ends at the limit
        while bytes.len() < limit {
            if cluster < 2 || u64::from(cluster) >= self.clusters + 2 {
                break;
            }
            let end = bytes.len();
            bytes.resize(end + self.cluster_bytes as usize, 0);
            let at = self.data + (u64::from(cluster) - 2) * self.cluster_bytes;
            disk.read_at(at, &mut bytes[end..])?;
            cluster = self.follow(disk, cluster)?;
        }
        Ok(bytes)
    }

    fn follow(&self, disk: &mut impl Disk, cluster: u32) -> Result<u32> {
        let index = u64::from(cluster);
        let mut four = [0; 4];
        Ok(match self.form {
            Form::Fat12 => {
                disk.read_at(self.table + index + index / 2, &mut four[..2])?;
                let pair = u32::from_le_bytes(four);
                if cluster.is_multiple_of(2) {
                    pair & 0xfff
                } else {
                    pair >> 4
                }
            }
            Form::Fat16 => {
                disk.read_at(self.table + 2 * index, &mut four[..2])?;
                u32::from_le_bytes(four)
            }
            Form::Fat32 => {
                disk.read_at(self.table + 4 * index, &mut four)?;
                u32::from_le_bytes(four) & 0x0fff_ffff
            }
        })
    }
}
