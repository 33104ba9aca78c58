//! Links, addresses, DNS and proxies.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Command, StringMap};

/// `rancher.network`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Seconds to wait for a lease.
    pub dhcp_timeout: Option<i64>,
    /// Resolver settings.
    pub dns: Dns,
    /// Proxy for http.
    pub http_proxy: Option<String>,
    /// Proxy for https.
    pub https_proxy: Option<String>,
    /// Links by name, glob or `mac=`.
    pub interfaces: BTreeMap<String, Interface>,
    /// Hosts without a proxy.
    pub no_proxy: Option<String>,
    /// Commands after all links are configured.
    pub post_cmds: Vec<Command>,
    /// Commands before any link is configured.
    pub pre_cmds: Vec<Command>,
    /// Wi-Fi networks by the names that links use for them.
    pub wifi_networks: BTreeMap<String, WifiNetwork>,
}

/// `rancher.network.interfaces.NAME`; see `schema::network` for what the fields mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "the fields are RancherOS's keys, documented in the schema"
)]
pub struct Interface {
    pub address: Option<String>,
    pub addresses: Vec<String>,
    pub bond: Option<String>,
    pub bond_opts: StringMap,
    pub bridge: Option<String>,
    pub dhcp: Option<bool>,
    pub dhcp_args: Option<String>,
    pub dhcp_hostname: Option<bool>,
    pub dns: LinkDns,
    pub gateway: Option<String>,
    pub gateway_ipv6: Option<String>,
    pub ipv4ll: Option<bool>,
    pub mac: Option<String>,
    #[serde(rename = "match")]
    pub matching: Option<String>,
    pub metric: Option<i64>,
    pub mtu: Option<i64>,
    pub post_up: Vec<Command>,
    pub pre_up: Vec<Command>,
    pub routes: Vec<RouteEntry>,
    pub rules: Vec<RuleEntry>,
    pub vlans: Option<String>,
    pub wifi_network: Option<String>,
    pub wireguard: Option<Wireguard>,
}

/// `rancher.network.wifi_networks.NAME`; see `schema::network` for what the fields mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "the fields are RancherOS's keys, documented in the schema"
)]
pub struct WifiNetwork {
    pub address: Option<String>,
    pub anonymous_identity: Option<String>,
    pub ca_certs: Vec<String>,
    pub client_certs: Vec<String>,
    pub eap: Option<String>,
    pub eapol_flags: Option<i64>,
    pub gateway: Option<String>,
    pub group: Option<String>,
    pub identity: Option<String>,
    pub key_mgmt: Option<String>,
    pub pairwise: Option<String>,
    pub password: Option<String>,
    pub phases: Vec<String>,
    pub priority: Option<i64>,
    pub private_key_passwds: Vec<String>,
    pub private_keys: Vec<String>,
    pub psk: Option<String>,
    pub scan_ssid: Option<i64>,
    pub ssid: Option<String>,
}

/// `rancher.network.interfaces.NAME.wireguard`; see `schema::network` for what the fields mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are documented in the schema")]
pub struct Wireguard {
    pub fwmark: Option<i64>,
    pub listen_port: Option<i64>,
    pub peers: Vec<WireguardPeer>,
    pub private_key: Option<String>,
    pub routes: Option<bool>,
}

/// One entry of `wireguard.peers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are documented in the schema")]
pub struct WireguardPeer {
    pub allowed_ips: Vec<String>,
    pub endpoint: Option<String>,
    pub keepalive: Option<i64>,
    pub preshared_key: Option<String>,
    pub public_key: Option<String>,
}

/// One entry of `routes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RouteEntry {
    /// Metric; lower wins.
    pub metric: Option<i64>,
    /// Number of the table that it stands in.
    pub table: Option<i64>,
    /// Destination with its prefix, or `default`.
    pub to: Option<String>,
    /// Gateway.
    pub via: Option<String>,
}

/// One entry of `rules`; see `schema::network` for what the fields mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are documented in the schema")]
pub struct RuleEntry {
    pub from: Option<String>,
    pub mark: Option<i64>,
    pub priority: Option<i64>,
    pub table: Option<i64>,
    pub to: Option<String>,
}

/// `rancher.network.dns`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Addresses of name servers.
    pub nameservers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
}

/// `rancher.network.interfaces.NAME.dns`; see `schema::network` for what the fields mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are documented in the schema")]
pub struct LinkDns {
    pub dhcp_nameservers: Option<bool>,
    pub dhcp_search: Option<bool>,
    pub nameservers: Vec<String>,
    pub search: Vec<String>,
}
