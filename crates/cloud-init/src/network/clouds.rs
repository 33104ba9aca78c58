//! What single providers say about links in their metadata. Each function takes the whole document.

use serde_json::Value;

use super::{Network, Route, by_mac, cidr, number, text, texts, truth};

fn items<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten().take(super::MAX_LINKS)
}

fn default_via(via: String, metric: Option<u64>) -> Route {
    Route {
        to: "default".to_owned(),
        via: Some(via),
        metric,
        ..Route::default()
    }
}

/// A link's entry, found by its hardware address.
fn entry(network: &mut Network, key: &str, name: &str, link: &Value, mac: &str) -> Option<String> {
    let Some(matching) = link.get(mac).and_then(text).as_deref().and_then(by_mac) else {
        network.note(
            &format!("{key}.{mac}"),
            "without a hardware address the link is not found",
        );
        return None;
    };
    network.entry(name).matching = Some(matching);
    Some(name.to_owned())
}

/// DigitalOcean's `interfaces` and `dns`: every address is static.
pub fn digitalocean(value: &Value) -> Network {
    let mut network = Network::default();
    for (kind, is_public) in [("public", true), ("private", false)] {
        for (index, link) in items(value, &format!("/interfaces/{kind}")).enumerate() {
            let key = format!("interfaces.{kind}[{index}]");
            let Some(name) = entry(&mut network, &key, &format!("{kind}{index}"), link, "mac")
            else {
                continue;
            };
            for family in ["ipv4", "anchor_ipv4", "ipv6"] {
                let Some(address) = link.get(family) else {
                    continue;
                };
                let mask = ["netmask", "cidr"]
                    .iter()
                    .find_map(|field| address.get(*field).and_then(text));
                let ip = address.get("ip_address").and_then(text).unwrap_or_default();
                match cidr(&ip, mask.as_deref()) {
                    Some(cidr) => network.entry(&name).addresses.push(cidr),
                    None => network.note(&format!("{key}.{family}"), "it has no address"),
                }
                let gateway = address.get("gateway").and_then(text);
                if let Some(via) = gateway.filter(|_| is_public && family != "anchor_ipv4") {
                    network.entry(&name).routes.push(default_via(via, None));
                }
            }
        }
    }
    for server in value
        .pointer("/dns/nameservers")
        .map(texts)
        .unwrap_or_default()
    {
        network.add_nameserver(None, "dns.nameservers", &server);
    }
    network
}

/// Vultr's `interfaces`: DHCP on the public one, whose further addresses are static; private ones are static.
pub fn vultr(value: &Value) -> Network {
    let mut network = Network::default();
    for (index, link) in items(value, "/interfaces").enumerate() {
        let key = format!("interfaces[{index}]");
        let is_public = link.get("network-type").and_then(Value::as_str) != Some("private");
        let Some(name) = entry(&mut network, &key, &format!("link{index}"), link, "mac") else {
            continue;
        };
        let mut further = Vec::new();
        if is_public {
            network.entry(&name).dhcp = Some(true);
            further.extend(items(link, "/ipv4/additional"));
            further.extend(items(link, "/ipv6/additional"));
        } else {
            further.extend(link.get("ipv4"));
        }
        for address in further {
            let ip = ["address", "network"]
                .iter()
                .find_map(|field| address.get(*field).and_then(text));
            let mask = ["netmask", "prefix"]
                .iter()
                .find_map(|field| address.get(*field).and_then(text));
            match ip.and_then(|ip| cidr(&ip, mask.as_deref())) {
                Some(cidr) => network.entry(&name).addresses.push(cidr),
                None => network.note(&key, "an address of it cannot be read"),
            }
        }
        network.entry(&name).mtu = link.get("mtu").and_then(number);
    }
    network
}

