//! Containers that are kept in memory because the disk takes nothing: a machine with a full, broken or read-only disk must
//! come up so far that its owner can get in. They are gone after a reboot.

use std::path::PathBuf;
use std::rc::Rc;

use engine_api::options::RemoveOptions;
use engine_api::{CreateRequest, Error, Result};
use objects::ids;
use sys::mount::MountFlags;

use crate::Engine;
use crate::container::{Container, Layout, Status};

/// Part of the RAM that they may fill together.
const OPTIONS: &str = "mode=0711,size=25%";

impl Engine {
    /// Makes a container whose record and files are in the run directory. One that has the name already is removed or, where
    /// the disk does not even allow that, loses its name.
    ///
    /// # Errors
    /// As `container_create`.
    pub async fn container_create_in_memory(
        &self,
        name: &str,
        request: CreateRequest,
    ) -> Result<String> {
        let name = name.to_owned();
        self.detached(move |engine| async move {
            if let Ok(container) = engine.find(&name) {
                engine.displace(&container).await?;
            }
            let id = ids::new_id()?;
            let directory = engine.memory()?.join(&id);
            std::fs::create_dir_all(&directory).map_err(Error::at("mkdir", &directory))?;
            let made = engine.create_as(&id, Some(&name), request).await;
            if made.is_err() {
                // Nothing of it is known to anybody.
                let _ = std::fs::remove_dir_all(&directory);
            } else {
                engine.0.damage.say(format!(
                    "container {name} is kept in memory and gone after a reboot: {}",
                    engine.check_state().err().unwrap_or_default()
                ));
            }
            Ok(made?.id)
        })
        .await
    }

    /// The directory of containers that are kept in memory: a separate file system, so that they cannot fill the one that
    /// every start needs.
    fn memory(&self) -> Result<PathBuf> {
        let path = Layout::in_memory(&self.0.run);
        std::fs::create_dir_all(&path).map_err(Error::at("mkdir", &path))?;
        if !sys::mount::is_mount_point(&path).unwrap_or(false) {
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            sys::mount::mount("tmpfs", &path, "tmpfs", flags, OPTIONS)
                .map_err(|error| Error::server(error.to_string()))?;
        }
        Ok(path)
    }

    async fn displace(&self, container: &Rc<Container>) -> Result<()> {
        let _turn = container.operation.lock().await;
        let options = RemoveOptions {
            force: true,
            ..RemoveOptions::default()
        };
        if self.remove_locked(container, options).await.is_ok() {
            return Ok(());
        }
        let old = container.name();
        self.release_name(&old);
        let name = self.reserve_name(None, &container.id)?;
        crate::report(&format!(
            "container {old} cannot be removed: it is {name} now"
        ));
        container.keep_in_mind(|record| {
            record.name = name;
            record.state.status = Status::Dead;
        });
        Ok(())
    }
}
