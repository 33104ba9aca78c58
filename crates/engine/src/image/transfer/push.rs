//! Pushes: one tag or all of a repository, one worker each.

use engine_api::{AuthConfig, Error, ProgressMessage, Result};
use oci_image::{Digest, Reference};
use tokio::sync::mpsc;

use super::{ProgressStream, credentials, error_message, status};
use crate::image::worker::client::{Started, messages};
use crate::image::worker::request::Task;
use crate::image::{Images, api_error, parse_reference};

impl Images {
    /// Pushes a tag, or all tags of a repository when `tag` is empty and the reference has none.
    ///
    /// # Errors
    /// 404 when nothing has that name. Later failures are in the stream.
    pub async fn push(
        &self,
        reference: &str,
        tag: &str,
        auth: Option<AuthConfig>,
    ) -> Result<ProgressStream> {
        let mut wanted = parse_reference(reference)?;
        if !tag.is_empty() {
            wanted = wanted.with_tag(tag).map_err(|error| api_error(&error))?;
        }
        let tags = self.tags_to_push(&wanted)?;
        let registry = self.0.registry.borrow().clone();
        let credentials = credentials(auth);
        let (sender, receiver) = messages();
        let images = self.clone();
        tokio::task::spawn_local(async move {
            let title = format!("The push refers to repository [{}]", wanted.name());
            // the client may have gone, which the worker notices
            let _ = sender.send(status(title)).await;
            for (reference, id) in tags {
                let task = Task::Push {
                    references: vec![reference.to_string()],
                    config: id.clone(),
                    registry: registry.clone(),
                    credentials: credentials.clone(),
                };
                if let Err(error) = images.push_one(&reference, &id, task, &sender).await {
                    let _ = sender.send(error_message(&error)).await;
                    return;
                }
            }
        });
        Ok(receiver)
    }

    fn tags_to_push(&self, wanted: &Reference) -> Result<Vec<(Reference, Digest)>> {
        let state = self.0.state.borrow();
        let tags: Vec<(Reference, Digest)> = state
            .images
            .keys()
            .flat_map(|id| {
                state
                    .table
                    .of(id)
                    .into_iter()
                    .map(move |reference| (reference, id.clone()))
            })
            .filter(|(reference, _)| {
                reference.name() == wanted.name() && reference.digest().is_none()
            })
            .filter(|(reference, _)| wanted.tag().is_none() || wanted.tag() == reference.tag())
            .collect();
        if tags.is_empty() {
            let name = wanted.name();
            return Err(Error::not_found(match wanted.tag() {
                Some(_) => format!("An image does not exist locally with the tag: {name}"),
                None => format!("An image does not exist locally with the tag: {name}"),
            }));
        }
        Ok(tags)
    }

    async fn push_one(
        &self,
        reference: &Reference,
        id: &Digest,
        task: Task,
        sender: &mpsc::Sender<ProgressMessage>,
    ) -> Result<()> {
        self.prepare_layers(id)?;
        let Started {
            mut worker, input, ..
        } = self.start(task).await?;
        drop(input);
        let outcome = worker.follow(sender).await?;
        if let Some(digest) = outcome
            .images
            .into_iter()
            .next()
            .and_then(|image| image.digest)
        {
            self.0
                .state
                .borrow_mut()
                .table
                .set(reference.with_digest(digest.clone()), id)?;
            let mut aux = status(String::new());
            aux.progress_detail = Some(engine_api::ProgressDetail::default());
            aux.aux = Some(serde_json::json!({
                "Tag": reference.tag().unwrap_or_default(),
                "Digest": digest.to_string(),
                "Size": 0,
            }));
            let _ = sender.send(aux).await;
        }
        self.event("push", &reference.familiar(), &reference.familiar_name());
        Ok(())
    }
}
