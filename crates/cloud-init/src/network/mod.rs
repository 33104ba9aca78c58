//! Networks as datasources describe them, translated into `rancher.network`.
//!
//! Each form has a module: [`netplan`] (cloud-init's version 2), [`v1`], [`openstack`] (`network_data.json`), [`guestinfo`] (RancherOS's for
//! VMware) and [`clouds`] (what single providers have in their metadata). What this system does not have is named with its key.

pub mod clouds;
pub(crate) mod guestinfo;
pub mod netplan;
pub mod openstack;
mod tunnels;
pub mod v1;
mod wifis;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

/// Most links taken from one description; a large machine has some dozens.
const MAX_LINKS: usize = 256;

/// A network, and what could not be taken of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Network {
    /// `rancher.network.interfaces`.
    pub interfaces: BTreeMap<String, Interface>,
    /// Addresses of name servers, in order.
    pub nameservers: Vec<String>,
    /// Search domains, in order.
    pub search: Vec<String>,
    /// `rancher.network.wifi_networks`.
    pub(crate) wifi_networks: BTreeMap<String, wifis::WifiNetwork>,
    /// What is not taken, each with its key.
    pub notes: Vec<String>,
}

/// One entry of `rancher.network.interfaces`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Interface {
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub(crate) matching: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dhcp: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dhcp_hostname: Option<bool>,
    #[serde(skip_serializing_if = "Dns::is_empty")]
    pub(crate) dns: Dns,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<Route>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rules: Vec<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mtu: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mac: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metric: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bond: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) bond_opts: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bridge: Option<String>,
    /// `100:name` each.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "joined")]
    pub(crate) vlans: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wireguard: Option<tunnels::Wireguard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wifi_network: Option<String>,
}

/// `dns` of one link.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Dns {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dhcp_nameservers: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dhcp_search: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) nameservers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) search: Vec<String>,
}

impl Dns {
    fn is_empty(&self) -> bool {
        *self == Dns::default()
    }
}

/// One entry of `routes`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Route {
    pub(crate) to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) via: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metric: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) table: Option<u64>,
}

/// One entry of `rules`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    pub(crate) table: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<u64>,
}

#[expect(clippy::ptr_arg, reason = "serde's signature")]
fn joined<S: serde::Serializer>(words: &Vec<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&words.join(","))
}

impl Network {
    /// `rancher.network` as JSON; none when nothing is said.
    pub fn to_json(&self) -> Option<Value> {
        let mut map = serde_json::Map::new();
        if !self.interfaces.is_empty() {
            map.insert(
                "interfaces".into(),
                serde_json::to_value(&self.interfaces).ok()?,
            );
        }
        if !self.wifi_networks.is_empty() {
            map.insert(
                "wifi_networks".into(),
                serde_json::to_value(&self.wifi_networks).ok()?,
            );
        }
        let mut dns = serde_json::Map::new();
        for (key, words) in [("nameservers", &self.nameservers), ("search", &self.search)] {
            if !words.is_empty() {
                dns.insert(key.into(), words.clone().into());
            }
        }
        if !dns.is_empty() {
            map.insert("dns".into(), dns.into());
        }
        (!map.is_empty()).then(|| map.into())
    }

    /// The entry of this name, made when it is not there.
    fn entry(&mut self, name: &str) -> &mut Interface {
        self.interfaces.entry(name.to_owned()).or_default()
    }

    fn note(&mut self, key: &str, message: &str) {
        if self.notes.len() < MAX_LINKS {
            self.notes.push(format!("{key}: {message}"));
        }
    }

    /// A name server, of one link when it is named.
    fn add_nameserver(&mut self, link: Option<&str>, key: &str, text: &str) {
        let text = text.trim();
        let address = text.split('%').next().unwrap_or(text);
        if address.parse::<IpAddr>().is_err() {
            return self.note(key, &format!("{text:?} is not an address"));
        }
        let servers = match link {
            Some(link) => &mut self.entry(link).dns.nameservers,
            None => &mut self.nameservers,
        };
        if !servers.iter().any(|known| known == text) {
            servers.push(text.to_owned());
        }
    }

    /// A search domain, of one link when it is named.
    fn add_search(&mut self, link: Option<&str>, key: &str, text: &str) {
        let text = text.trim();
        if let Some(domain) = text.strip_prefix('~') {
            let message = format!(
                "{text:?} is not applied: names below {domain:?} are asked of the same servers as all others"
            );
            return self.note(key, &message);
        }
        let search = match link {
            Some(link) => &mut self.entry(link).dns.search,
            None => &mut self.search,
        };
        if !text.is_empty() && !search.iter().any(|known| known == text) {
            search.push(text.to_owned());
        }
    }
}

