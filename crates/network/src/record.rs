//! What is remembered of a network and of an endpoint, as stored in JSON.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine_api::{
    ConfigReference, EndpointSettings, Error, Ipam, Network, NetworkContainer, PortBinding, Result,
    Timestamp,
};
use objects::ids;
use serde::{Deserialize, Serialize};
use sys::netlink::Cidr;
use sys::netlink::nftables::Transport;

use super::Driver;
use super::driver_options::DriverOptions;

/// Whether a network of this name always exists.
#[must_use]
pub fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none")
}

/// `Option<Cidr>` as text.
pub(super) mod cidr_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use sys::netlink::Cidr;

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Cidr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(cidr) => serializer.collect_str(cidr),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Cidr>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}

/// One subnet of a network, resolved: the gateway is chosen, texts are parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subnet {
    pub(super) network: Cidr,
    /// Where addresses are taken from; the whole subnet when it is the same.
    pub(super) range: Cidr,
    /// The gateway: the bridge's address; with macvlan the router outside.
    pub(super) gateway: Option<IpAddr>,
    /// Taken by others.
    pub(super) auxiliary: Vec<IpAddr>,
}

/// A network as stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NetworkRecord {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: String,
    pub(super) driver: String,
    pub(super) enable_ipv6: bool,
    pub(super) internal: bool,
    pub(super) attachable: bool,
    /// As the API shows it: what the user gave, with chosen subnets and gateways.
    pub(super) ipam: Ipam,
    /// True when the user gave subnets: only then may an endpoint ask for an address.
    pub(super) user_subnets: bool,
    pub(super) options: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
}

impl NetworkRecord {
    /// A record without subnets.
    pub(super) fn new(name: &str, driver: Driver) -> Result<Self> {
        Ok(Self {
            id: ids::new_id()?,
            name: name.to_owned(),
            created: Timestamp::now().to_string(),
            driver: driver.name().to_owned(),
            ipam: Ipam {
                driver: "default".into(),
                ..Ipam::default()
            },
            ..NetworkRecord::default()
        })
    }

    pub(super) fn driver(&self) -> Driver {
        Driver::parse(&self.driver).unwrap_or(Driver::Null)
    }

    /// The networks that always exist.
    pub(super) fn is_predefined(&self) -> bool {
        is_predefined(&self.name)
    }

    /// Whether its containers resolve each other's names.
    pub(super) fn has_dns(&self) -> bool {
        !self.is_predefined()
    }

    /// Driver options; they were checked at creation.
    pub(super) fn driver_options(&self) -> DriverOptions {
        DriverOptions::parse(self.driver(), &self.options).unwrap_or_default()
    }

    /// The bridge device's name.
    pub(super) fn device(&self) -> String {
        self.driver_options()
            .bridge_name
            .unwrap_or_else(|| format!("br-{}", ids::short(&self.id)))
    }

    /// Its subnets; those of IPv6 only when IPv6 is on.
    pub(super) fn subnets(&self) -> Vec<Subnet> {
        let parsed = self.ipam.config.iter().filter_map(|config| {
            let network: Cidr = config.subnet.parse().ok()?;
            let range = config.ip_range.parse().unwrap_or(network);
            // Stored gateways of older records may carry a prefix.
            let gateway = config
                .gateway
                .split('/')
                .next()
                .and_then(|text| text.parse().ok());
            let auxiliary = config
                .auxiliary_addresses
                .values()
                .filter_map(|text| text.parse().ok())
                .collect();
            Some(Subnet {
                network: network.network(),
                range: range.network(),
                gateway,
                auxiliary,
            })
        });
        parsed
            .filter(|subnet| self.enable_ipv6 || !subnet.network.is_ipv6())
            .collect()
    }

    /// The network as the API shows it, without containers.
    pub(super) fn to_api(&self) -> Network {
        let mut ipam = self.ipam.clone();
        // Docker lists IPv4 before IPv6, however they were asked for.
        ipam.config
            .sort_by_key(|config| config.subnet.contains(':'));
        Network {
            name: self.name.clone(),
            id: self.id.clone(),
            created: self.created.clone(),
            scope: "local".into(),
            driver: self.driver.clone(),
            enable_ipv6: self.enable_ipv6,
            ipam,
            internal: self.internal,
            attachable: self.attachable,
            ingress: false,
            config_from: ConfigReference::default(),
            config_only: false,
            containers: BTreeMap::new(),
            options: self.options.clone(),
            labels: self.labels.clone(),
        }
    }
}

