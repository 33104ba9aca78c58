//! The [`engine_api::Engine`] trait without a socket: how `init` hands services to the engine in its own process.

use engine_api::options::{ListOptions, RemoveOptions, WaitCondition};
use engine_api::{
    AuthConfig, ContainerInspect, ContainerSummary, ContainerUpdate, CreateRequest, Error, Filters,
    ImageInspect, Result,
};
use http::StatusCode;

use crate::Engine;

/// Turns "it is so already" into success.
fn already(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.status == StatusCode::NOT_MODIFIED => Ok(()),
        other => other,
    }
}

impl engine_api::Engine for Engine {
    async fn image(&self, reference: &str) -> Result<Option<ImageInspect>> {
        match self.images().inspect(reference) {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn image_pull(&self, reference: &str, account: Option<&AuthConfig>) -> Result<()> {
        self.images().pull_to_end(reference, account.cloned()).await
    }

    async fn container_list(&self, all: bool, filters: &Filters) -> Result<Vec<ContainerSummary>> {
        self.containers_list(ListOptions {
            all,
            filters: filters.clone(),
            ..ListOptions::default()
        })
        .await
    }

    async fn container_inspect(&self, id: &str) -> Result<ContainerInspect> {
        Self::container_inspect(self, id, false).await
    }

    async fn container_create(&self, name: &str, request: CreateRequest) -> Result<String> {
        Ok(Self::container_create(self, Some(name), request).await?.id)
    }

    async fn container_create_in_memory(
        &self,
        name: &str,
        request: CreateRequest,
    ) -> Result<Option<String>> {
        if self.check_state().is_ok() {
            return Ok(None);
        }
        let made = Self::container_create_in_memory(self, name, request).await;
        made.map(Some)
    }

    async fn container_start(&self, id: &str) -> Result<()> {
        already(Self::container_start(self, id).await)
    }

    async fn container_stop(&self, id: &str, timeout: Option<i64>) -> Result<()> {
        already(Self::container_stop(self, id, None, timeout).await)
    }

    async fn container_wait(&self, id: &str) -> Result<i64> {
        let answer = Self::container_wait(self, id, WaitCondition::NotRunning)?.await?;
        match answer.error {
            Some(error) => Err(Error::server(error.message)),
            None => Ok(answer.status_code),
        }
    }

    async fn container_rename(&self, id: &str, name: &str) -> Result<()> {
        Self::container_rename(self, id, name).await
    }

    async fn container_update(&self, id: &str, update: ContainerUpdate) -> Result<()> {
        Self::container_update(self, id, update).await.map(drop)
    }

    async fn container_remove(&self, id: &str, force: bool) -> Result<()> {
        Self::container_remove(
            self,
            id,
            RemoveOptions {
                force,
                ..RemoveOptions::default()
            },
        )
        .await
    }
}
