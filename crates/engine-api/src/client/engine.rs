//! The [`Engine`](crate::Engine) trait over the socket.

use super::images::RegistryAuth;
use crate::{
    AuthConfig, Client, ContainerInspect, ContainerSummary, ContainerUpdate, CreateRequest, Engine,
    Error, Filters, ImageInspect, Result,
};

/// Turns "it is so already" into success.
fn already(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.status == http::StatusCode::NOT_MODIFIED => Ok(()),
        other => other,
    }
}

impl Engine for Client {
    async fn image(&self, reference: &str) -> Result<Option<ImageInspect>> {
        match self.image_inspect(reference).await {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn image_pull(&self, reference: &str, account: Option<&AuthConfig>) -> Result<()> {
        let auth = account.map(RegistryAuth::new).transpose()?;
        let mut progress = self.image_create(reference, None, auth.as_ref()).await?;
        while let Some(line) = progress.next().await? {
            if let Some(detail) = line.error_detail {
                return Err(Error::server(detail.message));
            }
        }
        Ok(())
    }

    async fn container_list(&self, all: bool, filters: &Filters) -> Result<Vec<ContainerSummary>> {
        Client::container_list(self, all, false, filters).await
    }

    async fn container_inspect(&self, id: &str) -> Result<ContainerInspect> {
        Client::container_inspect(self, id, false).await
    }

    async fn container_create(&self, name: &str, request: CreateRequest) -> Result<String> {
        Ok(Client::container_create(self, Some(name), None, &request)
            .await?
            .id)
    }

    async fn container_start(&self, id: &str) -> Result<()> {
        already(Client::container_start(self, id).await)
    }

    async fn container_stop(&self, id: &str, timeout: Option<i64>) -> Result<()> {
        already(Client::container_stop(self, id, None, timeout).await)
    }

    async fn container_wait(&self, id: &str) -> Result<i64> {
        let mut answer = Client::container_wait(self, id, None).await?;
        let answer = answer
            .next()
            .await?
            .ok_or_else(|| Error::server("engine stopped waiting"))?;
        match answer.error {
            Some(error) => Err(Error::server(error.message)),
            None => Ok(answer.status_code),
        }
    }

    async fn container_rename(&self, id: &str, name: &str) -> Result<()> {
        Client::container_rename(self, id, name).await
    }

    async fn container_update(&self, id: &str, update: ContainerUpdate) -> Result<()> {
        Client::container_update(self, id, &update).await.map(drop)
    }

    async fn container_remove(&self, id: &str, force: bool) -> Result<()> {
        Client::container_remove(self, id, false, force).await
    }
}
