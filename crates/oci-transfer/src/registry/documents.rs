//! What describes an image in its registry: index, manifest, configuration.

use super::blob::BlobReader;
use super::http::{Http, failure, read_body};
use oci_image::config::CONFIG_MAX;
use oci_image::digest::Digest;
use oci_image::error::{Error, Result};
use oci_image::manifest::{
    ACCEPTED, Descriptor, Document, Index, MANIFEST_MAX, Manifest, Platform,
};
use oci_image::reference::Reference;

/// The documents of one reference.
pub(super) struct Documents<'a> {
    http: &'a Http<'a>,
    reference: &'a Reference,
    /// `None` is this machine's.
    platform: Option<&'a Platform>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(
        http: &'a Http<'a>,
        reference: &'a Reference,
        platform: Option<&'a Platform>,
    ) -> Self {
        Self {
            http,
            reference,
            platform,
        }
    }

    /// What the reference names: its digest, else its tag.
    pub(super) fn name(&self) -> Result<String> {
        match (self.reference.digest(), self.reference.tag()) {
            (Some(digest), _) => Ok(digest.to_string()),
            (None, Some(tag)) => Ok(tag.to_owned()),
            (None, None) => Err(Error::Reference(": a tag or a digest is needed".to_owned())),
        }
    }

    /// A document by tag or digest, and its digest; with `expected` it must have that one.
    pub(super) fn manifest(
        &self,
        name: &str,
        expected: Option<&Digest>,
    ) -> Result<(Digest, Document)> {
        let path = format!("/v2/{}/manifests/{name}", self.reference.path());
        let accept = ACCEPTED.join(", ");
        let response = self.http.get(&path, &[("accept", &accept)])?;
        if response.status().as_u16() != 200 {
            return Err(failure(response, "get the manifest"));
        }
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        let bytes = read_body(response, MANIFEST_MAX)?;
        let digest = match expected {
            Some(expected) => {
                expected.check_bytes(&bytes)?;
                expected.clone()
            }
            None => Digest::sha256(&bytes),
        };
        Ok((digest, Document::parse(&bytes, content_type.as_deref())?))
    }

    /// The manifest for the platform that is wanted.
    pub(super) fn platform_manifest(&self, index: &Index) -> Result<Manifest> {
        let host = Platform::host();
        let platform = self.platform.unwrap_or(&host);
        let chosen = index.select(platform).ok_or_else(|| {
            Error::NotFound(format!(
                "no matching manifest for {} in the manifest list entries",
                platform.name()
            ))
        })?;
        match self.manifest(&chosen.digest.to_string(), Some(&chosen.digest))? {
            (_, Document::Image(manifest)) => Ok(*manifest),
            (_, Document::Index(_)) => Err(Error::invalid("index of indexes")),
        }
    }

    /// The image's configuration, exact bytes.
    pub(super) fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if descriptor.size > CONFIG_MAX {
            return Err(Error::Limit {
                what: "image configuration".to_owned(),
                limit: CONFIG_MAX,
            });
        }
        let mut reader = BlobReader::open(
            self.http,
            self.reference.path(),
            &descriptor.digest,
            descriptor.size,
        )?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut bytes)
            .map_err(|error| Error::Transport(format!("get the image configuration: {error}")))?;
        descriptor.digest.check_bytes(&bytes)?;
        Ok(bytes)
    }

    /// Docker's words for the usual failures.
    pub(super) fn explain(&self, error: Error) -> Error {
        let familiar = self.reference.familiar();
        let name = self.reference.familiar_name();
        match error {
            Error::NotFound(message)
                if message.starts_with("manifest unknown") || message.starts_with("get the") =>
            {
                Error::NotFound(format!("manifest for {familiar} not found: {message}"))
            }
            Error::NotFound(message) | Error::Denied(message) => Error::Denied(format!(
                "pull access denied for {name}, repository does not exist or may require 'docker login': {message}"
            )),
            other => other,
        }
    }
}
