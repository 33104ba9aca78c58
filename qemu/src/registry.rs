//! A registry for guests: the distribution protocol's read-only half, from memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Media type of a manifest (OCI image specification 1.1).
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// What nobody needs to know the type of.
const BLOB: &str = "application/octet-stream";
/// The repository that answers with other bytes than those of the digest.
const LIAR: &str = "/v2/liar/blobs/";
/// Smallest blob that it lies about: documents are what they should be.
const LIE_BYTES: usize = 1 << 20;

/// What the last part of a path answers, a tag or a digest: media type and bytes.
pub(crate) type Documents = BTreeMap<String, (&'static str, Bytes)>;

/// The server; it ends with the process. Every repository has everything.
pub(crate) struct Registry {
    /// Port on 127.0.0.1, which a guest reaches as 10.0.2.2.
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    /// Serves documents.
    pub(crate) fn start(documents: Documents) -> anyhow::Result<Registry> {
        let documents = Arc::new(documents);
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").context("the registry cannot listen")?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?; // tokio's wish
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            // Whoever waits for an answer says that there is none.
            let _ = runtime.block_on(serve(listener, documents, log));
        });
        Ok(Registry { port, asked })
    }

    /// Blobs that were fetched since the last call, each as often as it was.
    pub(crate) fn fetched(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The image of an OCI image layout in a tar, under the tag `tag`.
pub(crate) fn of_layout(path: &Path, tag: &str) -> anyhow::Result<Documents> {
    let what = || format!("cannot read {}", path.display());
    let mut archive = tar::Archive::new(std::fs::File::open(path).with_context(what)?);
    let mut documents = Documents::new();
    let mut index = None;
    for entry in archive.entries().with_context(what)? {
        let mut entry = entry.with_context(what)?;
        let name = entry.path().with_context(what)?.display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).with_context(what)?;
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            documents.insert(format!("sha256:{hex}"), (BLOB, bytes.into()));
        } else if name == "index.json" {
            index = Some(bytes);
        }
    }
    let index: Value = serde_json::from_slice(&index.with_context(what)?).with_context(what)?;
    let digest = index["manifests"][0]["digest"].as_str().unwrap_or_default();
    let manifest = documents.get_mut(digest);
    let manifest = manifest.context("the layout has no manifest")?;
    manifest.0 = MANIFEST;
    let manifest = manifest.clone();
    ensure!(!manifest.1.is_empty(), "the manifest is empty");
    documents.insert(tag.to_owned(), manifest);
    let list = json!({"name": "os", "tags": [tag, "latest"]}).to_string();
    documents.insert("list".to_owned(), ("application/json", list.into()));
    Ok(documents)
}

/// `sha256:` of bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// Both engines try TLS first: hyper answers that with 400 at once, as real registries do. A server that waits for the end of
/// such a line would add the clients' deadlines to the figures.
async fn serve(
    listener: TcpListener,
    documents: Arc<Documents>,
    asked: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::task::LocalSet::new()
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                let documents = Arc::clone(&documents);
                let asked = Arc::clone(&asked);
                let service = service_fn(move |request: Request<Incoming>| {
                    let path = request.uri().path();
                    if request.method() == hyper::Method::GET && path.contains("/blobs/") {
                        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                        asked.push(path.to_owned());
                    }
                    let answer = answer(path, &documents);
                    async { Ok::<_, Infallible>(answer) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A client may go away.
                #[expect(clippy::disallowed_methods, reason = "not on the machine")]
                tokio::task::spawn_local(async { drop(connection.await) });
            }
        })
        .await
}

fn answer(path: &str, documents: &Documents) -> Response<Full<Bytes>> {
    let name = path.rsplit('/').next().unwrap_or("");
    let mut response = Response::new(Full::from("{}"));
    if let Some((kind, bytes)) = documents.get(name) {
        *response.body_mut() = Full::from(told(path, bytes));
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

fn told(path: &str, bytes: &Bytes) -> Bytes {
    if !path.starts_with(LIAR) || bytes.len() < LIE_BYTES {
        return bytes.clone();
    }
    let mut lie = bytes.to_vec();
    let middle = lie.len() / 2;
    lie[middle] ^= 1;
    lie.into()
}
