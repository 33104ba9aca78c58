//! A registry with one image, for pulls that leave the network out: the distribution protocol's read-only half.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tiny_http::{Header, Method, Request, Response, Server};

/// Layers of the image.
const LAYERS: u64 = 4;
/// Files of one layer.
const FILES: u64 = 500;
/// Bytes of one file: with the two figures above, 200 MB.
const FILE_BYTES: usize = 100_000;

/// Media types (OCI image specification 1.1).
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The server; it ends with the process.
pub(super) struct Registry {
    /// Port on 127.0.0.1, which a guest reaches as 10.0.2.2.
    pub(super) port: u16,
}

/// What paths below /v2/bench/ answer.
type Documents = BTreeMap<String, (&'static str, Vec<u8>)>;

impl Registry {
    /// Makes the image `bench` for `architecture` (Docker's name) and serves it.
    pub(super) fn start(architecture: &str) -> anyhow::Result<Registry> {
        let documents = Arc::new(image(architecture)?);
        let server = Server::http("127.0.0.1:0").map_err(|error| anyhow!("registry: {error}"))?;
        let port = server
            .server_addr()
            .to_ip()
            .context("the registry has no port")?
            .port();
        let server = Arc::new(server);
        for _ in 0..LAYERS {
            let (server, documents) = (Arc::clone(&server), Arc::clone(&documents));
            std::thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    // A client that goes away is its own affair.
                    let _ = answer(request, &documents);
                }
            });
        }
        Ok(Registry { port })
    }
}

fn answer(request: Request, documents: &Documents) -> anyhow::Result<()> {
    let path = request.url().to_owned();
    if path == "/v2/" {
        return Ok(request.respond(Response::from_string("{}"))?);
    }
    let name = path.rsplit('/').next().unwrap_or("");
    let Some((kind, bytes)) = documents.get(name) else {
        return Ok(request.respond(Response::from_string("{}").with_status_code(404))?);
    };
    let header = |name: &str, value: &str| {
        Header::from_bytes(name, value).map_err(|()| anyhow!("no header: {name}: {value}"))
    };
    let length = bytes.len();
    let body: &[u8] = if *request.method() == Method::Head {
        &[]
    } else {
        bytes
    };
    let response = Response::new(
        200.into(),
        vec![
            header("Content-Type", kind)?,
            header("Docker-Content-Digest", &digest(bytes))?,
        ],
        body,
        Some(length),
        None,
    )
    // Docker's client wants a length, which the library leaves out of large answers.
    .with_chunked_threshold(usize::MAX);
    Ok(request.respond(response)?)
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
    documents.insert("latest".to_owned(), (MANIFEST, manifest.clone()));
    add(&mut documents, MANIFEST, manifest);
    Ok(documents)
}

/// Adds a document under its digest; returns its descriptor.
fn add(documents: &mut Documents, kind: &'static str, bytes: Vec<u8>) -> Value {
    let digest = digest(&bytes);
    let descriptor = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
    documents.insert(digest, (kind, bytes));
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

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}
