//! How the engine reaches registries, from the configuration: mirrors, accounts, authorities, registries without TLS, proxies.

use compose::account::accounts;
use config::Config;
use oci_image::registry::{Proxies, RegistryOptions};

/// Docker Hub, whose mirrors RancherOS's own keys name.
const HUB: &str = "docker.io";

/// What the configuration says of registries.
pub(crate) fn options(config: &Config) -> RegistryOptions {
    let rancher = &config.rancher;
    let mut mirrors = rancher.registry_mirrors.clone();
    // The early Docker's keys were there for the same pulls.
    for docker in [&rancher.system_docker, &rancher.bootstrap_docker] {
        let hub = mirrors.entry(HUB.to_owned()).or_default();
        for mirror in &docker.registry_mirror {
            if !hub.contains(mirror) {
                hub.push(mirror.clone());
            }
        }
    }
    let insecure = [&rancher.system_docker, &rancher.bootstrap_docker]
        .into_iter()
        .flat_map(|docker| docker.insecure_registry.iter().cloned())
        .collect();
    let network = &rancher.network;
    RegistryOptions {
        mirrors,
        insecure,
        accounts: accounts(&rancher.registry_auths),
        proxies: Proxies {
            http: network.http_proxy.clone(),
            https: network.https_proxy.clone(),
            no: network.no_proxy.clone().unwrap_or_default(),
        },
        authorities: config.ca_certs.trusted.clone(),
        only_authorities: config.ca_certs.remove_defaults == Some(true),
        ..RegistryOptions::default()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_of_both_systems_are_understood() {
        let text = "rancher:\n  registry_mirrors: {ghcr.io: ['http://g'], docker.io: ['http://own']}\n  system_docker: {registry_mirror: 'http://old', insecure_registry: ['r:5000']}\n  bootstrap_docker: {registry_mirror: 'http://old'}\n  registry_auths: {r.example: {auth: YTpi}, docker.io: {username: u, password: p}}\n  network: {https_proxy: 'http://p:3128', no_proxy: .local}\nca_certs: {trusted: [PEM], remove_defaults: true}\n";
        let source = config::Source {
            name: "t.yml",
            text,
        };
        let loaded = config::load(&[source], &config::CommandLine::default());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let options = super::options(&loaded.config);
        assert_eq!(
            options.mirrors_of("docker.io"),
            ["http://own", "http://old"]
        );
        assert_eq!(options.mirrors_of("ghcr.io"), ["http://g"]);
        assert!(options.is_insecure("r:5000"));
        assert_eq!(options.authorities, ["PEM"]);
        assert!(options.only_authorities);
        let account = |domain| {
            let account = options.account_of(domain).expect("an account");
            (account.username.as_str(), account.password.as_str())
        };
        assert_eq!(account("r.example"), ("a", "b"));
        assert_eq!(account("docker.io"), ("u", "p"));
        assert_eq!(
            options.proxies.between(true, "ghcr.io"),
            Some("http://p:3128")
        );
        assert_eq!(options.proxies.between(true, "r.local"), None);
    }
}
