//! Root file systems: overlay mounts of image layers, what a container changed in them, archives in and out, sizes.

mod archive;
mod changes;
mod resolve;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine_api::{Error, Result};
pub(crate) use resolve::make_directory;
use sys::mount::UnmountFlags;

use crate::Engine;
use crate::container::Container;

/// Directories that a walk goes down at most: a hostile tree must not exhaust the stack or descriptors.
const DEPTH_MAX: usize = 1024;

/// Sizes of a container's files in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    /// What the container wrote.
    pub(crate) changed: i64,
    /// That and the image.
    pub(crate) total: i64,
}

/// Whether something is mounted exactly there.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| {
        fs::symlink_metadata(path)
            .map(|metadata| metadata.dev())
            .ok()
    };
    match (device(path), path.parent().and_then(device)) {
        (Some(own), Some(parent)) => own != parent,
        _ => false,
    }
}

impl Engine {
    /// Mounts a container's root file system, if it is not mounted.
    pub(crate) fn mount_rootfs(&self, container: &Rc<Container>) -> Result<()> {
        if container.mounted.get() {
            return Ok(());
        }
        let layout = &container.layout;
        let mut lowers = self
            .0
            .images
            .layer_directories(&container.record().layers)?;
        if lowers.is_empty() {
            lowers.push(layout.directory.join("empty"));
            fs::create_dir_all(&lowers[0])?;
        }
        let (upper, work) = (layout.upper(), layout.work());
        if !upper.exists() {
            fs::create_dir(&upper)?;
            let root = fs::metadata(&lowers[0])?;
            fs::set_permissions(&upper, fs::Permissions::from_mode(root.mode() & 0o7777))?;
            std::os::unix::fs::chown(&upper, Some(root.uid()), Some(root.gid()))?;
        }
        fs::create_dir_all(&work)?;
        fs::create_dir_all(&layout.rootfs)?;
        sys::mount::overlay(&lowers, Some(&upper), Some(&work), &layout.rootfs).map_err(
            |error| {
                Error::server(format!(
                    "mount root file system of container {}: {error}",
                    container.id
                ))
            },
        )?;
        container.mounted.set(true);
        Ok(())
    }

    /// Unmounts a container's root file system; also one that is still in use, when its last user is gone.
    pub(crate) fn unmount_rootfs(&self, container: &Container) -> Result<()> {
        if !container.mounted.get() {
            return Ok(());
        }
        let rootfs = &container.layout.rootfs;
        sys::mount::unmount(rootfs, UnmountFlags::empty())
            .or_else(|_| sys::mount::unmount(rootfs, UnmountFlags::DETACH))
            .map_err(|error| {
                Error::server(format!(
                    "unmount root file system of container {}: {error}",
                    container.id
                ))
            })?;
        container.mounted.set(false);
        // An empty mount point left behind is used again or cleared at the next boot.
        let _ = fs::remove_dir(rootfs);
        Ok(())
    }

    /// How much a container occupies. What cannot be read counts nothing.
    pub(crate) async fn container_size(&self, container: &Container) -> Size {
        let upper = container.layout.upper();
        let changed = tokio::task::spawn_blocking(move || tree_size(&upper))
            .await
            .unwrap_or(0);
        let image = self
            .0
            .images
            .inspect(&container.record().image_id)
            .map_or(0, |image| image.size);
        Size {
            changed,
            total: changed.saturating_add(image),
        }
    }
}

/// Bytes of all regular files below a directory, each inode once.
fn tree_size(root: &Path) -> i64 {
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

/// Calls `visit` with every path below `root` (relative to it) in the order of names, parents first. Links are not
/// followed; what vanishes meanwhile is passed over.
fn walk(
    root: &Path,
    visit: &mut dyn FnMut(&Path, &fs::Metadata) -> io::Result<()>,
) -> io::Result<()> {
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        if !relative.as_os_str().is_empty() {
            let Ok(metadata) = fs::symlink_metadata(root.join(&relative)) else {
                continue;
            };
            visit(&relative, &metadata)?;
            if !metadata.is_dir() || relative.components().count() > DEPTH_MAX {
                continue;
            }
        }
        let Ok(entries) = fs::read_dir(root.join(&relative)) else {
            continue;
        };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort_unstable_by(|one, other| other.cmp(one));
        pending.extend(names.into_iter().map(|name| relative.join(name)));
    }
    Ok(())
}
