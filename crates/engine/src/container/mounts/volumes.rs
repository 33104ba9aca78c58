//! Volumes of a container: created with it, filled from the image once, checked at each start.

use std::rc::Rc;

use engine_api::{CreateRequest, DriverConfig, Error, Result, VolumeCreate};
use objects::ids;

use oci_image::task::{CopyUp, Task};

use crate::Engine;
use crate::container::Container;
use crate::container::mounts::{self, MountKind, MountRecord, parse_volumes_from};

impl Engine {
    /// The mounts of a new container, without their volumes: [`Self::create_volumes`] makes those.
    pub(in crate::container) fn new_mounts(
        &self,
        request: &CreateRequest,
    ) -> Result<Vec<MountRecord>> {
        let mut inherited = Vec::new();
        for text in &request.host_config.volumes_from {
            let (name, writable) = parse_volumes_from(text)?;
            let source = self
                .find(name)
                .map_err(|error| Error::bad_parameter(error.message))?;
            let record = source.record();
            for mount in record
                .mounts
                .iter()
                .filter(|mount| mount.kind != MountKind::Tmpfs)
            {
                let mut mount = mount.clone();
                mount.copy_up = false;
                mount.writable = mount.writable && writable.unwrap_or(true);
                inherited.push(mount);
            }
        }
        let mut all = mounts::collect(&request.config, &request.host_config, inherited)?;
        for mount in &mut all {
            mounts::guard_root(mount, &request.host_config, &self.0.root)?;
            if request.read_only_non_recursive && !mount.writable {
                mount.read_only_non_recursive = true;
            }
            if mount.kind == MountKind::Volume {
                // Only volumes that name no driver take the container's.
                let driver = &request.host_config.volume_driver;
                if mount.driver.is_none() && !driver.is_empty() {
                    mount.driver = Some(DriverConfig {
                        name: driver.clone(),
                        ..DriverConfig::default()
                    });
                }
            }
        }
        Ok(all)
    }

    /// Creates the volumes of a new container that are not there.
    pub(in crate::container) fn create_volumes(&self, container: &Container) -> Result<()> {
        container
            .record
            .borrow_mut()
            .mounts
            .iter_mut()
            .filter(|mount| mount.kind == MountKind::Volume)
            .try_for_each(|mount| self.create_volume(mount))
    }

    fn create_volume(&self, mount: &mut MountRecord) -> Result<()> {
        if mount.name.is_empty() {
            mount.name = ids::new_id()?;
        }
        let driver = mount.driver.clone().unwrap_or_default();
        let mut labels = mount.labels.clone();
        if mount.anonymous {
            labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
        }
        let wanted = VolumeCreate {
            name: mount.name.clone(),
            driver: driver.name,
            driver_opts: driver.options,
            labels,
            ..VolumeCreate::default()
        };
        let volume = self.0.volumes.create(&wanted)?;
        mount.source = volume.mountpoint;
        Ok(())
    }

    /// Copies the image's files into new, empty volumes.
    pub(in crate::container) async fn fill_volumes(&self, container: &Rc<Container>) -> Result<()> {
        let wanted: Vec<MountRecord> = container
            .record()
            .mounts
            .iter()
            .filter(|mount| mount.kind == MountKind::Volume && mount.copy_up)
            .cloned()
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        self.mount_rootfs(container)?;
        for mount in wanted {
            let volume = self.0.volumes.acquire(&mount.name).await?;
            let task = Task::CopyUp(CopyUp {
                root: container.layout.rootfs.clone(),
                source: mount.destination.clone().into(),
                volume,
                subpath: mount.subpath.clone().into(),
            });
            let filled = self.images().run(task).await;
            self.0.volumes.release(&mount.name);
            filled?;
        }
        Ok(())
    }

    /// Makes sure that every source exists before a start.
    pub(in crate::container) async fn acquire_sources(&self, container: &Container) -> Result<()> {
        let mounts = container.record().mounts.clone();
        for mount in &mounts {
            match mount.kind {
                MountKind::Tmpfs => {}
                MountKind::Volume => {
                    self.0.volumes.acquire(&mount.name).await?;
                    container.volumes.borrow_mut().push(mount.name.clone());
                }
                MountKind::Bind => {}
            }
        }
        self.settle_sources(&mounts).await?;
        let host = container.record().host_config.clone();
        self.wake_devices(&host).await
    }

    /// Tells the volumes that the container uses them no more.
    pub(in crate::container) fn release_sources(&self, container: &Container) {
        let names = std::mem::take(&mut *container.volumes.borrow_mut());
        for name in names {
            self.0.volumes.release(&name);
            self.volume_event(container, "unmount", &name, Vec::new());
        }
    }

    /// Tells that the container has its volumes.
    pub(in crate::container) fn announce_volumes(&self, container: &Container) {
        let mounts = container.record().mounts.clone();
        for mount in mounts
            .iter()
            .filter(|mount| mount.kind == MountKind::Volume)
        {
            let more = vec![
                ("destination", mount.destination.clone()),
                ("read/write", mount.writable.to_string()),
                ("propagation", mount.propagation.clone()),
            ];
            self.volume_event(container, "mount", &mount.name, more);
        }
    }

    fn volume_event(
        &self,
        container: &Container,
        action: &str,
        volume: &str,
        more: Vec<(&str, String)>,
    ) {
        let all = [
            ("driver", "local".to_owned()),
            ("container", container.id.clone()),
        ];
        let attributes = all.into_iter().chain(more);
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
        self.0
            .events
            .publish("volume", action, volume, attributes.collect());
    }
}
