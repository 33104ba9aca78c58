//! Registering images: those on disk when the engine starts, and new ones.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine_api::Result;
use oci_image::Digest;
use oci_image::config::ImageConfig;

use super::{Images, Known, Saved, api_error};

impl Images {
    pub(super) fn restore(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.0.images_dir)? {
            let path = entry?.path();
            let hex = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            let is_record = path
                .extension()
                .is_some_and(|extension| extension == "json");
            let Ok(id) = Digest::from_sha256_hex(hex) else {
                continue;
            };
            if is_record {
                self.restore_one(id, &path);
            }
        }
        Ok(())
    }

    fn restore_one(&self, id: Digest, path: &Path) {
        let saved = std::fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let known = match self.0.store.read_blob(&id) {
            Ok(bytes) => self.known(&bytes, saved.unwrap_or_default(), false),
            Err(error) => Known {
                bytes: Rc::from(&b""[..]),
                image: Rc::default(),
                saved: saved.unwrap_or_default(),
                from_media: false,
                damage: Some(format!("configuration of image {id} is damaged: {error}")),
                size: 0,
            },
        };
        self.0.state.borrow_mut().images.insert(id, known);
    }

    /// Reads a configuration; what is wrong with it is kept for those who use it.
    pub(super) fn known(&self, bytes: &[u8], saved: Saved, from_media: bool) -> Known {
        let (image, damage) = match ImageConfig::parse(bytes) {
            Ok(image) => (image, None),
            Err(error) => (ImageConfig::default(), Some(error.to_string())),
        };
        let size = image
            .rootfs
            .diff_ids
            .iter()
            .map(|layer| self.layer_size(layer))
            .sum();
        Known {
            bytes: Rc::from(bytes),
            image: Rc::new(image),
            saved,
            from_media,
            damage,
            size,
        }
    }

    pub(super) fn layer_size(&self, diff_id: &Digest) -> u64 {
        if let Some(size) = self.0.state.borrow().media.size(diff_id) {
            return size;
        }
        // layers of media that are not here yet count when they come
        self.0.store.layer_info(diff_id).map_or(0, |info| info.size)
    }

    /// Registers an image whose configuration and layers are in the store.
    pub(super) fn register(&self, id: &Digest, saved: Saved) -> Result<()> {
        let bytes = self
            .0
            .store
            .read_blob(id)
            .map_err(|error| api_error(&error))?;
        let json = serde_json::to_vec(&saved)?;
        crate::atomic_file::write(&self.record_path(id), &json, 0o600)?;
        let known = self.known(&bytes, saved, false);
        self.0.state.borrow_mut().images.insert(id.clone(), known);
        Ok(())
    }

    pub(super) fn record_path(&self, id: &Digest) -> PathBuf {
        self.0.images_dir.join(format!("{}.json", id.hex()))
    }
}
