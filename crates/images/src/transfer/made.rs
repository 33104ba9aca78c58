//! Images made here: of a root file system archive (import) and of a container (commit).

use std::path::{Path, PathBuf};

use engine_api::Timestamp;
use engine_api::options::ByteStream;
use engine_api::{ContainerConfig, Error, Result};
use oci_image::config::{History, ImageConfig, RootFs, RunConfig};
use oci_image::manifest::Platform;
use oci_image::{Digest, Reference};

use super::{ProgressStream, status};
use crate::worker::{Started, feed, messages};
use crate::{Images, Saved, api_error, parse_reference};
use oci_image::task::{Outcome, Task};
use serde_json::{Map, Value};

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
    /// Paths below the upper directory that are the engine's own.
    pub leave_out: Vec<PathBuf>,
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
    /// Where it came from, for the history: a URL to get it from, or `-` when it is the request's body.
    pub source: String,
    /// `os/architecture[/variant]`.
    pub platform: Option<String>,
    /// Defaults of the new image, from `changes`.
    pub config: ContainerConfig,
}

/// What `source` means; a URL without a scheme is one of HTTP.
fn url(source: &str) -> Result<Option<String>> {
    match source.split_once("://") {
        None if source == "-" => Ok(None),
        None => Ok(Some(format!("http://{source}"))),
        Some(("http" | "https", _)) => Ok(Some(source.to_owned())),
        Some((scheme, _)) => Err(Error::bad_parameter(format!(
            "unsupported protocol scheme {scheme:?}: import from http, https, or the archive itself"
        ))),
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
        let url = url(&options.source)?;
        let task = Task::Import {
            url: url.clone(),
            registry: self.0.registry.borrow().clone(),
        };
        let Started {
            mut worker, input, ..
        } = self.start(task).await?;
        let feeder = engine_api::tasks::spawn(feed(input, body, worker.movement()));
        // As in Docker nothing is said before it is done: clients look at the status and go on.
        let outcome = worker.outcome().await;
        feeder.abort();
        let id = self.adopt_import(&options, &platform, name, outcome?)?;
        let (sender, receiver) = messages();
        // The channel has room for both.
        if let Some(url) = url {
            let _ = sender.try_send(status(format!("Downloading from {url}")));
        }
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
            leave_out: options.leave_out,
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
}

/// The API's configuration in the image's form.
fn run_config(config: &ContainerConfig) -> Result<RunConfig> {
    let mut value = serde_json::to_value(config)?;
    for set in ["ExposedPorts", "Volumes"] {
        if let Some(Value::Object(members)) = value.get_mut(set) {
            // Some clients have written `[]` or `null` for the empty object.
            for member in members.values_mut() {
                *member = Value::Object(Map::new());
            }
        }
    }
    Ok(json_reader::from_value(value)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine_api::ContainerConfig;
    use serde_json::json;

    use super::{run_config, url};

    #[test]
    fn members_of_sets_are_objects_whatever_the_client_wrote() {
        let odd = |name: &str| {
            BTreeMap::from([
                (format!("{name}1"), json!([])),
                (format!("{name}2"), json!(null)),
                (format!("{name}3"), json!({})),
            ])
        };
        let config = ContainerConfig {
            exposed_ports: odd("80/tcp"),
            volumes: odd("/d"),
            ..ContainerConfig::default()
        };
        let made = run_config(&config).unwrap();
        assert_eq!((made.exposed_ports.len(), made.volumes.len()), (3, 3));
    }

    #[test]
    fn imports_come_from_the_web_or_from_the_client() {
        assert_eq!(url("-").unwrap(), None);
        assert_eq!(url("host/a.tar").unwrap().unwrap(), "http://host/a.tar");
        assert_eq!(url("https://host/a").unwrap().unwrap(), "https://host/a");
        assert_eq!(url("file:///etc/shadow").unwrap_err().status, 400);
    }
}
