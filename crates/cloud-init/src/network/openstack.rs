//! OpenStack's `network_data.json` (nova's "Metadata API Reference", network data schema).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Network, Route, by_mac, cidr, destination, is_link_name, number, text, texts};

/// Translates the document.
pub fn translate(value: &Value) -> Network {
    let mut network = Network::default();
    let names = links(&mut network, value);
    for (index, item) in list(value, "networks").enumerate() {
        let key = format!("networks[{index}]");
        let link = item.get("link").and_then(text).unwrap_or_default();
        match names.get(&link) {
            Some(name) => subnet(&mut network, &key, name, item),
            None => network.note(
                &format!("{key}.link"),
                &format!("there is no link {link:?}"),
            ),
        }
    }
    services(&mut network, None, "services", value);
    network
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    let items = value.get(key).and_then(Value::as_array);
    items.into_iter().flatten().take(super::MAX_LINKS)
}

fn services(network: &mut Network, link: Option<&str>, key: &str, value: &Value) {
    for service in list(value, "services") {
        if service.get("type").and_then(Value::as_str) == Some("dns")
            && let Some(address) = service.get("address").and_then(text)
        {
            network.add_nameserver(link, key, &address);
        }
    }
}

/// Links by id, and the entries that they have here.
fn links(network: &mut Network, value: &Value) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    // A bond names its members and a VLAN its parent, which may stand behind it.
    let order = |kind: &str| match kind {
        "bond" => 1,
        "vlan" => 2,
        _ => 0,
    };
    let mut all: Vec<(usize, &Value)> = list(value, "links").enumerate().collect();
    all.sort_by_key(|(_, link)| order(link.get("type").and_then(Value::as_str).unwrap_or("")));
    for (index, link) in all {
        let key = format!("links[{index}]");
        let Some(id) = link.get("id").and_then(text) else {
            network.note(&key, "a link needs an `id`");
            continue;
        };
        let name = match link.get("type").and_then(Value::as_str).unwrap_or("phy") {
            "bond" => bond(network, &id, link, &names),
            "vlan" => vlan(network, &key, link, &names),
            _ => physical(network, &key, &id, link),
        };
        if let Some(name) = name {
            network.entry(&name).mtu = link.get("mtu").and_then(number);
            names.insert(id, name);
        }
    }
    names
}

fn physical(network: &mut Network, key: &str, id: &str, link: &Value) -> Option<String> {
    let mac = link.get("ethernet_mac_address").and_then(text);
    let Some(matching) = mac.as_deref().and_then(by_mac) else {
        network.note(
            &format!("{key}.ethernet_mac_address"),
            "without a hardware address the link is not found",
        );
        return None;
    };
    network.entry(id).matching = Some(matching);
    Some(id.to_owned())
}

fn bond(
    network: &mut Network,
    id: &str,
    link: &Value,
    names: &BTreeMap<String, String>,
) -> Option<String> {
    let count = network
        .interfaces
        .values()
        .filter(|entry| !entry.bond_opts.is_empty())
        .count();
    let name = if is_link_name(id) {
        id.to_owned()
    } else {
        format!("bond{count}")
    };
    for member in link.get("bond_links").map(texts).unwrap_or_default() {
        if let Some(member) = names.get(&member) {
            network.entry(member).bond = Some(name.clone());
        }
    }
    let entry = network.entry(&name);
    for (field, value) in link.as_object().into_iter().flatten() {
        if let Some(option) = field
            .strip_prefix("bond_")
            .filter(|option| *option != "links")
        {
            entry
                .bond_opts
                .insert(option.to_owned(), text(value).unwrap_or_default());
        }
    }
    if entry.bond_opts.is_empty() {
        entry
            .bond_opts
            .insert("mode".to_owned(), "active-backup".to_owned());
    }
    entry.mac = link.get("ethernet_mac_address").and_then(text);
    Some(name)
}

fn vlan(
    network: &mut Network,
    key: &str,
    link: &Value,
    names: &BTreeMap<String, String>,
) -> Option<String> {
    let parent = link
        .get("vlan_link")
        .and_then(text)
        .and_then(|id| names.get(&id));
    let (Some(parent), Some(id)) = (parent, link.get("vlan_id").and_then(number)) else {
        network.note(key, "a VLAN needs `vlan_link` and `vlan_id`");
        return None;
    };
    let mut name = format!("vlan{id}");
    while network.interfaces.contains_key(&name) {
        name.push('x');
    }
    network.entry(parent).vlans.push(format!("{id}:{name}"));
    network.entry(&name).mac = link.get("vlan_mac_address").and_then(text);
    Some(name)
}

fn subnet(network: &mut Network, key: &str, name: &str, item: &Value) {
    let kind = item.get("type").and_then(Value::as_str).unwrap_or("");
    match kind {
        "ipv4" | "ipv6" => {
            let address = item.get("ip_address").and_then(text).unwrap_or_default();
            let mask = item.get("netmask").and_then(text);
            match cidr(&address, mask.as_deref()) {
                Some(cidr) => network.entry(name).addresses.push(cidr),
                None => network.note(
                    &format!("{key}.ip_address"),
                    &format!("{address:?} is not an address"),
                ),
            }
        }
        _ if kind.contains("dhcp") || kind.contains("slaac") => {
            network.entry(name).dhcp = Some(true)
        }
        other => network.note(&format!("{key}.type"), &format!("{other:?} is not known")),
    }
    for (index, route) in list(item, "routes").enumerate() {
        let to = route.get("network").and_then(text);
        let mask = route.get("netmask").and_then(text);
        match to.and_then(|to| destination(&to, mask.as_deref())) {
            Some(to) => network.entry(name).routes.push(Route {
                to,
                via: route.get("gateway").and_then(text),
                ..Route::default()
            }),
            None => network.note(&format!("{key}.routes[{index}]"), "it has no destination"),
        }
    }
    if let Some(via) = item.get("gateway").and_then(text)
        && !network
            .entry(name)
            .routes
            .iter()
            .any(|route| route.to == "default")
    {
        network.entry(name).routes.push(Route {
            to: "default".to_owned(),
            via: Some(via),
            ..Route::default()
        });
    }
    for server in item.get("dns_nameservers").map(texts).unwrap_or_default() {
        network.add_nameserver(Some(name), &format!("{key}.dns_nameservers"), &server);
    }
    services(network, Some(name), &format!("{key}.services"), item);
}
