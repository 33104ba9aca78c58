//! Pushes: one tag or all of a repository, one worker each.

use engine_api::{AuthConfig, Error, ProgressMessage, Result};
use oci_image::registry::Credentials;
use oci_image::{Digest, Reference};
use tokio::sync::mpsc;

use super::{ProgressStream, credentials, error_message, status};
use crate::worker::{Started, messages};
use crate::{Images, api_error, parse_reference};
use oci_image::task::Task;

impl Images {
    /// Pushes a tag, or all tags of a repository when `tag` is empty and the reference has none.
    ///
    /// # Errors
    /// 400 for an invalid reference. Later failures, "no such image" included, arrive in the progress stream, as Docker's do.
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
        let credentials = credentials(auth);
        let (sender, receiver) = messages();
        let images = self.clone();
        engine_api::tasks::spawn(async move {
            let title = format!("The push refers to repository [{}]", wanted.name());
            // the client may have gone, which the worker notices
            let _ = sender.send(status(title)).await;
            if let Err(error) = images.push_all(&wanted, &credentials, &sender).await {
                let _ = sender.send(error_message(&error)).await;
            }
        });
        Ok(receiver)
    }

    async fn push_all(
        &self,
        wanted: &Reference,
        credentials: &Credentials,
        sender: &mpsc::Sender<ProgressMessage>,
    ) -> Result<()> {
        for (reference, id) in self.tags_to_push(wanted)? {
            let task = Task::Push {
                references: vec![reference.to_string()],
                config: id.clone(),
                registry: self.0.registry.borrow().clone(),
                credentials: credentials.clone(),
            };
            self.push_one(&reference, &id, task, sender).await?;
        }
        Ok(())
    }

    /// The tags that `wanted` means, with their images.
    fn tags_to_push(&self, wanted: &Reference) -> Result<Vec<(Reference, Digest)>> {
        let state = self.0.state.borrow();
        let images = state.images.keys();
        let of_repository: Vec<(Reference, Digest)> = images
            .flat_map(|id| {
                let references = state.table.of(id).into_iter();
                references.map(move |reference| (reference, id.clone()))
            })
            .filter(|(reference, _)| {
                reference.name() == wanted.name() && reference.digest().is_none()
            })
            .collect();
        if of_repository.is_empty() {
            let name = wanted.familiar_name();
            return Err(Error::not_found(format!(
                "An image does not exist locally with the tag: {name}"
            )));
        }
        let is_wanted =
            |reference: &Reference| wanted.tag().is_none_or(|tag| reference.tag() == Some(tag));
        let tags: Vec<_> = of_repository
            .into_iter()
            .filter(|(reference, _)| is_wanted(reference))
            .collect();
        if tags.is_empty() {
            let name = wanted.familiar();
            return Err(Error::not_found(format!("tag does not exist: {name}")));
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
        let pushed = outcome.images.into_iter().next();
        if let Some((digest, size)) =
            pushed.and_then(|image| Some((image.digest?, image.manifest_size)))
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
                "Size": size,
            }));
            let _ = sender.send(aux).await;
        }
        self.event("push", &reference.familiar(), &reference.familiar_name());
        Ok(())
    }
}
