//! Owners, modes, times and extended attributes of what is unpacked.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::super::OPAQUE_XATTR;
use super::super::header::Entry;
use super::super::rooted::{clean, name};
use super::Unpacker;
use oci_image::error::{Context, Error, Result};

impl Unpacker {
    pub(super) fn owner_of(&self, entry: &Entry) -> (Uid, Gid) {
        let (uid, gid) = self.owner.unwrap_or((entry.uid, entry.gid));
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    pub(super) fn set_directory_attributes(&self, entry: &Entry, fd: BorrowedFd<'_>) -> Result<()> {
        let (uid, gid) = self.owner_of(entry);
        rustix::fs::fchown(fd, Some(uid), Some(gid)).context(|| "set the owner".to_owned())?;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode))
            .context(|| "set the mode".to_owned())?;
        for (attribute, value) in wanted_xattrs(entry) {
            tolerate_xattr(
                attribute,
                rustix::fs::fsetxattr(fd, name(attribute), value, XattrFlags::empty()),
            )?;
        }
        Ok(())
    }

    /// Owner, attributes and time of what must not be opened: links, devices, pipes.
    pub(super) fn set_special_attributes(
        &self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        last: &[u8],
    ) -> Result<()> {
        let (uid, gid) = self.owner_of(entry);
        let no_follow = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(parent, name(last), Some(uid), Some(gid), no_follow)
            .context(|| "set the owner".to_owned())?;
        for (attribute, value) in wanted_xattrs(entry).filter(|_| self.procfs) {
            let path = descriptor_path(parent).join(name(last));
            tolerate_xattr(
                attribute,
                rustix::fs::lsetxattr(&path, name(attribute), value, XattrFlags::empty()),
            )?;
        }
        rustix::fs::utimensat(parent, name(last), &timestamps(entry.mtime), no_follow)
            .context(|| "set the time".to_owned())
    }

    pub(super) fn set_directory_times(&mut self) -> Result<()> {
        for (path, mtime) in &self.directory_times {
            let parts = clean(path)?;
            match self.root.open_dir(&parts) {
                Ok(fd) => rustix::fs::futimens(&fd, &timestamps(*mtime))
                    .context(|| "set the time".to_owned())?,
                Err(Errno::NOENT | Errno::NOTDIR) => {} // replaced by a later entry through another path
                Err(errno) => return Err(Error::io("set the time", errno)),
            }
        }
        Ok(())
    }
}

/// Makes something with the very mode that it names: the process's mask does not count meanwhile (umask(2)).
pub(super) fn with_exact_modes<T>(make: impl FnOnce() -> T) -> T {
    let before = rustix::process::umask(Mode::empty());
    let made = make();
    rustix::process::umask(before);
    made
}

pub(super) fn mark_opaque(fd: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::fsetxattr(fd, OPAQUE_XATTR, b"y", XattrFlags::empty())
        .context(|| "mark the directory opaque".to_owned())
}

pub(in crate::layer) fn descriptor_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

pub(super) fn timestamps(mtime: (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.0,
            tv_nsec: i64::from(mtime.1),
        },
    }
}

/// Attributes an image may set. `trusted.*` would let it steer overlayfs, labels of a security module belong to the host.
pub(super) fn wanted_xattrs(entry: &Entry) -> impl Iterator<Item = (&[u8], &[u8])> {
    entry.xattrs.iter().filter_map(|(attribute, value)| {
        let wanted = attribute == b"security.capability"
            || (attribute.starts_with(b"user.") && !attribute.starts_with(b"user.overlay."))
            || attribute.starts_with(b"system.posix_acl_");
        wanted.then_some((attribute.as_slice(), value.as_slice()))
    })
}

/// File capabilities must be kept; of the others a file system may know nothing.
pub(super) fn tolerate_xattr(
    attribute: &[u8],
    result: std::result::Result<(), Errno>,
) -> Result<()> {
    match result {
        Err(Errno::NOTSUP | Errno::PERM) if attribute != b"security.capability" => Ok(()),
        other => other.context(|| format!("set attribute {}", String::from_utf8_lossy(attribute))),
    }
}
