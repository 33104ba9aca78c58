//! Mounts as file descriptors: made and given their attributes while nobody sees them, then attached in one step
//! (open_tree(2), fsopen(2), mount_setattr(2), move_mount(2)).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount as raw;

use super::{MountFlags, Propagation, c_string};
use crate::error::{Context, Result, check};

/// A change of a mount's attributes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes {
    /// Set these: RDONLY, NOSUID, NODEV, NOEXEC, NODIRATIME, NOSYMFOLLOW and one of NOATIME, RELATIME, STRICTATIME.
    pub set: MountFlags,
    /// Clear these, of the same list but the access times.
    pub clear: MountFlags,
    /// Who sees later mounts below; unchanged if `None`.
    pub propagation: Option<Propagation>,
}

impl Attributes {
    /// Only `flags` set.
    #[must_use]
    pub fn set(flags: MountFlags) -> Attributes {
        Attributes {
            set: flags,
            ..Attributes::default()
        }
    }

    /// Only the propagation.
    #[must_use]
    pub fn propagation(propagation: Propagation) -> Attributes {
        Attributes {
            propagation: Some(propagation),
            ..Attributes::default()
        }
    }

    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.clear.is_empty() && self.propagation.is_none()
    }
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// A detached copy of the mount at `path`, with everything mounted below.
///
/// # Errors
/// What open_tree(2) refuses.
pub fn open_tree_clone(path: impl AsRef<Path>) -> Result<OwnedFd> {
    open_tree_clone_at(CWD, path, true)
}

/// A detached copy of what `path`, relative to `directory`, shows. An empty path means `directory` itself.
///
/// # Errors
/// What open_tree(2) refuses.
pub fn open_tree_clone_at(
    directory: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    recursive: bool,
) -> Result<OwnedFd> {
    let path = path.as_ref();
    let mut flags = raw::OpenTreeFlags::OPEN_TREE_CLONE | raw::OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.as_os_str().is_empty() {
        flags |= raw::OpenTreeFlags::AT_EMPTY_PATH;
    }
    if recursive {
        flags |= raw::OpenTreeFlags::AT_RECURSIVE;
    }
    raw::open_tree(directory, path, flags).what(|| format!("clone mount {}", path.display()))
}

/// A new, detached mount of a file system. `data` is its comma-separated option string.
///
/// # Errors
/// What fsopen(2), fsconfig(2) or fsmount(2) refuses; the option is named.
pub fn create(fstype: &str, source: &str, flags: MountFlags, data: &str) -> Result<OwnedFd> {
    let what = || format!("mount {fstype}");
    let context = raw::fsopen(fstype, raw::FsOpenFlags::FSOPEN_CLOEXEC).what(what)?;
    if !source.is_empty() {
        raw::fsconfig_set_string(&context, "source", source).what(what)?;
    }
    for option in data.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some((key, value)) => raw::fsconfig_set_string(&context, key, value),
            None => raw::fsconfig_set_flag(&context, option),
        }
        .what(|| format!("mount {fstype}: option {option}"))?;
    }
    raw::fsconfig_create(&context).what(what)?;
    let attributes = raw::MountAttrFlags::from_bits_retain(attribute_bits(flags) as u32);
    raw::fsmount(&context, raw::FsMountFlags::FSMOUNT_CLOEXEC, attributes).what(what)
}

/// Attaches a detached mount at `path`.
///
/// # Errors
/// What move_mount(2) refuses.
pub fn move_mount_fd(mount: &OwnedFd, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    raw::move_mount(
        mount,
        "",
        CWD,
        path,
        raw::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .what(|| format!("attach mount at {}", path.display()))
}

/// Attaches a detached mount on the very file or directory that `target` is open on.
///
/// # Errors
/// What move_mount(2) refuses.
pub fn move_mount_to(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags =
        raw::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | raw::MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    raw::move_mount(mount, "", target, "", flags).what(|| "attach mount".into())
}

/// Changes the attributes of the mount at `path`.
///
/// # Errors
/// What mount_setattr(2) refuses.
pub fn set_attributes(
    path: impl AsRef<Path>,
    attributes: Attributes,
    recursive: bool,
) -> Result<()> {
    mount_setattr(CWD, path.as_ref(), attributes, recursive)
}

/// Changes the attributes of the mount that `mount` is open on.
///
/// # Errors
/// What mount_setattr(2) refuses.
pub fn set_attributes_fd(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    recursive: bool,
) -> Result<()> {
    mount_setattr(mount, Path::new(""), attributes, recursive)
}

fn mount_setattr(
    directory: BorrowedFd<'_>,
    path: &Path,
    attributes: Attributes,
    recursive: bool,
) -> Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    let what = || format!("set attributes of mount {}", path.display());
    let c_path = c_string(path).what(what)?;
    let atime = MountFlags::NOATIME | MountFlags::RELATIME | MountFlags::STRICTATIME;
    let sets_atime = attributes.set != attributes.set.without(atime);
    let attr = MountAttr {
        attr_set: attribute_bits(attributes.set),
        // The access time is a field, not a bit: it must be cleared to be set.
        attr_clr: attribute_bits(attributes.clear.without(atime))
            | if sets_atime { MOUNT_ATTR_ATIME } else { 0 },
        propagation: attributes.propagation.map_or(0, Propagation::bits),
        userns_fd: 0,
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= AT_RECURSIVE;
    }
    // SAFETY: the path and the structure live across the call, and the size is the structure's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory.as_fd().as_raw_fd(),
            c_path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop).what(what)
}

/// Apply to the whole tree (linux/fcntl.h).
const AT_RECURSIVE: i32 = 0x8000;
/// The field of access times in `mount_attr` (linux/mount.h).
const MOUNT_ATTR_ATIME: u64 = 0x70;

/// MS_* flags as MOUNT_ATTR_* (linux/mount.h). RELATIME is zero there.
fn attribute_bits(flags: MountFlags) -> u64 {
    const TABLE: [(MountFlags, u64); 8] = [
        (MountFlags::RDONLY, 0x1),
        (MountFlags::NOSUID, 0x2),
        (MountFlags::NODEV, 0x4),
        (MountFlags::NOEXEC, 0x8),
        (MountFlags::NOATIME, 0x10),
        (MountFlags::STRICTATIME, 0x20),
        (MountFlags::NODIRATIME, 0x80),
        (MountFlags::NOSYMFOLLOW, 0x20_0000),
    ];
    TABLE
        .iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .fold(0, |bits, (_, bit)| bits | bit)
}
