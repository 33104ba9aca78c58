//! Where a mount goes: a file or directory of the container, made if it is missing, and refused where it would hide what the
//! runtime and the container's programs trust.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::FileType;
use sys::rooted::{Root, kind};

use super::kernel::{self, must_be_plain};
use crate::error::{Error, ErrorKind, Result};
use crate::oci::Mount;

/// Mode of directories and files that are made as mount points.
const DIRECTORY: u32 = 0o755;
const FILE: u32 = 0o644;

/// Opens the place of a mount whose own root is `tree`.
pub(super) fn open(
    root: &Root,
    mount: &Mount,
    tree: BorrowedFd<'_>,
    bind: bool,
) -> Result<OwnedFd> {
    let destination = Path::new(&mount.destination);
    let shows_directory = is_directory(tree);
    let plain = must_be_plain(destination) || ["proc", "sysfs"].contains(&mount.kind.as_str());
    let target = if plain {
        open_plain(root, destination)?
    } else if shows_directory {
        root.ensure_directory(destination, DIRECTORY)?
    } else {
        root.ensure_file(destination, FILE)?
    };
    if shows_directory != is_directory(target.as_fd()) {
        return Err(unlike(mount, shows_directory));
    }
    let top = root.find(Path::new("/"))?;
    if kernel::identity(top.as_fd())? == kernel::identity(target.as_fd())? {
        return Err(Error::other("it is the root of the container"));
    }
    if destination == Path::new("/proc") {
        // What the masks, the kernel's parameters and AppArmor rely on (CVE-2019-16884, CVE-2019-19921).
        if bind && !kernel::is_proc(tree) {
            return Err(Error::other("it is not a proc file system"));
        }
    } else if !is_coverable(mount) && kernel::is_on_proc(target.as_fd())? {
        return Err(Error::other("it is inside /proc"));
    }
    Ok(target)
}

/// Opens a directory that no link leads to.
fn open_plain(root: &Root, destination: &Path) -> Result<OwnedFd> {
    let refused =
        || Error::other("the image has a link or a file there, and it must be a directory");
    let opened = sys::fs::open_in_root_plain(root.as_fd(), destination);
    let target = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            root.ensure_directory(destination, DIRECTORY)?;
            sys::fs::open_in_root_plain(root.as_fd(), destination)
        }
        opened => opened,
    };
    let target = target.map_err(|error| match error.errno() {
        // ELOOP and ENOTDIR (openat2(2), RESOLVE_NO_SYMLINKS)
        Some(40 | 20) => refused(),
        _ => error.into(),
    })?;
    is_directory(target.as_fd())
        .then_some(target)
        .ok_or_else(refused)
}

/// A directory on a file, or a file on a directory: which is which, and Docker's own question.
fn unlike(mount: &Mount, shows_directory: bool) -> Error {
    let (source, target) = if shows_directory {
        ("directory", "file")
    } else {
        ("file", "directory")
    };
    let shown = if mount.source.is_empty() {
        &mount.kind
    } else {
        &mount.source
    };
    Error::new(
        ErrorKind::NotFound,
        format!(
            "not a directory: {shown} is a {source}, and {} in the container is a {target}: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type",
            mount.destination
        ),
    )
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

fn is_coverable(mount: &Mount) -> bool {
    let destination = mount.destination.as_str();
    let is_own = destination != "/proc/sys/net" || mount.source == destination;
    COVERABLE.contains(&destination) && is_own
}

/// Whether it is a directory.
fn is_directory(file: BorrowedFd<'_>) -> bool {
    kind(file).is_ok_and(|kind| kind == FileType::Directory)
}
