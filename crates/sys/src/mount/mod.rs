//! Mounts: mount(2), umount2(2), pivot_root(2) and the file-descriptor based calls (open_tree, move_mount,
//! mount_setattr, fsopen), which never resolve a path twice.

mod info;
mod overlay;
mod point;
mod tree;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::mount as raw;

pub(crate) use info::unescape;
pub use info::{MountEntry, mount_of, mountinfo, mountinfo_of};
pub use overlay::overlay;
pub use point::is_mount_point;
pub use tree::{
    Attributes, create, move_mount_fd, move_mount_to, open_tree_clone, open_tree_clone_at,
    set_attributes, set_attributes_fd,
};

use crate::error::{Context, Result};
use crate::flags::flag_set;

flag_set! {
    /// Flags of mount(2).
    MountFlags: u64 {
        /// No write through this mount.
        RDONLY = libc::MS_RDONLY;
        /// Set-user-id bits and file capabilities do not count.
        NOSUID = libc::MS_NOSUID;
        /// Device nodes cannot be opened.
        NODEV = libc::MS_NODEV;
        /// Nothing can be executed.
        NOEXEC = libc::MS_NOEXEC;
        /// Every write waits for the disk.
        SYNCHRONOUS = libc::MS_SYNCHRONOUS;
        /// Change an existing mount.
        REMOUNT = libc::MS_REMOUNT;
        /// Directory changes wait for the disk.
        DIRSYNC = libc::MS_DIRSYNC;
        /// Access times are not kept.
        NOATIME = libc::MS_NOATIME;
        /// Access times of directories are not kept.
        NODIRATIME = libc::MS_NODIRATIME;
        /// A second view of a directory or file.
        BIND = libc::MS_BIND;
        /// With everything mounted below.
        REC = libc::MS_REC;
        /// Access times only when older than the change time.
        RELATIME = libc::MS_RELATIME;
        /// Access times on every access.
        STRICTATIME = libc::MS_STRICTATIME;
        /// Times are written lazily.
        LAZYTIME = libc::MS_LAZYTIME;
        /// Symbolic links are not followed.
        NOSYMFOLLOW = 256;
    }
}

flag_set! {
    /// Flags of umount2(2).
    UnmountFlags: u32 {
        /// Even if busy, where the file system supports it.
        FORCE = libc::MNT_FORCE;
        /// Out of sight now, unmounted when the last user is gone.
        DETACH = libc::MNT_DETACH;
        /// Do not follow a symbolic link.
        NOFOLLOW = libc::UMOUNT_NOFOLLOW;
    }
}

/// Who sees mounts made below a mount point (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Nobody else.
    Private,
    /// Mounts come in and do not go out.
    Slave,
    /// Mounts go both ways.
    Shared,
    /// Private, and cannot be bind-mounted.
    Unbindable,
}

impl Propagation {
    pub(crate) fn bits(self) -> u64 {
        match self {
            Propagation::Private => libc::MS_PRIVATE,
            Propagation::Slave => libc::MS_SLAVE,
            Propagation::Shared => libc::MS_SHARED,
            Propagation::Unbindable => libc::MS_UNBINDABLE,
        }
    }
}

/// Mounts a file system. `data` is the file system's own option string.
///
/// # Errors
/// What mount(2) refuses.
pub fn mount(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    fstype: &str,
    flags: MountFlags,
    data: &str,
) -> Result<()> {
    let (source, target) = (source.as_ref(), target.as_ref());
    let what = || {
        if flags.contains(MountFlags::REMOUNT) {
            format!("remount {}", target.display())
        } else {
            format!(
                "mount {fstype} {} on {}",
                source.display(),
                target.display()
            )
        }
    };
    let data = CString::new(data)
        .map_err(std::io::Error::from)
        .what(what)?;
    let data = (!data.is_empty()).then_some(data);
    let bits = raw::MountFlags::from_bits_retain(flags.bits() as u32);
    raw::mount(source, target, fstype, bits, data.as_deref()).what(what)
}

/// Mounts the squashfs on `device` read-only, with `flags` added.
///
/// At most two of its blocks are unpacked at a time. The kernel's own default keeps a decompressor and a block, about
/// half a megabyte, for each possible processor and each mount. A kernel that does not let a mount choose
/// (`SQUASHFS_CHOICE_DECOMP_BY_MOUNT`) gets its default.
///
/// # Errors
/// What mount(2) refuses.
pub fn squashfs(
    device: impl AsRef<Path>,
    target: impl AsRef<Path>,
    flags: MountFlags,
) -> Result<()> {
    let flags = flags | MountFlags::RDONLY;
    match mount(&device, &target, "squashfs", flags, "threads=2") {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            mount(device, target, "squashfs", flags, "")
        }
        result => result,
    }
}

/// Makes `source` visible at `target` too, with what is mounted below it when `recursive`.
///
/// # Errors
/// What mount(2) refuses.
pub fn bind(source: impl AsRef<Path>, target: impl AsRef<Path>, recursive: bool) -> Result<()> {
    let (source, target) = (source.as_ref(), target.as_ref());
    let result = if recursive {
        raw::mount_bind_recursive(source, target)
    } else {
        raw::mount_bind(source, target)
    };
    result.what(|| format!("bind {} on {}", source.display(), target.display()))
}

/// Sets the flags (read-only, nosuid, ...) of one mount, not of its file system.
///
/// # Errors
/// What mount(2) refuses.
pub fn remount_bind(target: impl AsRef<Path>, flags: MountFlags) -> Result<()> {
    mount(
        "none",
        target,
        "",
        flags | MountFlags::REMOUNT | MountFlags::BIND,
        "",
    )
}

/// Sets who sees later mounts below `target`.
///
/// # Errors
/// What mount(2) refuses; `target` must be a mount point.
pub fn set_propagation(
    target: impl AsRef<Path>,
    propagation: Propagation,
    recursive: bool,
) -> Result<()> {
    let target = target.as_ref();
    let rec = if recursive { libc::MS_REC } else { 0 };
    let bits = raw::MountPropagationFlags::from_bits_retain((propagation.bits() | rec) as u32);
    raw::mount_change(target, bits)
        .what(|| format!("make {} {propagation:?}", target.display()).to_lowercase())
}

/// Unmounts `target`.
///
/// # Errors
/// What umount2(2) refuses: busy, or not a mount point.
pub fn unmount(target: impl AsRef<Path>, flags: UnmountFlags) -> Result<()> {
    let target = target.as_ref();
    let bits = raw::UnmountFlags::from_bits_retain(flags.bits());
    raw::unmount(target, bits).what(|| format!("unmount {}", target.display()))
}

/// Moves the mount at `from` to `to` (MS_MOVE).
///
/// # Errors
/// What mount(2) refuses: `from` must be a mount point whose parent is not shared.
pub fn move_mount(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    raw::mount_move(from, to).what(|| format!("move mount {} to {}", from.display(), to.display()))
}

/// Makes `new_root` the root and puts the old one at `put_old` (which may be the same: pivot_root(2)).
///
/// # Errors
/// What pivot_root(2) refuses: `new_root` must be a mount point, no parent may be shared, and the root must not be
/// the initial ramfs.
pub fn pivot_root(new_root: impl AsRef<Path>, put_old: impl AsRef<Path>) -> Result<()> {
    let (new_root, put_old) = (new_root.as_ref(), put_old.as_ref());
    rustix::process::pivot_root(new_root, put_old)
        .what(|| format!("pivot_root to {}", new_root.display()))
}

fn c_string(path: &Path) -> std::io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(std::io::Error::from)
}
