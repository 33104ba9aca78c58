//! What Docker knows of layers: a directory for each layer of an image, and one for each container (layer/filestore.go).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use oci_image::Digest;
use serde_json::Value;

use super::images::{Images, of_container};
use super::{Healer, containers, content, entries, fits, is_id, name};

/// A layer in an image; digests without their algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// Names this layer with all below it.
    pub(super) chain: String,
    /// The digest of the layer's archive.
    pub(super) diff: String,
    /// The chain below it.
    pub(super) parent: Option<String>,
}

/// The layers of an image, lowest first, from its description.
pub(super) fn of_image(description: &Value) -> Vec<Layer> {
    let diffs = description
        .get("rootfs")
        .and_then(|rootfs| rootfs.get("diff_ids"))
        .and_then(Value::as_array);
    let mut layers: Vec<Layer> = Vec::new();
    for diff in diffs.into_iter().flatten() {
        let Some(diff) = diff.as_str().and_then(|diff| diff.strip_prefix("sha256:")) else {
            return Vec::new();
        };
        // OCI image specification, config.md, "Layer ChainID".
        let parent = layers.last().map(|layer| layer.chain.clone());
        let chain = match &parent {
            None => diff.to_owned(),
            Some(parent) => Digest::sha256(format!("sha256:{parent} sha256:{diff}").as_bytes())
                .hex()
                .to_owned(),
        };
        layers.push(Layer {
            chain,
            diff: diff.to_owned(),
            parent,
        });
    }
    layers
}

/// What became of the layers.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Chains that are whole.
    whole: BTreeSet<String>,
}

impl Outcome {
    /// Images that lack a layer.
    pub(super) fn broken_images(&self, images: &Images) -> BTreeSet<String> {
        images
            .of
            .iter()
            .filter(|(_, layers)| {
                layers
                    .iter()
                    .any(|layer| !self.whole.contains(&layer.chain))
            })
            .map(|(id, _)| id.clone())
            .collect()
    }
}

/// Mends the entries of layers that can be mended, and sets the others aside with all that stand on them: a pull cannot put a
/// layer where a damaged one is.
pub(super) fn heal(healer: &mut Healer, driver: &Path, images: &Images) -> Outcome {
    let database = driver.join("layerdb");
    clear_work(healer, &database.join("tmp"));
    let data = healer.root.join(name(driver));
    let mut found: BTreeMap<String, Result<(), String>> = BTreeMap::new();
    for entry in entries(&database.join("sha256")) {
        if !entry.is_dir() {
            healer.set_aside(&entry, "it is not a directory", "");
        } else if is_id(&name(&entry)) {
            let result = one(healer, &entry, &data, images.layer(&name(&entry)));
            found.insert(name(&entry), result);
        }
    }
    let mut whole: BTreeSet<String> = found
        .iter()
        .filter(|(_, result)| result.is_ok())
        .map(|(chain, _)| chain.clone())
        .collect();
    // Until no layer is left whose parent is gone.
    loop {
        let orphans: Vec<String> = whole
            .iter()
            .filter(|chain| parent(&database, chain).is_some_and(|parent| !whole.contains(&parent)))
            .cloned()
            .collect();
        if orphans.is_empty() {
            break;
        }
        for chain in orphans {
            whole.remove(&chain);
            found.insert(chain, Err("the layer below it is damaged".to_owned()));
        }
    }
    for (chain, result) in found {
        if let Err(why) = result {
            let entry = database.join("sha256").join(&chain);
            healer.set_aside(&entry, &why, "images with this layer must be pulled again");
        }
    }
    Outcome { whole }
}

fn parent(database: &Path, chain: &str) -> Option<String> {
    let text = fs::read_to_string(database.join("sha256").join(chain).join("parent")).ok()?;
    Some(text.trim().strip_prefix("sha256:")?.to_owned())
}

/// Archives of pulls that were interrupted.
fn clear_work(healer: &mut Healer, folder: &Path) {
    for path in entries(folder) {
        if name(&path).starts_with("write-set-")
            && path.is_dir()
            && let Err(error) = fs::remove_dir_all(&path)
        {
            healer.say(format!("cannot remove {}: {error}", path.display()));
        }
    }
}

