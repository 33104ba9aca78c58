//! Images that come and go: pull, push, load, save, import, commit. Workers do it, the engine registers the result.

use std::path::Path;

use bytes::Bytes;
use engine_api::{AuthConfig, ContainerConfig, Error, ErrorDetail, ProgressMessage, Result};
use http::StatusCode;
use oci_image::config::{History, ImageConfig, RootFs, RunConfig};
use oci_image::manifest::Platform;
use oci_image::registry::Credentials;
use oci_image::{Digest, Reference};
use tokio::sync::mpsc;

use super::worker::client::{Said, Started, Worker, drain, feed, messages};
use super::worker::request::{MadeImage, Outcome, Request, SavedImage, Task};
use super::{Images, Saved, api_error, no_such_image, parse_reference};
use crate::options::{ByteStream, STREAM_DEPTH};
use crate::timestamp::Timestamp;

/// Progress of a transfer; the last message carries the error if it failed.
pub type ProgressStream = mpsc::Receiver<ProgressMessage>;

/// `POST /commit`.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Container's id.
    pub container: String,
    /// The image it was made from: parent of the new one.
    pub parent: String,
    /// Repository, perhaps with a tag; empty: no name.
    pub repository: String,
    /// Tag.
    pub tag: String,
    /// Message.
    pub comment: String,
    /// Author.
    pub author: String,
    /// Defaults of the new image: the container's, changes applied.
    pub config: ContainerConfig,
}

/// `POST /images/create?fromSrc=..`.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Repository, perhaps with a tag; empty: no name.
    pub repository: String,
    /// Tag.
    pub tag: String,
    /// Message.
    pub message: String,
    /// Where it came from, for the first line of progress and the history.
    pub source: String,
    /// `os/architecture[/variant]`.
    pub platform: Option<String>,
    /// Defaults of the new image, from `changes`.
    pub config: ContainerConfig,
}

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

fn stream(text: String) -> ProgressMessage {
    ProgressMessage {
        stream: text,
        ..ProgressMessage::default()
    }
}

fn named(repository: &str, tag: &str) -> Result<Option<Reference>> {
    if repository.is_empty() {
        return Ok(None);
    }
    let reference = parse_reference(repository)?;
    if reference.digest().is_some() {
        return Err(Error::bad_parameter("cannot import digest reference"));
    }
    let reference = if tag.is_empty() {
        reference.or_latest()
    } else {
        reference.with_tag(tag).map_err(|error| api_error(&error))?
    };
    Ok(Some(reference))
}

