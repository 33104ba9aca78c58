//! Images that come and go: pull, push, load, save, import, commit. Workers do it, the engine registers the result.

mod archive;
mod login;
mod made;
mod pull;
mod push;

use engine_api::Timestamp;
use engine_api::{AuthConfig, Error, ErrorDetail, ProgressMessage, Result};
use oci_image::Digest;
use oci_image::registry::Credentials;
use tokio::sync::mpsc;

use super::{Images, Saved, api_error, no_such_image};
use crate::worker::Started;
pub use made::{CommitOptions, ImportOptions};
use oci_image::task::{Outcome, Request, Task};

/// Progress of a transfer; the last message carries the error if it failed.
pub type ProgressStream = mpsc::Receiver<ProgressMessage>;

pub(super) fn credentials(auth: Option<AuthConfig>) -> Credentials {
    let auth = auth.unwrap_or_default();
    Credentials {
        username: auth.username,
        password: auth.password,
        identity_token: auth.identitytoken,
        registry_token: auth.registrytoken,
    }
}

pub(super) fn error_message(error: &Error) -> ProgressMessage {
    ProgressMessage {
        error_detail: Some(ErrorDetail {
            code: 0,
            message: error.message.clone(),
        }),
        error: error.message.clone(),
        ..ProgressMessage::default()
    }
}

pub(super) fn status(text: String) -> ProgressMessage {
    ProgressMessage {
        status: text,
        ..ProgressMessage::default()
    }
}

impl Images {
    /// Does a task that neither reads nor writes an archive.
    ///
    /// # Errors
    /// What the worker failed with; 503 when too many are at work.
    pub async fn run(&self, task: Task) -> Result<Outcome> {
        let mut started = self.start(task).await?;
        started.close_input();
        started.worker.outcome().await
    }

    /// Starts a task.
    ///
    /// # Errors
    /// 503 when too many are at work, 500 when the process cannot be started.
    pub async fn start(&self, task: Task) -> Result<Started> {
        let external = self.0.state.borrow().media.directories();
        let request = Request {
            task,
            root: self.0.store.root().to_owned(),
            external,
        };
        self.0.launcher.start(&request).await
    }

    /// Registers an image unless it is known.
    fn register_new(&self, id: &Digest) -> Result<()> {
        let known = self
            .0
            .state
            .borrow()
            .images
            .get(id)
            .is_some_and(|known| known.damage.is_none());
        if known {
            Ok(())
        } else {
            self.register(id, Saved::default())
        }
    }

    /// Makes an image's content readable for a worker: configuration in the store, layers mounted. When the image was made,
    /// in seconds since 1970.
    fn prepare_layers(&self, id: &Digest) -> Result<i64> {
        let (bytes, layers, created) = {
            let state = self.0.state.borrow();
            let known = state
                .images
                .get(id)
                .ok_or_else(|| no_such_image(&id.to_string()))?;
            let created = known.image.created.as_deref();
            let created = created.and_then(Timestamp::parse_rfc3339);
            let created = created.map_or(0, Timestamp::unix);
            (known.bytes.clone(), known.layers().to_vec(), created)
        };
        self.0
            .store
            .put_blob(&bytes)
            .map_err(|error| api_error(&error))?;
        let layers: Vec<_> = layers
            .into_iter()
            .map(|diff_id| super::LayerSource { diff_id })
            .collect();
        self.layer_directories(&layers)?;
        Ok(created)
    }
}
