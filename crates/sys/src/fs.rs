//! File system calls that the standard library lacks or splits in two.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{AtFlags, CWD, Dev, FileType, Gid, Mode, OFlags, ResolveFlags, StatxFlags, Uid};

use crate::error::{Context, Result};

/// Sets the permission bits of `path`, set-user-id and sticky included (chmod(2)).
///
/// # Errors
/// What chmod(2) refuses.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    rustix::fs::chmod(path, Mode::from_raw_mode(mode))
        .what(|| format!("chmod {mode:o} {}", path.display()))
}

/// Gives `path`, and not what a symbolic link points to, an owner (lchown(2)).
///
/// # Errors
/// What lchown(2) refuses.
pub fn set_owner(path: &Path, uid: u32, gid: u32) -> Result<()> {
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(
        CWD,
        path,
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        flags,
    )
    .what(|| format!("chown {uid}:{gid} {}", path.display()))
}

/// Flushes the file system that has `path`, and waits for the disk (syncfs(2)).
///
/// # Errors
/// When the path is not there, or the disk has lost something.
pub fn sync_file_system(path: &Path) -> Result<()> {
    let what = || format!("flush the file system of {}", path.display());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).what(what)?;
    rustix::fs::syncfs(&file).what(what)
}

/// Waits for new names in directories (inotify(7)).
#[derive(Debug)]
pub struct NewNames(std::fs::File);

impl NewNames {
    /// In no directory yet.
    ///
    /// # Errors
    /// When there are too many of them.
    pub fn new() -> Result<NewNames> {
        let fd = inotify::init(CreateFlags::CLOEXEC).what(|| "watch for new names".to_owned())?;
        Ok(NewNames(fd.into()))
    }

    /// Watches a directory from now on, until this is dropped; once more is fine.
    ///
    /// # Errors
    /// When it does not exist, or there are too many watches.
    pub fn watch(&self, directory: &Path) -> Result<()> {
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        inotify::add_watch(&self.0, directory, flags)
            .map(drop)
            .what(|| format!("watch {}", directory.display()))
    }

    /// Blocks until there is a new name since the last call.
    ///
    /// # Errors
    /// What read(2) refuses.
    pub fn wait(&self) -> Result<()> {
        let mut events = [0; 4096];
        std::io::Read::read(&mut &self.0, &mut events)
            .map(drop)
            .what(|| "wait for new names".to_owned())
    }
}

/// Bytes that an ordinary user may still write to the file system that has `path`.
///
/// # Errors
/// When the path is not there.
pub fn free_bytes(path: &Path) -> Result<u64> {
    let status = rustix::fs::statvfs(path).what(|| format!("statvfs {}", path.display()))?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

/// Removes a file, or a folder with all that is in it; nothing when there is none.
///
/// # Errors
/// When something of it cannot be removed.
pub fn remove_all(path: &Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.what(|| format!("remove {}", path.display())),
    }
}

/// Writes all dirty pages of all file systems to their disks (sync(2)).
pub fn sync() {
    rustix::fs::sync();
}

/// Has the kernel forget what it keeps of a file that is not being written, so that the next read asks the disk
/// (posix_fadvise(2)). Pages that a program has mapped stay.
///
/// # Errors
/// When it is not a file.
pub fn forget_cached(file: &std::fs::File) -> Result<()> {
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)
        .what(|| "forget what is cached of a file".to_owned())
}

/// Kind of device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// Character device.
    Character,
    /// Block device.
    Block,
    /// Named pipe; the device number does not count.
    Fifo,
}

/// Makes a device node at `path`, relative to `directory`, with these permission bits less the umask (mknod(2)). Nothing
/// is changed afterwards by its name, in whose place something else may be by then.
///
/// # Errors
/// What mknodat(2) refuses.
pub fn make_node(
    directory: BorrowedFd<'_>,
    path: &Path,
    kind: NodeKind,
    mode: u32,
    (major, minor): (u32, u32),
) -> Result<()> {
    let what = || format!("make node {}", path.display());
    let kind = match kind {
        NodeKind::Character => FileType::CharacterDevice,
        NodeKind::Block => FileType::BlockDevice,
        NodeKind::Fifo => FileType::Fifo,
    };
    let mode = Mode::from_raw_mode(mode);
    let device: Dev = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(directory, path, kind, mode, device).what(what)
}

/// Opens `path` as if `root` were `/`: no symbolic link and no `..` leads out of it (openat2(2),
/// RESOLVE_IN_ROOT). The descriptor is O_PATH: it names the file and reads nothing.
///
/// # Errors
/// What openat2(2) refuses.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    open_in_root_with(root, path, OFlags::PATH)
}

