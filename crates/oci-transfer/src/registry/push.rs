//! Pushes an image: layers and configuration that the repository lacks, then the manifest.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::uploads::Uploads;
use super::{Transfer, writer};
use crate::archive::with_diff_ids;
use crate::layers::LayerSet;
use crate::reporting::Reporting;
use oci_image::config::ImageConfig;
use oci_image::digest::{Digest, DigestWriter};
use oci_image::error::{Context, Error, Result};
use oci_image::manifest::{
    DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, Descriptor, Manifest,
};
use oci_image::progress::{Progress, short};
use oci_image::reference::Reference;
use oci_image::store::CompressedForm;

/// An image to push.
#[derive(Debug, Clone)]
pub struct PushImage {
    /// Where to, with a tag.
    pub reference: Reference,
    /// The configuration, exact bytes.
    pub config: Vec<u8>,
}

/// A pushed manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Its tag.
    pub tag: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A compressed layer in a work file, removed with this value.
struct Packed {
    path: PathBuf,
    digest: Digest,
    size: u64,
    /// Digest of what was compressed.
    diff_id: Digest,
}

impl Drop for Packed {
    fn drop(&mut self) {
        // what stays behind is removed at the next start
        let _ = fs::remove_file(&self.path);
    }
}

/// Pushes one tag.
///
/// # Errors
/// When the registry cannot be reached or refuses, or a layer is missing.
pub fn push(image: &PushImage, layers: &LayerSet, transfer: &Transfer<'_>) -> Result<Pushed> {
    let reference = &image.reference;
    let tag = reference
        .tag()
        .ok_or_else(|| Error::Reference(": a tag is needed".to_owned()))?;
    let http = writer(reference, transfer)?;
    let pusher = Pusher {
        uploads: Uploads::new(&http, reference),
        reference,
        layers,
        transfer,
    };
    let config = ImageConfig::parse(&image.config)?;
    // Docker names them from the top
    for diff_id in config.rootfs.diff_ids.iter().rev() {
        (transfer.report)(Progress::step(&short(diff_id), "Preparing"));
    }
    let mut descriptors = Vec::new();
    let mut pushed = Vec::new();
    for diff_id in &config.rootfs.diff_ids {
        let (descriptor, as_pushed) = pusher.layer(diff_id)?;
        descriptors.push(descriptor);
        pushed.push(as_pushed);
    }
    // Layers of media are packed again, perhaps to other bytes: the pushed configuration names what was pushed.
    let bytes = if pushed == config.rootfs.diff_ids {
        image.config.clone()
    } else {
        with_diff_ids(&image.config, &pushed)?
    };
    let config_digest = Digest::sha256(&bytes);
    let config_size = bytes.len() as u64;
    if !pusher.uploads.has_blob(&config_digest)? {
        pusher.uploads.upload(&config_digest, config_size, &|| {
            Ok(Box::new(bytes.as_slice()))
        })?;
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: DOCKER_MANIFEST.to_owned(),
        config: Descriptor::new(DOCKER_CONFIG, config_digest, config_size),
        layers: descriptors,
        annotations: Default::default(),
    };
    let bytes = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Error::invalid(format!("encode JSON: {error}")))?;
    let digest = pusher.uploads.document(tag, DOCKER_MANIFEST, &bytes)?;
    let size = bytes.len() as u64;
    let line = format!("{tag}: digest: {digest} size: {size}");
    (transfer.report)(Progress::step("", line));
    Ok(Pushed {
        tag: tag.to_owned(),
        digest,
        size,
    })
}

struct Pusher<'a> {
    uploads: Uploads<'a>,
    reference: &'a Reference,
    layers: &'a LayerSet,
    transfer: &'a Transfer<'a>,
}

impl Pusher<'_> {
    /// Makes the registry have a layer; what describes it there, and its digest unpacked.
    fn layer(&self, diff_id: &Digest) -> Result<(Descriptor, Digest)> {
        let id = short(diff_id);
        let report = self.transfer.report;
        // layers mounted from a medium have no record of compressed forms
        let known = self
            .layers
            .store
            .layer_info(diff_id)
            .map(|info| info.compressed)
            .unwrap_or_default();
        for form in known {
            if self.uploads.has_blob(&form.digest)? {
                report(Progress::step(&id, "Layer already exists"));
                let descriptor = Descriptor::new(&form.media_type, form.digest, form.size);
                return Ok((descriptor, diff_id.clone()));
            }
        }
        let packed = self.pack(diff_id)?;
        if self.uploads.has_blob(&packed.digest)? {
            report(Progress::step(&id, "Layer already exists"));
        } else {
            self.uploads.upload(&packed.digest, packed.size, &|| {
                let file = File::open(&packed.path)
                    .context(|| format!("open {}", packed.path.display()))?;
                Ok(Box::new(Reporting::new(
                    BufReader::new(file),
                    report,
                    &id,
                    "Pushing",
                    packed.size,
                )))
            })?;
            report(Progress::step(&id, "Pushed"));
        }
        let form = CompressedForm {
            digest: packed.digest.clone(),
            size: packed.size,
            media_type: DOCKER_LAYER_GZIP.to_owned(),
            repository: self.reference.name(),
        };
        if self.layers.store.has_layer(diff_id) {
            self.layers.store.note_compressed(diff_id, form)?;
        }
        let descriptor = Descriptor::new(DOCKER_LAYER_GZIP, packed.digest.clone(), packed.size);
        Ok((descriptor, packed.diff_id.clone()))
    }

    fn pack(&self, diff_id: &Digest) -> Result<Packed> {
        let directory = self.layers.directory(diff_id);
        let (tar, digest, _) = self.layers.export_layer(diff_id, &directory)?;
        let checked = if self.layers.store.has_layer(diff_id) {
            diff_id.check(&digest)
        } else {
            Ok(())
        };
        let work = self.layers.store.work_path("push");
        let result = checked.and_then(|()| compress(&tar, &work, digest));
        fs::remove_file(&tar).context(|| format!("remove {}", tar.display()))?;
        result
    }
}

fn compress(tar: &Path, target: &Path, diff_id: Digest) -> Result<Packed> {
    let what = || format!("compress {}", tar.display());
    let mut input = File::open(tar).context(what)?;
    let file = File::create(target).context(|| format!("create {}", target.display()))?;
    let mut packed = Packed {
        path: target.to_owned(),
        digest: Digest::sha256(b""),
        size: 0,
        diff_id,
    };
    let mut gzip = GzEncoder::new(DigestWriter::new(file), Compression::default());
    std::io::copy(&mut input, &mut gzip).context(what)?;
    let (digest, size, _) = gzip.finish().context(what)?.finish();
    packed.digest = digest;
    packed.size = size;
    Ok(packed)
}
