//! `docker commit`: an image of what a container has become.

pub(super) mod change;
pub(super) mod expand;

use engine_api::{ContainerConfig, Error, Result};
use images::CommitOptions;
use sys::cgroup::Cgroup;

use crate::Engine;
use crate::container::create::merge;
use crate::container::{Status, apply_changes};
use crate::storage::own_places;

/// `POST /commit`.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// Repository, perhaps with a tag; empty: the image gets no name.
    pub repository: String,
    /// Tag.
    pub tag: String,
    /// Message.
    pub comment: String,
    /// Author.
    pub author: String,
    /// Freeze the container meanwhile.
    pub pause: bool,
    /// Dockerfile instructions applied to the configuration.
    pub changes: Vec<String>,
    /// Configuration that goes before the container's.
    pub config: Option<ContainerConfig>,
}

impl Engine {
    /// Makes an image of a container; its identifier.
    ///
    /// # Errors
    /// 400 for changes that are not instructions, 404, 409 when the container is being removed.
    pub async fn container_commit(
        &self,
        reference: &str,
        request: CommitRequest,
    ) -> Result<String> {
        let container = self.find(reference)?;
        let _turn = container.operation.lock().await;
        if matches!(container.status(), Status::Removing | Status::Dead) {
            return Err(Error::conflict(format!(
                "You cannot commit container {} which is being removed",
                container.id
            )));
        }
        let own = container.record().config.clone();
        let mut config = request.config.unwrap_or_else(|| own.clone());
        apply_changes(&mut config, &request.changes)?;
        merge::complete(&mut config, &own)?;
        let options = CommitOptions {
            container: container.id.clone(),
            parent: container.record().image_id.clone(),
            repository: request.repository,
            tag: request.tag,
            comment: request.comment,
            author: request.author,
            config,
            leave_out: own_places(&container.layout.upper(), &self.lowers(&container)?),
        };
        self.mount_rootfs(&container)?;
        let frozen = request.pause && container.status() == Status::Running;
        if frozen {
            // Without a freezer the image is what a copy of a running system is.
            let _ = crate::cgroup::freeze(&container.cgroup, true).await;
        }
        let made = self
            .0
            .images
            .commit(options, &container.layout.upper())
            .await;
        if frozen {
            let _ = Cgroup::at(&container.cgroup).thaw();
        }
        let id = made?;
        let mut attributes = container.event_attributes();
        attributes.insert("imageID".to_owned(), id.clone());
        self.0
            .events
            .publish("container", "commit", &container.id, attributes);
        Ok(id)
    }
}
