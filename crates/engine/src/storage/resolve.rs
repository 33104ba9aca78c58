//! Paths in a container, resolved as the container itself would: no link and no `..` leads out of its root.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};

/// A root directory that paths are resolved in.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

impl Root {
    /// Opens a root directory.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(
            CWD,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?))
    }

    /// Opens what `path` means, following links inside the root. O_PATH: nothing is read.
    pub(super) fn open_path(&self, path: &Path) -> io::Result<OwnedFd> {
        Ok(sys::fs::open_in_root(self.0.as_fd(), path)?)
    }

    /// As [`Self::open_path`], but a link at the end is itself what is opened.
    pub(super) fn open_link(&self, path: &Path) -> io::Result<OwnedFd> {
        Ok(sys::fs::open_in_root_with(
            self.0.as_fd(),
            path,
            OFlags::PATH | OFlags::NOFOLLOW,
        )?)
    }

    /// Opens a file to read.
    pub(super) fn open_file(&self, path: &Path) -> io::Result<OwnedFd> {
        Ok(sys::fs::open_in_root_with(
            self.0.as_fd(),
            path,
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK,
        )?)
    }
}

/// The path by which this process reaches an open file.
pub(super) fn descriptor_path(file: &OwnedFd) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The path on the host of `path` in a root; none when it does not exist.
pub(crate) fn host_path(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    match Root::open(root)?.open_path(path) {
        Ok(file) => std::fs::read_link(descriptor_path(&file)).map(Some),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Makes a directory in a root, and those above it, unless it is there; also behind links that lead nowhere yet.
///
/// # Errors
/// `NotADirectory` when something else is there.
pub(crate) fn make_directory(root: &Path, path: &Path) -> io::Result<()> {
    let made = sys::rooted::Root::open(root)?.ensure_directory(path, 0o755)?;
    if sys::rooted::kind(made.as_fd())? == FileType::Directory {
        Ok(())
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_inside_the_root() {
        let work = tempfile::tempdir().unwrap();
        let root = work.path().join("root");
        std::fs::create_dir_all(root.join("srv")).unwrap();
        std::fs::write(root.join("file"), "").unwrap();
        std::os::unix::fs::symlink("/srv", root.join("link")).unwrap();
        std::os::unix::fs::symlink("/../gone", root.join("dangling")).unwrap();
        make_directory(&root, Path::new("/link/a/b")).unwrap();
        make_directory(&root, Path::new("/link/a/b")).unwrap();
        assert!(root.join("srv/a/b").is_dir());
        for path in ["/file", "/file/below"] {
            let error = make_directory(&root, Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{path}");
        }
        make_directory(&root, Path::new("/dangling/x")).unwrap();
        assert!(root.join("gone/x").is_dir());
        assert!(!work.path().join("gone").exists());
    }
}
