//! Whether a path is a mount point.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;

use crate::error::{Context, Result};

/// Whether something is mounted exactly at `path`: the kernel says so of the file itself (STATX_ATTR_MOUNT_ROOT of statx(2),
/// Linux 5.8). A comparison of devices would miss a bind mount within one file system. A symbolic link is not followed; a path
/// that does not exist is not a mount point.
///
/// The file system that is mounted there is asked: one that does not answer, as a network's can, holds the caller. For those,
/// read [`mountinfo`](super::mountinfo).
///
/// # Errors
/// What statx(2) refuses.
pub fn is_mount_point(path: impl AsRef<Path>) -> Result<bool> {
    let path = path.as_ref();
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match statx(CWD, path, flags, StatxFlags::empty()) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error).what(|| format!("statx {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::{UnmountFlags, bind, unmount};

    #[test]
    fn a_mount_point_is_told_from_what_is_in_it() {
        assert!(is_mount_point("/").unwrap());
        assert!(is_mount_point("/proc").unwrap());
        for path in [
            "/proc/sys/kernel",
            "/proc/self",
            "/nowhere",
            "/proc/version/x",
        ] {
            assert!(!is_mount_point(path).unwrap(), "{path}");
        }
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_bind_mount_within_one_file_system_counts() {
        let work = tempfile::tempdir().unwrap();
        let (one, two) = (work.path().join("one"), work.path().join("two"));
        for directory in [&one, &two] {
            std::fs::create_dir(directory).unwrap();
        }
        bind(&one, &two, false).unwrap();
        let found = (is_mount_point(&one), is_mount_point(&two));
        unmount(&two, UnmountFlags::DETACH).unwrap();
        assert_eq!((found.0.unwrap(), found.1.unwrap()), (false, true));
    }
}