/// As [`open_in_root`], with flags of open(2).
///
/// # Errors
/// What openat2(2) refuses.
pub fn open_in_root_with(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    // An absolute path starts at the root that RESOLVE_IN_ROOT sets.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    open_resolved(root, path, flags, resolve)
}

/// As [`open_in_root`], but no symbolic link is followed at all: ELOOP (openat2(2), RESOLVE_NO_SYMLINKS).
///
/// # Errors
/// What openat2(2) refuses.
pub fn open_in_root_plain(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    open_resolved(root, path, OFlags::PATH, resolve)
}

/// Opens `path` below `root`, O_PATH; fails with EXDEV when a link or `..` leads out of it (openat2(2), RESOLVE_BENEATH).
///
/// # Errors
/// What openat2(2) refuses.
pub fn open_beneath(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    open_resolved(root, path, OFlags::PATH, resolve)
}

/// Opens `path` below `root` to write to it as it is; no symbolic link is followed.
///
/// # Errors
/// What openat2(2) refuses.
pub fn write_beneath_plain(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    open_resolved(root, path, flags, resolve)
}

/// A file without a name on the file system of `directory`, gone when it is closed (O_TMPFILE, open(2)).
///
/// # Errors
/// What open(2) refuses, with the errno of a disk that is full or broken; a file system that cannot do it.
pub fn unnamed(directory: &Path) -> std::io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, directory, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(File::from(opened))
}

/// What is at `path`, and the number of the device that it is a node of, as far as the kernel knows without asking a file system: an
/// error where it would have to (RESOLVE_CACHED of openat2(2), AT_STATX_DONT_SYNC of statx(2)).
///
/// # Errors
/// Also when nothing is there.
pub fn node_in_cache(path: &Path) -> Result<(FileType, (u32, u32))> {
    let what = || path.display().to_string();
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = open_resolved(CWD, path, flags, ResolveFlags::CACHED)?;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(&found, "", flags, StatxFlags::TYPE).what(what)?;
    let kind = FileType::from_raw_mode(stat.stx_mode.into());
    Ok((kind, (stat.stx_rdev_major, stat.stx_rdev_minor)))
}

/// Whether something is at `path`, as far as the kernel knows without asking a file system (openat2(2), RESOLVE_CACHED): false
/// also where it would have to, so it never waits for a disk or a server.
#[must_use]
pub fn exists_in_cache(path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).is_ok()
}

fn open_resolved(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let what = || format!("open {}", path.display());
    for _ in 0..RACE_ATTEMPTS {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN) => {}
            result => return result.what(what),
        }
    }
    Err(rustix::io::Errno::AGAIN).what(what)
}

/// How often openat2(2) is repeated when a rename or mount elsewhere made it give up (EAGAIN).
const RACE_ATTEMPTS: usize = 32;

/// Room on a file system, as statvfs(3) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the whole file system.
    pub total: u64,
    /// Bytes left, with what is reserved for the system.
    pub free: u64,
    /// Bytes left for everybody.
    pub available: u64,
    /// How many more files can be made; `None` where the file system has no such bound.
    pub files_left: Option<u64>,
}

/// How much room the file system at `path` has.
///
/// # Errors
/// What statvfs(3) refuses.
pub fn space(path: &Path) -> Result<Space> {
    let found = rustix::fs::statvfs(path).what(|| format!("size of {}", path.display()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Space {
        total: bytes(found.f_blocks),
        free: bytes(found.f_bfree),
        available: bytes(found.f_bavail),
        // btrfs makes inodes as it needs them and says 0 of 0.
        files_left: (found.f_files > 0).then_some(found.f_ffree),
    })
}

/// Gives a file real blocks up to this length (fallocate(2)).
///
/// # Errors
/// What fallocate(2) refuses: no room, or a file system that cannot.
pub fn allocate(file: impl AsFd, length: u64) -> Result<()> {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, length)
        .what(|| format!("reserve {length} bytes"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn a_file_without_a_name_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = unnamed(folder.path()).unwrap();
        file.write_all(b"text").unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(unnamed(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn nodes_are_known_by_kind_and_number() {
        let null = node_in_cache(Path::new("/dev/null")).unwrap();
        assert_eq!(null, (FileType::CharacterDevice, (1, 3)));
        let root = node_in_cache(Path::new("/")).unwrap();
        assert_eq!(root.0, FileType::Directory);
        assert!(node_in_cache(Path::new("/nothing/here")).is_err());
    }
}
