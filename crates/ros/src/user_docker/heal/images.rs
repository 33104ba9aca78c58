//! What Docker knows of images (image/fs.go, image/store.go, reference/store.go, distribution/metadata).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use oci_image::{Digest, Reference};
use serde_json::{Map, Value, json};

use super::layers::{self, Layer};
use super::{Healer, entries, fits, is_id, name, overlay, short};

/// The images of one storage driver.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// The digests of each image's layers, by its id.
    pub(super) of: BTreeMap<String, Vec<Layer>>,
}

impl Images {
    /// The layer of this name in any image.
    pub(super) fn layer(&self, chain: &str) -> Option<&Layer> {
        self.of
            .values()
            .flatten()
            .find(|layer| layer.chain == chain)
    }

    /// The last layer of an image: what its containers stand on.
    pub(super) fn top(&self, id: &str) -> Option<&Layer> {
        self.of.get(id)?.last()
    }
}

pub(super) fn heal(healer: &mut Healer) {
    for driver in entries(&healer.root.join("image")) {
        if driver.is_dir() {
            of_driver(healer, &driver);
        }
    }
}

fn of_driver(healer: &mut Healer, driver: &Path) {
    let (images, lost) = contents(healer, &driver.join("imagedb"));
    let mut broken = lost;
    let layers = layers::heal(healer, driver, &images);
    broken.extend(layers.broken_images(&images));
    layers::mounts(healer, driver, &images);
    if name(driver) == "overlay2" {
        overlay::heal(healer, driver);
    }
    caches(healer, &driver.join("distribution"));
    let table = driver.join("repositories.json");
    let names = names(&table).or_else(|| {
        // The damaged one cannot be read; its spare has names too.
        let spare = healer.spares.read(&table, &fits::repositories)?;
        Some(of_table(&fits::value(&spare.bytes).ok()?))
    });
    repositories(healer, &table, &images);
    for (reference, id) in names.unwrap_or_default() {
        if broken.contains(&id) {
            healer.lost_images.insert(reference);
        }
    }
    for id in &broken {
        healer.say(format!(
            "image {} is not whole: it must be pulled again",
            short(id)
        ));
    }
}

/// The images whose description is whole, and the ids of the others.
fn contents(healer: &mut Healer, database: &Path) -> (Images, BTreeSet<String>) {
    let mut images = Images::default();
    let mut lost = BTreeSet::new();
    let folder = database.join("content/sha256");
    healer.clear_temporary(&folder);
    for path in entries(&folder) {
        let id = name(&path);
        let described = fits::content(&path).and_then(|bytes| {
            let bytes = bytes.ok_or("it is too large")?;
            if Digest::sha256(&bytes).hex() != id {
                fits::text(&bytes)?;
                return Err("it has another digest".to_owned());
            }
            fits::value(&bytes)
        });
        match described {
            Ok(value) => {
                images.of.insert(id, layers::of_image(&value));
            }
            Err(why) => {
                healer.set_aside(
                    &path,
                    &why,
                    "the image is forgotten until it is pulled again",
                );
                lost.insert(id);
            }
        }
    }
    for directory in entries(&database.join("metadata/sha256")) {
        healer.clear_temporary(&directory);
        healer.file(
            &directory.join("parent"),
            &fits::digest,
            "docker history shows less of this image",
        );
        healer.file(&directory.join("lastUpdated"), &fits::text, "");
    }
    (images, lost)
}

/// What Docker remembers of its pulls: without it layers are fetched again that it has.
fn caches(healer: &mut Healer, folder: &Path) {
    let list = |bytes: &[u8]| fits::value(bytes).map(drop);
    for (directory, fits) in [
        ("diffid-by-digest/sha256", &fits::digest as fits::Fits<'_>),
        ("v2metadata-by-diffid/sha256", &list),
    ] {
        let directory = folder.join(directory);
        healer.clear_temporary(&directory);
        for path in entries(&directory) {
            if let Err(why) = fits::look(&path, fits) {
                healer.set_aside(&path, &why, "Docker remembers one pull less");
            }
        }
    }
}

/// Which image each name means.
fn names(table: &Path) -> Option<Vec<(String, String)>> {
    let bytes = fits::content(table).ok()??;
    fits::repositories(&bytes).ok()?;
    Some(of_table(&fits::value(&bytes).ok()?))
}

fn of_table(value: &Value) -> Vec<(String, String)> {
    let repositories = value.get("Repositories").and_then(Value::as_object);
    let tags = repositories.into_iter().flatten();
    tags.filter_map(|(_, tags)| tags.as_object())
        .flatten()
        .filter_map(|(reference, id)| {
            let id = id.as_str()?.strip_prefix("sha256:")?;
            Some((reference.clone(), id.to_owned()))
        })
        .collect()
}

/// The table of names: its spare, or else what containers say that they were made of.
fn repositories(healer: &mut Healer, table: &Path, images: &Images) {
    let why = match fits::look(table, &fits::repositories) {
        Ok(None) => return,
        Ok(Some(())) => return healer.spares.note(table),
        Err(why) => why,
    };
    let lost = "names of images are those that containers know; the others have lost theirs: docker images -a";
    if healer.replace(table, &why, &fits::repositories, lost) || fs::symlink_metadata(table).is_ok()
    {
        return;
    }
    let value = json!({ "Repositories": from_containers(healer, images) });
    healer.write(table, value.to_string().as_bytes());
}

fn from_containers(healer: &Healer, images: &Images) -> Map<String, Value> {
    let mut table: Map<String, Value> = Map::new();
    for path in super::files::matching(&healer.root, "containers/*/config.v2.json") {
        let Some((reference, id)) = made_of(&path) else {
            continue;
        };
        if !images.of.contains_key(&id) {
            continue;
        }
        let tags = table
            .entry(reference.familiar_name())
            .or_insert_with(|| json!({}));
        tags[reference.familiar()] = json!(format!("sha256:{id}"));
    }
    table
}

/// The name of a container's image, and its id.
fn made_of(config: &Path) -> Option<(Reference, String)> {
    let value = fits::value(&fits::content(config).ok()??).ok()?;
    let id = value.get("Image")?.as_str()?.strip_prefix("sha256:")?;
    let name = value.get("Config")?.get("Image")?.as_str()?;
    // An id is not a name.
    if is_id(name) || name.starts_with("sha256:") {
        return None;
    }
    let reference = Reference::parse(name).ok()?.or_latest();
    Some((reference, id.to_owned()))
}

/// The image that a container was made of.
pub(super) fn of_container(root: &Path, container: &str) -> Option<String> {
    let config: PathBuf = root
        .join("containers")
        .join(container)
        .join("config.v2.json");
    let value = fits::value(&fits::content(&config).ok()??).ok()?;
    let id = value.get("Image")?.as_str()?.strip_prefix("sha256:")?;
    Some(id.to_owned())
}
