//! Paths of the kernel's file systems that a container must not read or write.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, StatVfsMountFlags, fstat, fstatvfs};
use sys::mount::{self, Attributes, MountFlags};
use sys::rooted::{Root, kind};

use super::kernel::{self, Kernel};
use crate::error::{Error, Result};

/// Makes paths read-only and hides others, and looks afterwards whether it is so.
///
/// # Errors
/// What the kernel refuses; when a path shows something else than what was put there.
pub(super) fn confine(
    kernel: &Kernel,
    root: &Root,
    readonly: &[String],
    masked: &[String],
) -> Result<()> {
    let mut covers = Vec::new();
    for path in readonly {
        covers.extend(make_readonly(kernel, root, path)?.map(|cover| (path, cover)));
    }
    for path in masked {
        covers.extend(mask(kernel, root, path)?.map(|cover| (path, cover)));
    }
    let own = covers
        .iter()
        .map(|(_, cover)| kernel::identity(cover.as_fd()))
        .collect::<Result<Vec<_>>>()?;
    for (path, _) in &covers {
        // One that is below another masked one is not to be seen at all.
        let Some(shown) = kernel.find(root, path)? else {
            continue;
        };
        let seen = root.find(Path::new(path))?;
        let identity = kernel::identity(seen.as_fd())?;
        if kernel::identity(shown.as_fd())? != identity || !own.contains(&identity) {
            return Err(Error::other(format!("{path} is not covered")));
        }
        if !masked.contains(path) && !is_readonly(seen.as_fd()) {
            return Err(Error::other(format!("{path} is not read-only")));
        }
    }
    Ok(())
}

/// Hides a path: a directory shows an empty one, a file nothing. `None` if nothing is there.
fn mask(kernel: &Kernel, root: &Root, path: &str) -> Result<Option<OwnedFd>> {
    let Some(target) = kernel.find(root, path)? else {
        return Ok(None);
    };
    let cover = match kind(target.as_fd()) {
        Ok(FileType::Directory) => {
            mount::create("tmpfs", "tmpfs", MountFlags::RDONLY, "size=0k,nr_inodes=1")?
        }
        _ => null_cover(root)?,
    };
    mount::move_mount_to(cover.as_fd(), target.as_fd())
        .map_err(|error| Error::other(format!("mask {path}: {error}")))?;
    Ok(Some(cover))
}

/// A mount of the container's null device, which an image cannot have replaced by something else (CVE-2025-31133).
fn null_cover(root: &Root) -> Result<OwnedFd> {
    let null = root
        .find(Path::new("/dev/null"))
        .map_err(|_| Error::other("the container has no /dev/null to mask files with"))?;
    if !is_null(null.as_fd()) {
        return Err(Error::other("the container's /dev/null is another device"));
    }
    Ok(mount::open_tree_clone_at(null.as_fd(), "", false)?)
}

/// Whether it is the null device (1:3).
pub(super) fn is_null(file: BorrowedFd<'_>) -> bool {
    fstat(file).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == rustix::fs::makedev(1, 3)
    })
}

/// Makes a path read-only, but not what is mounted below it: that was asked for, and has its own mode. `None` if
/// nothing is there.
fn make_readonly(kernel: &Kernel, root: &Root, path: &str) -> Result<Option<OwnedFd>> {
    let Some(target) = kernel.find(root, path)? else {
        return Ok(None);
    };
    let named = |error: sys::Error| Error::other(format!("make {path} read-only: {error}"));
    let tree = mount::open_tree_clone_at(target.as_fd(), "", true).map_err(named)?;
    mount::set_attributes_fd(tree.as_fd(), Attributes::set(MountFlags::RDONLY), false)
        .map_err(named)?;
    mount::move_mount_to(tree.as_fd(), target.as_fd()).map_err(named)?;
    Ok(Some(tree))
}

fn is_readonly(file: BorrowedFd<'_>) -> bool {
    fstatvfs(file).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY))
}