/// Whatever form a text of `network-config` has: version 1, 2, or 2 without its version; with or without the outer
/// `network`. `None`: it says that the network is not to be configured.
///
/// # Errors
/// What is neither, in words.
pub fn network_config(text: &str) -> Result<Option<Network>, String> {
    let (mut node, _) =
        config::parse("network-config", text).map_err(|problem| problem.to_string())?;
    wifis::keep_secrets(&mut node);
    let mut network = network_value(&node.to_json())?;
    for note in network.iter_mut().flat_map(|network| &mut network.notes) {
        if let Some(line) = line_of(&node, note) {
            *note = format!("line {line}: {note}");
        }
    }
    Ok(network)
}

/// The line of what a note is about: the deepest part of its key that is there.
fn line_of(node: &config::Node, note: &str) -> Option<u32> {
    let key = note.split(": ").next()?.replace('[', ".").replace(']', "");
    let root = node.get("network").unwrap_or(node);
    let ends = key.match_indices('.').map(|(dot, _)| dot);
    let mut ends: Vec<usize> = ends.chain([key.len()]).collect();
    ends.reverse();
    let found = ends.into_iter().find_map(|end| root.get(&key[..end]));
    found.map(|node| node.at.line)
}

/// The same for a value that was parsed already.
///
/// # Errors
/// What is neither, in words.
pub fn network_value(value: &Value) -> Result<Option<Network>, String> {
    let value = value
        .get("network")
        .filter(|inner| inner.is_object())
        .unwrap_or(value);
    let is_empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    if is_empty || value.get("config").and_then(Value::as_str) == Some("disabled") {
        return Ok(None);
    }
    if !value.is_object() {
        return Err("it is not a map".to_owned());
    }
    match value.get("version").and_then(number) {
        Some(1) => Ok(Some(v1::translate(value))),
        Some(2) => Ok(Some(netplan::translate(value))),
        Some(other) => Err(format!("version {other} is not known, expected 1 or 2")),
        None if value.get("config").is_some_and(Value::is_array) => Ok(Some(v1::translate(value))),
        None if netplan::KINDS.iter().any(|kind| value.get(*kind).is_some()) => {
            Ok(Some(netplan::translate(value)))
        }
        None => Err("it has neither a version nor links".to_owned()),
    }
}

/// A number, also one in quotes.
fn number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}

/// A text, also one that YAML took for a number.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A truth, also in YAML 1.1's words.
fn truth(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::String(text) => matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on"),
        _ => false,
    }
}

/// The texts of a list; one text is a list of its words.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        Value::String(words) => words
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// An address with its prefix: `10.0.0.2/24`, or address and netmask (`255.255.255.0`, `24`, `ffff:ffff::`).
fn cidr(address: &str, netmask: Option<&str>) -> Option<String> {
    let (address, own) = match address.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (address, None),
    };
    let ip: IpAddr = address.trim().parse().ok()?;
    let whole = if ip.is_ipv6() { 128 } else { 32 };
    let prefix = match own.or(netmask) {
        Some(mask) => prefix(mask.trim())?,
        None if ip.is_ipv6() => 64,
        None => whole,
    };
    (prefix <= whole).then(|| format!("{ip}/{prefix}"))
}

fn prefix(mask: &str) -> Option<u32> {
    if let Ok(prefix) = mask.parse() {
        return Some(prefix);
    }
    let (bits, whole) = match mask.parse::<IpAddr>().ok()? {
        IpAddr::V4(mask) => (u128::from(mask.to_bits()) << 96, 32),
        IpAddr::V6(mask) => (mask.to_bits(), 128),
    };
    let ones = bits.leading_ones();
    (ones <= whole && bits.count_ones() == ones).then_some(ones)
}

/// `default` for everything, a prefix otherwise.
fn destination(to: &str, netmask: Option<&str>) -> Option<String> {
    if to == "default" {
        return Some("default".to_owned());
    }
    let cidr = cidr(to, netmask)?;
    match cidr.split_once('/') {
        Some(("0.0.0.0" | "::", "0")) => Some("default".to_owned()),
        _ => Some(cidr),
    }
}

/// Whether Linux takes it as a link's name.
fn is_link_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 15 && name.chars().all(good)
}

/// A hardware address as entries are matched by it.
fn by_mac(mac: &str) -> Option<String> {
    let mac = mac.trim().to_ascii_lowercase().replace('-', ":");
    let is_mac = mac.split(':').count() == 6
        && mac
            .split(':')
            .all(|part| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit()));
    is_mac.then(|| format!("mac={mac}"))
}

#[cfg(test)]
mod tests;
