//! What hosters and hypervisors write, and what it becomes.

use super::*;
use serde_json::json;

#[track_caller]
fn check(found: Network, network: &Value, notes: &[&str]) {
    assert_eq!(found.to_json().unwrap_or_default(), *network);
    let starts: Vec<&str> = found
        .notes
        .iter()
        .map(|note| note.split(": ").find(|word| !word.starts_with("line ")))
        .map(Option::unwrap_or_default)
        .collect();
    assert_eq!(starts, notes, "{:?}", found.notes);
    // What the configuration does not know would be reported at each boot.
    let text = json!({"rancher": {"network": network}}).to_string();
    let source = config::Source {
        name: "t",
        text: &text,
    };
    let loaded = config::load(&[source], &config::CommandLine::default());
    assert!(
        network.is_null() || loaded.problems.is_empty(),
        "{:?}",
        loaded.problems
    );
}

#[track_caller]
pub(super) fn translated(text: &str, network: &Value, notes: &[&str]) {
    check(network_config(text).unwrap().unwrap(), network, notes);
}

/// `qm cloudinit dump VMID network`: static IPv4 and IPv6, a second card with DHCP, name servers.
#[test]
fn proxmox() {
    let text = "version: 1
config:
    - type: physical
      name: eth0
      mac_address: 'bc:24:11:5a:10:01'
      subnets:
      - type: static
        address: '192.168.1.50'
        netmask: '255.255.255.0'
        gateway: '192.168.1.1'
      - type: static6
        address: '2001:db8::50/64'
        gateway: '2001:db8::1'
    - type: physical
      name: eth1
      mac_address: 'bc:24:11:5a:10:02'
      subnets:
      - type: dhcp4
      - type: ipv6_slaac
    - type: nameserver
      address:
      - '192.168.1.1'
      - '1.1.1.1'
      search:
      - 'lan.example.org'
";
    let network = json!({
        "interfaces": {
            "eth0": {"match": "mac=bc:24:11:5a:10:01", "addresses": ["192.168.1.50/24", "2001:db8::50/64"],
                "routes": [{"to": "default", "via": "192.168.1.1"}, {"to": "default", "via": "2001:db8::1"}]},
            "eth1": {"match": "mac=bc:24:11:5a:10:02", "dhcp": true},
        },
        "dns": {"nameservers": ["192.168.1.1", "1.1.1.1"], "search": ["lan.example.org"]},
    });
    translated(text, &network, &[]);
}

#[test]
fn version_1_bonds_vlans_and_bridges() {
    let text = "
network:
  version: 1
  config:
  - {type: physical, name: eth0, mac_address: '52:54:00:00:00:01', mtu: 9000}
  - {type: physical, name: eth1, mac_address: '52:54:00:00:00:02', accept-ra: true}
  - type: bond
    name: bond0
    bond_interfaces: [eth0, eth1]
    params: {bond-mode: 802.3ad, bond-miimon: 100, bond_xmit_hash_policy: layer3+4}
    subnets: [{type: manual}]
  - type: vlan
    name: bond0.100
    vlan_link: bond0
    vlan_id: 100
    subnets:
    - {type: static, address: 10.0.100.2/24, routes: [{network: 10.20.0.0, netmask: 255.255.0.0, gateway: 10.0.100.1, metric: 3}], dns_nameservers: 10.0.100.1}
  - {type: bridge, name: br0, bridge_interfaces: [eth2], params: {bridge_stp: 'off'}, subnets: [{type: dhcp6}]}
  - {type: route, destination: 10.9.0.0/16, gateway: 10.0.100.9}
  - {type: loopback, name: lo}
  - {type: tunnel, name: t}
";
    let network = json!({
        "interfaces": {
            "eth0": {"match": "mac=52:54:00:00:00:01", "mtu": 9000, "bond": "bond0"},
            "eth1": {"match": "mac=52:54:00:00:00:02", "bond": "bond0"},
            "eth2": {"bridge": "br0"},
            "bond0": {"dhcp": false, "bond_opts": {"mode": "802.3ad", "miimon": "100", "xmit_hash_policy": "layer3+4"}, "vlans": "100:bond0.100"},
            "bond0.100": {"addresses": ["10.0.100.2/24"], "dns": {"nameservers": ["10.0.100.1"]}, "routes": [{"to": "10.20.0.0/16", "via": "10.0.100.1", "metric": 3}]},
            "br0": {"bridge": "true", "dhcp": true},
        },
    });
    translated(
        text,
        &network,
        &[
            "config[1].accept-ra",
            "config[4].params.bridge_stp",
            "config[5]",
            "config[7].type",
        ],
    );
}

