//! Version 2: netplan's form (netplan's YAML reference, cloud-init's "Networking config Version 2").

use serde_json::Value;

use super::{
    Network, Route, Rule, by_mac, cidr, destination, is_link_name, number, text, texts, truth,
    tunnels, wifis,
};

/// Kinds of links; those below the first six are not had.
pub(super) const KINDS: [&str; 10] = [
    "ethernets",
    "bonds",
    "bridges",
    "vlans",
    "tunnels",
    "wifis",
    "modems",
    "vrfs",
    "dummy-devices",
    "nm-devices",
];
const TAKEN: usize = 6;

/// The number of the table that is asked where no rule names another (ip-route(8)).
const MAIN_TABLE: u64 = 254;

/// Keys of a link that mean nothing here: nobody waits for a link, and names are the kernel's.
const SILENT: &[&str] = &[
    "optional",
    "critical",
    "renderer",
    "ignore-carrier",
    "optional-addresses",
    "emit-lldp",
];
/// Keys of a link that are read.
const READ: &[&str] = &[
    "match",
    "dhcp4",
    "dhcp6",
    "addresses",
    "gateway4",
    "gateway6",
    "nameservers",
    "macaddress",
    "mtu",
    "routes",
    "routing-policy",
    "dhcp4-overrides",
    "dhcp6-overrides",
    "interfaces",
    "parameters",
    "id",
    "link",
    "set-name",
];

/// Translates `network`, version 2.
pub(super) fn translate(value: &Value) -> Network {
    let mut network = Network::default();
    for kind in &KINDS[TAKEN..] {
        if value.get(*kind).is_some() {
            network.note(kind, "this version does not have such links");
        }
    }
    for kind in &KINDS[..TAKEN] {
        let links = value.get(*kind).and_then(Value::as_object);
        for (name, link) in links.into_iter().flatten().take(super::MAX_LINKS) {
            if link.is_object() {
                one(&mut network, kind, name, link);
            } else if !link.is_null() {
                network.note(&format!("{kind}.{name}"), "it is not a map");
            }
        }
    }
    network
}

fn one(network: &mut Network, kind: &str, name: &str, link: &Value) {
    let key = format!("{kind}.{name}");
    match kind {
        "tunnels" => {} // those of WireGuard, below
        "wifis" => unread(network, &key, link, wifis::READ),
        _ => unread(network, &key, link, &[]),
    }
    match kind {
        "ethernets" => matched(network, &key, name, link),
        "wifis" => {
            matched(network, &key, name, link);
            wifis::translate(network, &key, name, link);
        }
        _ if !is_link_name(name) => return network.note(&key, "it is not a name of a link"),
        "vlans" => {
            let (Some(parent), Some(id)) = (
                link.get("link").and_then(text),
                link.get("id").and_then(number),
            ) else {
                return network.note(&key, "a VLAN needs `id` and `link`");
            };
            network.entry(&parent).vlans.push(format!("{id}:{name}"));
        }
        "tunnels" => {
            let Some(wireguard) = tunnels::translate(network, &key, link) else {
                return;
            };
            unread(network, &key, link, tunnels::READ);
            network.entry(name).wireguard = Some(wireguard);
        }
        "bridges" => {
            network.entry(name).bridge = Some("true".to_owned());
            for member in members(link) {
                network.entry(&member).bridge = Some(name.to_owned());
            }
            for parameter in keys(link.get("parameters")) {
                network.note(
                    &format!("{key}.parameters.{parameter}"),
                    "not set: a bridge has the kernel's values",
                );
            }
        }
        _ => {
            for member in members(link) {
                network.entry(&member).bond = Some(name.to_owned());
            }
            let options = super::v1::bond_options(link.get("parameters"));
            network.entry(name).bond_opts = options;
        }
    }
    settings(network, &key, name, link);
}

fn members(link: &Value) -> Vec<String> {
    link.get("interfaces").map(texts).unwrap_or_default()
}

pub(super) fn keys(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_object)
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default()
}

fn unread(network: &mut Network, key: &str, link: &Value, more: &[&str]) {
    for name in keys(Some(link)) {
        let known = [READ, SILENT, more];
        if !known.iter().any(|words| words.contains(&name.as_str())) {
            network.note(&format!("{key}.{name}"), "not applied by this version");
        }
    }
}

/// Which link an entry of `ethernets` is for.
fn matched(network: &mut Network, key: &str, name: &str, link: &Value) {
    let matching = link.get("match");
    for field in keys(matching) {
        if !matches!(field.as_str(), "macaddress" | "name" | "driver") {
            network.note(&format!("{key}.match.{field}"), "not known");
        }
    }
    let field = |field: &str| {
        matching
            .and_then(|matching| matching.get(field))
            .and_then(text)
    };
    let pattern = match (field("macaddress"), field("name")) {
        (Some(mac), _) => by_mac(&mac).or_else(|| {
            network.note(
                &format!("{key}.match.macaddress"),
                "it is not a hardware address",
            );
            None
        }),
        (None, Some(glob)) => Some(glob),
        (None, None) if field("driver").is_some() => {
            let all = if key.starts_with("wifis") {
                "wlan*"
            } else {
                "eth*"
            };
            let message = format!("links are not matched by driver: every {all} is meant");
            network.note(&format!("{key}.match.driver"), &message);
            Some(all.to_owned())
        }
        (None, None) => None,
    };
    if let Some(new) = link.get("set-name").and_then(text)
        && new != name
    {
        network.note(&format!("{key}.set-name"), "links keep the kernel's names");
    }
    network.entry(name).matching = pattern;
}

