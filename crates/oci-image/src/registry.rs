//! What is asked of registries and what they answer, without the way there (crate oci-transfer).

use std::collections::BTreeMap;
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
    /// Mirrors by the registry they stand for (`docker.io`, `ghcr.io`, `r.example:5000`), as URLs, asked before it in this
    /// order.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Accounts by registry, for whoever brings none.
    pub accounts: BTreeMap<String, Credentials>,
    /// Proxies on the way.
    pub proxies: Proxies,
    /// Registries with unverified TLS or none: hosts, `host:port`, or networks in CIDR form. Loopback always is one.
    pub insecure: Vec<String>,
    /// Directory with `HOST[:PORT]/*.crt` files: private authorities for that registry.
    pub certificates: PathBuf,
    /// Authorities for every registry, PEM.
    pub authorities: Vec<String>,
    /// Whether those that are built in do not count.
    pub only_authorities: bool,
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
            mirrors: BTreeMap::new(),
            accounts: BTreeMap::new(),
            proxies: Proxies::default(),
            insecure: Vec::new(),
            certificates: PathBuf::from("/etc/docker/certs.d"),
            authorities: Vec::new(),
            only_authorities: false,
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            retries: 5,
            retry_pause: Duration::from_secs(1),
        }
    }
}

/// Proxies, as the variables `http_proxy`, `https_proxy` and `no_proxy` name them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proxies {
    /// For plain HTTP.
    pub http: Option<String>,
    /// For HTTPS.
    pub https: Option<String>,
    /// Hosts, domains and networks that are reached without one, with commas between; `*` is all.
    pub no: String,
}

impl Proxies {
    /// The proxy for `HOST[:PORT]`, if there is one on the way.
    #[must_use]
    pub fn between(&self, is_tls: bool, authority: &str) -> Option<&str> {
        let host = host_of(authority);
        let is_near = host == "localhost"
            || is_loopback(host)
            || self.no.split([',', ' ']).map(str::trim).any(|known| {
                let domain = known.trim_start_matches('*').trim_start_matches('.');
                known == "*"
                    || known == authority
                    || (!domain.is_empty()
                        && (host == domain
                            || host
                                .strip_suffix(domain)
                                .is_some_and(|rest| rest.ends_with('.'))))
                    || in_network(host, known)
            });
        let proxy = if is_tls { &self.https } else { &self.http };
        proxy
            .as_deref()
            .filter(|proxy| !is_near && !proxy.is_empty())
    }
}

/// The names that Docker's clients have for Docker Hub.
const HUB: &[&str] = &[
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "https://index.docker.io/v1/",
];

/// What stands for a registry in a table by registries; a `https://` before it does not count.
fn of_registry<'t, T>(table: &'t BTreeMap<String, T>, domain: &str) -> Option<&'t T> {
    let is_it = |name: &str| {
        let plain = name
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        name == domain
            || plain.trim_end_matches('/') == domain
            || (domain == HUB[0] && HUB.contains(&name))
    };
    table
        .iter()
        .find_map(|(name, value)| is_it(name).then_some(value))
}

impl RegistryOptions {
    /// Mirrors of a registry, in order.
    #[must_use]
    pub fn mirrors_of(&self, domain: &str) -> &[String] {
        of_registry(&self.mirrors, domain).map_or(&[], Vec::as_slice)
    }

    /// The account for a registry, if there is one.
    #[must_use]
    pub fn account_of(&self, domain: &str) -> Option<&Credentials> {
        of_registry(&self.accounts, domain)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_by_registry_whatever_it_is_called() {
        let options = RegistryOptions {
            mirrors: [
                ("docker.io".to_owned(), vec!["http://hub-mirror".to_owned()]),
                (
                    "https://r.example:5000/".to_owned(),
                    vec!["http://m".to_owned()],
                ),
            ]
            .into(),
            accounts: [(
                "https://index.docker.io/v1/".to_owned(),
                Credentials {
                    username: "a".to_owned(),
                    ..Credentials::default()
                },
            )]
            .into(),
            ..RegistryOptions::default()
        };
        assert_eq!(options.mirrors_of("docker.io"), ["http://hub-mirror"]);
        assert_eq!(options.mirrors_of("r.example:5000"), ["http://m"]);
        assert!(options.mirrors_of("r.example").is_empty());
        assert_eq!(
            options
                .account_of("docker.io")
                .map(|account| account.username.as_str()),
            Some("a")
        );
        assert_eq!(options.account_of("ghcr.io"), None);
    }

    #[test]
    fn what_needs_no_proxy_gets_none() {
        let proxies = Proxies {
            http: Some("http://p:1".to_owned()),
            https: Some("http://p:2".to_owned()),
            no: ".example.org, 10.0.0.0/8,host:5000".to_owned(),
        };
        for (is_tls, host, want) in [
            (true, "ghcr.io", Some("http://p:2")),
            (false, "ghcr.io:80", Some("http://p:1")),
            (true, "r.example.org:5000", None),
            (true, "example.org", None),
            (true, "badexample.org", Some("http://p:2")),
            (true, "10.1.2.3:5000", None),
            (true, "host:5000", None),
            (true, "127.0.0.1:5000", None),
        ] {
            assert_eq!(proxies.between(is_tls, host), want, "{host}");
        }
        let all = Proxies {
            no: "*".to_owned(),
            ..proxies
        };
        assert_eq!(all.between(true, "ghcr.io"), None);
    }
}
