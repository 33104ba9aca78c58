//! What the engine and its worker processes say to each other: one JSON request, then JSON lines back.

mod files;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::progress::Progress;
pub use files::{CopyUp, FilePath, FileStat, Files, FilesAction, View, ViewMount};

use crate::registry::{Credentials, Description, Found, RegistryOptions};

/// Version of what engine and worker say to each other. Raise it when a worker could misunderstand a request.
pub const PROTOCOL: &str = "2";

/// Descriptor of the answers.
pub const ANSWERS_FD: i32 = 3;

/// Longest request or answer line, in bytes; an image configuration fits, twice encoded.
pub const LINE_MAX: usize = 32 * 1024 * 1024;

/// A task of a worker. What else it reads (an archive) follows the request on its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
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
    /// Fetch single files of an image that has a layer for each.
    FetchFiles {
        /// Which image, and who asks.
        question: Question,
        /// What to fetch.
        files: Vec<WantedFile>,
        /// Where to.
        folder: PathBuf,
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
        /// Paths below it that are the engine's own.
        leave_out: Vec<PathBuf>,
    },
    /// Look at, read or write files of a container.
    Files(Files),
    /// Fill a new volume from the image.
    CopyUp(CopyUp),
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
pub struct Question {
    /// What it is about.
    pub reference: String,
    /// How registries are reached.
    pub registry: RegistryOptions,
    /// Who asks.
    pub credentials: Credentials,
}

/// A file of an image in which every file is a separate layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WantedFile {
    /// Its path in the image, without a slash in front.
    pub path: String,
    /// What the history says about its layer.
    pub history: String,
    /// Its name in the folder that it is fetched into.
    pub name: String,
    /// Longest that it may be, in bytes.
    pub limit: u64,
    /// Its digest, where that is known.
    pub digest: Option<Digest>,
    /// Whether an image that does not have it is good, too.
    #[serde(default)]
    pub optional: bool,
}

/// Status of [`Answer::Failed`] when a registry has given other bytes than were promised.
pub const UNVERIFIED: u16 = 422;

/// An image to save.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedImage {
    /// Digest of the configuration in the store, or its text for images of media.
    pub config: String,
    /// References.
    pub references: Vec<String>,
    /// When the image was made: seconds since 1970.
    pub created: i64,
}

/// A request: the task and where content is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// What to do.
    pub task: Task,
    /// Root of the content store.
    pub root: PathBuf,
    /// Mounted layers of media.
    pub external: BTreeMap<Digest, PathBuf>,
}

/// A line from the worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Progress for the client.
    Progress(Progress),
    /// What the path is that a [`FilesAction`] names.
    Stat(FileStat),
    /// The end: it worked.
    Done(Box<Outcome>),
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
pub struct Outcome {
    /// Images whose configuration and layers are in the store.
    pub images: Vec<MadeImage>,
    /// A layer in the store.
    pub layer: Option<Digest>,
    /// Tags of a repository.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What a reference stands for.
    #[serde(default)]
    pub description: Option<Description>,
    /// What a search found.
    #[serde(default)]
    pub found: Vec<Found>,
}

/// An image that was pulled or loaded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MadeImage {
    /// Digest of the configuration.
    pub id: Digest,
    /// Diff ids, lowest first.
    pub layers: Vec<Digest>,
    /// References of the archive.
    pub references: Vec<String>,
    /// Digest that the pulled reference named, or of the pushed manifest.
    pub digest: Option<Digest>,
    /// Size of the pushed manifest in bytes.
    #[serde(default)]
    pub manifest_size: u64,
}
