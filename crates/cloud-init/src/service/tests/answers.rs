//! Realistic answers of each service, and what they mean. Forms are those of the vendors' documents and cloud-init's
//! sources; names, keys and addresses are made up.

/// What a service's answers mean.
pub(super) struct Expected {
    pub(super) id: &'static str,
    pub(super) hostname: Option<&'static str>,
    pub(super) keys: &'static [&'static str],
    pub(super) user_data: &'static str,
    /// Public IPv4, private IPv4, public IPv6.
    pub(super) addresses: [Option<&'static str>; 3],
    /// `rancher.network` as JSON.
    pub(super) network: &'static str,
    pub(super) notes: &'static [&'static str],
}

const DATA: &str = "#cloud-config\nhostname: a\n";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org";
const KEYS: &[&str] = &[KEY];

/// A page: its path and what it says.
type Page = (&'static str, &'static str);

/// Pages of a service.
pub(super) fn of(name: &str) -> Vec<Page> {
    let service = SERVICES.iter().find(|(known, _)| *known == name);
    service.map_or_else(
        || panic!("{name} has no answers"),
        |(_, pages)| pages.to_vec(),
    )
}

#[rustfmt::skip] // one line a page
const SERVICES: &[(&str, &[Page])] = &[
    ("ec2", &[
        ("/latest/meta-data/instance-id", "i-0a1b2c3d4e5f67890"), ("/latest/user-data", DATA),
        ("/latest/meta-data/public-keys/", "0=one\n1=two"),
        ("/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org\n"),
        ("/latest/meta-data/public-keys/1/openssh-key", "ssh-rsa AAAAB3 two"),
        ("/latest/meta-data/local-hostname", "ip-10-0-1-5.eu-central-1.compute.internal"),
        ("/latest/meta-data/local-ipv4", "10.0.1.5"), ("/latest/meta-data/public-ipv4", "198.51.100.7"),
    ]),
    ("gce", &[
        ("/computeMetadata/v1/instance/?recursive=true", r##"{"id": 5512345678901234567, "hostname": "vm1.c.project.internal", "zone": "projects/1/zones/europe-west1-b",
            "attributes": {"user-data": "I2Nsb3VkLWNvbmZpZwpob3N0bmFtZTogYQo=", "user-data-encoding": "base64", "startup-script": "#!/bin/sh",
                "ssh-keys": "jane:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org\nold:ssh-rsa AAAA google-ssh {\"userName\":\"old\",\"expireOn\":\"2018-12-04T20:12:00+0000\"}"},
            "networkInterfaces": [{"ip": "10.132.0.2", "mac": "42:01:0a:84:00:02", "mtu": 1460, "accessConfigs": [{"externalIp": "198.51.100.8", "type": "ONE_TO_ONE_NAT"}]}]}"##),
        ("/computeMetadata/v1/project/attributes/?recursive=true", r#"{"ssh-keys": "joe:ssh-rsa AAAAB3 two"}"#),
    ]),
    ("azure", &[
        ("/metadata/instance?api-version=2021-08-01&extended=true", r#"{"compute": {"vmId": "02aab8a4-74ef-476e-8182-f6d2ba4166a6", "name": "vm1-name", "osProfile": {"adminUsername": "azureuser", "computerName": "vm1", "disablePasswordAuthentication": "true"},
            "customData": "", "userData": "I2Nsb3VkLWNvbmZpZwpob3N0bmFtZTogYQo=",
            "publicKeys": [{"keyData": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\r\nAAAAIA one@example.org\r\n", "path": "/home/azureuser/.ssh/authorized_keys"}]},
            "network": {"interface": [{"macAddress": "000D3A6E1C2B", "ipv4": {"ipAddress": [{"privateIpAddress": "10.0.0.4", "publicIpAddress": "198.51.100.9"}], "subnet": [{"address": "10.0.0.0", "prefix": "24"}]}, "ipv6": {"ipAddress": []}}]}}"#),
    ]),
    ("openstack", &[
        ("/openstack/latest/meta_data.json", r#"{"uuid": "83679162-1378-4288-a2d4-70e13ec132aa", "hostname": "test.novalocal", "name": "test", "public_keys": {"mykey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org\n"}, "launch_index": 0}"#),
        ("/openstack/latest/user_data", DATA),
        ("/openstack/latest/network_data.json", r#"{"links": [{"id": "tap2ecc7709-b3", "type": "ovs", "ethernet_mac_address": "fa:16:3e:69:b0:58", "mtu": 1450, "vif_id": "2ecc7709"}],
            "networks": [{"id": "network0", "type": "ipv4_dhcp", "link": "tap2ecc7709-b3", "network_id": "da5bb487"}], "services": [{"type": "dns", "address": "8.8.4.4"}]}"#),
        ("/latest/meta-data/local-ipv4", "10.0.0.9"), ("/latest/meta-data/public-ipv4", ""),
    ]),
    ("digitalocean", &[
        ("/metadata/v1.json", r##"{"droplet_id": 2756294, "hostname": "sample-droplet", "user_data": "#cloud-config\nhostname: a\n", "vendor_data": "#cloud-config\n", "public_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org"], "region": "nyc3",
            "interfaces": {"private": [{"ipv4": {"ip_address": "10.132.255.113", "netmask": "255.255.0.0", "gateway": "10.132.0.1"}, "mac": "04:01:2a:0f:2a:02", "type": "private"}],
                "public": [{"ipv4": {"ip_address": "104.131.20.105", "netmask": "255.255.192.0", "gateway": "104.131.0.1"}, "ipv6": {"ip_address": "2604:A880:0800:0010::017D:2001", "cidr": 64, "gateway": "2604:A880:0800:0010::1"},
                    "anchor_ipv4": {"ip_address": "10.17.0.47", "netmask": "255.255.0.0", "gateway": "10.17.0.1"}, "mac": "04:01:2a:0f:2a:01", "type": "public"}]},
            "dns": {"nameservers": ["67.207.67.2", "67.207.67.3"]}}"##),
    ]),
    ("hetzner", &[
        ("/hetzner/v1/metadata", "availability-zone: hel1-dc2\nhostname: cloudserver1\ninstance-id: 2094304\nlocal-ipv4: ''\nnetwork-config:\n  config:\n  - mac_address: 96:00:00:08:19:DA\n    name: eth0\n    subnets:\n    - dns_nameservers:\n      - 185.12.64.1\n      ipv4: true\n      type: dhcp\n    - address: 2a01:4f9:c010:b5b8::1/64\n      gateway: fe80::1\n      ipv6: true\n      type: static\n    type: physical\n  version: 1\npublic-ipv4: 95.217.1.2\npublic-keys:\n- ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org\nregion: eu-central\nvendor_data: \"Content-Type: multipart/mixed\"\n"),
        ("/hetzner/v1/userdata", DATA),
        ("/hetzner/v1/metadata/private-networks", "- ip: 10.0.0.2\n  alias_ips: []\n  interface_num: 1\n  mac_address: 86:00:00:98:40:6e\n  network_id: 1234\n  network: 10.0.0.0/16\n  subnet: 10.0.0.0/24\n  gateway: 10.0.0.1\n"),
    ]),
    ("vultr", &[
        ("/v1.json", r##"{"instanceid": "42506325", "instance-v2-id": "9e59b4a5-0cc1-4f0e-9d5e-4a1c2a1d2a3b", "hostname": "vultr-guest", "public-keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org"], "startup-script": "echo", "user-data": ["#cloud-config", "hostname: a", ""],
            "interfaces": [{"ipv4": {"additional": [{"address": "203.0.113.9", "netmask": "255.255.255.255"}], "address": "108.61.89.242", "gateway": "108.61.89.1", "netmask": "255.255.255.0"},
                "ipv6": {"additional": [], "address": "2001:19f0:5:56c2:5400:3ff:fe15:c465", "network": "2001:19f0:5:56c2::", "prefix": "64"}, "mac": "56:00:03:15:c4:65", "network-type": "public"},
                {"ipv4": {"additional": [], "address": "10.1.112.3", "gateway": "", "netmask": "255.255.240.0"}, "ipv6": {"additional": [], "network": "", "prefix": ""}, "mac": "5a:00:03:15:c4:65", "network-type": "private"}]}"##),
    ]),
    ("scaleway", &[
        ("/conf?format=json", r#"{"id": "cb93deed-2be4-4b3c-8d52-1b9e1f1d1b1f", "hostname": "scw-host", "ssh_public_keys": [{"key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org", "fingerprint": "f"}], "public_ip": {"address": "51.15.1.2", "dynamic": false}, "public_ips": [], "private_ip": "10.64.0.3", "ipv6": null, "volumes": {}}"#),
        ("/user_data/cloud-init", DATA),
    ]),
    ("oracle", &[
        ("/opc/v2/instance/", r#"{"availabilityDomain": "qIZq:PHX-AD-1", "id": "ocid1.instance.oc1.phx.abyhqljtfmy6ue4", "hostname": "instance-1", "displayName": "instance-1-name", "metadata": {"user_data": "I2Nsb3VkLWNvbmZpZwpob3N0bmFtZTogYQo=", "ssh_authorized_keys": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org\n"}}"#),
        ("/opc/v2/vnics/", r#"[{"macAddr": "02:00:17:05:d1:db", "privateIp": "10.0.0.230", "subnetCidrBlock": "10.0.0.0/24", "virtualRouterIp": "10.0.0.1", "vlanTag": 1039, "vnicId": "ocid1.vnic.oc1"}]"#),
    ]),
    ("packet", &[
        ("/metadata", r#"{"id": "6d4ffe2b-1d2e-4d6c-9a8b-1a2b3c4d5e6f", "hostname": "node1", "plan": "c3.small.x86", "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org"],
            "network": {"bonding": {"mode": 4}, "interfaces": [{"name": "eth0", "mac": "b4:96:91:84:1a:20", "bond": "bond0"}, {"name": "eth1", "mac": "b4:96:91:84:1a:21", "bond": "bond0"}],
                "addresses": [{"address": "147.75.1.2", "cidr": 31, "netmask": "255.255.255.254", "gateway": "147.75.1.1", "public": true, "address_family": 4}, {"address": "10.99.1.3", "cidr": 31, "gateway": "10.99.1.2", "public": false, "address_family": 4}]}}"#),
        ("/userdata", DATA),
    ]),
    ("cloudstack", &[
        ("/latest/meta-data/instance-id", "bb36a6a3-1234-4f5b-8a5d-0123456789ab"), ("/latest/user-data", DATA), ("/latest/meta-data/public-keys", KEY),
        ("/latest/meta-data/local-hostname", "vm-1"), ("/latest/meta-data/local-ipv4", "10.1.1.14"), ("/latest/meta-data/public-ipv4", "203.0.113.4"),
    ]),
    ("exoscale", &[
        ("/1.0/meta-data/instance-id", "87b4d8b3-7b5a-4d3f-8c6a-0123456789ab"), ("/1.0/user-data", DATA), ("/1.0/meta-data/public-keys", KEY),
        ("/1.0/meta-data/local-hostname", "vm-1"), ("/1.0/meta-data/local-ipv4", "185.19.28.5"), ("/1.0/meta-data/public-ipv4", "185.19.28.5"),
    ]),
    ("aliyun", &[
        ("/2016-01-01/meta-data/instance-id", "i-bp13znx0m0me8cquu42y"), ("/2016-01-01/user-data", DATA), ("/2016-01-01/meta-data/public-keys/", "0/"),
        ("/2016-01-01/meta-data/hostname", "iZbp13znx0m0me8cquu42yZ"), ("/2016-01-01/meta-data/private-ipv4", "172.16.101.215"), ("/2016-01-01/meta-data/eipv4", "47.1.2.3"),
    ]),
    ("akamai", &[
        ("/v1/instance", r#"{"id": 42926466, "host_uuid": "c1b2", "label": "my-instance", "region": "us-iad", "type": "g6-standard-1", "tags": []}"#),
        ("/v1/user-data", "I2Nsb3VkLWNvbmZpZwpob3N0bmFtZTogYQo=\n"),
        ("/v1/ssh-keys", r#"{"users": {"root": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org"]}}"#),
        ("/v1/network", r#"{"interfaces": [], "ipv4": {"public": ["172.233.1.2/32"], "private": [], "shared": []}, "ipv6": {"slaac": "2600:3c05::f03c:94ff/128", "link_local": "fe80::f03c:94ff/128"}}"#),
    ]),
    ("upcloud", &[
        ("/metadata/v1.json", r##"{"cloud_name": "upcloud", "instance_id": "00322b68-0096-4042-9406-faad61922128", "hostname": "test.example.com", "public_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA one@example.org"], "user_data": "#cloud-config\nhostname: a\n", "vendor_data": "",
            "network": {"interfaces": [{"index": 1, "ip_addresses": [{"address": "94.237.105.53", "dhcp": true, "dns": ["94.237.127.9"], "family": "IPv4", "floating": false, "gateway": "94.237.104.1", "network": "94.237.104.0/22"}, {"address": "94.237.105.50", "dhcp": false, "family": "IPv4", "floating": true, "gateway": "", "network": "94.237.105.50/32"}], "mac": "3a:d6:ba:4a:36:e7", "type": "public"},
                {"index": 2, "ip_addresses": [{"address": "10.6.3.27", "dhcp": false, "family": "IPv4", "floating": false, "gateway": "", "network": "10.6.0.0/22"}], "mac": "3a:d6:ba:4a:84:cc", "type": "utility"}], "dns": ["94.237.127.9"]}}"##),
    ]),
    ("lxd", &[
        ("/1.0/meta-data", "#cloud-config\ninstance-id: c1\nlocal-hostname: c1\n"), ("/1.0/config/user.user-data", "#cloud-config\nhostname: b\n"),
        ("/1.0/config/cloud-init.user-data", DATA), ("/1.0/config/cloud-init.network-config", "version: 2\nethernets: {eth0: {dhcp4: true}}\n"),
    ]),
];

const NOTHING: Expected = Expected {
    id: "",
    hostname: None,
    keys: KEYS,
    user_data: DATA,
    addresses: [None, None, None],
    network: "null",
    notes: &[],
};

#[rustfmt::skip]
pub(super) fn expected(name: &str) -> Expected {
    match name {
        "ec2" => Expected { id: "i-0a1b2c3d4e5f67890", hostname: Some("ip-10-0-1-5.eu-central-1.compute.internal"), keys: &[KEY, "ssh-rsa AAAAB3 two"], addresses: [Some("198.51.100.7"), Some("10.0.1.5"), None], ..NOTHING },
        "gce" => Expected { id: "5512345678901234567", hostname: Some("vm1.c.project.internal"), keys: &[KEY, "ssh-rsa AAAAB3 two"], addresses: [Some("198.51.100.8"), Some("10.132.0.2"), None], ..NOTHING },
        "azure" => Expected { id: "02aab8a4-74ef-476e-8182-f6d2ba4166a6", hostname: Some("vm1"), addresses: [Some("198.51.100.9"), Some("10.0.0.4"), None], ..NOTHING },
        "openstack" => Expected { id: "83679162-1378-4288-a2d4-70e13ec132aa", hostname: Some("test.novalocal"), addresses: [None, Some("10.0.0.9"), None],
            network: r#"{"dns": {"nameservers": ["8.8.4.4"]}, "interfaces": {"tap2ecc7709-b3": {"match": "mac=fa:16:3e:69:b0:58", "dhcp": true, "mtu": 1450}}}"#, ..NOTHING },
        "digitalocean" => Expected { id: "2756294", hostname: Some("sample-droplet"), addresses: [Some("104.131.20.105"), Some("10.132.255.113"), Some("2604:A880:0800:0010::017D:2001")],
            network: r#"{"dns": {"nameservers": ["67.207.67.2", "67.207.67.3"]}, "interfaces": {
                "public0": {"match": "mac=04:01:2a:0f:2a:01", "addresses": ["104.131.20.105/18", "10.17.0.47/16", "2604:a880:800:10::17d:2001/64"], "routes": [{"to": "default", "via": "104.131.0.1"}, {"to": "default", "via": "2604:A880:0800:0010::1"}]},
                "private0": {"match": "mac=04:01:2a:0f:2a:02", "addresses": ["10.132.255.113/16"]}}}"#, ..NOTHING },
        "hetzner" => Expected { id: "2094304", hostname: Some("cloudserver1"), addresses: [Some("95.217.1.2"), Some("10.0.0.2"), None],
            network: r#"{"interfaces": {
                "eth0": {"match": "mac=96:00:00:08:19:da", "dhcp": true, "dns": {"nameservers": ["185.12.64.1"]}, "addresses": ["2a01:4f9:c010:b5b8::1/64"], "routes": [{"to": "default", "via": "fe80::1"}]},
                "private0": {"match": "mac=86:00:00:98:40:6e", "dhcp": true}}}"#, ..NOTHING },
        "vultr" => Expected { id: "9e59b4a5-0cc1-4f0e-9d5e-4a1c2a1d2a3b", hostname: Some("vultr-guest"), addresses: [Some("108.61.89.242"), Some("10.1.112.3"), Some("2001:19f0:5:56c2:5400:3ff:fe15:c465")],
            network: r#"{"interfaces": {"link0": {"match": "mac=56:00:03:15:c4:65", "dhcp": true, "addresses": ["203.0.113.9/32"]}, "link1": {"match": "mac=5a:00:03:15:c4:65", "addresses": ["10.1.112.3/20"]}}}"#, ..NOTHING },
        "scaleway" => Expected { id: "cb93deed-2be4-4b3c-8d52-1b9e1f1d1b1f", hostname: Some("scw-host"), addresses: [Some("51.15.1.2"), Some("10.64.0.3"), None], ..NOTHING },
        "oracle" => Expected { id: "ocid1.instance.oc1.phx.abyhqljtfmy6ue4", hostname: Some("instance-1"), addresses: [None, Some("10.0.0.230"), None], ..NOTHING },
        "packet" => Expected { id: "6d4ffe2b-1d2e-4d6c-9a8b-1a2b3c4d5e6f", hostname: Some("node1"), addresses: [Some("147.75.1.2"), None, None],
            network: r#"{"interfaces": {"eth0": {"match": "mac=b4:96:91:84:1a:20", "bond": "bond0"}, "eth1": {"match": "mac=b4:96:91:84:1a:21", "bond": "bond0"},
                "bond0": {"bond_opts": {"mode": "4", "miimon": "100", "downdelay": "200", "updelay": "200", "xmit_hash_policy": "layer3+4", "lacp_rate": "1"}, "addresses": ["147.75.1.2/31", "10.99.1.3/31"],
                    "routes": [{"to": "default", "via": "147.75.1.1"}, {"to": "10.0.0.0/8", "via": "10.99.1.2"}]}}}"#, ..NOTHING },
        "cloudstack" => Expected { id: "bb36a6a3-1234-4f5b-8a5d-0123456789ab", hostname: Some("vm-1"), addresses: [Some("203.0.113.4"), Some("10.1.1.14"), None], ..NOTHING },
        "exoscale" => Expected { id: "87b4d8b3-7b5a-4d3f-8c6a-0123456789ab", hostname: Some("vm-1"), addresses: [Some("185.19.28.5"), Some("185.19.28.5"), None], ..NOTHING },
        "aliyun" => Expected { id: "i-bp13znx0m0me8cquu42y", hostname: Some("iZbp13znx0m0me8cquu42yZ"), keys: &[], addresses: [Some("47.1.2.3"), Some("172.16.101.215"), None], ..NOTHING },
        "akamai" => Expected { id: "42926466", hostname: Some("my-instance"), addresses: [Some("172.233.1.2"), None, Some("2600:3c05::f03c:94ff")], ..NOTHING },
        "upcloud" => Expected { id: "00322b68-0096-4042-9406-faad61922128", hostname: Some("test.example.com"), addresses: [Some("94.237.105.53"), None, None],
            network: r#"{"dns": {"nameservers": ["94.237.127.9"]}, "interfaces": {"link0": {"match": "mac=3a:d6:ba:4a:36:e7", "dhcp": true, "addresses": ["94.237.105.50/32"]}, "link1": {"match": "mac=3a:d6:ba:4a:84:cc", "addresses": ["10.6.3.27/22"]}}}"#, ..NOTHING },
        "lxd" => Expected { id: "c1", hostname: Some("c1"), keys: &[], network: r#"{"interfaces": {"eth0": {"dhcp": true}}}"#, ..NOTHING },
        other => panic!("{other} is not expected"),
    }
}
