//! Pushes an image whose blobs are made by the caller: what a build has on disk goes as it is, and is not packed again.

use std::io::Read;

use super::http::{Http, failure, read_body};
use super::uploads::Uploads;
use super::{Transfer, endpoints};
use oci_image::digest::Digest;
use oci_image::error::{Error, Result};
use oci_image::manifest::{Descriptor, Document, MANIFEST_MAX, OCI_INDEX, OCI_MANIFEST};
use oci_image::progress::{Progress, short};
use oci_image::reference::Reference;

/// A blob to send.
pub struct Blob<'a> {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Opens it; again when the registry asks for credentials first.
    pub open: Box<dyn Fn() -> Result<Box<dyn Read + 'a>> + 'a>,
}

/// Sends the blobs that the repository lacks, then `manifest` by its digest, then `index` under the tag of `reference`;
/// returns the digest of the index that stands there then. Nobody sees the tag before everything that it names is there.
/// Other architectures that the tag names already stay under it: each may be built on a separate machine.
///
/// # Errors
/// When the reference has no tag, `index` is not one, or the registry does not take something.
pub fn push_files(
    reference: &Reference,
    blobs: &[Blob<'_>],
    manifest: &[u8],
    index: &[u8],
    transfer: &Transfer<'_>,
) -> Result<Digest> {
    let tag = reference
        .tag()
        .ok_or_else(|| Error::Reference(": a tag is needed".to_owned()))?;
    let endpoint = endpoints(reference, transfer.options, false)
        .pop()
        .ok_or_else(|| Error::NotFound("no registry to ask".to_owned()))?;
    let scope = format!("repository:{}:pull,push", reference.path());
    let credentials = transfer.credentials.clone();
    let http = Http::connect(&endpoint, transfer.options, credentials, scope)?;
    let uploads = Uploads::new(&http, reference);
    for blob in blobs {
        let id = short(&blob.digest);
        if uploads.has_blob(&blob.digest)? {
            (transfer.report)(Progress::step(&id, "Layer already exists"));
            continue;
        }
        uploads.upload(&blob.digest, blob.size, &|| (blob.open)())?;
        (transfer.report)(Progress::step(&id, "Pushed"));
    }
    let name = Digest::sha256(manifest).to_string();
    uploads.document(&name, OCI_MANIFEST, manifest)?;
    let whole = with_others(&http, reference, tag, index)?;
    uploads.document(tag, OCI_INDEX, &whole)
}

/// `index` with what the tag names for other platforms.
fn with_others(http: &Http<'_>, reference: &Reference, tag: &str, index: &[u8]) -> Result<Vec<u8>> {
    let path = format!("/v2/{}/manifests/{tag}", reference.path());
    let response = http.get(&path, &[("accept", OCI_INDEX)])?;
    match response.status().as_u16() {
        200 => {}
        404 => return Ok(index.to_vec()),
        _ => return Err(failure(response, "get the index")),
    }
    let there = read_body(response, MANIFEST_MAX)?;
    let (Ok(Document::Index(there)), Document::Index(mut whole)) = (
        Document::parse(&there, Some(OCI_INDEX)),
        Document::parse(index, Some(OCI_INDEX))?,
    ) else {
        // The tag names one image; that one goes
        return Ok(index.to_vec());
    };
    let is_new = |entry: &Descriptor| {
        let mut own = whole.manifests.iter();
        entry.platform.is_some() && !own.any(|known| known.platform == entry.platform)
    };
    let others: Vec<Descriptor> = there.manifests.into_iter().filter(is_new).collect();
    if others.is_empty() {
        return Ok(index.to_vec());
    }
    whole.manifests.extend(others);
    // The same index, whoever was pushed first
    whole.manifests.sort_by_key(|entry| {
        let platform = entry.platform.as_ref();
        platform.map(|platform| {
            (
                platform.os.clone(),
                platform.architecture.clone(),
                platform.variant.clone(),
            )
        })
    });
    serde_json::to_vec(&whole).map_err(|error| Error::invalid(format!("index: {error}")))
}
