//! Finding images by what users call them, and their layers for containers.

use std::path::PathBuf;
use std::rc::Rc;

use engine_api::{Error, Result};
use oci_image::reference::is_hex_id;
use oci_image::{Digest, Reference};

use super::{
    ImageRecord, Images, LayerSource, api_error, container_config, no_such_image, parse_reference,
};

/// Shortest prefix of an id that is looked up, in characters.
const ID_PREFIX_MIN: usize = 4;

impl Images {
    /// Finds an image by reference, id, short id or digest.
    ///
    /// # Errors
    /// 404 when there is none, 400 when the reference breaks the grammar, 500 when the image is damaged.
    pub fn resolve(&self, reference: &str) -> Result<ImageRecord> {
        let id = self.find(reference)?;
        let state = self.0.state.borrow();
        let known = state.known(&id, reference)?;
        if let Some(damage) = &known.damage {
            return Err(Error::server(format!(
                "image {reference} cannot be used: {damage}"
            )));
        }
        Ok(ImageRecord {
            id: id.to_string(),
            config: container_config(&known.image)?,
            image: Rc::clone(&known.image),
            layers: known
                .layers()
                .iter()
                .map(|diff_id| LayerSource {
                    diff_id: diff_id.clone(),
                })
                .collect(),
            from_media: known.from_media,
        })
    }

    /// Whether a reference or id names an image.
    pub fn exists(&self, reference: &str) -> bool {
        self.find(reference).is_ok()
    }

    pub(super) fn find(&self, text: &str) -> Result<Digest> {
        let state = self.0.state.borrow();
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if is_hex_id(hex) {
            let id = Digest::from_sha256_hex(hex).map_err(|error| api_error(&error))?;
            return if state.images.contains_key(&id) {
                Ok(id)
            } else {
                Err(Error::not_found(format!("No such image: {text}")))
            };
        }
        let reference = parse_reference(text);
        if let Ok(reference) = &reference
            && let Some(id) = state.table.get(&reference.clone().or_latest())
            && state.images.contains_key(id)
        {
            return Ok(id.clone());
        }
        let is_prefix = hex.len() >= ID_PREFIX_MIN && hex.bytes().all(|b| b.is_ascii_hexdigit());
        if is_prefix {
            let mut matching = state.images.keys().filter(|id| id.hex().starts_with(hex));
            if let (Some(id), None) = (matching.next(), matching.next()) {
                return Ok(id.clone());
            }
        }
        reference.and_then(|_| Err(no_such_image(text)))
    }

    /// Directories of layers (given lowest first) as overlay lower directories, the uppermost first. Layers of media are
    /// mounted at their first use.
    ///
    /// # Errors
    /// When a layer is missing or its file on the medium is damaged.
    pub fn layer_directories(&self, layers: &[LayerSource]) -> Result<Vec<PathBuf>> {
        let mut state = self.0.state.borrow_mut();
        let mut directories = Vec::with_capacity(layers.len());
        for layer in layers.iter().rev() {
            let directory = if state.media.has(&layer.diff_id) {
                state.media.mount(&layer.diff_id)?
            } else if self.0.store.has_layer(&layer.diff_id) {
                self.0.store.layer_diff(&layer.diff_id)
            } else {
                return Err(Error::server(format!("layer {} is missing", layer.diff_id)));
            };
            // overlayfs refuses a directory that it has already (ELOOP); below, the same layer hides nothing and shows nothing.
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        Ok(directories)
    }

    /// References of an image as users write them: `name:tag` and `name@digest`.
    pub fn references(&self, image_id: &str) -> Vec<String> {
        let Ok(id) = image_id.parse::<Digest>() else {
            return Vec::new();
        };
        self.0
            .state
            .borrow()
            .table
            .of(&id)
            .iter()
            .map(Reference::familiar)
            .collect()
    }
}
