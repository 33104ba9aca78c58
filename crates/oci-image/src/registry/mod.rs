//! Registries: pull, push and search with the distribution API (and the index's older one) over HTTPS.
//!
//! Blocking, for worker processes. Tokens and basic credentials, mirrors of docker.io, insecure registries, private
//! authorities under `certs.d/HOST/*.crt`, downloads that resume where they broke, every byte digested on its way.
//! Source: OCI distribution-spec 1.1; distribution's token authentication specification.

mod auth;
mod blob;
mod head;
mod http;
mod pull;
mod push;
mod query;
mod search;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use pull::{Pulled, pull};
pub use push::{PushImage, Pushed, push};
pub use query::{Description, describe, tags};
pub use search::{Found, search};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::Platform;
use crate::progress::Report;
use crate::reference::{DEFAULT_DOMAIN, Reference};
use http::Http;
pub(crate) use http::failed_call;

/// Host that serves docker.io.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// Who asks; what `X-Registry-Auth` carries.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", default)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password or access token.
    pub password: String,
    /// OAuth refresh token, instead of a password.
    #[serde(rename = "identitytoken")]
    pub identity_token: String,
    /// Bearer token that is sent as it is.
    #[serde(rename = "registrytoken")]
    pub registry_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// How registries are reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryOptions {
    /// Mirrors of docker.io, as URLs, asked before it.
    pub mirrors: Vec<String>,
    /// Registries with unverified TLS or none: hosts, `host:port`, or networks in CIDR form. Loopback always is one.
    pub insecure: Vec<String>,
    /// Directory with `HOST[:PORT]/*.crt` files: private authorities for that registry.
    pub certificates: PathBuf,
    /// Deadline of name resolution, connection and TLS handshake.
    pub connect_timeout: Duration,
    /// Longest silence of a registry in the middle of an answer.
    pub idle_timeout: Duration,
    /// Attempts after a failure without progress.
    pub retries: u32,
    /// First pause between attempts; it doubles each time.
    pub retry_pause: Duration,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            mirrors: Vec::new(),
            insecure: Vec::new(),
            certificates: PathBuf::from("/etc/docker/certs.d"),
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            retries: 5,
            retry_pause: Duration::from_secs(1),
        }
    }
}

impl RegistryOptions {
    fn is_insecure(&self, authority: &str) -> bool {
        let host = host_of(authority);
        if host == "localhost" || is_loopback(host) {
            return true;
        }
        self.insecure
            .iter()
            .any(|known| known == authority || known == host || in_network(host, known))
    }
}

fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn in_network(host: &str, network: &str) -> bool {
    let Some((base, bits)) = network.split_once('/') else {
        return false;
    };
    let wide = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped(), 96),
        IpAddr::V6(v6) => (v6, 0),
    };
    let (Ok(host), Ok(base), Ok(bits)) = (
        host.parse::<IpAddr>(),
        base.parse::<IpAddr>(),
        bits.parse::<u32>(),
    ) else {
        return false;
    };
    if host.is_ipv4() != base.is_ipv4() {
        return false;
    }
    let ((host, offset), (base, _)): ((Ipv6Addr, u32), _) = (wide(host), wide(base));
    let bits = (bits + offset).min(128);
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    u128::from(host) & mask == u128::from(base) & mask
}

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
    if is_hub && with_mirrors {
        for mirror in &options.mirrors {
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

/// Checks credentials with a registry, as `docker login` does.
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
    let response = http.get("/v2/", &[])?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    Err(Error::Registry {
        status: status.as_u16(),
        message: format!(
            "login attempt to {} failed with status: {status}",
            http.url("/v2/")
        ),
    })
}

#[cfg(test)]
mod tests;
