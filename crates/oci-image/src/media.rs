//! `images.json`: the index of the system images on a boot medium. `xtask` writes it, the engine reads it.
//!
//! Each layer is a squashfs next to the index, named after the layer's diff id; the engine mounts it instead of
//! unpacking anything.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{LAYERS_MAX, limit_count};
use crate::reference::Reference;

/// File name of the index inside the media's `rancheros` directory.
pub const FILE_NAME: &str = "images.json";
/// Largest index that is read, in bytes.
pub const INDEX_MAX: u64 = 16 * 1024 * 1024;
/// Most images of one medium.
pub const IMAGES_MAX: usize = 1024;

/// The index of a medium.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MediaIndex {
    /// Version of the operating system that wrote it.
    pub version: String,
    /// The images.
    pub images: Vec<MediaImage>,
}

/// One image of the medium.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MediaImage {
    /// References under which the image is known.
    pub references: Vec<String>,
    /// Digest of the image's OCI manifest.
    pub manifest_digest: Digest,
    /// The image configuration, exact bytes.
    pub config: String,
    /// Digest of `config`: the image id.
    pub config_digest: Digest,
    /// Layers, lowest first, in the order of the configuration's diff ids.
    pub layers: Vec<MediaLayer>,
}

/// One layer of the medium.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MediaLayer {
    /// Digest of the layer's uncompressed tar.
    pub diff_id: Digest,
    /// Path of the squashfs, relative to the index.
    pub file: String,
    /// Size of the squashfs in bytes.
    pub size: u64,
    /// Programs of the layer that every boot starts, relative to its root: read as soon as it is mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_ahead: Vec<String>,
}

impl MediaIndex {
    /// Parses an index; each image is checked on its own by [`MediaImage::check`].
    ///
    /// # Errors
    /// When it is not JSON, or its version is unknown.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let index: Self = serde_json::from_slice(bytes)
            .map_err(|error| Error::invalid(format!("malformed {FILE_NAME}: {error}")))?;
        limit_count("media images", index.images.len(), IMAGES_MAX)?;
        Ok(index)
    }

    /// The file's content.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Error::invalid(format!("{FILE_NAME}: {error}")))
    }
}

impl MediaImage {
    /// Checks digests, references, paths and the agreement of layers and configuration; returns the configuration.
    ///
    /// # Errors
    /// With the first of these that is wrong.
    pub fn check(&self) -> Result<ImageConfig> {
        self.config_digest.check_bytes(self.config.as_bytes())?;
        let config = ImageConfig::parse(self.config.as_bytes())?;
        limit_count("image layers", self.layers.len(), LAYERS_MAX)?;
        let listed: Vec<&Digest> = self.layers.iter().map(|layer| &layer.diff_id).collect();
        if listed != config.rootfs.diff_ids.iter().collect::<Vec<_>>() {
            return Err(Error::invalid(format!(
                "layers of {} differ from its configuration",
                self.config_digest
            )));
        }
        for layer in &self.layers {
            let plain = Path::new(&layer.file)
                .components()
                .all(|c| matches!(c, Component::Normal(_)));
            if layer.file.is_empty() || !plain {
                return Err(Error::invalid(format!(
                    "layer path {:.200?} leaves the medium",
                    layer.file
                )));
            }
        }
        for reference in &self.references {
            Reference::parse(reference)?;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> MediaImage {
        let mut config = ImageConfig::default();
        let diff_id = Digest::sha256(b"layer");
        config.rootfs.diff_ids.push(diff_id.clone());
        let config = String::from_utf8(config.to_bytes()).unwrap();
        MediaImage {
            references: vec!["rancher/os-base:0.1.0".to_owned()],
            manifest_digest: Digest::sha256(b"manifest"),
            config_digest: Digest::sha256(config.as_bytes()),
            config,
            layers: vec![MediaLayer {
                file: format!("layers/{}.squashfs", diff_id.hex()),
                diff_id,
                size: 4096,
                read_ahead: vec!["usr/bin/a".to_owned()],
            }],
        }
    }

    #[test]
    fn index_survives_a_round_trip() {
        let index = MediaIndex {
            version: "0.1.0".to_owned(),
            images: vec![image()],
        };
        let read = MediaIndex::parse(&index.to_bytes().unwrap()).unwrap();
        assert_eq!(read, index);
        read.images[0].check().unwrap();
    }

    #[test]
    fn damage_is_found() {
        let damage: [fn(&mut MediaImage); 5] = [
            |i| i.config.push(' '),
            |i| i.layers[0].file = "../x".to_owned(),
            |i| i.layers[0].file = "/etc/passwd".to_owned(),
            |i| i.layers.clear(),
            |i| i.references.push("BAD".to_owned()),
        ];
        for (n, damage) in damage.iter().enumerate() {
            let mut image = image();
            damage(&mut image);
            assert!(image.check().is_err(), "damage {n} was not found");
        }
    }
}