#[test]
fn netplan_links_and_routes() {
    let text = "
network:
  version: 2
  renderer: networkd
  ethernets:
    nic0:
      match: {macaddress: '52:54:00:AA:BB:01'}
      set-name: eth9
      addresses: [10.0.0.5/24, '2001:db8::5/64', {10.0.0.6/24: {lifetime: 0}}]
      gateway4: 10.0.0.1
      routes:
      - {to: '::/0', via: '2001:db8::1', metric: 50}
      - {to: 10.50.0.0/16, via: 10.0.0.9, on-link: true, table: 5}
      nameservers: {addresses: [10.0.0.2, 2001:db8::2], search: [a.example, b.example]}
      mtu: 1400
      macaddress: '52:54:00:aa:bb:99'
      optional: true
    eth1:
      dhcp4: true
      dhcp6: no
      dhcp4-overrides: {route-metric: 200, use-dns: false, use-hostname: false}
      wakeonlan: true
      routing-policy: [{from: 10.0.0.0/8, table: 9}, {to: 'fd00::/8', mark: 7, priority: 50, type-of-service: 3}]
    idle: {match: {name: 'enp*'}}
  wifis: {wlan0: {}}
  modems: {wwan0: {}}
  tunnels: {he-ipv6: {mode: sit}}
";
    let network = json!({
        "interfaces": {
            "nic0": {"match": "mac=52:54:00:aa:bb:01", "addresses": ["10.0.0.5/24", "2001:db8::5/64", "10.0.0.6/24"], "mtu": 1400, "dns": {"nameservers": ["10.0.0.2", "2001:db8::2"], "search": ["a.example", "b.example"]}, "mac": "52:54:00:aa:bb:99",
                "routes": [{"to": "default", "via": "10.0.0.1"}, {"to": "default", "via": "2001:db8::1", "metric": 50}, {"to": "10.50.0.0/16", "via": "10.0.0.9", "table": 5}]},
            "eth1": {"dhcp": true, "dhcp_hostname": false, "dns": {"dhcp_nameservers": false}, "metric": 200, "rules": [{"from": "10.0.0.0/8", "table": 9}, {"to": "fd00::/8", "table": 254, "priority": 50, "mark": 7}]},
            "idle": {"match": "enp*", "dhcp": false},
            "wlan0": {"dhcp": false},
        },
    });
    translated(
        text,
        &network,
        &[
            "modems",
            "ethernets.eth1.wakeonlan",
            "ethernets.eth1.routing-policy[1].type-of-service",
            "ethernets.nic0.set-name",
            "tunnels.he-ipv6",
            "wifis.wlan0.access-points",
        ],
    );
}

#[test]
fn netplan_wireguard() {
    let text = "
network:
  version: 2
  tunnels:
    wg0:
      mode: wireguard
      addresses: [10.9.0.1/24]
      mtu: 1380
      port: 51820
      mark: 5
      keys: {private: KEY}
      peers:
      - keys: {public: PEER, shared: BOTH}
        allowed-ips: [0.0.0.0/0, 'fd00::/64']
        endpoint: gate.example.org:7
        keepalive: 21
      - {keys: {public: OTHER}, nickname: x}
      local: 10.0.0.1
    wg1: {mode: wireguard, key: /var/lib/rancher/conf/wg1.key}
";
    let network = json!({"interfaces": {
        "wg0": {"addresses": ["10.9.0.1/24"], "mtu": 1380, "wireguard": {
            "private_key": "KEY", "listen_port": 51820, "fwmark": 5, "routes": false, "peers": [
                {"public_key": "PEER", "preshared_key": "BOTH", "endpoint": "gate.example.org:7", "keepalive": 21, "allowed_ips": ["0.0.0.0/0", "fd00::/64"]},
                {"public_key": "OTHER", "allowed_ips": []},
            ]}},
        "wg1": {"dhcp": false, "wireguard": {"private_key": "/var/lib/rancher/conf/wg1.key", "routes": false}},
    }});
    let notes = ["tunnels.wg0.peers[1].nickname", "tunnels.wg0.local"];
    translated(text, &network, &notes);
}

