//! Image archives: what `docker save` writes and `docker load` reads, docker-archive and OCI image layout.
//!
//! Written archives are both at once: `manifest.json` points at the same `blobs/sha256` files as `index.json`, so old and
//! new Docker, podman and containerd read them.

mod load;
mod save;

pub use load::{Loaded, load};
pub(crate) use save::with_diff_ids;
pub use save::{SaveImage, save};

use serde::{Deserialize, Serialize};

/// Most images of one archive.
const IMAGES_MAX: usize = 1024;
/// Largest JSON file of an archive that is read, in bytes.
const JSON_MAX: u64 = 8 * 1024 * 1024;

/// An entry of docker-archive's `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ArchiveManifest {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    /// Null in an image without layers.
    #[serde(default, deserialize_with = "null_is_none")]
    layers: Vec<String>,
}

fn null_is_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
