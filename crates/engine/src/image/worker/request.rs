//! What the engine and its worker processes say to each other: one JSON request, then JSON lines back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine_api::ProgressMessage;
use oci_image::Digest;
use oci_image::registry::{Credentials, Description, Found, RegistryOptions};
use serde::{Deserialize, Serialize};

/// Longest request or answer line, in bytes; an image configuration fits, twice encoded.
pub(crate) const LINE_MAX: usize = 32 * 1024 * 1024;

/// A task of a worker. What else it reads (an archive) follows the request on its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Task {
    /// Fetch an image.
    Pull {
        /// Reference with a tag or a digest.
        reference: String,
        /// `os/architecture[/variant]`.
        platform: Option<String>,
        /// Images of that repository, by the digests that it gave them.
        #[serde(default)]
        known: BTreeMap<Digest, Digest>,
        /// How registries are reached.
        registry: RegistryOptions,
        /// Who asks.
        credentials: Credentials,
    },
    /// List the tags of a repository.
    Tags(Question),
    /// Say what a reference stands for.
    Describe(Question),
    /// Look for repositories.
    Search {
        /// Words, perhaps behind a registry's host.
        term: String,
        /// At most so many.
        limit: u8,
        /// How registries are reached.
        registry: RegistryOptions,
        /// Who asks.
        credentials: Credentials,
    },
    /// Send an image, one message per tag.
    Push {
        /// References with a tag.
        references: Vec<String>,
        /// The image.
        config: Digest,
        /// How registries are reached.
        registry: RegistryOptions,
        /// Who asks.
        credentials: Credentials,
    },
    /// Read an image archive.
    Load,
    /// Write an image archive to standard output.
    Save {
        /// Configurations and the references written with them.
        images: Vec<SavedImage>,
    },
    /// Make a layer of a root file system archive.
    Import {
        /// Where it is; none: it follows the request.
        url: Option<String>,
        /// How patient to be.
        registry: RegistryOptions,
    },
    /// Make a layer of an overlay's upper directory.
    Commit {
        /// The upper directory.
        upper: PathBuf,
    },
    /// Check credentials.
    Login {
        /// Registry's host.
        domain: String,
        /// How registries are reached.
        registry: RegistryOptions,
        /// Who asks.
        credentials: Credentials,
    },
}

/// A question to a registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Question {
    /// What it is about.
    pub(crate) reference: String,
    /// How registries are reached.
    pub(crate) registry: RegistryOptions,
    /// Who asks.
    pub(crate) credentials: Credentials,
}

/// An image to save.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedImage {
    /// Digest of the configuration in the store, or its text for images of media.
    pub(crate) config: String,
    /// References.
    pub(crate) references: Vec<String>,
}

/// A request: the task and where content is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    /// What to do.
    pub(crate) task: Task,
    /// Root of the content store.
    pub(crate) root: PathBuf,
    /// Mounted layers of media.
    pub(crate) external: BTreeMap<Digest, PathBuf>,
}

/// A line from the worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Progress for the client.
    Progress(ProgressMessage),
    /// The end: it worked.
    Done(Outcome),
    /// The end: it failed.
    Failed {
        /// HTTP status.
        status: u16,
        /// Docker's one line.
        message: String,
    },
}

/// What a task made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Images whose configuration and layers are in the store.
    pub(crate) images: Vec<MadeImage>,
    /// A layer in the store.
    pub(crate) layer: Option<Digest>,
    /// Tags of a repository.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// What a reference stands for.
    #[serde(default)]
    pub(crate) description: Option<Description>,
    /// What a search found.
    #[serde(default)]
    pub(crate) found: Vec<Found>,
}

/// An image that was pulled or loaded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MadeImage {
    /// Digest of the configuration.
    pub(crate) id: Digest,
    /// Diff ids, lowest first.
    pub(crate) layers: Vec<Digest>,
    /// References of the archive.
    pub(crate) references: Vec<String>,
    /// Digest that the pulled reference named, or of the pushed manifest.
    pub(crate) digest: Option<Digest>,
    /// Size of the pushed manifest in bytes.
    #[serde(default)]
    pub(crate) manifest_size: u64,
}