/// What sends some names to some servers is for resolvers that keep servers apart.
#[test]
fn name_servers_of_a_link_are_its_own_and_routes_of_names_are_said() {
    let text = "
version: 2
ethernets:
  eth0:
    dhcp4: true
    dhcp6: true
    dhcp4-overrides: {use-domains: route, use-dns: false}
    dhcp6-overrides: {use-domains: no, send-hostname: false}
    nameservers:
      addresses: [10.0.0.2]
      search: [a.example, ~corp.example, ~.]
";
    let network = json!({
        "interfaces": {"eth0": {"dhcp": true, "dns": {"dhcp_nameservers": false, "dhcp_search": false, "nameservers": ["10.0.0.2"], "search": ["a.example"]}}},
    });
    let keys = [
        "ethernets.eth0.nameservers.search",
        "ethernets.eth0.nameservers.search",
        "ethernets.eth0.dhcp4-overrides.use-domains",
        "ethernets.eth0.dhcp6-overrides.send-hostname",
        "ethernets.eth0.dhcp4-overrides.use-dns",
    ];
    translated(text, &network, &keys);
    let notes = network_config(text).unwrap().unwrap().notes;
    assert!(notes[0].starts_with("line 11: "), "{}", notes[0]);
    assert!(notes[3].starts_with("line 8: "), "{}", notes[3]);
    let text = "
version: 1
config:
- {type: nameserver, interface: eth1, address: 10.1.0.1, search: one.example}
- {type: nameserver, interface: eth7, address: 10.0.0.1}
- {type: physical, name: eth1, subnets: [{type: dhcp, dns_nameservers: [10.1.0.2], dns_search: [~two.example]}]}
";
    let network = json!({
        "interfaces": {"eth1": {"dhcp": true, "dns": {"nameservers": ["10.1.0.2", "10.1.0.1"], "search": ["one.example"]}}},
        "dns": {"nameservers": ["10.0.0.1"]},
    });
    translated(
        text,
        &network,
        &["config[2].subnets[0].dns_search", "config[1].interface"],
    );
}

#[test]
fn netplan_bonds_bridges_and_vlans() {
    let text = "
version: 2
ethernets: {eth0: {}, eth1: {}, eth2: {dhcp4: false}}
bonds:
  bond0: {interfaces: [eth0, eth1], parameters: {mode: active-backup, mii-monitor-interval: 100, primary: eth0}, addresses: [10.0.0.2/24]}
bridges:
  br0: {interfaces: [eth2], dhcp4: true, parameters: {stp: false}}
vlans:
  vlan20: {id: 20, link: bond0, addresses: [10.0.20.2/24]}
  broken: {id: 21}
";
    let network = json!({
        "interfaces": {
            "eth0": {"dhcp": false, "bond": "bond0"},
            "eth1": {"dhcp": false, "bond": "bond0"},
            "eth2": {"dhcp": false, "bridge": "br0"},
            "bond0": {"bond_opts": {"mode": "active-backup", "miimon": "100", "primary": "eth0"}, "addresses": ["10.0.0.2/24"], "vlans": "20:vlan20"},
            "br0": {"bridge": "true", "dhcp": true},
            "vlan20": {"addresses": ["10.0.20.2/24"]},
        },
    });
    translated(
        text,
        &network,
        &["bridges.br0.parameters.stp", "vlans.broken"],
    );
}

