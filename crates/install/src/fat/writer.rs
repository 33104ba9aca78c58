//! Writing a file system: files one behind the other, then the tables that name them.

use std::collections::BTreeMap;
use std::io::Read;

use super::{CLUSTER_BYTES, DIRECTORY, ENTRY_BYTES, Form, LABEL, Volume, short_name};
use crate::disk::Disk;
use crate::error::Result;

/// 1980-01-01, the first date that FAT has.
const DATE: u16 = 0x0021;
/// Bytes copied at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// A file to be written.
pub struct Source<'a> {
    /// `EFI/BOOT/BOOTX64.EFI`.
    path: String,
    content: &'a mut dyn Read,
    bytes: u64,
}

impl<'a> Source<'a> {
    /// A file of `bytes` bytes; its directories are made.
    pub fn file(path: &str, content: &'a mut dyn Read, bytes: u64) -> Self {
        Self {
            path: path.to_owned(),
            content,
            bytes,
        }
    }
}

/// Where a file or directory begins, and its length (0 for directories).
struct Node {
    cluster: u32,
    bytes: u32,
    directory: bool,
}

/// Writes `volume` with `files` at byte `start` of the disk, and flushes. Bytes that nothing points to stay as they are.
///
/// # Errors
/// When a name is not one of 8.3, the files do not fit, a source ends early, or the disk cannot be written.
pub fn write(
    disk: &mut impl Disk,
    start: u64,
    volume: &Volume,
    files: &mut [Source<'_>],
) -> Result<()> {
    let mut tables = Tables::new(volume);
    // By path, so that a directory stands in front of what is in it
    let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
    if volume.form == Form::Fat32 {
        let cluster = tables.take(CLUSTER_BYTES)?;
        nodes.insert(String::new(), directory(cluster));
    }
    for file in files {
        for (at, _) in file.path.match_indices('/') {
            let parent = &file.path[..at];
            if !nodes.contains_key(parent) {
                nodes.insert(parent.to_owned(), directory(tables.take(CLUSTER_BYTES)?));
            }
        }
        let Ok(bytes) = u32::try_from(file.bytes) else {
            invalid!("{} is too large for FAT", file.path);
        };
        let cluster = tables.take(file.bytes)?;
        if cluster != 0 {
            copy(disk, start + volume.cluster_start(cluster), file)?;
        }
        let node = Node {
            cluster,
            bytes,
            directory: false,
        };
        nodes.insert(file.path.clone(), node);
    }
    for (path, node) in nodes.iter().filter(|(_, node)| node.directory) {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        // The root directory has the number 0 here, wherever it is
        let above = if parent.is_empty() {
            0
        } else {
            nodes[parent].cluster
        };
        let own = if path.is_empty() {
            None
        } else {
            Some((node.cluster, above))
        };
        let entries = entries(volume, path, &nodes, own, CLUSTER_BYTES as usize)?;
        disk.write_at(start + volume.cluster_start(node.cluster), &entries)?;
    }
    let mut front = volume.reserved_bytes();
    let table = tables.bytes();
    front.extend_from_slice(&table);
    front.extend_from_slice(&table);
    if volume.root > 0 {
        front.extend_from_slice(&entries(volume, "", &nodes, None, volume.root as usize)?);
    }
    disk.write_at(start, &front)?;
    disk.flush()?;
    Ok(())
}

fn directory(cluster: u32) -> Node {
    Node {
        cluster,
        bytes: 0,
        directory: true,
    }
}

fn copy(disk: &mut impl Disk, mut at: u64, file: &mut Source<'_>) -> Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut left = file.bytes;
    while left > 0 {
        let wanted = CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES));
        file.content.read_exact(&mut buffer[..wanted])?;
        // Whole clusters: a disk with large sectors is never read to be written
        let whole = wanted.next_multiple_of(CLUSTER_BYTES as usize);
        buffer[wanted..whole].fill(0);
        disk.write_at(at, &buffer[..whole])?;
        at += whole as u64;
        left -= wanted as u64;
    }
    Ok(())
}

/// The entries of one directory, filled with zeros to `length`.
fn entries(
    volume: &Volume,
    path: &str,
    nodes: &BTreeMap<String, Node>,
    own: Option<(u32, u32)>,
    length: usize,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match own {
        Some((itself, above)) => {
            bytes.extend(entry(b".          ", DIRECTORY, itself, 0));
            bytes.extend(entry(b"..         ", DIRECTORY, above, 0));
        }
        None => bytes.extend(entry(&volume.label, LABEL, 0, 0)),
    }
    for (name, node) in nodes {
        let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
        if parent != path || last.is_empty() {
            continue;
        }
        let Some(short) = short_name(last) else {
            invalid!("{name} is not a name of eight and three characters");
        };
        let attribute = if node.directory { DIRECTORY } else { 0x20 };
        bytes.extend(entry(&short, attribute, node.cluster, node.bytes));
    }
    if bytes.len() > length {
        invalid!("the directory {path:?} has too many files");
    }
    bytes.resize(length, 0);
    Ok(bytes)
}

fn entry(name: &[u8; 11], attribute: u8, cluster: u32, bytes: u32) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..11].copy_from_slice(name);
    entry[11] = attribute;
    for date in [16, 18, 24] {
        entry[date..date + 2].copy_from_slice(&DATE.to_le_bytes());
    }
    let [low0, low1, high0, high1] = cluster.to_le_bytes();
    entry[20..22].copy_from_slice(&[high0, high1]);
    entry[26..28].copy_from_slice(&[low0, low1]);
    entry[28..].copy_from_slice(&bytes.to_le_bytes());
    entry
}

/// The allocation table, filled from its start.
struct Tables<'a> {
    volume: &'a Volume,
    /// What follows each cluster, from number 0.
    next: Vec<u32>,
}

impl<'a> Tables<'a> {
    fn new(volume: &'a Volume) -> Self {
        let end = volume.form.end();
        Self {
            volume,
            next: vec![end & 0xffff_fff8, end],
        }
    }

    /// A run of clusters for this many bytes; 0 for none.
    fn take(&mut self, bytes: u64) -> Result<u32> {
        let count = bytes.div_ceil(CLUSTER_BYTES);
        if count == 0 {
            return Ok(0);
        }
        let first = self.next.len() as u64;
        if first + count > self.volume.clusters + 2 {
            invalid!(
                "the files do not fit into {} MiB",
                (self.volume.sectors * self.volume.sector) >> 20
            );
        }
        let last = first + count - 1;
        self.next
            .extend((first..last).map(|cluster| cluster as u32 + 1));
        self.next.push(self.volume.form.end());
        Ok(first as u32)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; (self.volume.table * self.volume.sector) as usize];
        for (index, next) in self.next.iter().enumerate() {
            match self.volume.form {
                Form::Fat12 => {
                    let at = index + index / 2;
                    let shifted = if index % 2 == 0 { *next } else { *next << 4 };
                    bytes[at] |= shifted as u8;
                    bytes[at + 1] |= (shifted >> 8) as u8;
                }
                Form::Fat16 => {
                    bytes[2 * index..2 * index + 2].copy_from_slice(&(*next as u16).to_le_bytes());
                }
                Form::Fat32 => bytes[4 * index..4 * index + 4].copy_from_slice(&next.to_le_bytes()),
            }
        }
        bytes
    }
}
