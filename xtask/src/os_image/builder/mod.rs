//! The image's layers and documents. The same files give the same bytes, whoever builds.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use oci_image::config::{History, ImageConfig};
use oci_image::digest::{Digest, DigestWriter};
use oci_image::manifest::{
    Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Platform,
};
use oci_transfer::registry::Blob;

use crate::images::oci::rfc3339;

/// dockerd's overlay2 mounts at most 128 directories (overlay2 of moby, `maxDepth`); one is the container's own, and some are
/// left for who builds on this image.
const MOST_LAYERS: usize = 120;
/// A tar's block, in bytes.
const BLOCK: u64 = 512;
/// A tar ends with two empty blocks.
const END: u64 = 2 * BLOCK;

/// A layer: an uncompressed tar with one file.
pub(super) struct Layer {
    path: String,
    header: Vec<u8>,
    content: Content,
    /// Zeros behind the content.
    padding: u64,
    digest: Digest,
    size: u64,
}

enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Layer {
    /// A layer that has a file at `path`, which does not begin with a slash.
    pub(super) fn file(path: &str, source: &Path, mode: u32, epoch: u64) -> Result<Self> {
        let metadata = source
            .metadata()
            .with_context(|| format!("stat {}", source.display()))?;
        let content = Content::File(source.to_owned());
        Self::new(path, content, metadata.len(), mode, epoch)
    }

    /// The same, of bytes.
    pub(super) fn bytes(path: &str, bytes: Vec<u8>, epoch: u64) -> Result<Self> {
        let size = bytes.len() as u64;
        Self::new(path, Content::Bytes(bytes), size, 0o644, epoch)
    }

    fn new(path: &str, content: Content, size: u64, mode: u32, epoch: u64) -> Result<Self> {
        let mut header = tar::Header::new_ustar();
        header
            .set_path(path)
            .with_context(|| format!("name {path}"))?;
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(epoch);
        header.set_size(size);
        header.set_cksum();
        let mut layer = Self {
            path: path.to_owned(),
            header: header.as_bytes().to_vec(),
            content,
            padding: size.next_multiple_of(BLOCK) - size + END,
            digest: Digest::sha256(b""),
            size: 0,
        };
        let mut writer = DigestWriter::new(io::sink());
        io::copy(&mut layer.open()?, &mut writer).with_context(|| format!("read {path}"))?;
        let (digest, written, _) = writer.finish();
        ensure!(
            written == BLOCK + size + layer.padding,
            "{path} changed while it was read"
        );
        (layer.digest, layer.size) = (digest, written);
        Ok(layer)
    }

    /// The tar.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let content: Box<dyn Read + '_> = match &self.content {
            Content::File(path) => Box::new(File::open(path)?),
            Content::Bytes(bytes) => Box::new(bytes.as_slice()),
        };
        let padding = io::repeat(0).take(self.padding);
        Ok(Box::new(
            Cursor::new(&self.header).chain(content).chain(padding),
        ))
    }

    /// The tar's digest: the layer's diff id, because it is not compressed. What is in it is.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The tar's size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The tar, for a registry.
    pub(super) fn blob(&self) -> Blob<'_> {
        Blob {
            digest: self.digest.clone(),
            size: self.size,
            open: Box::new(|| {
                self.open()
                    .map_err(|error| oci_image::Error::io(format!("open {}", self.path), error))
            }),
        }
    }
}

/// The image of one architecture.
pub(super) struct Image {
    layers: Vec<Layer>,
    config: Vec<u8>,
    manifest: Vec<u8>,
    index: Vec<u8>,
}

impl Image {
    /// Describes the layers, lowest first.
    pub(super) fn new(arch: &str, version: &str, epoch: u64, layers: Vec<Layer>) -> Result<Self> {
        ensure!(
            layers.len() <= MOST_LAYERS,
            "{} files are too many: Docker takes an image of at most {MOST_LAYERS} layers",
            layers.len()
        );
        let config = configuration(arch, version, epoch, &layers);
        let descriptor =
            |layer: &Layer| Descriptor::new(OCI_LAYER, layer.digest.clone(), layer.size);
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            config: Descriptor::new(OCI_CONFIG, Digest::sha256(&config), config.len() as u64),
            layers: layers.iter().map(descriptor).collect(),
            annotations: Default::default(),
        };
        let manifest = serde_json::to_vec(&manifest).context("write a manifest")?;
        let mut entry = Descriptor::new(
            OCI_MANIFEST,
            Digest::sha256(&manifest),
            manifest.len() as u64,
        );
        entry.platform = Some(Platform::parse(&format!("linux/{arch}"))?);
        let index = Index {
            schema_version: 2,
            media_type: OCI_INDEX.to_owned(),
            manifests: vec![entry],
            annotations: Default::default(),
        };
        Ok(Self {
            layers,
            config,
            manifest,
            index: serde_json::to_vec(&index).context("write an index")?,
        })
    }

    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The configuration, for a registry.
    pub(super) fn config(&self) -> Blob<'_> {
        Blob {
            digest: Digest::sha256(&self.config),
            size: self.config.len() as u64,
            open: Box::new(|| Ok(Box::new(self.config.as_slice()))),
        }
    }

    pub(super) fn config_bytes(&self) -> &[u8] {
        &self.config
    }

    pub(super) fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// The index that a registry has under the tag.
    pub(super) fn index(&self) -> &[u8] {
        &self.index
    }
}

fn configuration(arch: &str, version: &str, epoch: u64, layers: &[Layer]) -> Vec<u8> {
    let created = Some(rfc3339(epoch));
    let mut config = ImageConfig {
        architecture: arch.to_owned(),
        os: "linux".to_owned(),
        created: created.clone(),
        ..ImageConfig::default()
    };
    config.config.entrypoint = Some(vec![format!("/{}", install::image::PROGRAM)]);
    config.config.labels = [
        ("org.opencontainers.image.title", "RancherOS"),
        ("org.opencontainers.image.version", version),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.digest.clone()).collect();
    config.history = layers
        .iter()
        .map(|layer| History {
            created: created.clone(),
            created_by: install::image::history(&layer.path),
            ..History::default()
        })
        .collect();
    config.to_bytes()
}

#[cfg(test)]
mod tests;
