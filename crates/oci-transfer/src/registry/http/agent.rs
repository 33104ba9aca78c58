//! One agent per host: its TLS settings, its certificates, its time limits.

use std::sync::PoisonError;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use super::Http;
use super::failed::is_unknown_issuer;
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
        let agent = self.trusting(authority)?;
        agents.insert(authority.to_owned(), agent.clone());
        Ok(agent)
    }

    /// An agent that trusts who is to be trusted for this host.
    fn trusting(&self, authority: &str) -> Result<Agent> {
        let own = authority == self::authority(&self.base);
        if own && self.insecure {
            return self.build(authority, None, true);
        }
        let mut private = self.private_authorities(authority)?;
        let is_private = !private.is_empty();
        private.extend(self.machines_authorities());
        if private.is_empty() {
            return self.build(authority, None, false);
        }
        let agent = self.build(authority, Some(&private), false)?;
        // The built-in ones cannot be handed over next to others (ureq::tls::RootCerts), so the host is asked whose certificate it has.
        let is_decided = is_private || self.options.only_authorities;
        if !is_decided && self.base.starts_with("https://") {
            let url = format!("https://{authority}/v2/");
            if agent
                .head(&url)
                .call()
                .is_err_and(|error| is_unknown_issuer(&error))
            {
                return self.build(authority, None, false);
            }
        }
        Ok(agent)
    }

    /// `roots` are trusted, or who is built in.
    fn build(
        &self,
        authority: &str,
        roots: Option<&[Certificate<'static>]>,
        is_unverified: bool,
    ) -> Result<Agent> {
        let mut tls = TlsConfig::builder().disable_verification(is_unverified);
        if let Some(roots) = roots {
            tls = tls.root_certs(RootCerts::new_with_certs(roots));
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
        Ok(Agent::new_with_config(config))
    }

    /// Those of the machine's configuration (`ca_certs`), for every host. One that cannot be read keeps nobody from the registries that do
    /// not need it; the console has said so.
    fn machines_authorities(&self) -> Vec<Certificate<'static>> {
        let texts = self.options.authorities.iter();
        let items = texts.flat_map(|text| parse_pem(text.as_bytes()));
        let certificates = items.filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        certificates.collect()
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
