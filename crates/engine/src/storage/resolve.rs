//! Paths in a container, resolved as the container itself would: no link and no `..` leads out of its root.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::FileType;

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
