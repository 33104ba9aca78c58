//! Paths of the kernel's file systems that a container must not read or write.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FsWord, Mode, OFlags, fstat, fstatfs};
use sys::mount::{self, Attributes, MountFlags};

use super::super::error::{Error, Result};
use super::rooted::is_directory;

/// `f_type` of proc (linux/magic.h).
const PROC_SUPER_MAGIC: FsWord = 0x9fa0;

/// Opens what is there; `None` if nothing is.
fn open(path: &str) -> Result<Option<OwnedFd>> {
    match rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(Error::other(format!("open {path}: {errno}"))),
    }
}

/// Hides paths: a directory shows an empty one, a file nothing.
pub(super) fn mask(paths: &[String]) -> Result<()> {
    for path in paths {
        let Some(target) = open(path)? else { continue };
        let cover = if is_directory(&target) {
            mount::create("tmpfs", "tmpfs", MountFlags::RDONLY, "size=0k,nr_inodes=1")?
        } else {
            null_cover()?
        };
        mount::move_mount_to(cover.as_fd(), target.as_fd())
            .map_err(|error| Error::other(format!("mask {path}: {error}")))?;
    }
    Ok(())
}

/// A mount of the container's null device, which an image cannot have replaced by something else.
fn null_cover() -> Result<OwnedFd> {
    let null = open("/dev/null")?
        .ok_or_else(|| Error::other("the container has no /dev/null to mask files with"))?;
    let device = fstat(&null).map(|stat| stat.st_rdev).unwrap_or_default();
    if device != rustix::fs::makedev(1, 3) {
        return Err(Error::other("the container's /dev/null is another device"));
    }
    Ok(mount::open_tree_clone_at(null.as_fd(), "", false)?)
}

/// Makes paths read-only, with what is mounted below them.
pub(super) fn make_readonly(paths: &[String]) -> Result<()> {
    for path in paths {
        let Some(target) = open(path)? else { continue };
        let named = |error: sys::Error| Error::other(format!("make {path} read-only: {error}"));
        let tree = mount::open_tree_clone_at(CWD, path, true).map_err(named)?;
        mount::set_attributes_fd(tree.as_fd(), Attributes::set(MountFlags::RDONLY), true)
            .map_err(named)?;
        mount::move_mount_to(tree.as_fd(), target.as_fd()).map_err(named)?;
    }
    Ok(())
}

/// Makes sure that a path is the kernel's proc file system.
///
/// # Errors
/// When it is something else, such as a directory that an image brought.
pub(super) fn require_proc(path: &Path) -> Result<()> {
    let shown = path.display();
    let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::other(format!("open {shown}: {errno}")))?;
    let kind = fstatfs(&fd).map_err(|errno| Error::other(format!("{shown}: {errno}")))?;
    if kind.f_type == PROC_SUPER_MAGIC {
        Ok(())
    } else {
        Err(Error::other(format!("{shown} is not on proc")))
    }
}
