//! Access to a disk by offset, which is all that this crate wants of one.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;

/// A disk, a partition or an image file.
pub trait Disk {
    /// Fills `buffer` from `offset`, in bytes.
    ///
    /// # Errors
    /// When the bytes are not there or cannot be read.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// When they do not fit or cannot be written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything written so far survives a power cut.
    ///
    /// # Errors
    /// When the disk does not say so.
    fn flush(&mut self) -> io::Result<()>;

    /// Forgets what is kept in RAM of the disk, so that the next read asks it. Nothing for a disk without such a cache.
    ///
    /// # Errors
    /// When the kernel does not do it.
    fn forget(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A device, or a file that stands for one.
impl Disk for File {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A disk in RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory(pub Vec<u8>);

impl Memory {
    fn range(&self, offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
        usize::try_from(offset)
            .ok()
            .and_then(|start| Some(start..start.checked_add(length)?))
            .filter(|range| range.end <= self.0.len())
            .ok_or_else(|| io::Error::new(ErrorKind::UnexpectedEof, "behind the end of the disk"))
    }
}

impl Disk for Memory {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = self.range(offset, buffer.len())?;
        buffer.copy_from_slice(&self.0[range]);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let range = self.range(offset, bytes.len())?;
        self.0[range].copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk whose power fails before a write, or in its middle.
#[cfg(test)]
pub(crate) struct Failing {
    pub(crate) disk: Memory,
    /// Writes that are done before.
    pub(crate) left: usize,
    /// Half of the next one is done too, if it has more than this many bytes.
    pub(crate) torn: Option<usize>,
}

#[cfg(test)]
impl Disk for Failing {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(offset, buffer)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.left == 0 {
            if self.torn.is_some_and(|whole| bytes.len() > whole) {
                self.disk.write_at(offset, &bytes[..bytes.len() / 2])?;
            }
            return Err(io::Error::other("no power"));
        }
        self.left -= 1;
        self.disk.write_at(offset, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
