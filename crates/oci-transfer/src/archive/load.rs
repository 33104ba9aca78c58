//! Reads an image archive into the store.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::PathBuf;

use super::{ArchiveManifest, IMAGES_MAX, JSON_MAX};
use crate::layer::{UnpackOptions, confined_file, unpack};
use crate::layers::LayerSet;
use crate::reporting::Reporting;
use oci_image::config::ImageConfig;
use oci_image::digest::Digest;
use oci_image::error::{Context, Error, Result};
use oci_image::manifest::{Descriptor, Document, Index, Manifest, Platform, limit_count};
use oci_image::progress::{Progress, Report, short};
use oci_image::reference::Reference;

/// An image whose configuration and layers are now in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Image id: digest of the configuration.
    pub id: Digest,
    /// Diff ids, lowest first.
    pub layers: Vec<Digest>,
    /// References the archive gives it.
    pub references: Vec<Reference>,
}

/// An archive unpacked in the work directory, removed with this value.
struct Archive {
    directory: PathBuf,
}

impl Drop for Archive {
    fn drop(&mut self) {
        // what stays behind is removed at the next start
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// An image of an archive before its layers are unpacked.
struct Found {
    config: Vec<u8>,
    layers: Vec<String>,
    references: Vec<Reference>,
}

/// Loads all images of the archive in `reader`, compressed or not.
///
/// # Errors
/// When the archive is damaged, is not an image archive, or a layer cannot be stored.
pub fn load(reader: impl Read, layers: &LayerSet, report: Report<'_>) -> Result<Vec<Loaded>> {
    let archive = Archive {
        directory: layers.store.work_path("load"),
    };
    fs::create_dir_all(&archive.directory)
        .context(|| format!("make {}", archive.directory.display()))?;
    unpack(reader, &archive.directory, UnpackOptions::plain())?;
    let found = if archive.has("manifest.json") {
        archive.docker_images()?
    } else if archive.has("index.json") {
        archive.oci_images()?
    } else {
        return Err(Error::invalid(
            "archive holds neither manifest.json nor index.json: it is not an image archive",
        ));
    };
    limit_count("images of the archive", found.len(), IMAGES_MAX)?;
    found
        .iter()
        .map(|image| archive.load_image(image, layers, report))
        .collect()
}

impl Archive {
    fn open(&self, path: &str) -> Result<File> {
        confined_file(&self.directory, path.as_bytes())
    }

    fn has(&self, path: &str) -> bool {
        self.open(path).is_ok()
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.open(path)?;
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .context(|| format!("read {path} of the archive"))?;
        if bytes.len() as u64 > limit {
            return Err(Error::Limit {
                what: format!("{path} of the archive"),
                limit,
            });
        }
        Ok(bytes)
    }

    fn docker_images(&self) -> Result<Vec<Found>> {
        let bytes = self.read("manifest.json", JSON_MAX)?;
        let manifests: Vec<ArchiveManifest> = serde_json::from_slice(&bytes)
            .map_err(|error| Error::invalid(format!("malformed manifest.json: {error}")))?;
        let mut found = Vec::new();
        for manifest in manifests {
            let tags = manifest.repo_tags.unwrap_or_default();
            found.push(Found {
                config: self.read(&manifest.config, JSON_MAX)?,
                layers: manifest.layers,
                references: tags
                    .iter()
                    .map(|tag| Reference::parse(tag))
                    .collect::<Result<_>>()?,
            });
        }
        Ok(found)
    }

    fn oci_images(&self) -> Result<Vec<Found>> {
        let bytes = self.read("index.json", JSON_MAX)?;
        let Document::Index(index) = Document::parse(&bytes, None)? else {
            return Err(Error::invalid("index.json is not an index"));
        };
        let mut found = Vec::new();
        for descriptor in &index.manifests {
            let manifest = match self.document(descriptor)? {
                Document::Image(manifest) => *manifest,
                Document::Index(inner) => self.pick(&inner)?,
            };
            found.push(Found {
                config: self.blob(&manifest.config)?,
                layers: manifest
                    .layers
                    .iter()
                    .map(|layer| blob_path(&layer.digest))
                    .collect(),
                references: reference_of(descriptor).into_iter().collect(),
            });
        }
        Ok(found)
    }

    fn pick(&self, index: &Index) -> Result<Manifest> {
        let platform = Platform::host();
        let chosen = index.select(&platform).ok_or_else(|| {
            Error::NotFound(format!(
                "no matching manifest for {} in the archive",
                platform.name()
            ))
        })?;
        match self.document(chosen)? {
            Document::Image(manifest) => Ok(*manifest),
            Document::Index(_) => Err(Error::invalid("index of indexes")),
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.read(&blob_path(&descriptor.digest), JSON_MAX)?;
        descriptor.digest.check_bytes(&bytes)?;
        Ok(bytes)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        Document::parse(&self.blob(descriptor)?, Some(&descriptor.media_type))
    }

    fn load_image(&self, image: &Found, layers: &LayerSet, report: Report<'_>) -> Result<Loaded> {
        let config = ImageConfig::parse(&image.config)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != image.layers.len() {
            return Err(Error::invalid(format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                diff_ids.len(),
                image.layers.len()
            )));
        }
        for (position, (diff_id, path)) in diff_ids.iter().zip(&image.layers).enumerate() {
            if layers.has(diff_id) {
                continue;
            }
            let id = short(diff_id);
            let mut file = self.open(path)?;
            let total = file
                .seek(std::io::SeekFrom::End(0))
                .context(|| format!("measure {path}"))?;
            file.rewind().context(|| format!("read {path}"))?;
            let staged =
                layers.stage_layer(Reporting::new(file, report, &id, "Loading layer", total))?;
            diff_id.check(&staged.info().diff_id)?;
            layers.commit(staged, &diff_ids[..position])?;
            report(Progress::bytes(&id, "Loading layer", total, total));
        }
        Ok(Loaded {
            id: layers.store.put_blob(&image.config)?,
            layers: diff_ids.clone(),
            references: image.references.clone(),
        })
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm_name(), digest.hex())
}

/// The name an OCI layout gives an image: containerd's full one, or the bare `org.opencontainers.image.ref.name`.
fn reference_of(descriptor: &Descriptor) -> Option<Reference> {
    let full = descriptor.annotations.get("io.containerd.image.name");
    let name = full.or_else(|| {
        let bare = descriptor
            .annotations
            .get("org.opencontainers.image.ref.name");
        bare.filter(|name| name.contains([':', '/']))
    })?;
    Reference::parse(name).ok().map(Reference::or_latest)
}
