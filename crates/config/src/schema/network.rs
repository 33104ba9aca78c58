//! `rancher.network`: interfaces, DNS, proxies, Wi-Fi and modems (RancherOS `pkg/netconf/types.go`).

use super::{Kind, f};

/// `rancher.network`.
pub(super) const NETWORK: Kind = Kind::Object(&[
    f("dhcp_timeout", Kind::Int),
    f(
        "dns",
        Kind::Object(&[f("nameservers", Kind::Strings), f("search", Kind::Strings)]),
    ),
    f("http_proxy", Kind::String),
    f("https_proxy", Kind::String),
    f("interfaces", Kind::MapOf(&INTERFACE)),
    f("modem_networks", Kind::MapOf(&MODEM)),
    f("no_proxy", Kind::String),
    f("post_cmds", Kind::Strings),
    f("pre_cmds", Kind::Strings),
    f("wifi_networks", Kind::MapOf(&WIFI)),
]);

const INTERFACE: Kind = Kind::Object(&[
    f("address", Kind::String),
    f("addresses", Kind::Strings),
    f("bond", Kind::String),
    f("bond_opts", Kind::StringMap),
    f("bridge", Kind::Word),
    f("dhcp", Kind::Bool),
    f("dhcp_args", Kind::String),
    f("gateway", Kind::String),
    f("gateway_ipv6", Kind::String),
    f("ipv4ll", Kind::Bool),
    f("match", Kind::String),
    f("mtu", Kind::Int),
    f("post_up", Kind::Strings),
    f("pre_up", Kind::Strings),
    f("vlans", Kind::String),
    f("wifi_network", Kind::String),
]);

const MODEM: Kind = Kind::Object(&[f("apn", Kind::String), f("extra_args", Kind::String)]);

const WIFI: Kind = Kind::Object(&[
    f("address", Kind::String),
    f("anonymous_identity", Kind::String),
    f("ca_certs", Kind::Strings),
    f("client_certs", Kind::Strings),
    f("eap", Kind::String),
    f("eapol_flags", Kind::Int),
    f("gateway", Kind::String),
    f("group", Kind::String),
    f("identity", Kind::String),
    f("key_mgmt", Kind::String),
    f("pairwise", Kind::String),
    f("password", Kind::String),
    f("phases", Kind::Strings),
    f("priority", Kind::Int),
    f("private_key_passwds", Kind::Strings),
    f("private_keys", Kind::Strings),
    f("psk", Kind::String),
    f("scan_ssid", Kind::Int),
    f("ssid", Kind::String),
]);
