//! The image as one file: an OCI image layout in a tar, which `docker load` and `skopeo` read.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use oci_image::digest::Digest;
use oci_image::manifest::{Descriptor, Index, OCI_INDEX, OCI_MANIFEST};
use oci_image::reference::Reference;
use serde_json::json;

use super::builder::{Image, Layer};
use crate::cache::Pending;
use crate::images::oci::{append, header};

/// Writes the image to `target`, under the name `reference`.
pub(super) fn write(image: &Image, reference: &Reference, target: &Path, epoch: u64) -> Result<()> {
    let context = || format!("write {}", target.display());
    let mut tar = tar::Builder::new(Pending::create(target)?);
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    append(&mut tar, "oci-layout", layout, epoch).with_context(context)?;
    append(&mut tar, "index.json", &index(image, reference)?, epoch).with_context(context)?;
    let manifest = docker_manifest(image, reference);
    append(&mut tar, "manifest.json", manifest.as_bytes(), epoch).with_context(context)?;
    for bytes in [image.config_bytes(), image.manifest()] {
        append(&mut tar, &blob(&Digest::sha256(bytes)), bytes, epoch).with_context(context)?;
    }
    // Two files with the same path and content cannot be; each layer is there once all the same
    let layers: BTreeMap<String, &Layer> = image
        .layers()
        .iter()
        .map(|layer| (blob(layer.digest()), layer))
        .collect();
    for (name, layer) in layers {
        let content = layer.open().with_context(context)?;
        tar.append_data(&mut header(layer.size(), epoch), name, content)
            .with_context(context)?;
    }
    let mut pending = tar.into_inner().with_context(context)?;
    pending.flush().with_context(context)?;
    pending.commit()
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The layout's list of images: this one, with its name in both forms that are known.
fn index(image: &Image, reference: &Reference) -> Result<Vec<u8>> {
    let bytes = image.manifest();
    let mut entry = Descriptor::new(OCI_MANIFEST, Digest::sha256(bytes), bytes.len() as u64);
    entry.annotations = [
        ("io.containerd.image.name", reference.to_string()),
        (
            "org.opencontainers.image.ref.name",
            reference.tag().unwrap_or_default().to_owned(),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let index = Index {
        schema_version: 2,
        media_type: OCI_INDEX.to_owned(),
        manifests: vec![entry],
        annotations: BTreeMap::new(),
    };
    serde_json::to_vec(&index).context("write an index")
}

/// The list that Docker before 25 reads.
fn docker_manifest(image: &Image, reference: &Reference) -> String {
    let layers: Vec<String> = image
        .layers()
        .iter()
        .map(|layer| blob(layer.digest()))
        .collect();
    json!([{
        "Config": blob(&Digest::sha256(image.config_bytes())),
        "RepoTags": [reference.familiar()],
        "Layers": layers,
    }])
    .to_string()
}
