//! Which files of a container are copied: its root file system, and in it the volumes, binds and files of the engine that
//! a start would mount. Docker shows the same, whether the container runs or not: no /proc, no tmpfs.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine_api::Result;
use oci_image::task::{View, ViewMount};

use crate::Engine;
use crate::container::{Container, MountKind};
use crate::volume::Volumes;

/// Volumes that are in use by a worker, until this is dropped.
pub(super) struct Held {
    volumes: Volumes,
    names: Vec<String>,
}

impl Drop for Held {
    fn drop(&mut self) {
        for name in &self.names {
            self.volumes.release(name);
        }
    }
}

impl Engine {
    /// A container's files; with `everything` those that are mounted in its root file system, too.
    pub(super) async fn view(
        &self,
        container: &Rc<Container>,
        everything: bool,
    ) -> Result<(View, Held)> {
        self.mount_rootfs(container)?;
        let mut held = Held {
            volumes: self.volumes().clone(),
            names: Vec::new(),
        };
        let mut view = View {
            root: container.layout.rootfs.clone(),
            writable: !container.record().host_config.readonly_rootfs,
            mounts: Vec::new(),
        };
        if !everything {
            return Ok((view, held));
        }
        let records = container.record().mounts.clone();
        for mount in records
            .iter()
            .filter(|mount| mount.kind == MountKind::Volume)
        {
            self.volumes().acquire(&mount.name).await?;
            held.names.push(mount.name.clone());
        }
        let shown = records
            .iter()
            .filter(|mount| mount.kind != MountKind::Tmpfs)
            .map(|mount| ViewMount {
                source: PathBuf::from(&mount.source),
                subpath: PathBuf::from(&mount.subpath),
                destination: PathBuf::from(&mount.destination),
                writable: mount.writable,
                recursive: !mount.non_recursive,
            });
        view.mounts.extend(shown);
        for own in self.own_files(container) {
            let taken = records
                .iter()
                .any(|mount| Path::new(&mount.destination) == own.destination);
            if !taken {
                view.mounts.push(own);
            }
        }
        view.mounts
            .sort_by_key(|mount| mount.destination.components().count());
        Ok((view, held))
    }

    /// The files of the engine that are bound into a container: those of the container whose network it shares.
    fn own_files(&self, container: &Container) -> Vec<ViewMount> {
        let shares = container.record().network_container().map(str::to_owned);
        let from = shares.and_then(|other| self.find(&other).ok());
        let directory = from
            .as_ref()
            .map_or(&container.layout.directory, |other| &other.layout.directory);
        let writable = !container.record().host_config.readonly_rootfs;
        let files = ["resolv.conf", "hostname", "hosts"].map(|name| ViewMount {
            source: directory.join(name),
            subpath: PathBuf::new(),
            destination: Path::new("/etc").join(name),
            writable,
            recursive: false,
        });
        // A file of the engine's own, which only the engine writes. It is not there before the first start.
        let exists = |file: &ViewMount| file.source.exists();
        files.into_iter().filter(exists).collect()
    }
}