/// UpCloud's `network`: DHCP where it says so, static addresses otherwise.
pub fn upcloud(value: &Value) -> Network {
    let mut network = Network::default();
    for (index, link) in items(value, "/network/interfaces").enumerate() {
        let key = format!("network.interfaces[{index}]");
        let Some(name) = entry(&mut network, &key, &format!("link{index}"), link, "mac") else {
            continue;
        };
        for address in items(link, "/ip_addresses") {
            if address.get("dhcp").is_some_and(truth) {
                network.entry(&name).dhcp = Some(true);
                continue;
            }
            let subnet = address.get("network").and_then(text).unwrap_or_default();
            let mask = subnet.split_once('/').map(|(_, prefix)| prefix.to_owned());
            let is_floating = address.get("floating").is_some_and(truth);
            let ip = address.get("address").and_then(text).unwrap_or_default();
            match cidr(&ip, mask.as_deref().filter(|_| !is_floating)) {
                Some(cidr) => network.entry(&name).addresses.push(cidr),
                None => network.note(&key, "an address of it cannot be read"),
            }
            if let Some(via) = address
                .get("gateway")
                .and_then(text)
                .filter(|_| !is_floating)
            {
                network.entry(&name).routes.push(default_via(via, None));
            }
        }
    }
    for server in value.pointer("/network/dns").map(texts).unwrap_or_default() {
        network.add_nameserver(None, "network.dns", &server);
    }
    network
}

/// Packet's `network`: all links in one bond; private addresses reach 10.0.0.0/8 (RancherOS's rule).
pub fn packet(value: &Value) -> Network {
    let mut network = Network::default();
    const BOND: &str = "bond0";
    for (index, link) in items(value, "/network/interfaces").enumerate() {
        let name = link
            .get("name")
            .and_then(text)
            .unwrap_or_else(|| format!("link{index}"));
        let key = format!("network.interfaces[{index}]");
        if let Some(name) = entry(&mut network, &key, &name, link, "mac") {
            network.entry(&name).bond = Some(BOND.to_owned());
        }
    }
    if network.interfaces.is_empty() {
        return network;
    }
    let mode = value
        .pointer("/network/bonding/mode")
        .and_then(text)
        .unwrap_or_else(|| "4".to_owned());
    let options = [
        ("mode", mode.as_str()),
        ("miimon", "100"),
        ("downdelay", "200"),
        ("updelay", "200"),
        ("xmit_hash_policy", "layer3+4"),
        ("lacp_rate", "1"),
    ];
    let taken = if mode == "4" { 6 } else { 4 };
    network.entry(BOND).bond_opts = options[..taken]
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    for address in items(value, "/network/addresses") {
        let ip = address.get("address").and_then(text).unwrap_or_default();
        let mask = address
            .get("cidr")
            .or(address.get("netmask"))
            .and_then(text);
        let Some(cidr) = cidr(&ip, mask.as_deref()) else {
            network.note("network.addresses", "an address cannot be read");
            continue;
        };
        let is_public = address.get("public").is_some_and(truth);
        let via = address.get("gateway").and_then(text);
        let entry = network.entry(BOND);
        entry.addresses.push(cidr);
        if let Some(via) = via {
            let to = if is_public { "default" } else { "10.0.0.0/8" };
            entry.routes.push(Route {
                to: to.to_owned(),
                via: Some(via),
                ..Route::default()
            });
        }
    }
    network
}

/// Hetzner's `network-config` (version 1), and a list of private networks, which have DHCP.
pub fn hetzner(value: &Value) -> Network {
    let described = value.get("network-config").map(super::network_value);
    let mut network = match described {
        Some(Ok(Some(network))) => network,
        Some(Err(error)) => {
            let mut network = Network::default();
            network.note("network-config", &error);
            return network;
        }
        Some(Ok(None)) | None => return Network::default(),
    };
    for (index, link) in items(value, "/private-networks").enumerate() {
        let key = format!("private-networks[{index}]");
        if let Some(name) = entry(
            &mut network,
            &key,
            &format!("private{index}"),
            link,
            "mac_address",
        ) {
            network.entry(&name).dhcp = Some(true);
        }
    }
    network
}
