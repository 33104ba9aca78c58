//! Root file systems: overlay mounts of image layers, what a container changed in them, archives in and out, sizes.

mod archive;
mod changes;
mod init_layer;
mod resolve;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub(crate) use changes::own_places;
use engine_api::{Error, Result};
use objects::tree;
pub(crate) use resolve::make_directory;
use sys::mount::UnmountFlags;

use crate::Engine;
use crate::container::Container;

/// Sizes of a container's files in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    /// What the container wrote.
    pub(crate) changed: i64,
    /// That and the image.
    pub(crate) total: i64,
}

impl Engine {
    /// Mounts a container's root file system, if it is not mounted.
    pub(crate) fn mount_rootfs(&self, container: &Rc<Container>) -> Result<()> {
        if container.mounted.get() {
            return Ok(());
        }
        let layout = &container.layout;
        let failed = |error: io::Error| {
            Error::server(format!(
                "prepare root file system of container {}: {}",
                container.id,
                engine_api::cause(&error)
            ))
        };
        let layers = self
            .0
            .images
            .layer_directories(&container.record().layers)?;
        init_layer::ensure(&layout.init(), &layers).map_err(failed)?;
        let lowers = self.lowers(container)?;
        let (upper, work) = (layout.upper(), layout.work());
        if !upper.exists() {
            make_upper(&upper, &lowers[0])?;
        }
        for directory in [&work, &layout.rootfs] {
            fs::create_dir_all(directory).map_err(Error::at("mkdir", directory))?;
        }
        sys::mount::overlay(&lowers, Some(&upper), Some(&work), &layout.rootfs).map_err(
            |error| {
                Error::server(format!(
                    "mount root file system of container {}: {error}",
                    container.id
                ))
            },
        )?;
        container.mounted.set(true);
        // Without room for its work directory the kernel mounts an overlay read-only and says so on its log alone.
        if is_read_only(&layout.rootfs) {
            self.unmount_rootfs(container)?;
            return Err(Error::server(format!(
                "mount root file system of container {}: nothing can be written in {}: {}",
                container.id,
                layout.directory.display(),
                self.check_state().err().unwrap_or_default()
            )));
        }
        Ok(())
    }

    /// What is below the files that a container changed, the uppermost first. A container of an earlier version has no init
    /// layer before it is mounted again.
    pub(crate) fn lowers(&self, container: &Container) -> Result<Vec<PathBuf>> {
        let init = container.layout.init();
        let mut lowers = self
            .0
            .images
            .layer_directories(&container.record().layers)?;
        if init.is_dir() {
            lowers.insert(0, init);
        }
        Ok(lowers)
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
        let changed = tokio::task::spawn_blocking(move || tree::size(&upper))
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

/// The directory of what a container changes: its attributes are those of the root directory below it.
fn make_upper(upper: &Path, below: &Path) -> Result<()> {
    fs::create_dir(upper).map_err(Error::at("mkdir", upper))?;
    let root = fs::metadata(below).map_err(Error::at("read attributes of", below))?;
    let mode = fs::Permissions::from_mode(root.mode() & 0o7777);
    fs::set_permissions(upper, mode).map_err(Error::at("chmod", upper))?;
    std::os::unix::fs::chown(upper, Some(root.uid()), Some(root.gid()))
        .map_err(Error::at("chown", upper))
}

fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path)
        .is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}