/// The link-local addresses a client asks for, with the prefix lengths that Docker gives them (libnetwork: 16 and 64).
///
/// # Errors
/// 400 with Docker's words when one is not an address.
pub(super) fn link_local(settings: &EndpointSettings) -> Result<Vec<Cidr>> {
    let wished = settings.ipam_config.as_ref();
    let texts = wished.map_or(&[][..], |config| &config.link_local_ips);
    texts
        .iter()
        .map(|text| {
            let address = text
                .parse()
                .ok()
                .map(|address: IpAddr| address.to_canonical());
            address
                .filter(|address| !address.is_unspecified())
                .and_then(|address| Cidr::new(address, if address.is_ipv4() { 16 } else { 64 }))
                .ok_or_else(|| {
                    Error::bad_parameter(format!(
                        "invalid endpoint settings:\ninvalid link-local IP address: {text}"
                    ))
                })
        })
        .collect()
}

/// A container's place on a network, as stored while it runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct EndpointRecord {
    pub(super) network_id: String,
    pub(super) network_name: String,
    pub(super) endpoint_id: String,
    /// Link inside the container, `eth0`.
    pub(super) interface: String,
    /// The veth's end on the host.
    pub(super) host_link: Option<String>,
    pub(super) mac: String,
    #[serde(with = "cidr_text")]
    pub(super) ipv4: Option<Cidr>,
    #[serde(with = "cidr_text")]
    pub(super) ipv6: Option<Cidr>,
    pub(super) gateway4: Option<IpAddr>,
    pub(super) gateway6: Option<IpAddr>,
    /// What the client asked for.
    pub(super) wish: EndpointSettings,
    /// Names in the network's DNS.
    pub(super) dns_names: Vec<String>,
}

fn text(address: Option<IpAddr>) -> String {
    address
        .map(|address| address.to_string())
        .unwrap_or_default()
}

impl EndpointRecord {
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ipv4.into_iter().chain(self.ipv6).map(Cidr::address)
    }

    /// The addresses of its link: those of the network, and link-local ones that were asked for (checked by then).
    pub(super) fn link_addresses(&self) -> Vec<Cidr> {
        let wished = link_local(&self.wish).unwrap_or_default();
        self.ipv4
            .into_iter()
            .chain(self.ipv6)
            .chain(wished)
            .collect()
    }

    /// `NetworkSettings.Networks[name]`.
    pub(super) fn to_api(&self, has_dns: bool) -> EndpointSettings {
        EndpointSettings {
            mac_address: self.mac.clone(),
            network_id: self.network_id.clone(),
            endpoint_id: self.endpoint_id.clone(),
            gateway: text(self.gateway4),
            ip_address: text(self.ipv4.map(Cidr::address)),
            ip_prefix_len: self.ipv4.map_or(0, |cidr| cidr.prefix().into()),
            ipv6_gateway: text(self.gateway6),
            global_ipv6_address: text(self.ipv6.map(Cidr::address)),
            global_ipv6_prefix_len: self.ipv6.map_or(0, |cidr| cidr.prefix().into()),
            dns_names: has_dns.then(|| self.dns_names.clone()),
            ..self.wish.clone()
        }
    }

    /// An entry of `Network.Containers`.
    pub(super) fn to_network_container(&self, name: &str) -> NetworkContainer {
        NetworkContainer {
            name: name.to_owned(),
            endpoint_id: self.endpoint_id.clone(),
            mac_address: self.mac.clone(),
            ipv4_address: self.ipv4.map(|cidr| cidr.to_string()).unwrap_or_default(),
            ipv6_address: self.ipv6.map(|cidr| cidr.to_string()).unwrap_or_default(),
        }
    }
}

/// A port of a container on a port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PublishedPort {
    pub(super) udp: bool,
    pub(super) container_port: u16,
    pub(super) host_address: IpAddr,
    pub(super) host_port: u16,
    /// Where the traffic goes: an address of the container.
    pub(super) target: IpAddr,
}

impl PublishedPort {
    pub(super) fn transport(&self) -> Transport {
        if self.udp {
            Transport::Udp
        } else {
            Transport::Tcp
        }
    }

    /// The key in `NetworkSettings.Ports`.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.container_port, self.transport())
    }

    pub(super) fn binding(&self) -> PortBinding {
        PortBinding {
            host_ip: self.host_address.to_string(),
            host_port: self.host_port.to_string(),
        }
    }
}

/// A running container's networking, as stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SandboxRecord {
    pub(super) container_id: String,
    pub(super) container_name: String,
    pub(super) hostname: String,
    pub(super) sandbox_id: String,
    pub(super) pid: i32,
    pub(super) endpoints: Vec<EndpointRecord>,
    pub(super) ports: Vec<PublishedPort>,
    /// Ports that are exposed but not published, as `80/tcp`.
    pub(super) exposed: Vec<String>,
    pub(super) dns: Vec<String>,
}
