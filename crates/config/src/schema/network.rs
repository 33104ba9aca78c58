//! `rancher.network`: interfaces, DNS, proxies, Wi-Fi and modems (RancherOS `pkg/netconf/types.go`).

use super::Effect::{Inside, Never, Service};
use super::{Effect, Kind, Origin, Rule, f};

const N: Effect = Service("network");
const NO_MODEM: &str = "this version has no modem support";

/// `rancher.network`.
#[rustfmt::skip] // one line a key, so that the schema can be read as a table
pub(super) const NETWORK: Kind = Kind::Object(&[
    f("dhcp_timeout", Kind::Int, N, "Seconds that links with DHCP are waited for before post_cmds; DHCP goes on asking.").rule(Rule::Range(0, 86_400)),
    f("dns", DNS, Inside, "Resolver settings."),
    f("http_proxy", Kind::String, PROXY, "Proxy for http, in the console and its commands, User Docker and services that name it."),
    f("https_proxy", Kind::String, PROXY, "Proxy for https."),
    f("interfaces", Kind::MapOf(&INTERFACE), Inside, "Links by name, glob (`eth*`) or `mac=`; `eth*` with DHCP when there is none."),
    f("modem_networks", Kind::Any, Never(NO_MODEM), "Modems."),
    f("no_proxy", Kind::String, PROXY, "Hosts that are reached without a proxy."),
    f("post_cmds", Kind::Commands, N, "Commands run after all links are configured."),
    f("pre_cmds", Kind::Commands, N, "Commands run before any link is configured."),
    f("wifi_networks", Kind::MapOf(&WIFI_NETWORK), Inside, "Wi-Fi networks, by the names that `interfaces.NAME.wifi_network` uses."),
]);

