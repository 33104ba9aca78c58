//! A deterministic tar writer: ustar headers, pax extensions only where a value does not fit, no names, no clock.

use std::io::{self, Read, Write};

use super::BLOCK;
use super::header::{Entry, Kind};
use super::pax;
use super::reader::pad;
use oci_image::error::{Context, Result};

/// Largest value of an 8-byte octal field.
const OCTAL_7_MAX: u64 = 0o7_777_777;
/// Largest value of a 12-byte octal field.
const OCTAL_11_MAX: u64 = 0o77_777_777_777;

/// Writes tar entries in the order they are given.
pub struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an entry; exactly `entry.size` bytes of `data` are taken, zeros stand in for missing ones.
    ///
    /// # Errors
    /// When `data` cannot be read, the entry cannot be expressed, or writing fails.
    pub fn append(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<()> {
        let what = || format!("write {} to the tar", String::from_utf8_lossy(&entry.path));
        let size = if entry.kind == Kind::File {
            entry.size
        } else {
            0
        };
        let extensions = extensions(entry, size);
        if !extensions.is_empty() {
            let mut header = Entry::new(pax_name(&entry.path), Kind::File, 0o644);
            header.size = extensions.len() as u64;
            self.block(&encode(&header, header.size, b'x'))
                .context(what)?;
            self.padded(&extensions).context(what)?;
        }
        self.block(&encode(entry, size, flag(entry.kind)))
            .context(what)?;
        let copied = io::copy(&mut data.take(size), &mut self.out).context(what)?;
        // a file that shrank while it was read: the header has promised its size
        io::copy(
            &mut io::repeat(0).take(size - copied + pad(size)),
            &mut self.out,
        )
        .context(what)?;
        Ok(())
    }

    /// Writes an entry without content.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub fn append_empty(&mut self, entry: &Entry) -> Result<()> {
        self.append(entry, &mut io::empty())
    }

    /// Writes a regular file from memory, mode 0644, owned by root, time 0.
    ///
    /// # Errors
    /// As for [`Self::append`].
    pub fn append_bytes(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut entry = Entry::new(path, Kind::File, 0o644);
        entry.size = bytes.len() as u64;
        self.append(&entry, &mut { bytes })
    }

    /// Ends the archive and returns the writer, flushed.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> Result<W> {
        let end = || "end the tar".to_owned();
        self.block(&[0; 2 * BLOCK]).context(end)?;
        self.out.flush().context(end)?;
        Ok(self.out)
    }

    fn block(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        io::copy(
            &mut io::repeat(0).take(pad(bytes.len() as u64)),
            &mut self.out,
        )?;
        Ok(())
    }
}

fn flag(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// Pax records for what a ustar header cannot hold, sorted by key.
fn extensions(entry: &Entry, size: u64) -> Vec<u8> {
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |key: &str, value: Vec<u8>| records.push((key.as_bytes().to_vec(), value));
    if u64::from(entry.gid) > OCTAL_7_MAX {
        add("gid", entry.gid.to_string().into_bytes());
    }
    if !fits(&entry.link) {
        add("linkpath", entry.link.clone());
    }
    if u64::try_from(entry.mtime.0).is_ok_and(|s| s <= OCTAL_11_MAX) && entry.mtime.1 == 0 {
        // fits the header
    } else {
        add("mtime", pax_time(entry.mtime).into_bytes());
    }
    if !fits(&entry.path) {
        add("path", entry.path.clone());
    }
    if size > OCTAL_11_MAX {
        add("size", size.to_string().into_bytes());
    }
    if u64::from(entry.uid) > OCTAL_7_MAX {
        add("uid", entry.uid.to_string().into_bytes());
    }
    for (name, value) in &entry.xattrs {
        records.push(([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone()));
    }
    records.sort();
    records
        .iter()
        .flat_map(|(key, value)| pax::record(key, value))
        .collect()
}

fn pax_time((seconds, nanoseconds): (i64, u32)) -> String {
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    let (sign, seconds, nanoseconds) = if seconds < 0 {
        ("-", -(seconds + 1), 1_000_000_000 - nanoseconds)
    } else {
        ("", seconds, nanoseconds)
    };
    let fraction = format!("{nanoseconds:09}");
    format!("{sign}{seconds}.{}", fraction.trim_end_matches('0'))
}

fn fits(path: &[u8]) -> bool {
    path.len() <= 100 && path.is_ascii()
}

fn pax_name(path: &[u8]) -> Vec<u8> {
    let base = path
        .split(|b| *b == b'/')
        .rfind(|part| !part.is_empty())
        .unwrap_or(b"_");
    let mut name = b"PaxHeaders.0/".to_vec();
    name.extend(
        base.iter()
            .take(80)
            .map(|b| if b.is_ascii() { *b } else { b'_' }),
    );
    name
}

pub(super) fn encode(entry: &Entry, size: u64, flag: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block[0..100], &entry.path);
    octal(&mut block[100..108], u64::from(entry.mode));
    octal(
        &mut block[108..116],
        capped(u64::from(entry.uid), OCTAL_7_MAX),
    );
    octal(
        &mut block[116..124],
        capped(u64::from(entry.gid), OCTAL_7_MAX),
    );
    octal(&mut block[124..136], capped(size, OCTAL_11_MAX));
    let seconds = u64::try_from(entry.mtime.0).unwrap_or(0);
    octal(&mut block[136..148], capped(seconds, OCTAL_11_MAX));
    block[148..156].fill(b' ');
    block[156] = flag;
    put(&mut block[157..257], &entry.link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut block[329..337], u64::from(entry.device.0));
    octal(&mut block[337..345], u64::from(entry.device.1));
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The value, or 0 when a pax record holds it.
fn capped(value: u64, max: u64) -> u64 {
    if value > max { 0 } else { value }
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

fn octal(field: &mut [u8], value: u64) {
    let width = field.len() - 1;
    let digits = format!("{value:0width$o}");
    put(&mut field[..width], digits.as_bytes());
}
