//! Paths inside a root that an image controls: every step is resolved within the root, whatever links are there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sys::fs::open_in_root;

use super::super::error::{Error, Result};

/// Deepest path that is made (PATH_MAX is 4096 bytes, so 2048 names).
const DEEPEST: usize = 256;

/// The path without root, `.` and repeated slashes.
///
/// # Errors
/// When it has `..`, is too deep, or is the root itself and that is not allowed.
fn relative(path: &Path) -> Result<PathBuf> {
    let mut relative = PathBuf::new();
    let mut depth = 0;
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                relative.push(name);
                depth += 1;
            }
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::other(format!(
                    "{}: a path in a container must not have ..",
                    path.display()
                )));
            }
        }
    }
    if depth > DEEPEST {
        return Err(Error::other(format!(
            "{}: deeper than {DEEPEST} directories",
            path.display()
        )));
    }
    Ok(relative)
}

/// Opens the directory (or whatever is there), made with its parents if it is missing.
pub(super) fn ensure_directory(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let path = relative(path)?;
    if path.as_os_str().is_empty() {
        return Ok(open_in_root(root, Path::new("."))?);
    }
    match open_in_root(root, &path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (parent, name) = ensure_parent(root, &path)?;
            make(
                &path,
                rustix::fs::mkdirat(&parent, &name, Mode::from_raw_mode(0o755)),
            )?;
            Ok(open_in_root(root, &path)?)
        }
        result => Ok(result?),
    }
}

/// Opens the file (or whatever is there), made empty with its parents if it is missing.
pub(super) fn ensure_file(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let path = relative(path)?;
    match open_in_root(root, &path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (parent, name) = ensure_parent(root, &path)?;
            let flags =
                OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made =
                rustix::fs::openat(&parent, &name, flags, Mode::from_raw_mode(0o644)).map(drop);
            make(&path, made)?;
            Ok(open_in_root(root, &path)?)
        }
        result => Ok(result?),
    }
}

/// Opens the directory that a file is in, made if it is missing, and gives the file's name.
pub(super) fn ensure_parent(root: BorrowedFd<'_>, path: &Path) -> Result<(OwnedFd, PathBuf)> {
    let path = relative(path)?;
    let name = path
        .file_name()
        .ok_or_else(|| Error::other("the root of a container is not a file"))?;
    let parent = ensure_directory(root, path.parent().unwrap_or(Path::new("")))?;
    Ok((parent, PathBuf::from(name)))
}

fn make(path: &Path, result: rustix::io::Result<()>) -> Result<()> {
    match result {
        // Somebody was faster, or a link leads to nowhere: opening it tells.
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::other(format!(
            "make /{} in the container: {errno}",
            path.display()
        ))),
    }
}

/// Whether it is a directory.
pub(super) fn is_directory(file: impl AsFd) -> bool {
    rustix::fs::fstat(file)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_root() {
        let outside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("escape")).unwrap();
        let fd = std::fs::File::open(root.path()).unwrap();
        // The link names a path of the host; inside the root that path does not exist, and is not made.
        assert!(ensure_directory(fd.as_fd(), Path::new("/escape/made")).is_err());
        assert!(std::fs::read_dir(outside.path()).unwrap().next().is_none());
        assert!(ensure_directory(fd.as_fd(), Path::new("/../x")).is_err());
        ensure_file(fd.as_fd(), Path::new("/a/b/c")).unwrap();
        assert!(root.path().join("a/b/c").is_file());
        assert!(is_directory(
            ensure_directory(fd.as_fd(), Path::new("/")).unwrap()
        ));
    }
}
