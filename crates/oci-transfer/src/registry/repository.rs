//! A repository that is written to step by step: what a build has on disk goes as it is, and is not packed again.

use std::io::Read;

use super::http::{Http, failure, read_body};
use super::uploads::Uploads;
use super::{Transfer, writer};
use oci_image::digest::Digest;
use oci_image::error::{Error, Result};
use oci_image::manifest::{Descriptor, Document, MANIFEST_MAX, OCI_INDEX};
use oci_image::progress::{Progress, Report, short};
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

/// A repository that is written to.
pub struct Repository<'a> {
    http: Http<'a>,
    reference: &'a Reference,
    report: Report<'a>,
}

impl<'a> Repository<'a> {
    /// The repository of `reference`. Nothing is sent yet.
    ///
    /// # Errors
    /// When its registry cannot be spoken to.
    pub fn open(reference: &'a Reference, transfer: &Transfer<'a>) -> Result<Self> {
        Ok(Self {
            http: writer(reference, transfer)?,
            reference,
            report: transfer.report,
        })
    }

    /// Sends the blobs that the repository lacks.
    ///
    /// # Errors
    /// When the registry cannot be reached or does not take one.
    pub fn send(&self, blobs: &[Blob<'_>]) -> Result<()> {
        let uploads = self.uploads();
        for blob in blobs {
            let id = short(&blob.digest);
            if uploads.has_blob(&blob.digest)? {
                (self.report)(Progress::step(&id, "Layer already exists"));
                continue;
            }
            uploads.upload(&blob.digest, blob.size, &|| (blob.open)())?;
            (self.report)(Progress::step(&id, "Pushed"));
        }
        Ok(())
    }

    /// Puts a manifest or an index under `name`, a tag or its digest; returns its digest.
    ///
    /// # Errors
    /// When the registry cannot be reached or does not take it: blobs that it names have to be there before.
    pub fn put(&self, name: &str, media_type: &str, document: &[u8]) -> Result<Digest> {
        self.uploads().document(name, media_type, document)
    }

    /// The manifest or index under `name`, a tag or a digest; nothing when the repository does not have it.
    ///
    /// # Errors
    /// When the registry cannot be reached, does not say what is there, or it is larger than a manifest may be.
    pub fn get(&self, name: &str, media_type: &str) -> Result<Option<Vec<u8>>> {
        let path = format!("/v2/{}/manifests/{name}", self.reference.path());
        let response = self.http.get(&path, &[("accept", media_type)])?;
        match response.status().as_u16() {
            200 => read_body(response, MANIFEST_MAX).map(Some),
            404 => Ok(None),
            _ => Err(failure(response, &format!("get {name}"))),
        }
    }

    /// `index` with what `tag` names for other platforms: each architecture may be built on a separate machine, and joins those
    /// that are there.
    ///
    /// # Errors
    /// When `index` is not one, or the registry does not say what the tag names.
    pub fn with_others(&self, tag: &str, index: &[u8]) -> Result<Vec<u8>> {
        match self.get(tag, OCI_INDEX)? {
            Some(there) => joined(index, &there),
            None => Ok(index.to_vec()),
        }
    }

    fn uploads(&self) -> Uploads<'_> {
        Uploads::new(&self.http, self.reference)
    }
}

/// `index`, and the entries of `there` for other platforms.
fn joined(index: &[u8], there: &[u8]) -> Result<Vec<u8>> {
    let (Ok(Document::Index(there)), Document::Index(mut whole)) = (
        Document::parse(there, Some(OCI_INDEX)),
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