/// Nova's document of a machine with a bond, a VLAN on it, and static addresses of both families.
#[test]
fn openstack_network_data() {
    let value = json!({
        "links": [
            {"id": "vlan2", "type": "vlan", "vlan_link": "bond_x", "vlan_id": 101, "vlan_mac_address": "fa:16:3e:b3:72:30"},
            {"id": "interface0", "type": "phy", "ethernet_mac_address": "a0:36:9f:2c:e8:70", "mtu": 9000},
            {"id": "interface1", "type": "phy", "ethernet_mac_address": "a0:36:9f:2c:e8:71"},
            {"id": "bond_x", "type": "bond", "bond_links": ["interface0", "interface1"], "bond_mode": "802.3ad", "bond_miimon": 100, "ethernet_mac_address": "fa:16:3e:b3:72:36"},
            {"id": "nowhere", "type": "phy"},
        ],
        "networks": [
            {"id": "n0", "type": "ipv4", "link": "bond_x", "ip_address": "172.19.0.12", "netmask": "255.255.252.0",
                "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "172.19.3.254"}, {"network": "10.0.0.0", "netmask": "255.0.0.0", "gateway": "172.19.1.1"}],
                "services": [{"type": "dns", "address": "172.19.0.1"}]},
            {"id": "n1", "type": "ipv6", "link": "vlan2", "ip_address": "2001:cdba::3257:9652", "netmask": "ffff:ffff:ffff:ffff::", "gateway": "2001:cdba::1"},
            {"id": "n2", "type": "ipv6_slaac", "link": "vlan2"},
            {"id": "n3", "type": "ipv4", "link": "missing", "ip_address": "10.0.0.1"},
        ],
        "services": [{"type": "dns", "address": "8.8.8.8"}, {"type": "ntp", "address": "1.2.3.4"}],
    });
    let network = json!({
        "interfaces": {
            "interface0": {"match": "mac=a0:36:9f:2c:e8:70", "mtu": 9000, "bond": "bond_x"},
            "interface1": {"match": "mac=a0:36:9f:2c:e8:71", "bond": "bond_x"},
            "bond_x": {"mac": "fa:16:3e:b3:72:36", "bond_opts": {"mode": "802.3ad", "miimon": "100"}, "addresses": ["172.19.0.12/22"], "dns": {"nameservers": ["172.19.0.1"]}, "vlans": "101:vlan101",
                "routes": [{"to": "default", "via": "172.19.3.254"}, {"to": "10.0.0.0/8", "via": "172.19.1.1"}]},
            "vlan101": {"mac": "fa:16:3e:b3:72:30", "dhcp": true, "addresses": ["2001:cdba::3257:9652/64"], "routes": [{"to": "default", "via": "2001:cdba::1"}]},
        },
        "dns": {"nameservers": ["8.8.8.8"]},
    });
    check(
        openstack::translate(&value),
        &network,
        &["links[4].ethernet_mac_address", "networks[3].link"],
    );
}

#[test]
fn what_is_no_network_is_refused_in_words() {
    for (text, words) in [
        ("- a", "not a map"),
        ("version: 3", "version 3"),
        ("a: b", "neither"),
        ("a: [", "network-config"),
        ("network: 5", "neither"),
    ] {
        let error = network_config(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
    for text in ["", "network: {config: disabled}", "config: disabled"] {
        assert_eq!(network_config(text).unwrap(), None, "{text}");
    }
    // Wrong types cost themselves only.
    for text in [
        "version: 2\nethernets: [a]",
        "version: 1\nconfig: {a: b}",
        "version: 2\nethernets: {eth0: [x], eth1: 5}\nbonds: {'a/b': {}}",
        "version: 1\nconfig: [1, x, {type: 5}, {type: vlan}, {type: physical}]",
    ] {
        let _ = network_config(text).unwrap().unwrap().to_json();
    }
}

#[test]
fn masks_are_prefixes() {
    for (address, mask, want) in [
        ("10.0.0.2", Some("255.255.255.0"), Some("10.0.0.2/24")),
        ("10.0.0.2", Some("24"), Some("10.0.0.2/24")),
        ("10.0.0.2/25", Some("255.255.255.0"), Some("10.0.0.2/25")),
        ("10.0.0.2", None, Some("10.0.0.2/32")),
        ("2001:DB8::1", Some("ffff:ffff::"), Some("2001:db8::1/32")),
        ("2001:db8::1", None, Some("2001:db8::1/64")),
        ("10.0.0.2", Some("255.0.255.0"), None),
        ("10.0.0.2", Some("33"), None),
        ("nowhere", None, None),
    ] {
        assert_eq!(cidr(address, mask).as_deref(), want, "{address} {mask:?}");
    }
}
