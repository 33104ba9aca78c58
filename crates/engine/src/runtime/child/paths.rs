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

/// Makes paths read-only, but not what is mounted below them: that was asked for, and has a mode of its own.
pub(super) fn make_readonly(paths: &[String]) -> Result<()> {
    for path in paths {
        let Some(target) = open(path)? else { continue };
        let named = |error: sys::Error| Error::other(format!("make {path} read-only: {error}"));
        let tree = mount::open_tree_clone_at(CWD, path, true).map_err(named)?;
        mount::set_attributes_fd(tree.as_fd(), Attributes::set(MountFlags::RDONLY), false)
            .map_err(named)?;
        mount::move_mount_to(tree.as_fd(), target.as_fd()).map_err(named)?;
    }
    Ok(())
}

/// Files of proc that another file system may show in its own way (lxcfs), and the network's settings, which a service
/// of the host's network may write without the rights to write all others.
const COVERABLE: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/net",
    "/proc/uptime",
];

/// Refuses a mount over a part of proc, where it could hide what the runtime and the container's programs trust.
///
/// # Errors
/// When `target` is on proc, and not one of the few places that may be covered.
pub(super) fn refuse_proc(target: &OwnedFd, source: &str, destination: &str) -> Result<()> {
    let is_own = destination != "/proc/sys/net" || source == destination;
    if COVERABLE.contains(&destination) && is_own {
        return Ok(());
    }
    let kind = fstatfs(target).map_err(|errno| Error::other(errno.to_string()))?;
    if kind.f_type == PROC_SUPER_MAGIC && destination.trim_end_matches('/') != "/proc" {
        return Err(Error::other("it is inside /proc"));
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
