//! Registries: pull, push and search with the distribution API (and the index's older one) over HTTPS.
//!
//! Blocking, for worker processes. Tokens and basic credentials, mirrors of any registry, insecure registries, private
//! authorities under `certs.d/HOST/*.crt`, downloads that resume where they broke, every byte digested on its way.
//! Source: OCI distribution-spec 1.1; distribution's token authentication specification.

mod auth;
mod blob;
mod documents;
mod files;
mod head;
mod http;
mod pull;
mod push;
mod query;
mod repository;
mod search;
mod uploads;

use std::collections::BTreeMap;

use ureq::http::StatusCode;

pub use files::fetch_files;
pub use oci_image::registry::{Credentials, Description, Found, RegistryOptions};
pub use pull::{Pulled, pull};
pub use push::{PushImage, Pushed, push};
pub use query::{describe, tags};
pub use repository::{Blob, Repository};
pub use search::search;

use http::Http;
pub(crate) use http::failed_call;
use oci_image::digest::Digest;
use oci_image::error::{Error, Result};
use oci_image::manifest::Platform;
use oci_image::progress::Report;
use oci_image::reference::{DEFAULT_DOMAIN, Reference};

/// Host that serves docker.io.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// Where a repository is reached.
#[derive(Debug, Clone)]
struct Endpoint {
    /// `https://host[:port]`, without a slash at the end.
    base: String,
    /// Whether TLS is not verified and plain HTTP allowed.
    insecure: bool,
    /// Whether it is a mirror: credentials are not for it.
    mirror: bool,
}

/// Endpoints for `reference`, mirrors first.
fn endpoints(
    reference: &Reference,
    options: &RegistryOptions,
    with_mirrors: bool,
) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    let is_hub = reference.domain() == DEFAULT_DOMAIN;
    if with_mirrors {
        for mirror in options.mirrors_of(reference.domain()) {
            let base = mirror.trim_end_matches('/');
            let authority = base.split_once("://").map_or(base, |(_, rest)| rest);
            let authority = authority.split('/').next().unwrap_or_default().to_owned();
            let is_plain = base.starts_with("http://");
            endpoints.push(Endpoint {
                base: if base.contains("://") {
                    base.to_owned()
                } else {
                    format!("https://{base}")
                },
                insecure: is_plain || options.is_insecure(&authority),
                mirror: true,
            });
        }
    }
    let authority = if is_hub {
        DOCKER_HUB
    } else {
        reference.domain()
    };
    endpoints.push(Endpoint {
        base: format!("https://{authority}"),
        insecure: options.is_insecure(authority),
        mirror: false,
    });
    endpoints
}

/// A transfer's surroundings.
pub struct Transfer<'a> {
    /// How registries are reached.
    pub options: &'a RegistryOptions,
    /// Who asks.
    pub credentials: &'a Credentials,
    /// Platform to pull; `None` is this machine's.
    pub platform: Option<&'a Platform>,
    /// Images of the repository that are in the store, by the digests that it gave them. They are not fetched again.
    pub known: &'a BTreeMap<Digest, Digest>,
    /// Takes progress.
    pub report: Report<'a>,
}

/// A client that reads from the repository of `reference`. Credentials are not for mirrors.
fn reader<'a>(
    endpoint: &Endpoint,
    reference: &Reference,
    transfer: &Transfer<'a>,
) -> Result<Http<'a>> {
    let credentials = if endpoint.mirror {
        Credentials::default()
    } else {
        transfer.credentials.clone()
    };
    let scope = format!("repository:{}:pull", reference.path());
    Http::connect(endpoint, transfer.options, credentials, scope)
}

/// A client that writes to the repository of `reference`, which is never a mirror.
fn writer<'a>(reference: &Reference, transfer: &Transfer<'a>) -> Result<Http<'a>> {
    let endpoint = endpoints(reference, transfer.options, false)
        .pop()
        .ok_or_else(|| Error::NotFound("no registry to ask".to_owned()))?;
    let scope = format!("repository:{}:pull,push", reference.path());
    let credentials = transfer.credentials.clone();
    Http::connect(&endpoint, transfer.options, credentials, scope)
}

/// Checks credentials with a registry, as `docker login` does.
///
/// # Errors
/// When the registry refuses them or cannot be reached.
pub fn login(domain: &str, credentials: &Credentials, options: &RegistryOptions) -> Result<()> {
    let hub = [
        "",
        DEFAULT_DOMAIN,
        "index.docker.io",
        "https://index.docker.io/v1/",
    ]
    .contains(&domain);
    let domain = domain
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let domain = if hub {
        DOCKER_HUB
    } else {
        domain.split('/').next().unwrap_or_default()
    };
    let endpoint = Endpoint {
        base: format!("https://{domain}"),
        insecure: options.is_insecure(domain),
        mirror: false,
    };
    let http = Http::connect(&endpoint, options, credentials.clone(), String::new())?;
    let refused = http.get("/v2/", &[])?;
    if refused.status().is_success() {
        return Ok(());
    }
    let failed = |http: &Http<'_>, status: StatusCode| {
        let url = http.url("/v2/");
        Err(Error::Registry {
            status: status.as_u16(),
            message: format!("login attempt to {url} failed with status: {status}"),
        })
    };
    if endpoint.insecure && http.url("/").starts_with("https://") {
        // Docker goes on to plain HTTP and reports what comes last. The password does not.
        let base = format!("http://{domain}");
        let endpoint = Endpoint { base, ..endpoint };
        let plain = Http::connect(&endpoint, options, Credentials::default(), String::new())?;
        if let Ok(response) = plain.get("/v2/", &[]) {
            return failed(&plain, response.status());
        }
    }
    failed(&http, refused.status())
}

#[cfg(test)]
mod tests;
