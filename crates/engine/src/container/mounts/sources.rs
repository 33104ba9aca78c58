//! Sources of bind mounts: looked at without the engine waiting for their file systems.

use std::path::Path;
use std::time::Duration;

use engine_api::{CreateRequest, Error, Result};
use runtime::{Found, LookAt};

use crate::Engine;
use crate::container::Container;
use crate::container::mounts::{MountKind, MountRecord};
use crate::spec::{Gathered, device_refusal};

/// How long a file system may take to say what is at a path: a server of NFS that wakes its disks takes seconds.
pub(crate) const ANSWER_MOST: Duration = Duration::from_secs(20);

impl Engine {
    /// Refuses a new container whose `Mounts` name a source that is missing and is not to be made.
    ///
    /// # Errors
    /// 400 with Docker's words; 500 when a file system does not answer.
    pub(in crate::container) async fn check_sources(&self, request: &CreateRequest) -> Result<()> {
        let mounts = request.host_config.mounts.iter().filter(|mount| {
            let options = mount.bind_options.as_ref();
            mount.typ == "bind" && !options.is_some_and(|options| options.create_mountpoint)
        });
        self.look_at(mounts.map(|mount| (mount.source.as_str(), false)))
            .await
    }

    /// Makes sure that the sources of a container's bind mounts are there before it starts, and makes those that may be
    /// made.
    ///
    /// # Errors
    /// 400 when one is missing, 500 when one cannot be made or its file system does not answer.
    pub(in crate::container) async fn settle_sources(&self, mounts: &[MountRecord]) -> Result<()> {
        let binds = mounts.iter().filter(|mount| mount.kind == MountKind::Bind);
        self.look_at(binds.map(|mount| (mount.source.as_str(), mount.create_source)))
            .await
    }

    /// Looks at block devices whose rates a container limits, before anything waits for them.
    ///
    /// # Errors
    /// 500 when a file system does not answer.
    pub(in crate::container) async fn wake_devices(
        &self,
        host: &engine_api::HostConfig,
    ) -> Result<()> {
        let rates = [
            &host.blkio_device_read_bps,
            &host.blkio_device_write_bps,
            &host.blkio_device_read_iops,
            &host.blkio_device_write_iops,
        ];
        let paths = rates.into_iter().flatten().map(|rate| &rate.path);
        let wanted: Vec<LookAt> = paths
            .chain(host.blkio_weight_device.iter().map(|device| &device.path))
            .filter(|path| !is_at_hand(path))
            .map(|path| LookAt {
                path: path.clone(),
                make: false,
            })
            .collect();
        // Whether they are right is said where they are used.
        self.ask(&wanted).await.map(drop)
    }

    /// Finds the device nodes that a container's `Devices` mean. Only nodes of /dev are found here: a directory can be as
    /// large as the machine.
    ///
    /// # Errors
    /// 400 with Docker's words for what is none; 500 when a file system does not answer.
    pub(in crate::container) async fn gather_devices(
        &self,
        container: &Container,
    ) -> Result<Gathered> {
        let (mut gathered, mut elsewhere) = (Gathered::new(), Vec::new());
        {
            let record = container.record();
            // A privileged container has them all.
            let devices = &record.host_config.devices;
            let devices = devices.iter().filter(|_| !record.host_config.privileged);
            for path in devices.map(|device| &device.path_on_host) {
                match runtime::node_in_dev(path) {
                    Some(node) => drop(gathered.insert(path.clone(), vec![node])),
                    None => elsewhere.push(path.clone()),
                }
            }
        }
        let found = self.0.runtime.nodes(&elsewhere, ANSWER_MOST).await;
        let found = found.map_err(|error| Error::server(error.message))?;
        for (path, nodes) in elsewhere.into_iter().zip(found) {
            let nodes = nodes.map_err(|cause| device_refusal(&path, &cause))?;
            gathered.insert(path, nodes);
        }
        Ok(gathered)
    }

    async fn look_at(&self, paths: impl Iterator<Item = (&str, bool)>) -> Result<()> {
        let wanted: Vec<LookAt> = paths
            .filter(|(path, _)| !is_at_hand(path))
            .map(|(path, make)| LookAt {
                path: path.to_owned(),
                make,
            })
            .collect();
        for (wanted, found) in wanted.iter().zip(self.ask(&wanted).await?) {
            let path = &wanted.path;
            match found {
                Found::There => {}
                Found::Failed(cause) if wanted.make => {
                    return Err(Error::server(format!(
                        "error while creating mount source path '{path}': {cause}"
                    )));
                }
                Found::Missing | Found::Failed(_) => {
                    return Err(Error::bad_parameter(format!(
                        "invalid mount config for type \"bind\": bind source path does not exist: {path}"
                    )));
                }
            }
        }
        Ok(())
    }

    async fn ask(&self, wanted: &[LookAt]) -> Result<Vec<Found>> {
        let found = self.0.runtime.look(wanted, ANSWER_MOST).await;
        found.map_err(|error| Error::server(error.message))
    }
}

/// Whether something is there that the kernel can tell of at once, which nearly every path is.
fn is_at_hand(path: &str) -> bool {
    sys::fs::exists_in_cache(Path::new(path))
}
