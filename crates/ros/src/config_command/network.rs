//! What the plans of the network say of a document, at the keys that it is about.

use config::cloud_config::Network;
use config::{Location, Node, Problem, Severity};
use machine_config::variables::fill;
use machine_config::{MachineConfig, Metadata};
use netconf::resolver::Resolver;

use super::links;

const INTERFACES: &str = "rancher.network.interfaces";

/// Adds what the plans say, without what was said of the same value.
pub(super) fn add(machine: &MachineConfig, problems: &mut Vec<Problem>) {
    let rancher = &machine.loaded.config.rancher;
    let tree = &machine.loaded.tree;
    let mut network = rancher.network.clone();
    // A machine that knows its datasource has said what that does not fill.
    if machine.unfilled.is_empty() {
        problems.extend(fill_in(&mut network, tree));
    }
    for message in links::problems(&network) {
        // Those that begin with an entry's name are about its values.
        match message.split_once(": ") {
            Some((entry, words)) if network.interfaces.contains_key(entry) => {
                add_error(tree, &format!("{INTERFACES}.{entry}"), words, problems);
            }
            _ => problems.push(Problem::warning(
                &place(tree, INTERFACES),
                INTERFACES,
                message,
            )),
        }
    }
    for words in Resolver::new(&network, &rancher.defaults.network).problems {
        let words = words.trim_start_matches("dns.");
        add_error(tree, "rancher.network.dns", words, problems);
    }
}

/// Adds what is said below a key, at the value that the words begin with, unless a rule of the schema has named that value.
fn add_error(tree: &Node, key: &str, words: &str, problems: &mut Vec<Problem>) {
    let (mut key, mut words) = (key.to_owned(), words);
    let mut is_value = false;
    while let Some((name, rest)) = words.split_once(": ") {
        let inner = match name {
            // It is described next to the entries of links.
            _ if name.starts_with("wifi_networks.") => format!("rancher.network.{name}"),
            "address" if tree.get(&format!("{key}.address")).is_none() => {
                format!("{key}.addresses")
            }
            _ => format!("{key}.{name}"),
        };
        if tree.get(&inner).is_none() {
            break;
        }
        (key, words, is_value) = (inner, rest, true);
    }
    // Words can begin with a key and go on: `psk is neither ...`.
    let name = words.split(' ').next().unwrap_or_default();
    let named = format!("{key}.{name}");
    let node = tree.get(&named);
    let is_told = |old: &Problem| {
        old.severity == Severity::Error
            && (is_value && old.key.starts_with(&key) || node.is_some() && old.key == named)
    };
    if !problems.iter().any(is_told) {
        let at = node.map_or_else(|| place(tree, &key), |node| node.at.clone());
        problems.push(Problem::error(&at, key, words));
    }
}

/// Puts sample addresses in the place of the datasource's, and says which values have them.
fn fill_in(network: &mut Network, tree: &Node) -> Vec<Problem> {
    // Addresses for documentation (RFC 5737, RFC 3849).
    let samples = Metadata {
        private_ipv4: Some("192.0.2.1".into()),
        public_ipv4: Some("198.51.100.1".into()),
        private_ipv6: Some("2001:db8::1".into()),
        public_ipv6: Some("2001:db8::2".into()),
        ..Metadata::default()
    };
    let mut problems = Vec::new();
    for (name, entry) in &mut network.interfaces {
        let single = [
            ("address", &mut entry.address),
            ("gateway", &mut entry.gateway),
            ("gateway_ipv6", &mut entry.gateway_ipv6),
        ];
        let single = single
            .into_iter()
            .filter_map(|(key, text)| Some((key.to_owned(), text.as_mut()?)));
        let several = entry.addresses.iter_mut().enumerate();
        let several = several.map(|(index, text)| (format!("addresses.{index}"), text));
        for (key, text) in single.chain(several) {
            let (filled, _) = fill(text, &samples);
            if filled != *text {
                let key = format!("{INTERFACES}.{name}.{key}");
                let words =
                    "the address is filled in from the datasource at boot, and not looked at here";
                problems.push(Problem::warning(&place(tree, &key), &key, words));
                *text = filled;
            }
        }
    }
    problems
}

/// Where a key stands.
pub(super) fn place(tree: &Node, key: &str) -> Location {
    let node = tree.get(key);
    node.map_or_else(Location::built_in, |node| node.at.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let text = format!("rancher:\n  network:\n{text}");
        let machine = crate::machine_config::of_documents(vec![("t".to_owned(), text)]);
        let mut problems = machine.loaded.problems.clone();
        add(&machine, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    /// The schema's rule and the plan judge the same value.
    #[test]
    fn a_bad_value_is_told_once() {
        for (text, at) in [
            (
                "    interfaces:\n      eth0: {dhcp: false, address: 10.0.0.x/24}\n",
                "4:36",
            ),
            (
                "    interfaces:\n      eth0: {dhcp: false, addresses: [10.0.0.x/24, 10.0.0.2/24]}\n",
                "4:39",
            ),
            (
                "    interfaces:\n      eth0: {dhcp: true, metric: -1}\n",
                "4:34",
            ),
            (
                "    interfaces:\n      eth0: {dhcp: true, dns: {nameservers: [a]}}\n",
                "4:46",
            ),
            ("    dns:\n      nameservers: [10.0.0.1, 1.1.1]\n", "4:31"),
        ] {
            let said = said(text);
            assert_eq!(said.len(), 1, "{said:#?}");
            assert!(said[0].starts_with(&format!("t:{at}: error: ")), "{said:?}");
        }
        // A second mistake of the same entry is another one.
        let both = "    interfaces:\n      eth0: {dhcp: true, mtu: 1, gateway: 'fd00::1'}\n";
        let both = said(both);
        assert!(
            both.len() == 2 && both[1].starts_with("t:4:43: ") && both[1].contains("other family"),
            "{both:?}"
        );
    }

    #[test]
    fn a_wireless_network_is_named_where_it_is_described() {
        let text = "    interfaces:\n      wlan0: {wifi_network: home}\n    wifi_networks:\n      home:\n        ssid: a\n        psk: short\n";
        let said = said(text);
        assert!(
            said.len() == 1
                && said[0].starts_with(
                    "t:8:14: error: rancher.network.wifi_networks.home: psk is neither"
                ),
            "{said:?}"
        );
    }

    #[test]
    fn what_the_datasource_fills_in_is_not_an_error() {
        let text = "    interfaces:\n      eth0: {address: $private_ipv4/16, gateway: 10.0.0.1}\n      eth1: {addresses: ['${public_ipv6}/64', 10.0.1.2/24]}\n";
        let said = said(text);
        assert_eq!(said.len(), 2, "{said:?}");
        for (line, place) in said.iter().zip(["t:4:23: warning: ", "t:5:26: warning: "]) {
            assert!(
                line.starts_with(place) && line.contains("from the datasource at boot"),
                "{line}"
            );
        }
    }
}
