//! A directory as the root of all paths: whatever a path or a symlink says, nothing outside is reached.
//!
//! Directories are opened with `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)`; the last component is always handled
//! by name in its opened parent and never followed. Source: openat2(2).

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use oci_image::error::{Context, Error, Result};

/// Deepest directory tree that is removed or walked.
pub(crate) const DEPTH_MAX: usize = 1024;

/// Lexically clean path components; `..` may not leave the root.
pub(crate) fn clean(path: &[u8]) -> Result<Vec<&[u8]>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return Err(Error::invalid(format!(
                        "invalid path {:?}: it leaves the root",
                        String::from_utf8_lossy(path)
                    )));
                }
            }
            part if part.contains(&0) => {
                return Err(Error::invalid("invalid path: it contains a zero byte"));
            }
            part => parts.push(part),
        }
    }
    if parts.len() > DEPTH_MAX {
        return Err(Error::Limit {
            what: "path depth".to_owned(),
            limit: DEPTH_MAX as u64,
        });
    }
    Ok(parts)
}

/// A path argument from bytes.
pub(crate) fn name(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// A directory that confines path resolution.
pub(crate) struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Opens `path`, which is trusted.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fd = rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .context(|| format!("open {}", path.display()))?;
        Ok(Self { fd })
    }

    /// Takes an open directory.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The root directory.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Opens the directory `parts`, following symlinks inside the root.
    pub(crate) fn open_dir(&self, parts: &[&[u8]]) -> std::result::Result<OwnedFd, Errno> {
        self.resolve(
            parts,
            OFlags::RDONLY | OFlags::DIRECTORY,
            ResolveFlags::empty(),
        )
    }

    /// Opens the directory `parts` without following any symlink.
    pub(crate) fn open_dir_plain(&self, parts: &[&[u8]]) -> std::result::Result<OwnedFd, Errno> {
        self.resolve(
            parts,
            OFlags::RDONLY | OFlags::DIRECTORY,
            ResolveFlags::NO_SYMLINKS,
        )
    }

    /// Opens a regular file for reading; the last component is not followed.
    pub(crate) fn open_file(&self, path: &[u8]) -> Result<File> {
        self.open_regular(path, OFlags::NOFOLLOW)
    }

    fn open_regular(&self, path: &[u8], extra: OFlags) -> Result<File> {
        let parts = clean(path)?;
        let what = || format!("open {}", String::from_utf8_lossy(path));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | extra;
        let file = File::from(
            self.resolve(&parts, flags, ResolveFlags::empty())
                .context(what)?,
        );
        let is_file = file
            .metadata()
            .map_err(|error| Error::io(what(), error))?
            .is_file();
        if is_file {
            return Ok(file);
        }
        Err(Error::invalid(format!(
            "{} is not a file",
            String::from_utf8_lossy(path)
        )))
    }

    fn resolve(
        &self,
        parts: &[&[u8]],
        flags: OFlags,
        extra: ResolveFlags,
    ) -> std::result::Result<OwnedFd, Errno> {
        let joined = if parts.is_empty() {
            b".".to_vec()
        } else {
            parts.join(&b'/')
        };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | extra;
        loop {
            match rustix::fs::openat2(
                &self.fd,
                name(&joined),
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            ) {
                // a rename elsewhere raced with "..": the kernel asks to try again
                Err(Errno::AGAIN) => {}
                result => return result,
            }
        }
    }
}

/// Opens a regular file below `directory` for reading; symlinks are followed inside `directory` and never lead out of it.
///
/// # Errors
/// When it is missing, is not a regular file, or a link leads out.
pub fn confined_file(directory: &Path, path: &[u8]) -> Result<File> {
    Root::open(directory)?.open_regular(path, OFlags::empty())
}

/// Opens the directory `entry` in `parent`; a link is not followed.
pub(crate) fn open_directory(
    parent: BorrowedFd<'_>,
    entry: &OsStr,
) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, entry, flags, Mode::empty())
}

/// Removes `entry` in `parent`, whatever it is, with all below; symlinks are not followed. Nothing there is fine.
pub(crate) fn remove_all(parent: BorrowedFd<'_>, entry: &OsStr) -> Result<()> {
    remove_tree(parent, entry, 0).context(|| format!("remove {}", entry.display()))
}

fn remove_tree(
    parent: BorrowedFd<'_>,
    entry: &OsStr,
    depth: usize,
) -> std::result::Result<(), Errno> {
    match rustix::fs::unlinkat(parent, entry, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) if depth < DEPTH_MAX => {}
        Err(errno) => return Err(errno),
    }
    let directory = open_directory(parent, entry)?;
    for child in read_names(directory.as_fd())? {
        remove_tree(directory.as_fd(), name(&child), depth + 1)?;
    }
    rustix::fs::unlinkat(parent, entry, AtFlags::REMOVEDIR)
}

/// Names in a directory, sorted by bytes.
pub(crate) fn read_names(directory: BorrowedFd<'_>) -> std::result::Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if bytes != b"." && bytes != b".." {
            names.push(bytes.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Type of `entry` in `parent`, not followed; `None` when nothing is there.
pub(crate) fn kind_of(parent: BorrowedFd<'_>, entry: &OsStr) -> Result<Option<FileType>> {
    match rustix::fs::statat(parent, entry, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::io(format!("look at {}", entry.display()), errno)),
    }
}
