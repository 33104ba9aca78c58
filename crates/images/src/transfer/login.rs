//! Logins: whether a registry takes the credentials.

use engine_api::{AuthConfig, Result};
use http::StatusCode;

use super::credentials;
use crate::Images;
use crate::worker::Started;
use oci_image::task::Task;

impl Images {
    /// Checks credentials with a registry.
    ///
    /// # Errors
    /// 401 when they are refused, 500 when the registry cannot be reached.
    pub async fn login(&self, auth: AuthConfig) -> Result<()> {
        let task = Task::Login {
            domain: auth.serveraddress.clone(),
            registry: self.0.registry.borrow().clone(),
            credentials: credentials(Some(auth)),
        };
        let Started {
            mut worker, input, ..
        } = self.start(task).await?;
        drop(input);
        worker.outcome().await.map(drop).map_err(|mut error| {
            if error.status == StatusCode::NOT_FOUND {
                error.status = StatusCode::UNAUTHORIZED;
            }
            error
        })
    }
}
