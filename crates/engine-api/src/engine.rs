//! The `Engine` trait: what `init` and `compose` ask of an engine, in the same process or over a socket.

use crate::{
    AuthConfig, ContainerInspect, ContainerSummary, ContainerUpdate, CreateRequest, Filters,
    ImageInspect, Result,
};

/// An engine that runs services. Futures are not `Send`: PID 1 has one thread.
///
/// # Errors
/// Of each method those of the Engine API.
#[allow(async_fn_in_trait)]
pub trait Engine {
    /// The image of that reference or id; none when it is not here.
    async fn image(&self, reference: &str) -> Result<Option<ImageInspect>>;

    /// Whether an image of that reference or id is here.
    async fn image_exists(&self, reference: &str) -> Result<bool> {
        Ok(self.image(reference).await?.is_some())
    }

    /// Pulls an image and returns when it is here. Without an account the engine takes its own, if it has one for the registry.
    async fn image_pull(&self, reference: &str, account: Option<&AuthConfig>) -> Result<()>;

    /// Containers, those that do not run too when `all`.
    async fn container_list(&self, all: bool, filters: &Filters) -> Result<Vec<ContainerSummary>>;

    /// One container, by id, unique prefix of it, or name.
    async fn container_inspect(&self, id: &str) -> Result<ContainerInspect>;

    /// Makes a container and returns its id.
    async fn container_create(&self, name: &str, request: CreateRequest) -> Result<String>;

    /// Makes a container that is kept in memory, in the place of one that has its name, where the disk takes nothing. None
    /// where the disk is well, and for an engine that cannot do so.
    async fn container_create_in_memory(
        &self,
        _name: &str,
        _request: CreateRequest,
    ) -> Result<Option<String>> {
        Ok(None)
    }

    /// Starts it. It is not an error when the container runs already.
    async fn container_start(&self, id: &str) -> Result<()>;

    /// Stops it: signal, `timeout` seconds (none: the container's own), then SIGKILL. It is not an error when the container has stopped.
    async fn container_stop(&self, id: &str, timeout: Option<i64>) -> Result<()>;

    /// Waits until it does not run and returns its exit code.
    async fn container_wait(&self, id: &str) -> Result<i64>;

    /// Gives it another name.
    async fn container_rename(&self, id: &str, name: &str) -> Result<()>;

    /// Changes its restart policy and limits.
    async fn container_update(&self, id: &str, update: ContainerUpdate) -> Result<()>;

    /// Removes it, running or not when `force`.
    async fn container_remove(&self, id: &str, force: bool) -> Result<()>;
}
