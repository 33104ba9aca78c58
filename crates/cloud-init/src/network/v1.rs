//! Version 1 (cloud-init's "Networking config Version 1"): what Proxmox and Hetzner write.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Network, Route, by_mac, cidr, destination, is_link_name, number, text, texts};

/// Translates `network`, version 1.
pub(super) fn translate(value: &Value) -> Network {
    let mut network = Network::default();
    let items = value.get("config").and_then(Value::as_array);
    let mut servers = Vec::new();
    for (index, item) in items
        .into_iter()
        .flatten()
        .take(super::MAX_LINKS)
        .enumerate()
    {
        let key = format!("config[{index}]");
        match item.get("type").and_then(Value::as_str).unwrap_or("") {
            "physical" | "infiniband" => {
                let name = name_of(&network, item, index);
                let mac = item.get("mac_address").and_then(text);
                let matching = mac.as_deref().and_then(by_mac);
                if mac.is_some() && matching.is_none() {
                    network.note(
                        &format!("{key}.mac_address"),
                        "it is not a hardware address",
                    );
                }
                network.entry(&name).matching = matching;
                link(&mut network, &key, &name, item);
            }
            "bond" => bond(&mut network, &key, index, item),
            "bridge" => bridge(&mut network, &key, index, item),
            "vlan" => vlan(&mut network, &key, index, item),
            "nameserver" => {
                // The link may stand further down.
                servers.push((key, item));
            }
            "route" => network.note(
                &key,
                "a route without a link is not applied: put it into the subnet's `routes`",
            ),
            "loopback" => {}
            other => network.note(&format!("{key}.type"), &format!("{other:?} is not known")),
        }
    }
    for (key, item) in servers {
        nameserver(&mut network, &key, item);
    }
    network
}

/// Name servers of the machine, or of the link that `interface` names.
fn nameserver(network: &mut Network, key: &str, item: &Value) {
    let link = item.get("interface").and_then(text);
    let link = link.filter(|link| {
        let is_known = network.interfaces.contains_key(link);
        if !is_known {
            let message = format!("there is no link {link:?}: they are the machine's");
            network.note(&format!("{key}.interface"), &message);
        }
        is_known
    });
    for server in item.get("address").map(texts).unwrap_or_default() {
        network.add_nameserver(link.as_deref(), &format!("{key}.address"), &server);
    }
    for domain in item.get("search").map(texts).unwrap_or_default() {
        network.add_search(link.as_deref(), &format!("{key}.search"), &domain);
    }
}

fn name_of(network: &Network, item: &Value, index: usize) -> String {
    let name = item
        .get("name")
        .and_then(text)
        .unwrap_or_else(|| format!("link{index}"));
    if network
        .interfaces
        .get(&name)
        .is_some_and(|entry| entry.matching.is_some())
    {
        return format!("{name}#{index}"); // only its hardware address counts
    }
    name
}

fn made(network: &mut Network, key: &str, index: usize, item: &Value) -> Option<String> {
    let name = name_of(network, item, index);
    if !is_link_name(&name) {
        network.note(
            &format!("{key}.name"),
            &format!("{name:?} is not a name of a link"),
        );
        return None;
    }
    Some(name)
}

fn bond(network: &mut Network, key: &str, index: usize, item: &Value) {
    let Some(name) = made(network, key, index, item) else {
        return;
    };
    for member in item.get("bond_interfaces").map(texts).unwrap_or_default() {
        network.entry(&member).bond = Some(name.clone());
    }
    network.entry(&name).bond_opts = bond_options(item.get("params"));
    network.entry(&name).mac = item.get("mac_address").and_then(text);
    link(network, key, &name, item);
}

/// Options of a bond under the kernel's names (bonding.rst): `bond-mode`, `mii-monitor-interval` and the like are others'.
pub(super) fn bond_options(parameters: Option<&Value>) -> BTreeMap<String, String> {
    const OTHERS: &[(&str, &str)] = &[
        ("mii_monitor_interval", "miimon"),
        ("transmit_hash_policy", "xmit_hash_policy"),
        ("up_delay", "updelay"),
        ("down_delay", "downdelay"),
        ("arp_ip_targets", "arp_ip_target"),
        ("gratuitous_arp", "num_grat_arp"),
        ("primary_reselect_policy", "primary_reselect"),
        ("all_members_active", "all_slaves_active"),
    ];
    let mut options = BTreeMap::new();
    for (key, value) in parameters.and_then(Value::as_object).into_iter().flatten() {
        let plain = key.replace('-', "_");
        let plain = plain.strip_prefix("bond_").unwrap_or(&plain);
        let name = OTHERS
            .iter()
            .find(|(other, _)| *other == plain)
            .map_or(plain, |(_, own)| own);
        let value = match value {
            Value::Array(_) => texts(value).join(","),
            Value::Bool(truth) => u8::from(*truth).to_string(),
            _ => text(value).unwrap_or_default(),
        };
        options.insert(name.to_owned(), value);
    }
    options
}

