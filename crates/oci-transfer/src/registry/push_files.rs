//! Pushes an image whose blobs are made by the caller: what a build has on disk goes as it is, and is not packed anew.

use std::io::Read;

use super::http::Http;
use super::uploads::Uploads;
use super::{Transfer, endpoints};
use oci_image::digest::Digest;
use oci_image::error::{Error, Result};
use oci_image::manifest::{OCI_INDEX, OCI_MANIFEST};
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
/// returns the index's digest. Nobody sees the tag before everything that it names is there.
///
/// # Errors
/// When the reference has no tag, or the registry does not take something.
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
    uploads.document(tag, OCI_INDEX, index)
}
