//! The image that benchmarks pull: a registry in this process leaves the network out.

use std::io::Write;

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::registry::{Documents, MANIFEST, Registry, digest};

/// Layers of the image.
const LAYERS: u64 = 4;
/// Files of one layer.
const FILES: u64 = 500;
/// Bytes of one file: with the two figures above, 200 MB.
const FILE_BYTES: usize = 100_000;

/// Media types (OCI image specification 1.1).
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Makes the image `bench` for `architecture` (Docker's name) and serves it.
pub(super) fn start(architecture: &str) -> anyhow::Result<Registry> {
    Registry::start(image(architecture)?)
}

fn image(architecture: &str) -> anyhow::Result<Documents> {
    let mut documents = Documents::new();
    let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
    for number in 0..LAYERS {
        let tar = layer(number).context("make a layer")?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&tar)?;
        diff_ids.push(digest(&tar));
        layers.push(add(&mut documents, LAYER, gzip.finish()?));
    }
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = add(&mut documents, CONFIG, serde_json::to_vec(&config)?);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": layers,
    });
    let manifest = serde_json::to_vec(&manifest)?;
    documents.insert("latest".to_owned(), (MANIFEST, manifest.clone().into()));
    add(&mut documents, MANIFEST, manifest);
    Ok(documents)
}

/// Adds a document under its digest; returns its descriptor.
fn add(documents: &mut Documents, kind: &'static str, bytes: Vec<u8>) -> Value {
    let digest = digest(&bytes);
    let descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
    documents.insert(digest, (kind, bytes.into()));
    descriptor
}

/// Files of pseudo-random text, which gzip makes a quarter smaller: about what it does to programs.
fn layer(number: u64) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut state = number + 1;
    for file in 0..FILES {
        let content: Vec<u8> = std::iter::repeat_with(|| {
            // xorshift64 (Marsaglia, 2003)
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b' ' + (state >> 58) as u8
        })
        .take(FILE_BYTES)
        .collect();
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, format!("data/{number}/{file}"), &content[..])?;
    }
    tar.into_inner()
}
