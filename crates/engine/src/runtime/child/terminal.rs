//! The pseudo-terminal of a container's process, from the container's own devpts.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FsWord, Mode, OFlags, fstat, fstatfs};
use sys::tty::{self, Pty};

use super::super::error::{Error, Result};
use super::super::oci::Process;
use super::rooted::ensure_file;

/// `f_type` of devpts (linux/magic.h).
const DEVPTS_SUPER_MAGIC: FsWord = 0x1cd1;

/// Where a container has it; the second for a /dev of the host.
const MULTIPLEXERS: [&str; 2] = ["/dev/pts/ptmx", "/dev/ptmx"];

/// Opens a pseudo-terminal of the container that is being built under `root`; it becomes its /dev/console too.
pub(super) fn open_in(root: BorrowedFd<'_>, process: &Process, with_console: bool) -> Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let pty = open_first(process, |path| {
        sys::fs::open_in_root_with(root, Path::new(path), flags).ok()
    })?;
    if with_console {
        let console = sys::mount::open_tree_clone_at(pty.slave.as_fd(), "", false)?;
        let target = ensure_file(root, Path::new("/dev/console"))?;
        sys::mount::move_mount_to(console.as_fd(), target.as_fd())?;
    }
    Ok(pty)
}

/// Opens a pseudo-terminal of the container that this process has joined.
pub(super) fn open_here(process: &Process) -> Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    open_first(process, |path| {
        rustix::fs::open(path, flags, Mode::empty()).ok()
    })
}

fn open_first(process: &Process, open: impl Fn(&str) -> Option<OwnedFd>) -> Result<Pty> {
    let master = MULTIPLEXERS
        .iter()
        .filter_map(|path| open(path))
        .find(is_multiplexer)
        .ok_or_else(|| {
            Error::other("the container has no /dev/pts/ptmx: a terminal needs devpts on /dev/pts")
        })?;
    let slave = tty::open_slave(&master)?;
    if let Some(size) = process
        .console_size
        .filter(|size| size.height != 0 && size.width != 0)
    {
        tty::set_winsize(&master, size.height, size.width)?;
    }
    Ok(Pty { master, slave })
}

/// The kernel's own, not a file that the container has put there (CVE-2025-52565 was such a case).
fn is_multiplexer(file: &OwnedFd) -> bool {
    // The node /dev/ptmx of a devtmpfs is not on devpts; opening it leads to the devpts beside it.
    let device = fstat(file).map(|stat| stat.st_rdev).unwrap_or_default();
    let on_devpts = fstatfs(file).is_ok_and(|stat| stat.f_type == DEVPTS_SUPER_MAGIC);
    device == rustix::fs::makedev(5, 2) && (on_devpts || sys::tty::slave_number(file).is_ok())
}
