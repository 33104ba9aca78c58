//! What is asked of registries and what they answer, without the way there (crate oci-transfer).

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::manifest::{Descriptor, Platform};

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
    /// Whether nobody asks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
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
    /// Whether plain HTTP and unverified TLS are allowed with `HOST[:PORT]`.
    #[must_use]
    pub fn is_insecure(&self, authority: &str) -> bool {
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

/// What a reference stands for in its registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// Platforms it has images for.
    pub platforms: Vec<Platform>,
}

/// A repository that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Repository.
    pub name: String,
    /// Description.
    pub description: String,
    /// Docker's own selection.
    pub is_official: bool,
    /// Stars.
    pub star_count: i64,
}