/// What every kind of link has.
fn settings(network: &mut Network, key: &str, name: &str, link: &Value) {
    let dhcp = ["dhcp4", "dhcp6"].map(|family| link.get(family).map(truth));
    let mut addresses = Vec::new();
    for address in link
        .get("addresses")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        // {"10.0.0.2/24": {lifetime: 0}} is an address with options.
        let word = text(address).or_else(|| keys(Some(address)).first().cloned());
        match word.as_deref().and_then(|word| cidr(word, None)) {
            Some(address) => addresses.push(address),
            None => network.note(
                &format!("{key}.addresses"),
                &format!("{address} is not an address"),
            ),
        }
    }
    let (routes, rules) = (routes(network, key, link), rules(network, key, link));
    for server in link
        .pointer("/nameservers/addresses")
        .map(texts)
        .unwrap_or_default()
    {
        let key = format!("{key}.nameservers.addresses");
        network.add_nameserver(Some(name), &key, &server);
    }
    for domain in link
        .pointer("/nameservers/search")
        .map(texts)
        .unwrap_or_default()
    {
        network.add_search(Some(name), &format!("{key}.nameservers.search"), &domain);
    }
    let dhcp_says = overrides(network, key, link);
    let mac = link.get("macaddress").and_then(text);
    let mtu = link.get("mtu").and_then(number);
    let entry = network.entry(name);
    entry.dhcp = match dhcp {
        [Some(true), _] | [_, Some(true)] => Some(true),
        // Addresses are given by hand: saying false would be said twice.
        _ => addresses.is_empty().then_some(false),
    };
    entry.addresses = addresses;
    entry.routes = routes;
    entry.rules = rules;
    entry.mac = mac;
    entry.mtu = mtu;
    entry.metric = dhcp_says.metric;
    entry.dhcp_hostname = dhcp_says.hostname;
    entry.dns.dhcp_nameservers = dhcp_says.nameservers;
    entry.dns.dhcp_search = dhcp_says.search;
}

/// What is taken of DHCP's answers; what is not said is the usual.
#[derive(Default)]
struct Overrides {
    metric: Option<u64>,
    hostname: Option<bool>,
    nameservers: Option<bool>,
    search: Option<bool>,
}

/// `dhcp4-overrides` and `dhcp6-overrides`: one for both families here.
fn overrides(network: &mut Network, key: &str, link: &Value) -> Overrides {
    let mut taken = Overrides::default();
    for family in ["4", "6"] {
        let name = format!("dhcp{family}-overrides");
        for field in keys(link.get(&name)) {
            let (value, key) = (&link[&name][&field], format!("{key}.{name}.{field}"));
            let is_no = !truth(value);
            match field.as_str() {
                "route-metric" => taken.metric = number(value),
                "use-hostname" if is_no => taken.hostname = Some(false),
                "use-dns" if is_no => taken.nameservers = Some(false),
                "use-domains" if is_no && value.as_str() != Some("route") => {
                    taken.search = Some(false);
                }
                "use-domains" if is_no => {
                    let message = "\"route\" is not applied: the domains are searched, and all names are asked of the same servers";
                    network.note(&key, message);
                }
                "use-hostname" | "use-dns" | "use-domains" | "use-mtu" | "use-ntp" => {}
                "send-hostname" if !is_no => {}
                _ => network.note(&key, "not applied by this version"),
            }
        }
    }
    for (other, own) in [("4", "6"), ("6", "4")] {
        let field = |family: &str| link.pointer(&format!("/dhcp{family}-overrides/use-dns"));
        let is_no = field(own).is_some_and(|value| !truth(value));
        let asks = link.get(format!("dhcp{other}")).is_some_and(truth);
        if is_no && asks && field(other).is_none_or(truth) {
            let message = "is for both families here: name servers of neither are used";
            network.note(&format!("{key}.dhcp{own}-overrides.use-dns"), message);
        }
    }
    taken
}

fn routes(network: &mut Network, key: &str, link: &Value) -> Vec<Route> {
    let mut routes = Vec::new();
    for gateway in ["gateway4", "gateway6"] {
        if let Some(via) = link.get(gateway).and_then(text) {
            routes.push(Route {
                to: "default".to_owned(),
                via: Some(via),
                ..Route::default()
            });
        }
    }
    for (index, route) in link
        .get("routes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        let key = format!("{key}.routes[{index}]");
        for field in keys(Some(route)) {
            if !matches!(
                field.as_str(),
                "to" | "via" | "metric" | "table" | "on-link"
            ) {
                network.note(&format!("{key}.{field}"), "not applied by this version");
            }
        }
        match route
            .get("to")
            .and_then(text)
            .and_then(|to| destination(&to, None))
        {
            Some(to) => routes.push(Route {
                to,
                via: route.get("via").and_then(text),
                metric: route.get("metric").and_then(number),
                table: route.get("table").and_then(number),
            }),
            None => network.note(&key, "`to` is not a destination"),
        }
    }
    routes
}

/// `routing-policy`.
fn rules(network: &mut Network, key: &str, link: &Value) -> Vec<Rule> {
    let policy = link.get("routing-policy").and_then(Value::as_array);
    let mut rules = Vec::new();
    for (index, rule) in policy.into_iter().flatten().enumerate() {
        let key = format!("{key}.routing-policy[{index}]");
        for field in keys(Some(rule)) {
            if !matches!(
                field.as_str(),
                "from" | "to" | "table" | "priority" | "mark"
            ) {
                network.note(&format!("{key}.{field}"), "not applied by this version");
            }
        }
        let field = |name: &str| rule.get(name).and_then(number);
        // Without a table netplan means the main one: it changes which rule is asked first.
        let table = field("table").unwrap_or(MAIN_TABLE);
        rules.push(Rule {
            from: rule.get("from").and_then(text),
            to: rule.get("to").and_then(text),
            table,
            priority: field("priority"),
            mark: field("mark"),
        });
    }
    rules
}
