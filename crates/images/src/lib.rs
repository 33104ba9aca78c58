//! Images: what is known of them, their references, and the layers containers are made of.
//!
//! Two kinds live side by side. Images of boot media are mounted, never unpacked, and return at the next boot whatever
//! happens to them. Pulled, loaded, imported and committed ones are in the content store below the engine's root.
//! Registries and archives are the business of worker processes ([`worker`]).
//!
//! **Belongs here:** what Docker calls an image, its tags and its layers, and the engine's side of the program `worker`.
//!
//! **Not here:** this crate opens no connection, reads no archive and knows containers by their ids only ([`ImageHooks`]).
//!
//! **May import:** `engine-api`, `json-reader`, `objects`, `oci-image`, `sys` of our crates.

mod find;
mod glob;
mod list;
mod media;
mod platform;
mod read_ahead;
mod register;
mod remove;
mod repository;
mod restore;
mod search;
mod table;
mod transfer;
pub mod worker;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine_api::Timestamp;
use engine_api::{ContainerConfig, Error, Result};
use json_reader::lenient;
use objects::Damage;
use oci_image::config::ImageConfig;
use oci_image::registry::RegistryOptions;
use oci_image::store::Store;
use oci_image::{Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::worker::Launcher;
pub use list::ImageListOptions;
use media::MediaLayers;
pub use media::{files_on_media, mount_from_media};
use table::Table;
pub use transfer::{CommitOptions, ImportOptions, ProgressStream};

/// Where images live and who does the work.
#[derive(Debug, Clone)]
pub struct ImagesOptions {
    /// The engine's state directory.
    pub root: PathBuf,
    /// The engine's run directory; layers of media are mounted at `layers/` below it.
    pub run: PathBuf,
    /// The program that reaches registries and reads archives.
    pub worker: PathBuf,
    /// How registries are reached.
    pub registry: RegistryOptions,
}

/// A layer of an image, by the digest of its tar. Where it is, is looked up when it is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerSource {
    /// The diff id.
    pub diff_id: Digest,
}

/// An image as containers need it.
#[derive(Debug, Clone)]
pub struct ImageRecord {
    /// `sha256:` and 64 hexadecimal digits.
    pub id: String,
    /// Defaults of containers.
    pub config: ContainerConfig,
    /// The whole configuration.
    pub image: Rc<ImageConfig>,
    /// Layers, lowest first.
    pub layers: Vec<LayerSource>,
    /// Whether it comes from boot media.
    pub from_media: bool,
}

/// A container that was made from an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser {
    /// Container's id.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
}

/// What images must know of the rest of the engine.
pub trait ImageHooks {
    /// Containers made from the image.
    fn users(&self, image_id: &str) -> Vec<ImageUser>;

    /// Layers that containers use, whatever became of their image.
    fn layers_in_use(&self) -> BTreeSet<LayerSource>;

    /// Publishes an event of type `image`.
    fn event(&self, action: &str, id: &str, attributes: BTreeMap<String, String>);
}

/// What is kept of an image on disk, `images/<hex>.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Saved {
    #[serde(default)]
    parent: String,
    #[serde(default)]
    container: String,
    #[serde(default)]
    last_tag: Option<String>,
}

/// An image at hand.
struct Known {
    bytes: Rc<[u8]>,
    image: Rc<ImageConfig>,
    saved: Saved,
    from_media: bool,
    /// What is wrong with it; using it says so.
    damage: Option<String>,
    size: u64,
}

impl Known {
    fn created(&self) -> Timestamp {
        let text = self.image.created.as_deref().unwrap_or_default();
        Timestamp::parse_rfc3339(text).unwrap_or(Timestamp::ZERO)
    }

    fn layers(&self) -> &[Digest] {
        &self.image.rootfs.diff_ids
    }
}

/// The images of an engine.
#[derive(Clone)]
pub struct Images(Rc<Inner>);

struct Inner {
    store: Store,
    images_dir: PathBuf,
    launcher: Launcher,
    registry: RefCell<RegistryOptions>,
    state: RefCell<State>,
    hooks: RefCell<Option<Rc<dyn ImageHooks>>>,
    damage: Damage,
}

