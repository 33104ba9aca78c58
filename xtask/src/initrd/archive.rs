//! Writes cpio archives (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst) from data, as root's files with
//! a fixed time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use cpio::newc::{Builder, ModeFileType, trailer};

use crate::cache;

/// The kernel looks for the next archive at a multiple of this many bytes.
const ALIGNMENT: u64 = 4;

/// A cpio archive being written.
pub(super) struct Archive<W: Write> {
    writer: W,
    inode: u32,
    time: u32,
}

impl<W: Write> Archive<W> {
    /// Starts an archive whose files have the time `epoch` (seconds since 1970).
    pub(super) fn new(writer: W, epoch: u64) -> Self {
        Self {
            writer,
            inode: 0,
            time: u32::try_from(epoch).unwrap_or(u32::MAX),
        }
    }

    fn entry(&mut self, name: &str, kind: ModeFileType, mode: u32) -> Builder {
        self.inode += 1;
        Builder::new(name)
            .ino(self.inode)
            .mtime(self.time)
            .nlink(1)
            .mode(mode)
            .set_mode_file_type(kind)
    }

    fn write(&mut self, name: &str, entry: Builder, content: &[u8]) -> Result<()> {
        let context = || format!("write {name} to the archive");
        let size = u32::try_from(content.len()).with_context(context)?;
        let mut writer = entry.write(&mut self.writer, size);
        writer.write_all(content).with_context(context)?;
        writer.finish().with_context(context)?;
        Ok(())
    }

    /// Adds a directory.
    pub(super) fn directory(&mut self, name: &str, mode: u32) -> Result<()> {
        let entry = self.entry(name, ModeFileType::Directory, mode);
        self.write(name, entry, &[])
    }

    /// Adds a character device of (major, minor).
    pub(super) fn device(
        &mut self,
        name: &str,
        mode: u32,
        (major, minor): (u32, u32),
    ) -> Result<()> {
        let entry = self
            .entry(name, ModeFileType::Char, mode)
            .rdev_major(major)
            .rdev_minor(minor);
        self.write(name, entry, &[])
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, name: &str, target: &str) -> Result<()> {
        let entry = self.entry(name, ModeFileType::Symlink, 0o777);
        self.write(name, entry, target.as_bytes())
    }

    /// Adds a file with this content.
    pub(super) fn bytes(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        let entry = self.entry(name, ModeFileType::Regular, mode);
        self.write(name, entry, content)
    }

    /// Adds the file `source`.
    pub(super) fn file(&mut self, name: &str, mode: u32, source: &Path) -> Result<()> {
        let context = || format!("add {} to the archive", source.display());
        let mut file = File::open(source).with_context(context)?;
        let size =
            u32::try_from(file.metadata().with_context(context)?.len()).with_context(context)?;
        let entry = self.entry(name, ModeFileType::Regular, mode);
        let mut writer = entry.write(&mut self.writer, size);
        io::copy(&mut file, &mut writer).with_context(context)?;
        writer.finish().with_context(context)?;
        Ok(())
    }

    /// Adds all folders and files below `source`, in order of name, as `name`.
    pub(super) fn tree(&mut self, name: &str, source: &Path) -> Result<()> {
        self.directory(name, 0o755)?;
        let mut paths = cache::walk(source)?;
        paths.sort();
        for path in paths {
            let inside = format!("{name}/{}", path.display());
            let full = source.join(&path);
            let kind =
                fs::symlink_metadata(&full).with_context(|| format!("stat {}", full.display()))?;
            if kind.is_dir() {
                self.directory(&inside, 0o755)?;
            } else {
                self.file(&inside, 0o644, &full)?;
            }
        }
        Ok(())
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<W> {
        trailer(self.writer).context("end the archive")
    }
}

/// Appends the file `source` and zeros up to where another archive may begin.
pub(super) fn append(mut writer: impl Write, source: &Path) -> Result<()> {
    let context = || format!("append {}", source.display());
    let mut file = File::open(source).with_context(context)?;
    let size = io::copy(&mut file, &mut writer).with_context(context)?;
    let padding = size.next_multiple_of(ALIGNMENT) - size;
    io::copy(&mut io::Read::take(io::repeat(0), padding), &mut writer).with_context(context)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_reads_back_with_types_modes_and_owner_root() {
        let mut archive = Archive::new(Vec::new(), 7);
        archive.directory("dev", 0o755).unwrap();
        archive.device("dev/console", 0o600, (5, 1)).unwrap();
        archive.bytes("init", 0o755, b"program").unwrap();
        let bytes = archive.finish().unwrap();
        let reader = cpio::NewcReader::new(bytes.as_slice()).unwrap();
        assert_eq!(
            (reader.entry().name(), reader.entry().mode()),
            ("dev", 0o040_755)
        );
        let reader = cpio::NewcReader::new(reader.finish().unwrap()).unwrap();
        let console = reader.entry();
        assert_eq!(
            (console.mode(), console.rdev_major(), console.rdev_minor()),
            (0o020_600, 5, 1)
        );
        let mut reader = cpio::NewcReader::new(reader.finish().unwrap()).unwrap();
        assert_eq!(
            (
                reader.entry().mode(),
                reader.entry().uid(),
                reader.entry().mtime()
            ),
            (0o100_755, 0, 7)
        );
        let mut content = String::new();
        io::Read::read_to_string(&mut reader, &mut content).unwrap();
        assert_eq!(content, "program");
    }
}
