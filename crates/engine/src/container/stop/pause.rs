//! Freezing and thawing by the cgroup's freezer.

use engine_api::{Error, Result};
use sys::cgroup::Cgroup;

use crate::Engine;
use crate::container::{Container, Status};

impl Engine {
    /// `POST /containers/{id}/pause`.
    ///
    /// # Errors
    /// 404, 409 when it does not run or is paused already, 500 without a freezer.
    pub async fn container_pause(&self, reference: &str) -> Result<()> {
        let container = self.find(reference)?;
        let _turn = container.operation.lock().await;
        match container.status() {
            Status::Running => {}
            Status::Paused => {
                return Err(Error::conflict(format!(
                    "Container {} is already paused",
                    container.id
                )));
            }
            Status::Restarting => {
                return Err(Error::conflict(format!(
                    "Container {} is restarting, wait until the container is running",
                    container.id
                )));
            }
            _ => {
                return Err(Error::conflict(format!(
                    "container {} is not running",
                    container.id
                )));
            }
        }
        crate::cgroup::freeze(&container.cgroup, true)
            .await
            .map_err(|error| {
                Error::server(format!("Cannot pause container {}: {error}", container.id))
            })?;
        container.note(|record| record.state.status = Status::Paused);
        self.publish(&container, "pause");
        Ok(())
    }

    /// `POST /containers/{id}/unpause`.
    ///
    /// # Errors
    /// 404, 409 when it is not paused.
    pub async fn container_unpause(&self, reference: &str) -> Result<()> {
        let container = self.find(reference)?;
        let _turn = container.operation.lock().await;
        if container.status() != Status::Paused {
            return Err(Error::conflict(format!(
                "Container {} is not paused",
                container.id
            )));
        }
        self.thaw(&container)
    }

    /// Thaws a paused container.
    pub(in crate::container) fn thaw(&self, container: &Container) -> Result<()> {
        Cgroup::at(&container.cgroup).thaw().map_err(|error| {
            Error::server(format!(
                "Cannot unpause container {}: {error}",
                container.id
            ))
        })?;
        container.note(|record| record.state.status = Status::Running);
        self.publish(container, "unpause");
        Ok(())
    }
}
