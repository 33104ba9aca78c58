//! Writes images as one archive.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::ArchiveManifest;
use crate::layer::{Entry, Kind, TarWriter};
use crate::layers::LayerSet;
use oci_image::config::ImageConfig;
use oci_image::digest::Digest;
use oci_image::error::{Context, Error, Result};
use oci_image::manifest::{
    Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST,
};
use oci_image::reference::Reference;

/// An image to save.
#[derive(Debug, Clone)]
pub struct SaveImage {
    /// The configuration, exact bytes.
    pub config: Vec<u8>,
    /// References to write with it.
    pub references: Vec<Reference>,
    /// When it was made, in seconds since 1970: the time of its configuration and layers, as in Docker's archives.
    pub created: i64,
}

/// Writes `images` to `out` as docker-archive and OCI layout in one tar.
///
/// # Errors
/// When a layer is missing, or writing fails.
pub fn save(out: impl Write, images: &[SaveImage], layers: &LayerSet) -> Result<()> {
    let mut saver = Saver {
        tar: TarWriter::new(out),
        layers,
        written: BTreeSet::new(),
        manifests: Vec::new(),
        index: Vec::new(),
    };
    saver.directory("blobs/")?;
    saver.directory("blobs/sha256/")?;
    for image in images {
        saver.image(image)?;
    }
    saver.finish()
}

struct Saver<'a, W: Write> {
    tar: TarWriter<W>,
    layers: &'a LayerSet,
    written: BTreeSet<Digest>,
    manifests: Vec<ArchiveManifest>,
    index: Vec<Descriptor>,
}

impl<W: Write> Saver<'_, W> {
    fn directory(&mut self, path: &str) -> Result<()> {
        self.tar
            .append_empty(&Entry::new(path, Kind::Directory, 0o755))
    }

    fn image(&mut self, image: &SaveImage) -> Result<()> {
        let config = ImageConfig::parse(&image.config)?;
        let mut layers = Vec::new();
        for diff_id in &config.rootfs.diff_ids {
            layers.push(self.layer(diff_id, image.created)?);
        }
        let written: Vec<Digest> = layers.iter().map(|layer| layer.digest.clone()).collect();
        let bytes = if written == config.rootfs.diff_ids {
            image.config.clone()
        } else {
            with_diff_ids(&image.config, &written)?
        };
        let config = self.blob(OCI_CONFIG, &bytes, image.created)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            config: config.clone(),
            layers,
            annotations: Default::default(),
        };
        let bytes = to_json(&manifest)?;
        let descriptor = self.blob(OCI_MANIFEST, &bytes, 0)?;
        self.add_to_index(&descriptor, &image.references);
        self.manifests.push(ArchiveManifest {
            config: path_of(&config.digest),
            repo_tags: Some(image.references.iter().map(Reference::familiar).collect()),
            layers: manifest
                .layers
                .iter()
                .map(|layer| path_of(&layer.digest))
                .collect(),
        });
        Ok(())
    }

    fn add_to_index(&mut self, descriptor: &Descriptor, references: &[Reference]) {
        if references.is_empty() {
            self.index.push(descriptor.clone());
        }
        for reference in references {
            let mut named = descriptor.clone();
            named
                .annotations
                .insert("io.containerd.image.name".to_owned(), reference.to_string());
            if let Some(tag) = reference.tag() {
                named.annotations.insert(
                    "org.opencontainers.image.ref.name".to_owned(),
                    tag.to_owned(),
                );
            }
            self.index.push(named);
        }
    }

    fn layer(&mut self, diff_id: &Digest, created: i64) -> Result<Descriptor> {
        let directory = self.layers.directory(diff_id);
        let (path, digest, size) = self.layers.export_layer(diff_id, &directory)?;
        let mut entry = Entry::new(path_of(&digest), Kind::File, 0o644);
        entry.size = size;
        entry.mtime = (created, 0);
        let result = self.layer_file(&path, &digest, &entry);
        fs::remove_file(&path).context(|| format!("remove {}", path.display()))?;
        result?;
        Ok(Descriptor::new(OCI_LAYER, digest, size))
    }

    fn layer_file(&mut self, path: &Path, digest: &Digest, entry: &Entry) -> Result<()> {
        if !self.written.insert(digest.clone()) {
            return Ok(());
        }
        let mut file = File::open(path).context(|| format!("open {}", path.display()))?;
        self.tar.append(entry, &mut file)
    }

    fn blob(&mut self, media_type: &str, bytes: &[u8], time: i64) -> Result<Descriptor> {
        let digest = Digest::sha256(bytes);
        if self.written.insert(digest.clone()) {
            let mut entry = Entry::new(path_of(&digest), Kind::File, 0o644);
            entry.size = bytes.len() as u64;
            entry.mtime = (time, 0);
            self.tar.append(&entry, &mut { bytes })?;
        }
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    fn finish(mut self) -> Result<()> {
        let index = Index {
            schema_version: 2,
            media_type: OCI_INDEX.to_owned(),
            manifests: std::mem::take(&mut self.index),
            annotations: Default::default(),
        };
        self.tar.append_bytes("index.json", &to_json(&index)?)?;
        let manifests = std::mem::take(&mut self.manifests);
        self.tar
            .append_bytes("manifest.json", &to_json(&manifests)?)?;
        self.tar
            .append_bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        self.tar.finish()?;
        Ok(())
    }
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm_name(), digest.hex())
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::invalid(format!("encode JSON: {error}")))
}

/// The configuration with other diff ids; everything else stays.
pub(crate) fn with_diff_ids(config: &[u8], diff_ids: &[Digest]) -> Result<Vec<u8>> {
    let mut value: serde_json::Value = serde_json::from_slice(config)
        .map_err(|error| Error::invalid(format!("malformed image configuration: {error}")))?;
    value["rootfs"]["diff_ids"] = diff_ids.iter().map(Digest::to_string).collect();
    to_json(&value)
}
