//! Images on disk when the engine starts. What is damaged is set aside; an image is found again as long as its
//! configuration and its layers are there, whatever became of the records about it.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use objects::Damage;
use oci_image::Digest;
use oci_image::config::ImageConfig;
use oci_image::store::{LayerInfo, Store};

use super::{Images, Known, Saved};

/// Opens the content store; work that an earlier engine did not end is removed.
pub(super) fn open_store(root: &Path, damage: &Damage) -> Store {
    for directory in ["blobs", "blobs/sha256", "layers", "tmp"] {
        damage.directory(&root.join(directory), 0o755);
    }
    let store = Store::at(root);
    if let Err(error) = store.clear_work() {
        damage.say(error.to_string());
    }
    store
}

impl Images {
    pub(super) fn restore(&self, damage: &Damage) {
        self.check_layers(damage);
        for path in damage.records(&self.0.images_dir) {
            let hex = path.file_stem().and_then(|stem| stem.to_str());
            if let Ok(id) = Digest::from_sha256_hex(hex.unwrap_or_default()) {
                self.restore_one(id, &path, damage);
            }
        }
        self.find_lost(damage);
    }

    fn restore_one(&self, id: Digest, path: &Path, damage: &Damage) {
        let saved = damage.load(path, |_: &Saved| Ok(()));
        let is_lost = saved.is_none();
        let saved = saved.unwrap_or_default();
        let blob = self.0.store.blob_path(&id);
        let known = match damage.bytes(&blob, |bytes| {
            id.check_bytes(bytes).map_err(|e| e.to_string())
        }) {
            Some(bytes) => self.known(&bytes, saved.clone(), false),
            None => Known {
                bytes: Rc::from(&b""[..]),
                image: Rc::default(),
                saved: saved.clone(),
                from_media: false,
                damage: Some(format!(
                    "configuration of image {id} is missing or was damaged: pull or load it again"
                )),
                size: 0,
            },
        };
        if is_lost && let Err(error) = self.save_record(&id, &saved) {
            damage.say(error.message);
        }
        self.0.state.borrow_mut().images.insert(id, known);
    }

    /// Finds images again whose records are gone: every configuration in the store whose layers are all there is one.
    pub(super) fn find_lost(&self, damage: &Damage) {
        let Some(blobs) = self
            .0
            .store
            .blob_path(&Digest::sha256(b""))
            .parent()
            .map(Path::to_owned)
        else {
            return;
        };
        for path in damage.entries(&blobs) {
            let hex = path.file_name().and_then(|name| name.to_str());
            let Ok(id) = Digest::from_sha256_hex(hex.unwrap_or_default()) else {
                continue;
            };
            if self.0.state.borrow().images.contains_key(&id) {
                continue;
            }
            let check = |bytes: &[u8]| id.check_bytes(bytes).map_err(|error| error.to_string());
            let Some(bytes) = damage.bytes(&path, check) else {
                continue;
            };
            if self.is_whole_image(&bytes) {
                damage.say(format!(
                    "image {id} had no record and is found again, without its names"
                ));
                if let Err(error) = self.register(&id, Saved::default()) {
                    damage.say(error.message);
                }
            }
        }
    }

    fn is_whole_image(&self, config: &[u8]) -> bool {
        let state = self.0.state.borrow();
        ImageConfig::parse(config).is_ok_and(|image| {
            let layers = &image.rootfs.diff_ids;
            let is_here = |layer| self.0.store.has_layer(layer) || state.media.has(layer);
            !layers.is_empty() && layers.iter().all(is_here)
        })
    }

    /// Looks at every layer. One without its files is set aside, so that it can be pulled again; a description that is
    /// damaged is made again.
    fn check_layers(&self, damage: &Damage) {
        let store = &self.0.store;
        for path in damage.entries(&store.root().join("layers")) {
            let name = path.file_name().and_then(|name| name.to_str());
            let Ok(diff_id) = Digest::from_sha256_hex(name.unwrap_or_default()) else {
                continue;
            };
            if !store.has_layer(&diff_id) {
                damage.set_aside(&path, "a layer without its files");
                continue;
            }
            // A split that cannot be read costs `save` and `push` a layer with the same files and another digest.
            let split = path.join("split.gz");
            let is_there = fs::symlink_metadata(&split).is_ok();
            if is_there && !fs::metadata(&split).is_ok_and(|metadata| metadata.is_file()) {
                damage.set_aside(&split, "not a regular file");
            }
            let fits = |info: &LayerInfo| match &info.diff_id {
                own if *own == diff_id => Ok(()),
                other => Err(format!("it describes layer {other}")),
            };
            let description = path.join("layer.json");
            if damage.load(&description, fits).is_none() {
                describe_again(store, &diff_id, damage);
            }
        }
    }
}

/// What can be known of a layer by its files.
fn describe_again(store: &Store, diff_id: &Digest, damage: &Damage) {
    let size = u64::try_from(objects::tree::size(&store.layer_diff(diff_id))).unwrap_or(0);
    let info = LayerInfo {
        diff_id: diff_id.clone(),
        tar_size: size,
        size,
        compressed: Vec::new(),
    };
    match store.describe(&info) {
        Ok(()) => damage.say(format!("layer {diff_id} is described again")),
        Err(error) => damage.say(error.to_string()),
    }
}
