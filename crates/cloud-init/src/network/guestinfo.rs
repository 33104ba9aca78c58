//! RancherOS's keys of VMware's guestinfo for links and names: `interface.N.*`, `dns.server.N`, `dns.domain.N`, and the lists
//! `dns.servers` and `dns.domains`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Network, Route, by_mac, cidr, destination};

/// Most entries of one kind: a link has some addresses, a machine some links.
const MOST: usize = 16;
/// What is said of a link, besides addresses and routes.
const LINK: [&str; 4] = ["name", "mac", "dhcp", "role"];
const ADDRESS: [&str; 2] = ["address", "netmask"];
const ROUTE: [&str; 2] = ["gateway", "destination"];
/// The same as the lists of `dns`, with commas between.
const ALL_SERVERS: &str = "dns.servers";
const ALL_DOMAINS: &str = "dns.domains";

/// Asks `value` for every key that may be there; a list ends where its next entry has nothing.
pub(crate) fn ask<E>(
    mut value: impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<BTreeMap<String, String>, E> {
    let mut answers = BTreeMap::new();
    let mut all = |prefix: &str, keys: &[&str]| {
        let mut is_there = false;
        for key in keys {
            let key = format!("{prefix}{key}");
            if let Some(text) = value(&key)? {
                answers.insert(key, text);
                is_there = true;
            }
        }
        Ok(is_there)
    };
    for link in 0..MOST {
        let prefix = format!("interface.{link}.");
        let mut is_there = all(&prefix, &LINK)?;
        for (list, keys) in [("ip", &ADDRESS), ("route", &ROUTE)] {
            for entry in 0..MOST {
                if !all(&format!("{prefix}{list}.{entry}."), keys)? {
                    break;
                }
                is_there = true;
            }
        }
        if !is_there {
            break;
        }
    }
    for list in ["dns.server.", "dns.domain."] {
        for entry in 0..MOST {
            if !all(list, &[&entry.to_string()])? {
                break;
            }
        }
    }
    all("", &[ALL_SERVERS, ALL_DOMAINS])?;
    Ok(answers)
}

/// The network that they describe.
pub(crate) fn translate(answers: &BTreeMap<String, String>) -> Network {
    let mut network = Network::default();
    for link in 0..MOST {
        let prefix = format!("interface.{link}.");
        if answers.keys().any(|key| key.starts_with(&prefix)) {
            add_link(&mut network, answers, link);
        }
    }
    let list = |prefix: &str, all: &str| {
        let each = (0..MOST).map(|entry| format!("{prefix}{entry}"));
        let each = each.filter_map(|key| Some((key.clone(), answers.get(&key)?.clone())));
        let words = answers
            .get(all)
            .into_iter()
            .flat_map(|text| text.split(','));
        let words = words.map(|word| (all.to_owned(), word.to_owned()));
        each.chain(words).collect::<Vec<_>>()
    };
    for (key, server) in list("dns.server.", ALL_SERVERS) {
        network.add_nameserver(None, &key, &server);
    }
    for (key, domain) in list("dns.domain.", ALL_DOMAINS) {
        network.add_search(None, &key, &domain);
    }
    network
}

/// A link that is not named, by a name or a hardware address, is the kernel's of this number.
fn add_link(network: &mut Network, answers: &BTreeMap<String, String>, link: usize) {
    let prefix = format!("interface.{link}.");
    let value = |key: &str| answers.get(&format!("{prefix}{key}")).map(String::as_str);
    let matching = value("mac").and_then(by_mac);
    if let (Some(mac), None) = (value("mac"), &matching) {
        let message = format!("{mac:?} is not a hardware address");
        network.note(&format!("{prefix}mac"), &message);
    }
    let name = match (value("name"), &matching) {
        (Some(name), _) => name.to_owned(),
        (None, Some(_)) => format!("link{link}"),
        (None, None) => format!("eth{link}"),
    };
    network.entry(&name).matching = matching;
    for entry in 0..MOST {
        let Some(address) = value(&format!("ip.{entry}.address")) else {
            continue;
        };
        match cidr(address, value(&format!("ip.{entry}.netmask"))) {
            Some(address) => network.entry(&name).addresses.push(address),
            None => network.note(
                &format!("{prefix}ip.{entry}.address"),
                &format!("{address:?} is not an address with its prefix"),
            ),
        }
    }
    // RancherOS asked no DHCP server for a link with an address.
    let is_static = !network.entry(&name).addresses.is_empty();
    network.entry(&name).dhcp = value("dhcp").map(|said| {
        !is_static && !["no", "false", "0"].contains(&said.to_ascii_lowercase().as_str())
    });
    for entry in 0..MOST {
        let [gateway, to] = ROUTE.map(|key| value(&format!("route.{entry}.{key}")));
        if gateway.is_none() && to.is_none() {
            continue;
        }
        let key = format!("{prefix}route.{entry}");
        let to = destination(to.unwrap_or("default"), None);
        match (to, gateway.filter(|text| text.parse::<IpAddr>().is_ok())) {
            (Some(to), Some(via)) => network.entry(&name).routes.push(Route {
                to,
                via: Some(via.to_owned()),
                ..Route::default()
            }),
            (None, _) => network.note(&key, "its destination is not a prefix"),
            (_, None) => network.note(&key, "it has no gateway that is an address"),
        }
    }
}

/// The first address of a link of this `role`, public or private, for `$public_ipv4` and the like.
pub(crate) fn address(
    answers: &BTreeMap<String, String>,
    role: &str,
    is_v6: bool,
) -> Option<String> {
    let links = (0..MOST).filter(|link| {
        let said = answers.get(&format!("interface.{link}.role"));
        said.is_some_and(|said| said.eq_ignore_ascii_case(role))
    });
    let keys =
        links.flat_map(|link| (0..MOST).map(move |ip| format!("interface.{link}.ip.{ip}.address")));
    let addresses = keys.filter_map(|key| {
        let bare = answers.get(&key)?.split('/').next()?.trim().to_owned();
        let ip: IpAddr = bare.parse().ok()?;
        (ip.is_ipv6() == is_v6).then_some(bare)
    });
    { addresses }.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        pairs.collect()
    }

    #[test]
    fn links_of_rancheros_are_translated() {
        let told = answers(&[
            ("interface.0.name", "eth0"),
            ("interface.0.role", "private"),
            ("interface.0.dhcp", "yes"),
            ("interface.0.ip.0.address", "10.0.0.2"),
            ("interface.0.ip.0.netmask", "255.255.255.0"),
            ("interface.0.ip.1.address", "fd00::2/64"),
            ("interface.0.route.0.gateway", "10.0.0.1"),
            ("interface.0.route.0.destination", "0.0.0.0/0"),
            ("interface.0.route.1.gateway", "10.0.0.9"),
            ("interface.0.route.1.destination", "10.9.0.0/16"),
            ("interface.1.mac", "00:50:56:AA:BB:CC"),
            ("interface.1.role", "public"),
            ("interface.1.dhcp", "yes"),
            ("interface.2.dhcp", "on"),
            ("interface.3.dhcp", "no"),
            ("interface.3.route.0.destination", "10.8.0.0/16"),
            ("dns.server.0", "10.0.0.3"),
            ("dns.server.1", "not one"),
            ("dns.servers", "10.0.0.3, 10.0.0.4"),
            ("dns.domain.0", "example.com"),
        ]);
        // Every key is asked for, and nothing without end.
        let mut asked = 0;
        let found = ask(|key| {
            asked += 1;
            Ok::<_, ()>(told.get(key).cloned())
        });
        assert_eq!(found.unwrap(), told);
        assert!(asked < 80, "{asked}");
        let network = translate(&told);
        assert_eq!(
            network.to_json().unwrap(),
            serde_json::json!({
                "interfaces": {
                    "eth0": {
                        "dhcp": false,
                        "addresses": ["10.0.0.2/24", "fd00::2/64"],
                        "routes": [
                            {"to": "default", "via": "10.0.0.1"},
                            {"to": "10.9.0.0/16", "via": "10.0.0.9"}
                        ]
                    },
                    "link1": {"match": "mac=00:50:56:aa:bb:cc", "dhcp": true},
                    "eth2": {"dhcp": true},
                    "eth3": {"dhcp": false}
                },
                "dns": {"nameservers": ["10.0.0.3", "10.0.0.4"], "search": ["example.com"]}
            })
        );
        assert_eq!(network.notes.len(), 2, "{:?}", network.notes);
        assert_eq!(
            address(&told, "private", false).as_deref(),
            Some("10.0.0.2")
        );
        assert_eq!(address(&told, "private", true).as_deref(), Some("fd00::2"));
        assert_eq!(address(&told, "public", false), None);
    }
}
