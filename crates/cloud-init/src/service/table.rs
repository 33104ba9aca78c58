//! The services, one after the other: addresses, headers, pages and what each gives (shared/reference: datasources, from
//! cloud-init's sources and the vendors' documents).

use super::{Form, Gives, Page, Reach, Service, Token, pick};
use crate::network::{clouds, openstack};

/// EC2's address, which most others have too.
const LINK_LOCAL: &str = "http://169.254.169.254";

const fn page(path: &'static str, form: Form, gives: &'static [(&'static str, Gives)]) -> Page {
    Page {
        path,
        form,
        required: false,
        low_port: false,
        gives,
    }
}

const fn required(path: &'static str, form: Form, gives: &'static [(&'static str, Gives)]) -> Page {
    Page {
        required: true,
        ..page(path, form, gives)
    }
}

const PLAIN: Service = Service {
    name: "",
    bases: &[LINK_LOCAL],
    reach: Reach::Dhcp,
    token: None,
    headers: &[],
    sign: None,
    pages: &[],
    may_come_later: false,
};

/// The service of this name.
pub fn by_name(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

/// All services.
#[rustfmt::skip] // one line a page, so that it can be read as a table
pub static SERVICES: &[Service] = &[
    Service {
        name: "ec2",
        bases: &[LINK_LOCAL, "http://[fd00:ec2::254]"],
        token: Some(Token { path: "/latest/api/token", lifetime: ("X-aws-ec2-metadata-token-ttl-seconds", "21600"), header: "X-aws-ec2-metadata-token" }),
        pages: &[
            required("/latest/meta-data/instance-id", Form::Text, &[("", Gives::InstanceId)]),
            page("/latest/user-data", Form::Bytes, &[("", Gives::UserData)]),
            page("/latest/meta-data/public-keys/", Form::KeyIndex, &[("", Gives::Keys)]),
            page("/latest/meta-data/local-hostname", Form::Text, &[("", Gives::HostName)]),
            page("/latest/meta-data/local-ipv4", Form::Text, &[("", Gives::PrivateIpv4)]),
            page("/latest/meta-data/public-ipv4", Form::Text, &[("", Gives::PublicIpv4)]),
            page("/latest/meta-data/ipv6", Form::Text, &[("", Gives::PublicIpv6)]),
        ],
        ..PLAIN
    },
    Service {
        name: "gce",
        bases: &[LINK_LOCAL, "http://metadata.google.internal"],
        headers: &[("Metadata-Flavor", "Google")],
        sign: Some(("Metadata-Flavor", "Google")),
        pages: &[
            required("/computeMetadata/v1/instance/?recursive=true", Form::Json, &[
                ("/id", Gives::InstanceId), ("/hostname", Gives::HostName),
                ("", Gives::UserDataBy(pick::gce_user_data)), ("", Gives::KeysBy(pick::gce_keys)), ("", Gives::Part("instance")),
                ("/networkInterfaces/0/ip", Gives::PrivateIpv4), ("/networkInterfaces/0/accessConfigs/0/externalIp", Gives::PublicIpv4),
                ("/networkInterfaces/0/ipv6s/0", Gives::PublicIpv6),
            ]),
            page("/computeMetadata/v1/project/attributes/?recursive=true", Form::Json, &[("", Gives::KeysBy(pick::gce_project_keys))]),
        ],
        ..PLAIN
    },
    Service {
        name: "azure",
        headers: &[("Metadata", "true")],
        may_come_later: true,
        pages: &[
            required("/metadata/instance?api-version=2021-08-01&extended=true", Form::Json, &[
                ("/compute/vmId", Gives::InstanceId), ("/compute/osProfile/computerName", Gives::HostName), ("/compute/name", Gives::HostName),
                ("/compute/publicKeys", Gives::KeysBy(pick::key_data)), ("/compute/userData", Gives::UserDataBase64),
                ("/network/interface/0/ipv4/ipAddress/0/privateIpAddress", Gives::PrivateIpv4),
                ("/network/interface/0/ipv4/ipAddress/0/publicIpAddress", Gives::PublicIpv4),
                ("/network/interface/0/ipv6/ipAddress/0/privateIpAddress", Gives::PrivateIpv6),
            ]),
        ],
        ..PLAIN
    },
    Service {
        name: "openstack",
        bases: &["http://[fe80::a9fe:a9fe]", LINK_LOCAL],
        reach: Reach::LinkLocalIpv6,
        may_come_later: true,
        pages: &[
            required("/openstack/latest/meta_data.json", Form::Json, &[("/uuid", Gives::InstanceId), ("/hostname", Gives::HostName), ("/name", Gives::HostName), ("/public_keys", Gives::Keys)]),
            page("/openstack/latest/user_data", Form::Bytes, &[("", Gives::UserData)]),
            page("/openstack/latest/network_data.json", Form::Json, &[("", Gives::NetworkBy(openstack::translate))]),
            page("/latest/meta-data/local-ipv4", Form::Text, &[("", Gives::PrivateIpv4)]),
            page("/latest/meta-data/public-ipv4", Form::Text, &[("", Gives::PublicIpv4)]),
        ],
        ..PLAIN
    },
    Service {
        name: "digitalocean",
        reach: Reach::LinkLocalIpv4,
        pages: &[
            required("/metadata/v1.json", Form::Json, &[
                ("/droplet_id", Gives::InstanceId), ("/hostname", Gives::HostName), ("/user_data", Gives::UserData), ("/public_keys", Gives::Keys),
                ("/interfaces/public/0/ipv4/ip_address", Gives::PublicIpv4), ("/interfaces/public/0/ipv6/ip_address", Gives::PublicIpv6),
                ("/interfaces/private/0/ipv4/ip_address", Gives::PrivateIpv4), ("", Gives::NetworkBy(clouds::digitalocean)),
            ]),
        ],
        ..PLAIN
    },
    Service {
        name: "hetzner",
        bases: &["http://[fe80::a9fe:a9fe]", LINK_LOCAL],
        reach: Reach::LinkLocalIpv6,
        pages: &[
            required("/hetzner/v1/metadata", Form::Yaml, &[
                ("/instance-id", Gives::InstanceId), ("/hostname", Gives::HostName), ("/public-keys", Gives::Keys), ("/public-ipv4", Gives::PublicIpv4), ("", Gives::Part("metadata")),
            ]),
            page("/hetzner/v1/userdata", Form::Bytes, &[("", Gives::UserData)]),
            page("/hetzner/v1/metadata/private-networks", Form::Yaml, &[("/0/ip", Gives::PrivateIpv4), ("", Gives::Part("private-networks"))]),
            page("", Form::Json, &[("", Gives::NetworkBy(pick::hetzner_network))]),
        ],
        ..PLAIN
    },
    Service {
        name: "vultr",
        headers: &[("Metadata-Token", "cloudinit")],
        pages: &[
            required("/v1.json", Form::Json, &[
                ("/instance-v2-id", Gives::InstanceId), ("/instanceid", Gives::InstanceId), ("/hostname", Gives::HostName),
                ("/public-keys", Gives::Keys), ("", Gives::UserDataBy(pick::vultr_user_data)), ("", Gives::PublicIpv4By(pick::vultr_public_ipv4)),
                ("/interfaces/1/ipv4/address", Gives::PrivateIpv4), ("/interfaces/0/ipv6/address", Gives::PublicIpv6), ("", Gives::NetworkBy(clouds::vultr)),
            ]),
        ],
        ..PLAIN
    },
    Service {
        name: "scaleway",
        bases: &["http://169.254.42.42", "http://[fd00:42::42]"],
        pages: &[
            required("/conf?format=json", Form::Json, &[
                ("/id", Gives::InstanceId), ("/hostname", Gives::HostName), ("/ssh_public_keys", Gives::KeysBy(pick::key_data)),
                ("/public_ip/address", Gives::PublicIpv4), ("/private_ip", Gives::PrivateIpv4), ("/ipv6/address", Gives::PublicIpv6),
            ]),
            Page { low_port: true, ..page("/user_data/cloud-init", Form::Bytes, &[("", Gives::UserData)]) },
        ],
        ..PLAIN
    },
    Service {
        name: "oracle",
        bases: &["http://169.254.169.254/opc/v2", "http://[fd00:c1::a9fe:a9fe]/opc/v2", "http://169.254.169.254/opc/v1"],
        headers: &[("Authorization", "Bearer Oracle")],
        pages: &[
            required("/instance/", Form::Json, &[
                ("/id", Gives::InstanceId), ("/hostname", Gives::HostName), ("/displayName", Gives::HostName),
                ("/metadata/user_data", Gives::UserDataBase64), ("/metadata/ssh_authorized_keys", Gives::Keys),
            ]),
            page("/vnics/", Form::Json, &[("/0/privateIp", Gives::PrivateIpv4)]),
        ],
        ..PLAIN
    },
    Service {
        name: "packet",
        bases: &["https://metadata.platformequinix.com"],
        pages: &[
            required("/metadata", Form::Json, &[
                ("/id", Gives::InstanceId), ("/hostname", Gives::HostName), ("/ssh_keys", Gives::Keys), ("", Gives::NetworkBy(clouds::packet)),
                ("/network/addresses/0/address", Gives::PublicIpv4),
            ]),
            page("/userdata", Form::Bytes, &[("", Gives::UserData)]),
        ],
        ..PLAIN
    },
    Service {
        name: "cloudstack",
        bases: &["http://data-server", "http://{dhcp-server}", "http://{gateway}"],
        pages: &[
            required("/latest/meta-data/instance-id", Form::Text, &[("", Gives::InstanceId)]),
            page("/latest/user-data", Form::Bytes, &[("", Gives::UserData)]),
            page("/latest/meta-data/public-keys", Form::Text, &[("", Gives::Keys)]),
            page("/latest/meta-data/local-hostname", Form::Text, &[("", Gives::HostName)]),
            page("/latest/meta-data/local-ipv4", Form::Text, &[("", Gives::PrivateIpv4)]),
            page("/latest/meta-data/public-ipv4", Form::Text, &[("", Gives::PublicIpv4)]),
        ],
        ..PLAIN
    },
    Service {
        name: "exoscale",
        pages: &[
            required("/1.0/meta-data/instance-id", Form::Text, &[("", Gives::InstanceId)]),
            page("/1.0/user-data", Form::Bytes, &[("", Gives::UserData)]),
            page("/1.0/meta-data/public-keys", Form::Text, &[("", Gives::Keys)]),
            page("/1.0/meta-data/local-hostname", Form::Text, &[("", Gives::HostName)]),
            page("/1.0/meta-data/local-ipv4", Form::Text, &[("", Gives::PrivateIpv4)]),
            page("/1.0/meta-data/public-ipv4", Form::Text, &[("", Gives::PublicIpv4)]),
        ],
        ..PLAIN
    },
    Service {
        name: "aliyun",
        bases: &["http://100.100.100.200"],
        token: Some(Token { path: "/latest/api/token", lifetime: ("X-aliyun-ecs-metadata-token-ttl-seconds", "21600"), header: "X-aliyun-ecs-metadata-token" }),
        pages: &[
            required("/2016-01-01/meta-data/instance-id", Form::Text, &[("", Gives::InstanceId)]),
            page("/2016-01-01/user-data", Form::Bytes, &[("", Gives::UserData)]),
            page("/2016-01-01/meta-data/public-keys/", Form::KeyIndex, &[("", Gives::Keys)]),
            page("/2016-01-01/meta-data/hostname", Form::Text, &[("", Gives::HostName)]),
            page("/2016-01-01/meta-data/private-ipv4", Form::Text, &[("", Gives::PrivateIpv4)]),
            page("/2016-01-01/meta-data/eipv4", Form::Text, &[("", Gives::PublicIpv4)]),
        ],
        ..PLAIN
    },
    Service {
        name: "akamai",
        bases: &[LINK_LOCAL, "http://[fd00:a9fe:a9fe::1]"],
        token: Some(Token { path: "/v1/token", lifetime: ("Metadata-Token-Expiry-Seconds", "300"), header: "Metadata-Token" }),
        headers: &[("Accept", "application/json")],
        pages: &[
            required("/v1/instance", Form::Json, &[("/id", Gives::InstanceId), ("/label", Gives::HostName)]),
            page("/v1/user-data", Form::Text, &[("", Gives::UserDataBase64)]),
            page("/v1/ssh-keys", Form::Json, &[("/users", Gives::Keys)]),
            page("/v1/network", Form::Json, &[
                ("/ipv4/public/0", Gives::PublicIpv4), ("/ipv4/private/0", Gives::PrivateIpv4), ("/ipv6/slaac", Gives::PublicIpv6),
            ]),
        ],
        ..PLAIN
    },
    Service {
        name: "upcloud",
        pages: &[
            required("/metadata/v1.json", Form::Json, &[
                ("/instance_id", Gives::InstanceId), ("/hostname", Gives::HostName), ("/public_keys", Gives::Keys), ("/user_data", Gives::UserData),
                ("", Gives::PublicIpv4By(pick::upcloud_public_ipv4)), ("", Gives::NetworkBy(clouds::upcloud)),
            ]),
        ],
        ..PLAIN
    },
    Service {
        name: "lxd",
        bases: &["http://lxd"],
        reach: Reach::SocketFile("/dev/lxd/sock"),
        pages: &[
            required("/1.0/meta-data", Form::Yaml, &[("/instance-id", Gives::InstanceId), ("/local-hostname", Gives::HostName), ("/public-keys", Gives::Keys)]),
            page("/1.0/config/cloud-init.user-data", Form::Bytes, &[("", Gives::UserData)]),
            page("/1.0/config/user.user-data", Form::Bytes, &[("", Gives::UserData)]),
            page("/1.0/config/cloud-init.network-config", Form::Yaml, &[("", Gives::NetworkBy(pick::network_config))]),
            page("/1.0/config/user.network-config", Form::Yaml, &[("", Gives::NetworkBy(pick::network_config))]),
        ],
        ..PLAIN
    },
];
