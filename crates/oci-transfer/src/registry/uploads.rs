//! Blobs and documents that go to a registry.

use std::io::Read;

use ureq::http::Method;

use super::auth::query_value;
use super::http::{Http, Open, failure};
use oci_image::digest::Digest;
use oci_image::error::{Error, Result};
use oci_image::reference::Reference;

/// What is sent to the repository of one reference.
pub(super) struct Uploads<'a> {
    http: &'a Http<'a>,
    reference: &'a Reference,
}

impl<'a> Uploads<'a> {
    pub(super) fn new(http: &'a Http<'a>, reference: &'a Reference) -> Self {
        Self { http, reference }
    }

    /// Whether the repository has a blob.
    pub(super) fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let path = format!("/v2/{}/blobs/{digest}", self.reference.path());
        // The first that is asked of a registry. Docker does not say what it asked.
        let response = self.http.head(&path, &[]).map_err(|error| match error {
            Error::NoCredentials { .. } => Error::Denied("no basic auth credentials".to_owned()),
            other => other,
        })?;
        match response.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            401 | 403 => Err(Error::Denied(
                "denied: requested access to the resource is denied".to_owned(),
            )),
            _ => Err(failure(response, "look for a blob")),
        }
    }

    /// Sends a blob in one piece.
    pub(super) fn upload(&self, digest: &Digest, size: u64, open: Open<'_>) -> Result<()> {
        let path = format!("/v2/{}/blobs/uploads/", self.reference.path());
        let response = self
            .http
            .send(&Method::POST, &path, &[("content-length", "0")], None)?;
        if response.status().as_u16() != 202 {
            return Err(self.explain(failure(response, "start an upload")));
        }
        let location = self.http.location(&path, &response)?;
        let separator = if location.contains('?') { '&' } else { '?' };
        let target = format!(
            "{location}{separator}digest={}",
            query_value(&digest.to_string())
        );
        let length = size.to_string();
        let headers = [
            ("content-type", "application/octet-stream"),
            ("content-length", length.as_str()),
        ];
        let response = self
            .http
            .send(&Method::PUT, &target, &headers, Some(open))?;
        match response.status().as_u16() {
            201 | 204 => Ok(()),
            _ => Err(self.explain(failure(response, "upload a blob"))),
        }
    }

    /// Puts a manifest or an index under a tag or its digest; its digest.
    pub(super) fn document(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<Digest> {
        let path = format!("/v2/{}/manifests/{name}", self.reference.path());
        let length = bytes.len().to_string();
        let headers = [
            ("content-type", media_type),
            ("content-length", length.as_str()),
        ];
        let open = || Ok(Box::new(bytes) as Box<dyn Read>);
        let response = self.http.send(&Method::PUT, &path, &headers, Some(&open))?;
        if !matches!(response.status().as_u16(), 200..=202) {
            return Err(self.explain(failure(response, "put the manifest")));
        }
        Ok(Digest::sha256(bytes))
    }

    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Denied(_) => {
                Error::Denied("denied: requested access to the resource is denied".to_owned())
            }
            other => other,
        }
    }
}