fn bridge(network: &mut Network, key: &str, index: usize, item: &Value) {
    let Some(name) = made(network, key, index, item) else {
        return;
    };
    for member in item.get("bridge_interfaces").map(texts).unwrap_or_default() {
        network.entry(&member).bridge = Some(name.clone());
    }
    for parameter in item
        .get("params")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(serde_json::Map::keys)
    {
        network.note(
            &format!("{key}.params.{parameter}"),
            "not set: a bridge has the kernel's values",
        );
    }
    network.entry(&name).bridge = Some("true".to_owned());
    network.entry(&name).mac = item.get("mac_address").and_then(text);
    link(network, key, &name, item);
}

fn vlan(network: &mut Network, key: &str, index: usize, item: &Value) {
    let Some(name) = made(network, key, index, item) else {
        return;
    };
    let (Some(parent), Some(id)) = (
        item.get("vlan_link").and_then(text),
        item.get("vlan_id").and_then(number),
    ) else {
        return network.note(key, "a VLAN needs `vlan_link` and `vlan_id`");
    };
    network.entry(&parent).vlans.push(format!("{id}:{name}"));
    link(network, key, &name, item);
}

/// What every link has: MTU and subnets.
fn link(network: &mut Network, key: &str, name: &str, item: &Value) {
    for field in ["accept-ra", "wakeonlan", "keep_configuration", "optional"] {
        if item
            .get(field)
            .is_some_and(|value| field == "accept-ra" && !value.is_null())
        {
            network.note(&format!("{key}.{field}"), "not applied by this version");
        }
    }
    network.entry(name).mtu = item.get("mtu").and_then(number);
    for (index, subnet) in item
        .get("subnets")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        self::subnet(network, &format!("{key}.subnets[{index}]"), name, subnet);
    }
}

fn subnet(network: &mut Network, key: &str, name: &str, subnet: &Value) {
    match subnet
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("static")
    {
        "dhcp"
        | "dhcp4"
        | "dhcp6"
        | "ipv6_slaac"
        | "ipv6_dhcpv6-stateful"
        | "ipv6_dhcpv6-stateless" => {
            network.entry(name).dhcp = Some(true);
        }
        "static" | "static6" => address(network, key, name, subnet),
        "manual" => {
            let entry = network.entry(name);
            entry.dhcp = entry.dhcp.or(Some(false));
        }
        other => network.note(&format!("{key}.type"), &format!("{other:?} is not known")),
    }
    for server in subnet.get("dns_nameservers").map(texts).unwrap_or_default() {
        network.add_nameserver(Some(name), &format!("{key}.dns_nameservers"), &server);
    }
    for domain in subnet.get("dns_search").map(texts).unwrap_or_default() {
        network.add_search(Some(name), &format!("{key}.dns_search"), &domain);
    }
    if let Some(mtu) = subnet.get("mtu").and_then(number) {
        network.entry(name).mtu.get_or_insert(mtu);
    }
    for (index, route) in subnet
        .get("routes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        let field = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| route.get(*name).and_then(text))
        };
        let mask = field(&["netmask", "prefix"]);
        let to = field(&["network", "destination", "to", "address"]);
        match to.and_then(|to| destination(&to, mask.as_deref())) {
            Some(to) => network.entry(name).routes.push(Route {
                to,
                via: field(&["gateway", "via"]),
                metric: route.get("metric").and_then(number),
                ..Route::default()
            }),
            None => network.note(&format!("{key}.routes[{index}]"), "it has no destination"),
        }
    }
}

fn address(network: &mut Network, key: &str, name: &str, subnet: &Value) {
    let address = subnet.get("address").and_then(text).unwrap_or_default();
    let mask = subnet.get("netmask").and_then(text);
    match cidr(&address, mask.as_deref()) {
        Some(cidr) => network.entry(name).addresses.push(cidr),
        None => network.note(
            &format!("{key}.address"),
            &format!("{address:?} is not an address"),
        ),
    }
    if let Some(via) = subnet.get("gateway").and_then(text) {
        network.entry(name).routes.push(Route {
            to: "default".to_owned(),
            via: Some(via),
            metric: subnet.get("metric").and_then(number),
            ..Route::default()
        });
    }
}
