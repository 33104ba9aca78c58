//! One agent per host: its TLS settings, its certificates, its time limits.

use std::sync::PoisonError;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use super::Http;
use super::url::authority;
use oci_image::error::{Context, Error, Result};

/// Most certificate files of one registry.
const CERTIFICATES_MAX: usize = 64;
/// Longest wait for a connection, with its TLS, to a registry that may have none: net/http's handshake deadline, Docker's too.
const HANDSHAKE: Duration = Duration::from_secs(10);

impl Http<'_> {
    pub(super) fn agent(&self, authority: &str) -> Result<Agent> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(authority) {
            return Ok(agent.clone());
        }
        let mut tls = TlsConfig::builder();
        let private = self.private_authorities(authority)?;
        let own = authority == self::authority(&self.base);
        if own && self.insecure {
            tls = tls.disable_verification(true);
        } else if !private.is_empty() {
            tls = tls.root_certs(RootCerts::new_with_certs(&private));
        }
        let connect = if self.insecure {
            self.options.connect_timeout.min(HANDSHAKE)
        } else {
            self.options.connect_timeout
        };
        let is_tls = self.base.starts_with("https://");
        let proxy = match self.options.proxies.between(is_tls, authority) {
            Some(url) => Some(
                Proxy::new(url).map_err(|error| Error::invalid(format!("proxy {url}: {error}")))?,
            ),
            // Of this process's environment: a developer's.
            None => Proxy::try_from_env(),
        };
        let config = Agent::config_builder()
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("rancheros/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(self.options.connect_timeout))
            .timeout_connect(Some(connect))
            .timeout_recv_response(Some(self.options.idle_timeout))
            .timeout_per_read(Some(self.options.idle_timeout))
            .timeout_per_write(Some(self.options.idle_timeout))
            .tls_config(tls.build())
            .build();
        let agent = Agent::new_with_config(config);
        agents.insert(authority.to_owned(), agent.clone());
        Ok(agent)
    }

    fn private_authorities(&self, authority: &str) -> Result<Vec<Certificate<'static>>> {
        let directory = self.options.certificates.join(authority);
        let mut found = Vec::new();
        // no directory: no private authorities
        let Ok(entries) = std::fs::read_dir(&directory) else {
            return Ok(found);
        };
        for entry in entries.take(CERTIFICATES_MAX) {
            let path = entry
                .context(|| format!("list {}", directory.display()))?
                .path();
            if path.extension().is_none_or(|extension| extension != "crt") {
                continue;
            }
            let pem = std::fs::read(&path).context(|| format!("read {}", path.display()))?;
            for item in parse_pem(&pem) {
                let item =
                    item.map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
                if let PemItem::Certificate(certificate) = item {
                    found.push(certificate);
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Credentials, Endpoint, RegistryOptions};

    #[test]
    fn a_registry_that_may_have_no_tls_is_not_waited_for_as_long() {
        let options = RegistryOptions::default();
        let deadline = |insecure| {
            let endpoint = Endpoint {
                base: "http://registry:5000".to_owned(),
                insecure,
                mirror: false,
            };
            let http = Http::connect(&endpoint, &options, Credentials::default(), String::new());
            let agent = http.unwrap().agent("registry:5000").unwrap();
            agent.config().timeouts().connect
        };
        assert_eq!(deadline(true), Some(HANDSHAKE));
        assert_eq!(deadline(false), Some(options.connect_timeout));
    }
}
