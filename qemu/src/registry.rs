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
/// The repository that answers with half of the bytes.
const SHORT: &str = "/v2/short/blobs/";
/// Smallest blob that they lie about: documents are what they should be.
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

/// What the history says of a layer with one file of a version.
const HISTORY: &str = "rancheros file ";

/// The content of a file of the image under `tag`, which is a separate layer.
pub(crate) fn file(documents: &Documents, tag: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let (manifest, config) = described(documents, tag)?;
    let position = position(&config, path).with_context(|| format!("the image has no {path}"))?;
    let layer = blob(documents, &manifest["layers"][position])?;
    let mut archive = tar::Archive::new(&layer[..]);
    let mut entry = archive.entries()?.next().context("an empty layer")??;
    let mut content = Vec::new();
    entry.read_to_end(&mut content)?;
    Ok(content)
}

/// Adds the image under `tag` once more under `new_tag`, with one more file, or with other content of a file that it has.
pub(crate) fn with_file(
    documents: &mut Documents,
    tag: &str,
    (path, content): (&str, &[u8]),
    new_tag: &str,
) -> anyhow::Result<()> {
    let (mut manifest, mut config) = described(documents, tag)?;
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, content)?;
    let layer = archive.into_inner()?;
    let mut add = |bytes: Vec<u8>, kind: &'static str| {
        let described = (digest(&bytes), bytes.len());
        documents.insert(described.0.clone(), (kind, bytes.into()));
        described
    };
    let (layer_digest, size) = add(layer, BLOB);
    let kind = manifest["layers"][0]["mediaType"].clone();
    let layer = json!({"mediaType": kind, "digest": layer_digest, "size": size});
    match position(&config, path) {
        Some(position) => {
            manifest["layers"][position] = layer;
            config["rootfs"]["diff_ids"][position] = json!(layer_digest);
        }
        None => {
            push(&mut manifest["layers"], layer)?;
            push(&mut config["rootfs"]["diff_ids"], json!(layer_digest))?;
            push(
                &mut config["history"],
                json!({"created_by": format!("{HISTORY}{path}")}),
            )?;
        }
    }
    let (config_digest, size) = add(serde_json::to_vec(&config)?, BLOB);
    manifest["config"]["digest"] = json!(config_digest);
    manifest["config"]["size"] = json!(size);
    let manifest = serde_json::to_vec(&manifest)?;
    add(manifest.clone(), MANIFEST);
    documents.insert(new_tag.to_owned(), (MANIFEST, manifest.into()));
    Ok(())
}

/// Which layer has a file of a version, by the history in an image's configuration.
fn position(config: &Value, path: &str) -> Option<usize> {
    let step = format!("{HISTORY}{path}");
    let history = config["history"].as_array()?;
    history.iter().position(|known| known["created_by"] == step)
}

/// Manifest and configuration of an image.
fn described(documents: &Documents, tag: &str) -> anyhow::Result<(Value, Value)> {
    let (_, manifest) = documents.get(tag).context("there is no such tag")?;
    let manifest: Value = serde_json::from_slice(manifest)?;
    let config = serde_json::from_slice(&blob(documents, &manifest["config"])?)?;
    Ok((manifest, config))
}

fn blob(documents: &Documents, descriptor: &Value) -> anyhow::Result<Bytes> {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    let found = documents.get(digest);
    let (_, bytes) = found.with_context(|| format!("there is no blob {digest}"))?;
    Ok(bytes.clone())
}

fn push(list: &mut Value, value: Value) -> anyhow::Result<()> {
    list.as_array_mut().context("not a list")?.push(value);
    Ok(())
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
    let middle = bytes.len() / 2;
    if bytes.len() < LIE_BYTES {
        return bytes.clone();
    }
    if path.starts_with(SHORT) {
        return bytes.slice(..middle);
    }
    if !path.starts_with(LIAR) {
        return bytes.clone();
    }
    let mut lie = bytes.to_vec();
    lie[middle] ^= 1;
    lie.into()
}
