//! Whole repositories: pulling and saving all tags of a name, and asking a registry about one.

use engine_api::{AuthConfig, DistributionInspect, Error, Result};
use oci_image::reference::is_hex_id;
use oci_image::registry::Description;
use oci_image::{Digest, Reference};

use super::transfer::{ProgressStream, credentials, error_message, status};
use super::{Images, no_such_image, parse_reference};
use crate::worker::{Started, messages};
use oci_image::task::{Outcome, Question, Task};

impl Images {
    /// Pulls as `POST /images/create` does: every tag of the repository when neither `tag` nor the reference names one.
    ///
    /// # Errors
    /// As [`Images::pull`].
    pub async fn pull_or_all(
        &self,
        reference: &str,
        tag: &str,
        platform: Option<&str>,
        auth: Option<AuthConfig>,
    ) -> Result<ProgressStream> {
        let parsed = parse_reference(reference)?;
        if !tag.is_empty() || parsed.tag().is_some() || parsed.digest().is_some() {
            return self.pull(reference, tag, platform, auth).await;
        }
        let question = self.question(&parsed, auth.clone());
        let tags = self.ask(Task::Tags(question)).await?.tags;
        let (sender, receiver) = messages();
        let (images, platform) = (self.clone(), platform.map(str::to_owned));
        engine_api::tasks::spawn(async move {
            let name = parsed.familiar_name();
            for tag in tags {
                let pulling = images.pull(&name, &tag, platform.as_deref(), auth.clone());
                let mut progress = match pulling.await {
                    Ok(progress) => progress,
                    Err(error) => {
                        // The client may have gone.
                        let _ = sender.send(error_message(&error)).await;
                        return;
                    }
                };
                while let Some(message) = progress.recv().await {
                    let failed = !message.error.is_empty();
                    // Each tag's last line is replaced by one for all of them.
                    if message.status.starts_with("Status: ") {
                        continue;
                    }
                    if sender.send(message).await.is_err() || failed {
                        return;
                    }
                }
            }
            let last = status(format!("Status: Downloaded newer image for {name}"));
            let _ = sender.send(last).await;
        });
        Ok(receiver)
    }

    /// `GET /distribution/{name}/json`.
    ///
    /// # Errors
    /// 400 for a bad name, 401, 403 or 404 as the registry says.
    pub async fn distribution(
        &self,
        name: &str,
        auth: Option<AuthConfig>,
    ) -> Result<DistributionInspect> {
        let reference = parse_reference(name)?.or_latest();
        let question = self.question(&reference, auth);
        let outcome = self.ask(Task::Describe(question)).await?;
        let Description {
            descriptor,
            platforms,
        } = outcome
            .description
            .ok_or_else(|| Error::server("worker answered nothing"))?;
        Ok(DistributionInspect {
            descriptor: serde_json::to_value(descriptor)?,
            platforms: platforms
                .into_iter()
                .map(serde_json::to_value)
                .collect::<std::result::Result<_, _>>()?,
        })
    }

    /// What `docker save NAME` means: one image, or all tags of a repository that is named without one.
    pub(super) fn to_save(&self, name: &str) -> Result<Vec<(Digest, Vec<Reference>)>> {
        if let Ok(wanted) = parse_reference(name)
            && wanted.tag().is_none()
            && wanted.digest().is_none()
        {
            let tags = self.tags_of(&wanted);
            if !tags.is_empty() {
                return Ok(tags);
            }
        }
        let id = self.find(name).map_err(|_| not_there(name))?;
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        if id.hex().starts_with(hex) {
            return Ok(vec![(id, Vec::new())]);
        }
        let wanted = parse_reference(name).map_err(|_| no_such_image(name))?;
        if wanted.digest().is_some() {
            return Ok(vec![(id, Vec::new())]);
        }
        Ok(vec![(id, vec![wanted.or_latest()])])
    }

    /// All images with a tag in this repository.
    fn tags_of(&self, repository: &Reference) -> Vec<(Digest, Vec<Reference>)> {
        let state = self.0.state.borrow();
        let tagged = state.images.keys().map(|id| {
            let references = state.table.of(id).into_iter();
            let own = references.filter(|reference| {
                reference.name() == repository.name() && reference.tag().is_some()
            });
            (id.clone(), own.collect::<Vec<_>>())
        });
        tagged
            .filter(|(_, references)| !references.is_empty())
            .collect()
    }

    fn question(&self, reference: &Reference, auth: Option<AuthConfig>) -> Question {
        Question {
            reference: reference.to_string(),
            registry: self.0.registry.borrow().clone(),
            credentials: credentials(auth),
        }
    }

    pub(super) async fn ask(&self, task: Task) -> Result<Outcome> {
        let Started {
            mut worker, input, ..
        } = self.start(task).await?;
        drop(input);
        worker.outcome().await
    }
}

/// Docker's answers to `docker save` of what is not there: they differ by what the name has.
fn not_there(name: &str) -> Error {
    let unknown = || Error::not_found(format!("No such image: {name}"));
    if is_hex_id(name.strip_prefix("sha256:").unwrap_or(name)) {
        return unknown();
    }
    match parse_reference(name) {
        Err(error) => Error::server(error.message),
        Ok(wanted) if wanted.tag().is_some() || wanted.digest().is_some() => {
            Error::not_found("reference does not exist")
        }
        Ok(_) => unknown(),
    }
}
