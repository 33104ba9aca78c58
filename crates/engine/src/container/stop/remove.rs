//! `docker rm`: process, root file system, directory, names, volumes.

use std::fs;
use std::rc::Rc;

use engine_api::options::RemoveOptions;

use engine_api::{Error, Result};

use crate::Engine;
use crate::container::{Container, MountKind, MountRecord, Status};

impl Engine {
    /// `DELETE /containers/{id}`.
    ///
    /// # Errors
    /// 404, 409 when it runs and force is not set, or is being removed already.
    pub async fn container_remove(&self, reference: &str, options: RemoveOptions) -> Result<()> {
        if options.link {
            return Err(Error::bad_parameter(
                "links are not supported; put the containers on a user-defined network",
            ));
        }
        let container = self.find(reference)?;
        self.detached(move |engine| async move {
            if container.status() == Status::Removing {
                return Err(Error::conflict(format!(
                    "removal of container {} is already in progress",
                    container.id
                )));
            }
            let _turn = container.operation.lock().await;
            if engine.find(&container.id).is_err() {
                // Somebody else has removed it while this call waited for its turn.
                return if options.force {
                    Ok(())
                } else {
                    Err(Error::not_found(format!(
                        "No such container: {}",
                        container.id
                    )))
                };
            }
            engine.remove_locked(&container, options).await
        })
        .await
    }

    /// Removes a container whose `operation` the caller holds.
    pub(in crate::container) async fn remove_locked(
        &self,
        container: &Rc<Container>,
        options: RemoveOptions,
    ) -> Result<()> {
        let status = container.status();
        if (status.is_alive() || status == Status::Restarting) && !options.force {
            let (how, hint) = match status {
                Status::Paused => ("paused", "unpause and then stop"),
                _ => ("running", "stop"),
            };
            return Err(Error::conflict(format!(
                "cannot remove container \"/{}\": container is {how}: {hint} the container before removing or force remove",
                container.name()
            )));
        }
        container.backoff.borrow_mut().cancel();
        container.wake.notify_waiters();
        container.keep.set(true);
        self.kill_and_wait(container).await.map_err(|error| {
            error.context(&format!("could not kill container {}", container.id))
        })?;
        // In memory: a full disk must not keep a container from being removed, and a removal that is cut short is finished
        // by its directory's name.
        container.keep_in_mind(|record| record.state.status = Status::Removing);
        if let Err(error) = self.clear_files(container).await {
            let message = error.message.clone();
            container.note(|record| {
                record.state.status = Status::Dead;
                record.state.error = message;
            });
            container.keep.set(false);
            return Err(error.context(&format!(
                "container {}: driver \"overlay2\" failed to remove root filesystem",
                container.id
            )));
        }
        self.release_name(&container.name());
        self.0.containers.borrow_mut().remove(&container.id);
        self.forget_execs(container, true);
        if options.volumes {
            let mounts = container.record().mounts.clone();
            self.remove_anonymous_volumes(&mounts).await;
        }
        self.publish(container, "destroy");
        container.exits.send_modify(|exits| exits.removed = true);
        Ok(())
    }

    pub(in crate::container) async fn clear_files(&self, container: &Container) -> Result<()> {
        self.unmount_rootfs(container)?;
        let shm = self.0.run.join("shm").join(&container.id);
        if shm.exists() {
            match sys::mount::unmount(&shm, sys::mount::UnmountFlags::DETACH) {
                Ok(()) => {}
                // Left over from an engine whose mounts are gone.
                Err(error) if error.errno() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {}
                Err(error) => return Err(Error::server(error.to_string())),
            }
            fs::remove_dir(&shm).map_err(Error::at("rmdir", &shm))?;
        }
        let layout = container.layout.clone();
        let removed = tokio::task::spawn_blocking(move || {
            let doomed = layout.doomed();
            // A full disk can lack the room for the new name, which nothing depends on.
            let renamed = fs::rename(&layout.directory, &doomed);
            let directory = if renamed.is_ok() {
                &doomed
            } else {
                &layout.directory
            };
            for path in [&layout.bundle, directory] {
                match fs::remove_dir_all(path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        // What cannot be removed is still the container's.
                        let _ = fs::rename(&doomed, &layout.directory);
                        return Err(format!(
                            "remove {}: {}",
                            path.display(),
                            engine_api::cause(&error)
                        ));
                    }
                    _ => {}
                }
            }
            Ok(())
        });
        removed
            .await
            .map_err(|error| Error::server(error.to_string()))?
            .map_err(Error::server)
    }

    pub(in crate::container) async fn remove_anonymous_volumes(&self, mounts: &[MountRecord]) {
        for mount in mounts
            .iter()
            .filter(|mount| mount.kind == MountKind::Volume && mount.anonymous)
        {
            match self.0.volumes.remove(&mount.name, false).await {
                // One that another container has joined by `--volumes-from` stays.
                Err(error)
                    if error.status != http::StatusCode::CONFLICT && !error.is_not_found() =>
                {
                    crate::report(&format!("remove volume {}: {error}", mount.name));
                }
                _ => {}
            }
        }
    }
}
