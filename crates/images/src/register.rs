//! Registering images.

use std::path::PathBuf;
use std::rc::Rc;

use engine_api::{Error, Result};
use oci_image::Digest;
use oci_image::config::ImageConfig;

use super::{Images, Known, Saved, api_error};

impl Images {
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
        if let Err(error) = self.save_record(id, &saved) {
            // A configuration without a record would come back as an image at the next start.
            if let Err(error) = self.0.store.remove_blob(id) {
                sys::kmsg::warn("engine", &error.to_string());
            }
            return Err(error);
        }
        let known = self.known(&bytes, saved, false);
        self.0.state.borrow_mut().images.insert(id.clone(), known);
        Ok(())
    }

    /// Writes down what is kept of an image.
    pub(super) fn save_record(&self, id: &Digest, saved: &Saved) -> Result<()> {
        let path = self.record_path(id);
        let json = serde_json::to_vec(saved)?;
        objects::atomic_file::write_twice(&path, &json, 0o600).map_err(|error| {
            Error::server(format!(
                "write {}: {}",
                path.display(),
                engine_api::cause(&error)
            ))
        })
    }

    pub(super) fn record_path(&self, id: &Digest) -> PathBuf {
        self.0.images_dir.join(format!("{}.json", id.hex()))
    }
}