struct State {
    images: BTreeMap<Digest, Known>,
    table: Table,
    media: MediaLayers,
}

impl State {
    /// The image with this id, which was found by `reference`.
    fn known(&self, id: &Digest, reference: &str) -> Result<&Known> {
        self.images.get(id).ok_or_else(|| no_such_image(reference))
    }

    /// Whether another image was made from it.
    fn has_children(&self, id: &Digest) -> bool {
        let parent = id.to_string();
        self.images
            .values()
            .any(|known| known.saved.parent == parent)
    }
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images")
            .field("root", &self.0.store.root())
            .finish_non_exhaustive()
    }
}

/// An error of the image crate as the API answers it.
fn api_error(error: &oci_image::Error) -> Error {
    let status = http::StatusCode::from_u16(error.status())
        .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    Error::new(status, error.to_string())
}

/// A reference as a user wrote it.
fn parse_reference(text: &str) -> Result<Reference> {
    Reference::parse(text).map_err(|error| api_error(&error))
}

fn no_such_image(text: &str) -> Error {
    let shown = Reference::parse(text).map_or_else(
        |_| text.to_owned(),
        |reference| reference.or_latest().familiar(),
    );
    Error::not_found(format!("No such image: {shown}"))
}

impl Images {
    /// Opens the image store and reads what it holds.
    /// What is damaged is set aside; an image that misses a part says so when it is used.
    #[must_use]
    pub fn new(options: ImagesOptions, damage: &Damage) -> Self {
        let launcher = Launcher::Program(options.worker.clone());
        Self::with_launcher(options, launcher, damage)
    }

    fn with_launcher(options: ImagesOptions, launcher: Launcher, damage: &Damage) -> Self {
        let store = restore::open_store(&options.root, damage);
        let images_dir = options.root.join("images");
        damage.directory(&images_dir, 0o755);
        let table = Table::open(&options.root.join("repositories.json"), damage);
        let state = State {
            images: BTreeMap::new(),
            table,
            media: MediaLayers::new(options.run.join("layers")),
        };
        let images = Self(Rc::new(Inner {
            store,
            images_dir,
            launcher,
            registry: RefCell::new(options.registry),
            state: RefCell::new(state),
            hooks: RefCell::default(),
            damage: damage.clone(),
        }));
        images.restore(damage);
        images
    }

    /// Tells images about containers and events; the engine calls this once.
    pub fn set_hooks(&self, hooks: Rc<dyn ImageHooks>) {
        *self.0.hooks.borrow_mut() = Some(hooks);
    }

    /// Changes how registries are reached: mirrors, insecure registries, private authorities.
    pub fn set_registry_options(&self, options: RegistryOptions) {
        *self.0.registry.borrow_mut() = options;
    }

    /// Registers the images of a boot medium. A damaged image is left out and reported; the others work.
    pub fn add_media(&self, directory: &Path) -> Vec<Error> {
        let errors = media::add(self, directory);
        // Those that share layers with the medium.
        self.find_lost(&self.0.damage);
        errors
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        self.0.state.borrow().images.len()
    }

    /// Unmounts the layers of media; for shutdown, when no container is left.
    pub fn unmount(&self) -> Vec<Error> {
        self.0.state.borrow_mut().media.unmount_all()
    }

    fn event(&self, action: &str, id: &str, name: &str) {
        let hooks = self.0.hooks.borrow().clone();
        let Some(hooks) = hooks else {
            return;
        };
        let mut attributes = BTreeMap::new();
        if let Ok(id) = id.parse::<Digest>()
            && let Some(known) = self.0.state.borrow().images.get(&id)
        {
            attributes.clone_from(&known.image.config.labels);
        }
        if !name.is_empty() {
            attributes.insert("name".to_owned(), name.to_owned());
        }
        hooks.event(action, id, attributes);
    }
}

/// The image's defaults in the API's form.
fn container_config(image: &ImageConfig) -> Result<ContainerConfig> {
    Ok(lenient::from_value(serde_json::to_value(&image.config)?)?)
}
