//! What the plan of the network says of links as the entries of a document expect them.

use std::collections::BTreeSet;

use config::cloud_config::{Interface, Network};
use netconf::Plan;
use netconf::matching::{self, Candidate};

/// What is wrong with the entries; what is about one begins with its name.
pub(super) fn problems(network: &Network) -> Vec<String> {
    if network.interfaces.is_empty() {
        return Vec::new();
    }
    Plan::new(network, &expected(network)).problems
}

/// One link for each entry that does not make its link itself.
fn expected(network: &Network) -> Vec<Candidate> {
    let entries = &network.interfaces;
    let masters: BTreeSet<&str> = entries
        .values()
        .flat_map(|entry| [entry.bond.as_deref(), entry.bridge.as_deref()])
        .flatten()
        .collect();
    let found = |(key, entry): (&String, &Interface)| {
        let pattern = matching::pattern(key, entry);
        let is_made = entry.bridge.as_deref() == Some("true")
            || !entry.bond_opts.is_empty()
            || entry.wireguard.is_some()
            || masters.contains(pattern);
        let mac = matching::hardware(pattern).map(|mac| mac.replace('*', "0"));
        (!is_made).then(|| Candidate {
            name: mac.as_ref().map_or(pattern, |_| key.as_str()).to_owned(),
            mac,
            is_hardware: !pattern.contains('.') && pattern != "lo",
            is_vlan: pattern.contains('.'),
        })
    };
    let (globs, mut links): (Vec<Candidate>, Vec<Candidate>) = entries
        .iter()
        .filter_map(found)
        .partition(|link| link.mac.is_none() && link.name.contains('*'));
    // A link that two entries name is one link.
    links.sort_by(|a, b| a.name.cmp(&b.name));
    links.dedup_by(|a, b| a.name == b.name);
    // A glob stands for a link that no other entry names.
    for glob in globs {
        let mut names = (0..10).map(|digit| glob.name.replace('*', &digit.to_string()));
        if let Some(name) = names.find(|name| !links.iter().any(|link| link.name == *name)) {
            links.push(Candidate { name, ..glob });
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(interfaces: &str) -> Vec<String> {
        let text = format!("rancher: {{network: {{interfaces: {{{interfaces}}}}}}}");
        let source = config::Source {
            name: "t",
            text: &text,
        };
        let loaded = config::load(&[source], &config::CommandLine::default());
        problems(&loaded.config.rancher.network)
    }

    /// RancherOS's documentation has the first one: all links off, and one with an address.
    #[test]
    fn a_link_that_two_entries_fit_is_one_link() {
        let one = "address: 10.0.0.4/24, gateway: 10.0.0.1";
        let two = "address: 10.0.0.5/24, gateway: 10.0.0.2";
        for good in [
            format!("'eth*': {{dhcp: false}}, eth0: {{{one}}}"),
            format!("eth1: {{{one}}}, z: {{match: eth1, mtu: 1400}}"),
            format!("'eth*': {{dhcp: true}}, 'et*': {{dhcp: true}}, eth0: {{{one}}}"),
        ] {
            assert_eq!(said(&good), Vec::<String>::new(), "{good}");
        }
        let twice = said(&format!("eth0: {{{one}}}, eth1: {{{two}}}"));
        assert_eq!(twice.len(), 1, "{twice:?}");
        // What a glob says of its links is looked at although another entry names the first of them.
        let glob = said(&format!(
            "'eth*': {{address: x, dhcp: false}}, eth0: {{{one}}}"
        ));
        assert_eq!(glob.len(), 1, "{glob:?}");
    }
}