impl Images {
    pub(super) async fn start(&self, task: Task) -> Result<Started> {
        let external = self.0.state.borrow().media.directories();
        let request = Request {
            task,
            root: self.0.store.root().to_owned(),
            external,
        };
        self.0.launcher.start(&request).await
    }

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
        if let Some(platform) = platform {
            Platform::parse(platform).map_err(|error| api_error(&error))?;
        }
        let task = Task::Pull {
            reference: wanted.to_string(),
            platform: platform.map(ToOwned::to_owned),
            registry: self.0.registry.borrow().clone(),
            credentials: credentials(auth),
        };
        let Started {
            mut worker, input, ..
        } = self.start(task).await?;
        drop(input);
        let first = worker.next().await?;
        let (sender, receiver) = messages();
        let images = self.clone();
        tokio::task::spawn_local(async move {
            let finished = images.finish_pull(worker, first, &wanted, &sender).await;
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

    /// Makes an image's content readable for a worker: configuration in the store, layers mounted.
    fn prepare_layers(&self, id: &Digest) -> Result<()> {
        let (bytes, layers) = {
            let state = self.0.state.borrow();
            let known = state
                .images
                .get(id)
                .ok_or_else(|| no_such_image(&id.to_string()))?;
            (known.bytes.clone(), known.layers().to_vec())
        };
        self.0
            .store
            .put_blob(&bytes)
            .map_err(|error| api_error(&error))?;
        let layers: Vec<_> = layers
            .into_iter()
            .map(|diff_id| super::LayerSource { diff_id })
            .collect();
        self.layer_directories(&layers).map(drop)
    }

    /// Loads an archive. `quiet` leaves out the progress of layers.
    ///
    /// # Errors
    /// When no worker can be started. Later failures are in the stream.
    pub async fn load(&self, body: ByteStream, quiet: bool) -> Result<ProgressStream> {
        let Started {
            mut worker, input, ..
        } = self.start(Task::Load).await?;
        let feeder = tokio::task::spawn_local(feed(input, body));
        let (sender, receiver) = messages();
        let images = self.clone();
        tokio::task::spawn_local(async move {
            let outcome = if quiet {
                worker.outcome().await
            } else {
                worker.follow(&sender).await
            };
            feeder.abort();
            let loaded = match outcome {
                Ok(outcome) => images.adopt_loaded(outcome),
                Err(error) => Err(error),
            };
            match loaded {
                Ok(lines) => {
                    for line in lines {
                        let _ = sender.send(stream(line)).await;
                    }
                }
                Err(error) => {
                    // the client may have gone
                    let _ = sender.send(error_message(&error)).await;
                }
            }
        });
        Ok(receiver)
    }

    fn adopt_loaded(&self, outcome: Outcome) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for image in outcome.images {
            self.register_new(&image.id)?;
            for text in &image.references {
                let reference = parse_reference(text)?.or_latest();
                let before = self.0.state.borrow().table.get(&reference).cloned();
                if let Some(before) = before.filter(|before| *before != image.id) {
                    lines.push(format!(
                        "The image {} already exists, renaming the old one with ID {before} to empty string\n",
                        reference.familiar()
                    ));
                }
                self.set_tag(reference.clone(), &image.id)?;
                lines.push(format!("Loaded image: {}\n", reference.familiar()));
            }
            if image.references.is_empty() {
                lines.push(format!("Loaded image ID: {}\n", image.id));
            }
            self.event("load", &image.id.to_string(), &image.id.to_string());
        }
        Ok(lines)
    }

    /// Writes images to an archive. A name without tag saves all tags of the repository.
    ///
    /// # Errors
    /// 404 for no such image, 500 when a layer is missing.
    pub async fn save(&self, names: &[String]) -> Result<ByteStream> {
        let mut images: Vec<(Digest, Vec<Reference>)> = Vec::new();
        for name in names {
            for (id, references) in self.to_save(name)? {
                match images.iter_mut().find(|(known, _)| *known == id) {
                    Some((_, known)) => known.extend(references),
                    None => images.push((id, references)),
                }
            }
        }
        for (id, _) in &images {
            self.prepare_layers(id)?;
        }
        let task = Task::Save {
            images: images
                .iter()
                .map(|(id, references)| SavedImage {
                    config: id.to_string(),
                    references: references.iter().map(ToString::to_string).collect(),
                })
                .collect(),
        };
        let Started {
            mut worker,
            input,
            output,
        } = self.start(task).await?;
        drop(input);
        let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(STREAM_DEPTH);
        let this = self.clone();
        tokio::task::spawn_local(async move {
            if !drain(output, &sender).await {
                return;
            }
            match worker.outcome().await {
                Ok(_) => {
                    for (id, _) in &images {
                        this.event("save", &id.to_string(), &id.to_string());
                    }
                }
                Err(error) => {
                    // the client may have gone
                    let _ = sender.send(Err(std::io::Error::other(error.message))).await;
                }
            }
        });
        Ok(receiver)
    }

    /// Makes an image of a root file system archive.
    ///
    /// # Errors
    /// 400 for a bad name or platform, 500 for a damaged archive.
    pub async fn import(&self, options: ImportOptions, body: ByteStream) -> Result<ProgressStream> {
        let name = named(&options.repository, &options.tag)?;
        let platform = options.platform.as_deref().map(Platform::parse).transpose();
        let platform = platform
            .map_err(|error| api_error(&error))?
            .unwrap_or_else(Platform::host);
        if platform.os != Platform::host().os {
            return Err(Error::bad_parameter("operating system is not supported"));
        }
        let Started {
            mut worker, input, ..
        } = self.start(Task::Import).await?;
        let feeder = tokio::task::spawn_local(feed(input, body));
        // As in Docker nothing is said before it is done: clients look at the status and go on.
        let outcome = worker.outcome().await;
        feeder.abort();
        let id = self.adopt_import(&options, &platform, name, outcome?)?;
        let (sender, receiver) = messages();
        // The channel has room for one.
        let _ = sender.try_send(status(id.to_string()));
        Ok(receiver)
    }

    fn adopt_import(
        &self,
        options: &ImportOptions,
        platform: &Platform,
        name: Option<Reference>,
        outcome: Outcome,
    ) -> Result<Digest> {
        let layer = outcome
            .layer
            .ok_or_else(|| Error::server("worker made no layer"))?;
        let now = Timestamp::now().to_string();
        let comment = if options.message.is_empty() {
            format!("Imported from {}", options.source)
        } else {
            options.message.clone()
        };
        let image = ImageConfig {
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            os: platform.os.clone(),
            created: Some(now.clone()),
            comment: comment.clone(),
            config: run_config(&options.config)?,
            rootfs: RootFs {
                diff_ids: vec![layer],
                ..RootFs::default()
            },
            history: vec![History {
                created: Some(now),
                comment,
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        let id = self.add_made(&image, Saved::default(), name)?;
        self.event("import", &id.to_string(), &id.to_string());
        Ok(id)
    }

    /// Makes an image of a container: its image's layers and what is in `upper`.
    ///
    /// # Errors
    /// 400 for a bad name, 404 when the parent is gone, 500 when the layer cannot be made.
    pub async fn commit(&self, options: CommitOptions, upper: &Path) -> Result<String> {
        let name = named(&options.repository, &options.tag)?;
        let parent = self.resolve(&options.parent)?;
        let task = Task::Commit {
            upper: upper.to_owned(),
        };
        let Started {
            mut worker, input, ..
        } = self.start(task).await?;
        drop(input);
        let layer = worker
            .outcome()
            .await?
            .layer
            .ok_or_else(|| Error::server("worker made no layer"))?;
        let now = Timestamp::now().to_string();
        let mut image = (*parent.image).clone();
        image.created = Some(now.clone());
        image.author.clone_from(&options.author);
        image.comment.clone_from(&options.comment);
        image.config = run_config(&options.config)?;
        image.rootfs.diff_ids.push(layer);
        image.history.push(History {
            created: Some(now),
            created_by: options.config.cmd.clone().unwrap_or_default().join(" "),
            author: options.author.clone(),
            comment: options.comment.clone(),
            empty_layer: false,
        });
        let saved = Saved {
            parent: parent.id,
            container: options.container,
            last_tag: None,
        };
        Ok(self.add_made(&image, saved, name)?.to_string())
    }

    fn add_made(
        &self,
        image: &ImageConfig,
        saved: Saved,
        name: Option<Reference>,
    ) -> Result<Digest> {
        let id = self
            .0
            .store
            .put_blob(&image.to_bytes())
            .map_err(|error| api_error(&error))?;
        self.register(&id, saved)?;
        if let Some(name) = name {
            self.set_tag(name, &id)?;
        }
        Ok(id)
    }

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

/// The API's configuration in the image's form.
fn run_config(config: &ContainerConfig) -> Result<RunConfig> {
    let value = serde_json::to_value(config)?;
    Ok(serde_json::from_value(value)?)
}
