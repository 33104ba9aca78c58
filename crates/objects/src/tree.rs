//! A tree of files that somebody may change meanwhile: walking it without being led out of it, and its size.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sys::rooted::Root;

/// Directories that a walk goes down at most: a hostile tree must not exhaust the stack or descriptors.
const DEPTH_MAX: usize = 1024;

/// Bytes of all regular files below a directory, each inode once.
#[must_use]
pub fn size(root: &Path) -> i64 {
    let mut seen = std::collections::BTreeSet::new();
    let mut total: i64 = 0;
    // Errors end a branch, not the walk.
    let _ = walk(root, &mut |_, metadata| {
        if metadata.is_file()
            && (metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())))
        {
            total = total.saturating_add(i64::try_from(metadata.size()).unwrap_or(i64::MAX));
        }
        Ok(())
    });
    total
}

/// Calls `visit` with every path below `root` (relative to it), parents first. Links are not
/// followed, neither those that are there nor those that a container puts there meanwhile; what vanishes is passed over.
///
/// # Errors
/// When `root` cannot be opened, or what `visit` returns.
pub fn walk(
    root: &Path,
    visit: &mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>,
) -> io::Result<()> {
    let root = Root::open(root)?;
    let mut pending = vec![PathBuf::new()];
    while let Some(directory) = pending.pop() {
        if directory.components().count() > DEPTH_MAX {
            continue;
        }
        let here = Path::new(".").join(&directory);
        let Ok(opened) = sys::fs::open_in_root_plain(root.as_fd(), &here) else {
            continue;
        };
        // Names are looked up in this very directory, wherever it is by now.
        let inside = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
        let Ok(entries) = fs::read_dir(&inside) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(metadata) = fs::symlink_metadata(inside.join(entry.file_name())) else {
                continue;
            };
            let relative = directory.join(entry.file_name());
            visit(&relative, &metadata)?;
            if metadata.is_dir() {
                pending.push(relative);
            }
        }
    }
    Ok(())
}
