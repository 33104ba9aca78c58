//! Calls about processes in running containers.

use http::Method;

use super::query::Target;
use super::{Client, Hijacked};
use crate::{ExecConfig, ExecInspect, ExecStartConfig, IdResponse, Result};

impl Client {
    /// Prepares a process and returns its id.
    ///
    /// # Errors
    /// 404 when there is no such container, 409 when it does not run or is paused.
    pub async fn exec_create(&self, container: &str, config: &ExecConfig) -> Result<String> {
        let answer: IdResponse = self
            .post_json(&Target::of("containers", container, "/exec"), config)
            .await?;
        Ok(answer.id)
    }

    /// Starts it, attached.
    ///
    /// # Errors
    /// 404 when there is no such exec, 409 when it was started already or its container is paused.
    pub async fn exec_start(&self, id: &str, config: &ExecStartConfig) -> Result<Hijacked> {
        self.hijack(&Target::of("exec", id, "/start"), Some(config))
            .await
    }

    /// Starts it in the background.
    ///
    /// # Errors
    /// 404 when there is no such exec, 409 when it was started already or its container is paused.
    pub async fn exec_start_detached(&self, id: &str) -> Result<()> {
        let config = ExecStartConfig {
            detach: true,
            ..Default::default()
        };
        self.post(&Target::of("exec", id, "/start"), &config)
            .await
            .map(drop)
    }

    /// Sets its terminal's size in characters.
    ///
    /// # Errors
    /// 404 when there is no such exec or it does not run.
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let target = Target::of("exec", id, "/resize")
            .with("h", height.to_string())
            .with("w", width.to_string());
        self.unit(Method::POST, &target).await
    }

    /// Its state.
    ///
    /// # Errors
    /// 404 when there is no such exec.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspect> {
        self.get(&Target::of("exec", id, "/json")).await
    }
}