/// Proxies are read by the console and by User Docker.
const PROXY: Effect = Service("console, docker");

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const DNS: Kind = Kind::Object(&[
    f("nameservers", Kind::Strings, N, "Addresses of name servers; they replace what DHCP says.").rule(Rule::Address),
    f("search", Kind::Strings, N, "Search domains; they replace what DHCP says.").rule(Rule::Domain),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const LINK_DNS: Kind = Kind::Object(&[
    f("dhcp_nameservers", Kind::Bool, N, "Whether name servers are used that DHCP and router advertisements name on this link; true when absent.").from(Origin::Here),
    f("dhcp_search", Kind::Bool, N, "The same for search domains.").from(Origin::Here),
    f("nameservers", Kind::Strings, N, "Addresses of name servers. There is one list for all names, in the order of the links' metrics, and three are asked.").from(Origin::Here).rule(Rule::Address),
    f("search", Kind::Strings, N, "Search domains.").from(Origin::Here).rule(Rule::Domain),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const INTERFACE: Kind = Kind::Object(&[
    f("address", Kind::String, N, "Address with its prefix, as 10.0.0.2/24.").rule(Rule::Prefix),
    f("addresses", Kind::Strings, N, "Several of them, IPv4 and IPv6.").rule(Rule::Prefix),
    f("bond", Kind::String, N, "The bond this link belongs to."),
    f("bond_opts", Kind::StringMap, N, "Options of the bond this link is: mode, miimon, xmit_hash_policy ..."),
    f("bridge", Kind::Word, N, "The bridge this link belongs to; `true`: this link is a bridge."),
    f("dhcp", Kind::Bool, N, "Whether dhcpcd asks for addresses. Where no entry gives the machine an address, its links ask unless this is false."),
    f("dhcp_args", Kind::String, N, "Options of dhcpcd in place of the usual ones. One dhcpcd serves all links: where they differ, those that a link can have are its own."),
    f("dhcp_hostname", Kind::Bool, N, "Whether the server may name a machine that has no `hostname`; true when absent.").from(Origin::Here),
    f("dns", LINK_DNS, Inside, "Name servers of this link, next to those of `rancher.network.dns` and before what DHCP says.").from(Origin::Here),
    f("gateway", Kind::String, N, "IPv4 gateway.").rule(Rule::Address),
    f("gateway_ipv6", Kind::String, N, "IPv6 gateway.").rule(Rule::Address),
    f("ipv4ll", Kind::Bool, N, "Whether the link takes a link-local IPv4 address when it has no other."),
    f("mac", Kind::String, N, "Hardware address to set.").from(Origin::Here),
    f("match", Kind::String, N, "The link this entry is for, in place of the key: name, glob or `mac=`."),
    f("metric", Kind::Int, N, "Metric of the routes through this link; lower wins.").from(Origin::Here).rule(Rule::Range(0, 4_294_967_295)),
    f("mtu", Kind::Int, N, "MTU in bytes.").rule(Rule::Range(68, 65_535)),
    f("post_up", Kind::Commands, N, "Commands run when this link is configured; `$iface` is its name."),
    f("pre_up", Kind::Commands, N, "Commands run before this link is configured."),
    f("routes", Kind::ListOf(&ROUTE), N, "Routes through this link.").from(Origin::Here),
    f("rules", Kind::ListOf(&RULE), N, "What is routed by another table than the main one.").from(Origin::Here),
    f("vlans", Kind::String, N, "VLANs on this link: `100,200:name`."),
    f("wifi_network", Kind::String, N, "Name in `wifi_networks` of the network that this card joins; it needs the service wifi (docs/services.md). It asks by DHCP when nothing gives it an address."),
    f("wireguard", WIREGUARD, Inside, "Makes this link a WireGuard device.").from(Origin::Here),
]);

/// Where a name of RancherOS is not wpa_supplicant's, the second element of a list is for the inner authentication (`ca_cert2`).
#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const WIFI_NETWORK: Kind = Kind::Object(&[
    f("address", Kind::String, N, "Address with its prefix, for a link that has none in its own entry.").rule(Rule::Prefix),
    f("anonymous_identity", Kind::String, N, "Who the machine says it is before the connection is encrypted (EAP)."),
    f("ca_certs", Kind::Strings, N, "Certificates of authorities, files below /var/lib/rancher/conf/wifi: of the server, and of the inner one."),
    f("client_certs", Kind::Strings, N, "Certificates of the machine, files likewise."),
    f("eap", Kind::String, N, "Methods of EAP: `PEAP`, `TTLS`, `TLS` ..."),
    f("eapol_flags", Kind::Int, N, "Flags of EAPOL for dynamic WEP.").rule(Rule::Range(0, 3)),
    f("gateway", Kind::String, N, "IPv4 gateway, for a link that has none in its own entry.").rule(Rule::Address),
    f("group", Kind::String, N, "Ciphers for everybody's packets: `CCMP TKIP`."),
    f("identity", Kind::String, N, "Who the machine is (EAP)."),
    f("key_mgmt", Kind::String, N, "Ways to agree on keys, as `WPA-PSK`, `SAE`, `WPA-EAP`, `NONE`. When absent: WPA2 and WPA3 with a `psk`, EAP with `eap`, else an open network."),
    f("pairwise", Kind::String, N, "Ciphers for the machine's packets."),
    f("password", Kind::String, N, "Password (EAP)."),
    f("phases", Kind::Strings, N, "Options of the outer and of the inner authentication, as `auth=MSCHAPV2`."),
    f("priority", Kind::Int, N, "Higher ones are preferred.").rule(Rule::Range(0, 2_147_483_647)),
    f("private_key_passwds", Kind::Strings, N, "Passwords of `private_keys`."),
    f("private_keys", Kind::Strings, N, "Keys of the machine, files below /var/lib/rancher/conf/wifi."),
    f("psk", Kind::String, N, "Passphrase of 8 to 63 characters, or the key itself as 64 hexadecimal digits."),
    f("scan_ssid", Kind::Int, N, "1 for a network that hides its name.").rule(Rule::Range(0, 1)),
    f("ssid", Kind::String, N, "Name of the network, 32 bytes at most."),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const WIREGUARD: Kind = Kind::Object(&[
    f("fwmark", Kind::Int, N, "Mark of the packets that it sends, for rules of routing.").from(Origin::Here),
    f("listen_port", Kind::Int, N, "UDP port that it listens on; one that the kernel draws when absent.").from(Origin::Here),
    f("peers", Kind::ListOf(&PEER), N, "Whom it talks with.").from(Origin::Here),
    f("private_key", Kind::String, N, "Its key, as `wg genkey` prints it, or the path of a file with it.").from(Origin::Here),
    f("routes", Kind::Bool, N, "Whether `allowed_ips` become routes through the link, except those to everything. True when absent.").from(Origin::Here),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const PEER: Kind = Kind::Object(&[
    f("allowed_ips", Kind::Strings, N, "Addresses with prefixes that it may send from, and that are sent to it.").from(Origin::Here),
    f("endpoint", Kind::String, N, "Where it is, `HOST:PORT`; learnt from what it sends when absent.").from(Origin::Here),
    f("keepalive", Kind::Int, N, "Seconds between packets that keep the way through a firewall open.").from(Origin::Here),
    f("preshared_key", Kind::String, N, "A key that both ends share in addition, or the path of a file with it.").from(Origin::Here),
    f("public_key", Kind::String, N, "Its public key, as `wg pubkey` prints it.").from(Origin::Here),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const ROUTE: Kind = Kind::Object(&[
    f("metric", Kind::Int, N, "Metric; lower wins.").from(Origin::Here).rule(Rule::Range(0, 4_294_967_295)),
    f("table", Kind::Int, N, "Number of the table that it stands in; 254, the main one, when absent.").from(Origin::Here).rule(Rule::Range(1, 4_294_967_295)),
    f("to", Kind::String, N, "Destination with its prefix, or `default`.").from(Origin::Here),
    f("via", Kind::String, N, "Gateway; none when the destination is on the link.").from(Origin::Here).rule(Rule::Address),
]);

#[rustfmt::skip] // one line a key, so that the schema can be read as a table
const RULE: Kind = Kind::Object(&[
    f("from", Kind::String, N, "Only what comes from here, an address with its prefix; `all` when absent.").from(Origin::Here),
    f("mark", Kind::Int, N, "Only what has this mark of the firewall.").from(Origin::Here).rule(Rule::Range(0, 4_294_967_295)),
    f("priority", Kind::Int, N, "Lower ones are asked first; 1000 when absent. The main table's rule has 32766.").from(Origin::Here).rule(Rule::Range(1, 32_765)),
    f("table", Kind::Int, N, "Number of the table that routes it.").from(Origin::Here).rule(Rule::Range(1, 4_294_967_295)),
    f("to", Kind::String, N, "Only what goes there; `all` when absent.").from(Origin::Here),
]);