fn one(
    healer: &mut Healer,
    entry: &Path,
    data: &Path,
    known: Option<&Layer>,
) -> Result<(), String> {
    healer.clear_temporary(entry);
    let required = |file: &str, fits: fits::Fits<'_>| {
        fits::look(&entry.join(file), fits)
            .and_then(|found| found.ok_or("it is missing".to_owned()))
            .map_err(|why| format!("its {file}: {why}"))
    };
    required("cache-id", &fits::text)?;
    let cache = fs::read_to_string(entry.join("cache-id")).map_err(|error| error.to_string())?;
    let content = data.join(cache.trim());
    if name(data) == "overlay2" && !content.join("diff").is_dir() {
        return Err(format!("its content {} is missing", content.display()));
    }
    fits::look_gzip(&entry.join("tar-split.json.gz"))
        .and_then(|found| found.ok_or("it is missing".to_owned()))
        .map_err(|why| format!("its tar-split.json.gz: {why}"))?;
    if name(data) == "overlay2" && !healer.settled.contains(cache.trim()) {
        content::look(&entry.join("tar-split.json.gz"), &content.join("diff"))?;
    }
    // Digests follow from the image's description, sizes from the content.
    let mut exact = |file: &str, wanted: Option<String>| -> Result<(), String> {
        let Err(why) = required(file, &fits::digest) else {
            return Ok(());
        };
        let wanted = wanted.ok_or(why.clone())?;
        if healer.mend(&entry.join(file), &why, &wanted) {
            Ok(())
        } else {
            Err(why)
        }
    };
    exact("diff", known.map(|layer| format!("sha256:{}", layer.diff)))?;
    let needs_parent = known.map_or_else(
        || fs::symlink_metadata(entry.join("parent")).is_ok(),
        |layer| layer.parent.is_some(),
    );
    if needs_parent {
        let parent = known.and_then(|layer| layer.parent.as_ref());
        exact("parent", parent.map(|parent| format!("sha256:{parent}")))?;
    }
    if let Err(why) = required("size", &fits::number) {
        let bytes = size_of(&content.join("diff"), 0);
        if !healer.mend(&entry.join("size"), &why, &bytes.to_string()) {
            return Err(why);
        }
    }
    Ok(())
}

/// Bytes of all files below a directory.
fn size_of(directory: &Path, depth: usize) -> u64 {
    const DEPTH_MAX: usize = 200;
    entries(directory)
        .iter()
        .filter_map(|path| Some((path, fs::symlink_metadata(path).ok()?)))
        .map(|(path, metadata)| match metadata.is_dir() {
            true if depth < DEPTH_MAX => size_of(path, depth + 1),
            true => 0,
            false => metadata.len(),
        })
        .sum()
}

/// Mends what Docker knows of the layers of containers.
pub(super) fn mounts(healer: &mut Healer, driver: &Path, images: &Images) {
    for entry in entries(&driver.join("layerdb/mounts")) {
        let id = name(&entry);
        if !entry.is_dir() {
            healer.set_aside(&entry, "it is not a directory", "");
        } else if let Err(why) = mount(healer, &entry, &name(driver), images) {
            let config = healer
                .root
                .join("containers")
                .join(&id)
                .join("config.v2.json");
            let then = format!(
                "Docker does not show container {} any more; what it has written is still in {}",
                containers::called(&config, &id),
                healer.root.join(name(driver)).display()
            );
            healer.set_aside(&entry, &why, &then);
        }
    }
}

fn mount(healer: &mut Healer, entry: &Path, driver: &str, images: &Images) -> Result<(), String> {
    healer.clear_temporary(entry);
    let place = |file: &str| -> PathBuf { entry.join(file) };
    let state = |file: &str, fits: fits::Fits<'_>| {
        fits::look(&place(file), fits).and_then(|found| found.ok_or("it is missing".to_owned()))
    };
    let read = |file: &str| {
        fs::read_to_string(place(file))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let data = healer.root.join(driver);
    let is_directory = |bytes: &[u8]| {
        fits::text(bytes)?;
        let own = std::str::from_utf8(bytes).unwrap_or_default().trim();
        if driver != "overlay2" || data.join(own).is_dir() {
            Ok(())
        } else {
            Err("it leads nowhere".to_owned())
        }
    };
    // What is put under a container, mount points of /etc/hosts and such, is named after the container's own.
    match (
        state("mount-id", &is_directory),
        state("init-id", &is_directory),
    ) {
        (Err(why), Ok(())) => {
            let init = read("init-id");
            let own = init
                .strip_suffix("-init")
                .ok_or_else(|| format!("its mount-id: {why}"))?;
            healer.mend(&place("mount-id"), &why, own);
        }
        (Err(why), Err(_)) => return Err(format!("its mount-id: {why}")),
        (Ok(()), Err(why)) if fs::symlink_metadata(place("init-id")).is_ok() => {
            let own = read("mount-id");
            healer.mend(&place("init-id"), &why, &format!("{own}-init"));
        }
        (Ok(()), _) => {}
    }
    let parent = place("parent");
    let image = of_container(&healer.root, &name(entry));
    if let Err(why) = state("parent", &fits::digest) {
        let top = image.as_deref().and_then(|image| images.top(image));
        match top {
            Some(top) => {
                let text = format!("sha256:{}", top.chain);
                healer.mend(&parent, &why, &text);
            }
            // A container of no image has none.
            None if fs::symlink_metadata(&parent).is_err() => {}
            None => return Err(format!("its parent: {why}")),
        }
    }
    Ok(())
}
