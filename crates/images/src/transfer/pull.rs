//! Pulls: a worker fetches the image, the engine registers it under the names it was asked for.

use engine_api::{AuthConfig, Error, ProgressMessage, Result};
use oci_image::Reference;
use oci_image::manifest::Platform;
use tokio::sync::mpsc;

use super::{ProgressStream, credentials, error_message, status};
use crate::worker::{Said, Started, Worker, messages};
use crate::{Images, api_error, parse_reference};
use oci_image::task::{MadeImage, Task};

impl Images {
    /// Pulls an image. `tag` may be a tag or a digest; with neither there nor in `reference` it is `latest`.
    ///
    /// # Errors
    /// What fails before the first progress: a bad reference (400), no such image or no access (404), no registry (500).
    /// Later failures are in the stream.
    pub async fn pull(
        &self,
        reference: &str,
        tag: &str,
        platform: Option<&str>,
        auth: Option<AuthConfig>,
    ) -> Result<ProgressStream> {
        let parsed = parse_reference(reference)?;
        let wanted = match tag {
            "" => parsed.or_latest(),
            tag if tag.contains(':') => {
                parsed.with_digest(tag.parse().map_err(|error| api_error(&error))?)
            }
            tag => parsed.with_tag(tag).map_err(|error| api_error(&error))?,
        };
        let platform = platform.map(ToOwned::to_owned);
        if let Some(platform) = &platform {
            Platform::parse(platform).map_err(|error| api_error(&error))?;
        }
        let registry = self.0.registry.borrow().clone();
        let mut credentials = credentials(auth);
        if credentials.is_empty()
            && let Some(account) = registry.account_of(wanted.domain())
        {
            credentials = account.clone();
        }
        let task = Task::Pull {
            reference: wanted.to_string(),
            platform: platform.clone(),
            known: self.0.state.borrow().table.digests_of(&wanted),
            registry,
            credentials,
        };
        let Started {
            mut worker, input, ..
        } = self.start(task).await?;
        drop(input);
        let first = worker.next().await?;
        let (sender, receiver) = messages();
        let images = self.clone();
        engine_api::tasks::spawn(async move {
            let mut finished = images.finish_pull(worker, first, &wanted, &sender).await;
            if let (Ok(()), Some(platform)) = (&finished, platform) {
                // An image without a list of platforms is whatever it is: it stays, and the client hears of it.
                finished = images.check_platform(&wanted.familiar(), &platform);
            }
            if let Err(error) = finished {
                // the client may have gone
                let _ = sender.send(error_message(&error)).await;
            }
        });
        Ok(receiver)
    }

    async fn finish_pull(
        &self,
        mut worker: Worker,
        first: Said,
        wanted: &Reference,
        sender: &mpsc::Sender<ProgressMessage>,
    ) -> Result<()> {
        let outcome = match first {
            Said::Done(outcome) => outcome,
            Said::Stat(_) => return Err(Error::server("worker pulled nothing")),
            Said::Progress(message) => {
                // a client that has gone is noticed below
                let _ = sender.send(message).await;
                worker.follow(sender).await?
            }
        };
        let image = outcome.images.into_iter().next();
        let image = image.ok_or_else(|| Error::server("worker pulled nothing"))?;
        let is_new = self.adopt(&image, wanted)?;
        self.event("pull", &wanted.familiar(), &wanted.familiar_name());
        let what = if is_new {
            "Downloaded newer image for"
        } else {
            "Image is up to date for"
        };
        let _ = sender
            .send(status(format!("Status: {what} {}", wanted.familiar())))
            .await;
        Ok(())
    }

    /// Registers a pulled image; whether the reference named another one before.
    fn adopt(&self, image: &MadeImage, wanted: &Reference) -> Result<bool> {
        let before = self.0.state.borrow().table.get(wanted).cloned();
        self.register_new(&image.id)?;
        let mut state = self.0.state.borrow_mut();
        if wanted.tag().is_some() {
            state.table.set(wanted.clone(), &image.id)?;
        }
        if let Some(digest) = &image.digest {
            state
                .table
                .set(wanted.with_digest(digest.clone()), &image.id)?;
        }
        Ok(before.as_ref() != Some(&image.id))
    }

    /// Pulls an image and waits for it.
    ///
    /// # Errors
    /// As [`Images::pull`], and what fails later (500).
    pub async fn pull_to_end(&self, reference: &str, auth: Option<AuthConfig>) -> Result<()> {
        let mut progress = self.pull(reference, "", None, auth).await?;
        while let Some(message) = progress.recv().await {
            if !message.error.is_empty() {
                return Err(Error::server(message.error));
            }
        }
        Ok(())
    }
}
