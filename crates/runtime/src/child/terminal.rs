//! The pseudo-terminal of a container's process, from the container's own devpts.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, FsWord, OFlags, fstat, fstatfs};
use sys::regular::{Descriptors, word};
use sys::rooted::{Root, kind};
use sys::tty::{self, Pty};

use super::kernel;
use crate::error::{Error, Result};
use crate::oci::Process;

/// `f_type` of devpts (linux/magic.h).
const DEVPTS_SUPER_MAGIC: FsWord = 0x1cd1;

/// Where a container has it; the second for a /dev of the host.
const MULTIPLEXERS: [&str; 2] = ["/dev/pts/ptmx", "/dev/ptmx"];

/// Opens a pseudo-terminal of the container that is being built under `root`; it becomes its /dev/console too.
pub(super) fn open_in(
    root: &Root,
    descriptors: &Descriptors,
    process: &Process,
    with_console: bool,
) -> Result<Pty> {
    let pty = open_here(root, descriptors, process)?;
    if with_console {
        show_console(root, &pty)
            .map_err(|error| Error::other(format!("set up /dev/console: {error}")))?;
    }
    Ok(pty)
}

/// Binds the terminal, by its descriptor, on a plain file /dev/console (CVE-2025-52565).
fn show_console(root: &Root, pty: &Pty) -> Result<()> {
    let path = Path::new("/dev/console");
    let console = sys::mount::open_tree_clone_at(pty.slave.as_fd(), "", false)?;
    root.ensure_file(path, 0o644)?;
    let target = root.find_link(path)?;
    let kind = kind(target.as_fd()).map_err(|errno| Error::other(errno.to_string()))?;
    if !matches!(kind, FileType::RegularFile | FileType::CharacterDevice) {
        return Err(Error::other(format!("it is {}", word(kind))));
    }
    sys::mount::move_mount_to(console.as_fd(), target.as_fd())?;
    if kernel::is_mounted_at(root, path, console.as_fd())? {
        Ok(())
    } else {
        Err(Error::other(
            "something else has been put in its place meanwhile",
        ))
    }
}

/// Opens a pseudo-terminal of the container whose root is `root`. What is looked at and found right is opened by its
/// descriptor.
pub(super) fn open_here(root: &Root, descriptors: &Descriptors, process: &Process) -> Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
    let master = MULTIPLEXERS
        .iter()
        .filter_map(|path| root.find(Path::new(path)).ok())
        .filter(is_multiplexer_node)
        .filter_map(|node| descriptors.reopen(node.as_fd(), flags).ok())
        .find(is_multiplexer)
        .ok_or_else(|| {
            Error::other("the container has no /dev/pts/ptmx: a terminal needs devpts on /dev/pts")
        })?;
    // The engine says itself how it reads.
    rustix::fs::fcntl_setfl(&master, OFlags::RDWR)
        .map_err(|errno| Error::other(format!("set up the terminal: {errno}")))?;
    let slave = tty::open_slave(&master)?;
    if let Some(size) = process
        .console_size
        .filter(|size| size.height != 0 && size.width != 0)
    {
        tty::set_winsize(&master, size.height, size.width)?;
    }
    Ok(Pty { master, slave })
}

/// Whether it is the device 5:2: nothing else is opened.
fn is_multiplexer_node(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == rustix::fs::makedev(5, 2)
    })
}

/// The kernel's own, not a file that the container has put there (CVE-2025-52565 was such a case).
fn is_multiplexer(file: &OwnedFd) -> bool {
    // The node /dev/ptmx of a devtmpfs is not on devpts; opening it leads to the devpts next to it.
    let on_devpts = fstatfs(file).is_ok_and(|stat| stat.f_type == DEVPTS_SUPER_MAGIC);
    is_multiplexer_node(file) && (on_devpts || sys::tty::slave_number(file).is_ok())
}
