//! Entries that are not directories: files, links, nodes, and whiteouts.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};

use super::Unpacker;
use super::attributes::{mark_opaque, timestamps, tolerate_xattr, wanted_xattrs, with_exact_modes};
use crate::layer::header::Entry;
use crate::layer::reader::TarReader;
use crate::layer::rooted::{clean, kind_of, name, open_directory};
use crate::layer::{AUFS_PREFIX, OPAQUE_MARKER, WHITEOUT_PREFIX};
use oci_image::error::{Context, Error, Result};

impl Unpacker {
    pub(super) fn whiteout(&mut self, parent: BorrowedFd<'_>, last: &[u8]) -> Result<()> {
        if last == OPAQUE_MARKER.as_bytes() {
            return mark_opaque(parent);
        }
        if last.starts_with(AUFS_PREFIX.as_bytes()) {
            return Ok(());
        }
        let hidden = &last[WHITEOUT_PREFIX.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::invalid("malformed layer: whiteout without a name"));
        }
        match kind_of(parent, name(hidden))? {
            None => {}
            Some(FileType::Directory) => {
                let fd = open_directory(parent, name(hidden))
                    .context(|| "open the directory".to_owned())?;
                return mark_opaque(fd.as_fd());
            }
            Some(_) => return Ok(()), // the layer itself provides the name, which hides what is below
        }
        rustix::fs::mknodat(
            parent,
            name(hidden),
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        )
        .context(|| "make the whiteout".to_owned())
    }

    pub(super) fn file<R: Read>(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        last: &[u8],
        path: &[u8],
        tar: &mut TarReader<R>,
    ) -> Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name(last), flags, Mode::from_raw_mode(0o600))
            .context(|| "create the file".to_owned())?;
        let mut file = File::from(fd);
        let what = || "write the file".to_owned();
        if let Some(extents) = &entry.extents {
            file.set_len(entry.size).context(what)?;
            for (offset, length) in extents {
                file.seek(SeekFrom::Start(*offset)).context(what)?;
                self.copy(tar, &mut file, *length)?;
            }
        } else {
            tar.data_is_stored_as(path)?;
            self.copy(tar, &mut file, entry.size)?;
        }
        self.size += entry.size;
        let (uid, gid) = self.owner_of(entry);
        rustix::fs::fchown(&file, Some(uid), Some(gid)).context(|| "set the owner".to_owned())?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode))
            .context(|| "set the mode".to_owned())?;
        for (attribute, value) in wanted_xattrs(entry) {
            let result = rustix::fs::fsetxattr(&file, name(attribute), value, XattrFlags::empty());
            tolerate_xattr(attribute, result)?;
        }
        rustix::fs::futimens(&file, &timestamps(entry.mtime)).context(|| "set the time".to_owned())
    }

    fn copy<R: Read>(
        &mut self,
        tar: &mut TarReader<R>,
        file: &mut File,
        mut left: u64,
    ) -> Result<()> {
        while left > 0 {
            let want = self
                .buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = tar
                .read(&mut self.buffer[..want])
                .context(|| "read the layer".to_owned())?;
            if n == 0 {
                return Err(Error::invalid("malformed tar: file data is cut off"));
            }
            file.write_all(&self.buffer[..n])
                .context(|| "write the file".to_owned())?;
            left -= n as u64;
        }
        Ok(())
    }

    pub(super) fn hard_link(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        last: &[u8],
    ) -> Result<()> {
        let mut target: Vec<&[u8]> = Vec::new();
        let own = clean(&entry.link)?;
        let below = self.below.clone();
        target.extend(below.iter().map(Vec::as_slice));
        target.extend(own);
        let Some((target_name, target_directory)) = target.split_last() else {
            return Err(Error::invalid("malformed layer: hard link to the root"));
        };
        let what = || format!("link to {}", String::from_utf8_lossy(&entry.link));
        let directory = self.root.open_dir(target_directory).context(what)?;
        rustix::fs::linkat(
            &directory,
            name(target_name),
            parent,
            name(last),
            AtFlags::empty(),
        )
        .context(what)
    }

    pub(super) fn node(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        last: &[u8],
        kind: FileType,
    ) -> Result<()> {
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        // chmod(2) would follow a link that somebody has put here since.
        let mode = Mode::from_raw_mode(entry.mode);
        with_exact_modes(|| rustix::fs::mknodat(parent, name(last), kind, mode, device))
            .context(|| "make the node".to_owned())?;
        self.set_special_attributes(entry, parent, last)
    }
}
