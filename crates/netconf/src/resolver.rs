//! resolv.conf(5) from `rancher.network.dns`.

use std::net::IpAddr;

use config::cloud_config::Network;

/// The first line of the file that this crate writes; others are DHCP clients'.
pub const HEADER: &str = "# written by ros netconf from rancher.network.dns";

/// What is wanted of the resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Name servers of the configuration; DHCP's are not used when there are some.
    pub servers: Vec<String>,
    /// Name servers for a machine that got none.
    pub fallback: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
    /// What was wrong.
    pub problems: Vec<String>,
}

impl Resolver {
    /// From the configuration and its defaults.
    pub fn new(network: &Network, defaults: &Network) -> Resolver {
        let mut resolver = Resolver::default();
        for server in network
            .dns
            .nameservers
            .iter()
            .flat_map(|text| text.split([',', ' ']))
            .filter(|text| !text.is_empty())
        {
            // fe80::1%eth0 names its link.
            let address = server.split('%').next().unwrap_or(server);
            if address.parse::<IpAddr>().is_ok() {
                resolver.servers.push(server.to_owned());
            } else {
                resolver
                    .problems
                    .push(format!("dns.nameservers: {server:?} is not an address"));
            }
        }
        for domain in network
            .dns
            .search
            .iter()
            .flat_map(|text| text.split([',', ' ']))
            .filter(|text| !text.is_empty())
        {
            if domain
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
            {
                resolver.search.push(domain.to_owned());
            } else {
                resolver
                    .problems
                    .push(format!("dns.search: {domain:?} is not a domain"));
            }
        }
        resolver.fallback = defaults.dns.nameservers.clone();
        resolver
    }

    /// The file with these servers.
    pub fn text(&self, servers: &[String]) -> String {
        let mut text = format!("{HEADER}\n");
        if !self.search.is_empty() {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        for server in servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        text
    }
}

/// Whether a resolv.conf names a server.
pub fn has_server(text: &str) -> bool {
    text.lines()
        .any(|line| line.trim_start().starts_with("nameserver "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::cloud_config::Dns;

    #[test]
    fn bad_words_are_left_out_and_named() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let network = Network {
            dns: Dns {
                nameservers: words(&["10.0.0.1", "fe80::1%eth0", "dns.example.org"]),
                search: words(&["a.b, c.d", "x\ny"]),
            },
            ..Network::default()
        };
        let resolver = Resolver::new(&network, &Network::default());
        assert_eq!(
            resolver.text(&resolver.servers),
            "# written by ros netconf from rancher.network.dns\nsearch a.b c.d\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\n"
        );
        assert_eq!(resolver.problems.len(), 2);
        assert!(has_server("search a\nnameserver 1.1.1.1\n") && !has_server("# nameserver x\n"));
    }
}
