//! A registry with one image, for pulls that leave the network out: the distribution protocol's read-only half.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

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
type Documents = BTreeMap<String, (&'static str, Bytes)>;

impl Registry {
    /// Makes the image `bench` for `architecture` (Docker's name) and serves it.
    pub(super) fn start(architecture: &str) -> anyhow::Result<Registry> {
        let documents = Arc::new(image(architecture)?);
        let listener = TcpListener::bind("127.0.0.1:0").context("the registry cannot listen")?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?; // tokio's wish
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::spawn(move || {
            // Whoever waits for an answer says that there is none.
            let _ = runtime.block_on(serve(listener, documents));
        });
        Ok(Registry { port })
    }
}

/// Both engines try TLS first: hyper answers that with 400 at once, as real registries do. A server that waits for the end of
/// such a line would add the clients' deadlines to the figures.
async fn serve(listener: TcpListener, documents: Arc<Documents>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::task::LocalSet::new()
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                let documents = Arc::clone(&documents);
                let service = service_fn(move |request| {
                    let answer = answer(&request, &documents);
                    async { Ok::<_, Infallible>(answer) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A client that goes away is its own affair.
                tokio::task::spawn_local(async { drop(connection.await) });
            }
        })
        .await
}

fn answer(request: &Request<Incoming>, documents: &Documents) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let name = path.rsplit('/').next().unwrap_or("");
    let mut response = Response::new(Full::from("{}"));
    if let Some((kind, bytes)) = documents.get(name) {
        *response.body_mut() = Full::from(bytes.clone());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if *kind == MANIFEST
            && let Ok(digest) = HeaderValue::try_from(digest(bytes))
        {
            headers.insert("docker-content-digest", digest);
        }
    } else if path != "/v2/" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
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

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}
