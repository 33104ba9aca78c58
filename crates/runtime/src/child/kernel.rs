//! The kernel's file systems of a container: what is mounted on /proc, /sys and /dev, by descriptor. What the runtime reads,
//! writes or hides there is found beneath these descriptors, and never by a path that an image could have bent.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, PROC_SUPER_MAGIC, StatxFlags, fstatfs, statx};
use sys::rooted::Root;

use crate::error::{Error, Result};

/// Inode of the root directory of every proc (PROC_ROOT_INO of linux/proc_fs.h).
const PROC_ROOT_INODE: u64 = 1;

/// The mounts on the three directories, as far as something is mounted there.
#[derive(Default)]
pub(super) struct Kernel {
    mounts: Vec<(&'static str, OwnedFd)>,
}

/// Directories that must be plain ones of the image, and not links to others.
const PLACES: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Whether nothing but a plain directory can be mounted on: links there would send the runtime elsewhere.
pub(super) fn must_be_plain(destination: &Path) -> bool {
    destination == Path::new("/proc") || destination == Path::new("/sys")
}

impl Kernel {
    /// Notes a mount; the last one on a place counts.
    pub(super) fn note(&mut self, destination: &Path, mount: OwnedFd) {
        if let Some(place) = PLACES.iter().find(|place| Path::new(place) == destination) {
            self.mounts.retain(|(old, _)| old != place);
            self.mounts.push((place, mount));
        }
    }

    /// What was mounted at `place`.
    pub(super) fn mount(&self, place: &str) -> Option<BorrowedFd<'_>> {
        let found = self.mounts.iter().find(|(noted, _)| *noted == place);
        found.map(|(_, mount)| mount.as_fd())
    }

    /// Whether what `root` shows at `place` is the mount that was made there.
    pub(super) fn shows_own(&self, root: &Root, place: &str) -> bool {
        self.mount(place)
            .is_some_and(|mount| is_mounted_at(root, Path::new(place), mount).unwrap_or(false))
    }

    /// Makes sure that /proc and /sys show what was mounted there, and that /proc is the kernel's.
    ///
    /// # Errors
    /// When something else is there.
    pub(super) fn check(&self, root: &Root) -> Result<()> {
        for (place, mount) in &self.mounts {
            if *place != "/dev" && !is_mounted_at(root, Path::new(place), mount.as_fd())? {
                return Err(Error::other(format!(
                    "{place}: something else is mounted there"
                )));
            }
        }
        match self.mount("/proc") {
            Some(proc) if !is_proc(proc) => Err(Error::other("/proc is not the kernel's proc")),
            _ => Ok(()),
        }
    }

    /// Opens a path of the container, O_PATH: below /proc and /sys beneath what is mounted there, else in its root. `None`
    /// if nothing is there.
    ///
    /// # Errors
    /// When a link leads out of /proc or /sys, and what openat2(2) refuses.
    pub(super) fn find(&self, root: &Root, path: &str) -> Result<Option<OwnedFd>> {
        let split = PLACES[..2].iter().find_map(|place| {
            let below = Path::new(path).strip_prefix(place).ok()?;
            let mount = self
                .mount(place)
                .filter(|_| !below.as_os_str().is_empty())?;
            Some((mount, below))
        });
        let found = match split {
            Some((mount, below)) => sys::fs::open_beneath(mount, below),
            None => root.find(Path::new(path)),
        };
        match found {
            Ok(file) => Ok(Some(file)),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(Error::other(format!("{path}: {error}"))),
        }
    }

    /// The container's own /proc/sys, as it is before it is made read-only.
    ///
    /// # Errors
    /// When /proc is not the kernel's.
    pub(super) fn parameters(&self) -> Result<Parameters> {
        let what = |cause: &dyn std::fmt::Display| Error::other(format!("set sysctls: {cause}"));
        let proc = self.mount("/proc").filter(|proc| is_proc(*proc));
        let proc = proc.ok_or_else(|| what(&"the container has no /proc"))?;
        sys::fs::open_beneath(proc, Path::new("sys"))
            .map(Parameters)
            .map_err(|error| what(&error))
    }
}

/// Kernel parameters of a container.
pub(super) struct Parameters(OwnedFd);

impl Parameters {
    /// Sets one, by its dotted name.
    ///
    /// # Errors
    /// When the parameter does not exist, or the kernel refuses the value.
    pub(super) fn set(&self, name: &str, value: &str) -> Result<()> {
        let what = |cause: &dyn std::fmt::Display| {
            Error::other(format!("set sysctl {name} to {value:?}: {cause}"))
        };
        let path = sys::sysctl::path(name)?;
        let below = path.strip_prefix("/proc/sys").unwrap_or(&path);
        let file = sys::fs::write_beneath_plain(self.0.as_fd(), below).map_err(|e| what(&e))?;
        if !fstatfs(&file).is_ok_and(|system| system.f_type == PROC_SUPER_MAGIC) {
            return Err(what(&"it is not on proc"));
        }
        let written = File::from(file).write_all(value.as_bytes());
        written.map_err(|error| what(&error))
    }
}

/// Whether it is the root directory of a proc file system.
pub(super) fn is_proc(file: BorrowedFd<'_>) -> bool {
    fstatfs(file).is_ok_and(|system| system.f_type == PROC_SUPER_MAGIC)
        && rustix::fs::fstat(file).is_ok_and(|stat| stat.st_ino == PROC_ROOT_INODE)
}

/// Whether it is on a proc file system.
pub(super) fn is_on_proc(file: BorrowedFd<'_>) -> Result<bool> {
    let system = fstatfs(file).map_err(|errno| Error::other(errno.to_string()))?;
    Ok(system.f_type == PROC_SUPER_MAGIC)
}

/// Whether `path` in `root` shows this very mount.
///
/// # Errors
/// When the path cannot be opened.
pub(super) fn is_mounted_at(root: &Root, path: &Path, mount: BorrowedFd<'_>) -> Result<bool> {
    let shown = root.find(path)?;
    Ok(identity(shown.as_fd())? == identity(mount)?)
}

/// Which mount a file is seen through, and which file of it this is (statx(2)).
pub(super) fn identity(file: BorrowedFd<'_>) -> Result<(u64, u64, (u32, u32))> {
    let wanted = StatxFlags::MNT_ID | StatxFlags::INO;
    let stat = statx(file, "", AtFlags::EMPTY_PATH, wanted);
    let stat = stat.map_err(|errno| Error::other(format!("look at a mount: {errno}")))?;
    let device = (stat.stx_dev_major, stat.stx_dev_minor);
    Ok((stat.stx_mnt_id, stat.stx_ino, device))
}
