//! Networks and containers' endpoints on them.

use std::collections::BTreeMap;

use crate::json::{is_default, model};

model! {
    /// Endpoints a new container gets.
    #[serde(rename_all = "PascalCase")]
    pub struct NetworkingConfig {
        ;
        /// Settings by network name or id.
        #[serde(deserialize_with = "crate::json::null_values")]
        pub endpoints_config: BTreeMap<String, EndpointSettings>,
    }

    /// A container's endpoint on one network: wishes and state.
    #[serde(rename_all = "PascalCase")]
    pub struct EndpointSettings {
        /// Fixed addresses.
        #[serde(rename = "IPAMConfig")]
        pub ipam_config: Option<EndpointIpamConfig>,
        /// Legacy links.
        pub links: Option<Vec<String>>,
        /// Further names in the network's DNS.
        pub aliases: Option<Vec<String>>,
        /// Hardware address.
        pub mac_address: String,
        /// Driver options.
        pub driver_opts: Option<BTreeMap<String, String>>,
        /// Network's id.
        #[serde(rename = "NetworkID")]
        pub network_id: String,
        /// Endpoint's id.
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        /// IPv4 gateway.
        pub gateway: String,
        /// IPv4 address.
        #[serde(rename = "IPAddress")]
        pub ip_address: String,
        /// IPv4 prefix length.
        #[serde(rename = "IPPrefixLen")]
        pub ip_prefix_len: i64,
        /// IPv6 gateway.
        #[serde(rename = "IPv6Gateway")]
        pub ipv6_gateway: String,
        /// IPv6 address.
        #[serde(rename = "GlobalIPv6Address")]
        pub global_ipv6_address: String,
        /// IPv6 prefix length.
        #[serde(rename = "GlobalIPv6PrefixLen")]
        pub global_ipv6_prefix_len: i64,
        /// All names in the network's DNS.
        #[serde(rename = "DNSNames")]
        pub dns_names: Option<Vec<String>>,
    }

    /// Fixed addresses of an endpoint.
    #[serde(rename_all = "PascalCase")]
    pub struct EndpointIpamConfig {
        /// IPv4 address.
        #[serde(rename = "IPv4Address", skip_serializing_if = "String::is_empty")]
        pub ipv4_address: String,
        /// IPv6 address.
        #[serde(rename = "IPv6Address", skip_serializing_if = "String::is_empty")]
        pub ipv6_address: String,
        /// Link-local addresses.
        #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Vec::is_empty")]
        pub link_local_ips: Vec<String>,
    }

    /// Answer of `GET /networks/{id}`.
    #[serde(rename_all = "PascalCase")]
    pub struct Network {
        /// Name.
        pub name: String,
        /// 64 hexadecimal digits.
        pub id: String,
        /// RFC 3339.
        pub created: String,
        /// `local`.
        pub scope: String,
        /// `bridge`, `host`, `null`, `macvlan`, `ipvlan`.
        pub driver: String,
        /// IPv6 on.
        #[serde(rename = "EnableIPv6")]
        pub enable_ipv6: bool,
        /// Address management.
        #[serde(rename = "IPAM")]
        pub ipam: Ipam,
        /// No way out of the network.
        pub internal: bool,
        /// Swarm only.
        pub attachable: bool,
        /// Swarm only.
        pub ingress: bool,
        /// Network that lends its configuration.
        pub config_from: ConfigReference,
        /// Lends its configuration only.
        pub config_only: bool,
        /// Endpoints by container id.
        pub containers: BTreeMap<String, NetworkContainer>,
        /// Driver options.
        pub options: BTreeMap<String, String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
    }

    /// A container on a network.
    #[serde(rename_all = "PascalCase")]
    pub struct NetworkContainer {
        /// Container's name.
        pub name: String,
        /// Endpoint's id.
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        /// Hardware address.
        pub mac_address: String,
        /// Address with prefix length.
        #[serde(rename = "IPv4Address")]
        pub ipv4_address: String,
        /// Address with prefix length.
        #[serde(rename = "IPv6Address")]
        pub ipv6_address: String,
    }

    /// Address management of a network.
    #[serde(rename_all = "PascalCase")]
    pub struct Ipam {
        /// `default`, or `null` for host and none.
        pub driver: String,
        /// Driver options.
        pub options: Option<BTreeMap<String, String>>,
        /// Subnets.
        pub config: Vec<IpamConfig>,
    }

    /// One subnet.
    #[serde(rename_all = "PascalCase")]
    pub struct IpamConfig {
        /// CIDR.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub subnet: String,
        /// CIDR that addresses are taken from.
        #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
        pub ip_range: String,
        /// Gateway's address.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub gateway: String,
        /// Addresses that are taken, by name.
        #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
        pub auxiliary_addresses: BTreeMap<String, String>,
    }

    /// Network that lends its configuration.
    #[serde(rename_all = "PascalCase")]
    pub struct ConfigReference {
        /// Its name.
        pub network: String,
    }

    /// Body of `POST /networks/create`.
    #[serde(rename_all = "PascalCase")]
    pub struct NetworkCreate {
        /// Name.
        pub name: String,
        /// Deprecated; duplicates are always refused.
        #[serde(skip_serializing_if = "is_default")]
        pub check_duplicate: bool,
        /// Driver; empty means `bridge`.
        pub driver: String,
        /// `local` or empty.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub scope: String,
        /// IPv6 on.
        #[serde(rename = "EnableIPv6")]
        pub enable_ipv6: bool,
        /// Address management.
        #[serde(rename = "IPAM")]
        pub ipam: Option<Ipam>,
        /// No way out of the network.
        pub internal: bool,
        /// Swarm only.
        pub attachable: bool,
        /// Swarm only.
        pub ingress: bool,
        /// Lends its configuration only.
        pub config_only: bool,
        /// Network that lends its configuration.
        pub config_from: Option<ConfigReference>,
        /// Driver options.
        pub options: BTreeMap<String, String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
    }

    /// Answer of `POST /networks/create`.
    #[serde(rename_all = "PascalCase")]
    pub struct NetworkCreateResponse {
        /// The new network's id.
        pub id: String,
        /// What was adjusted.
        pub warning: String,
    }

    /// Body of `POST /networks/{id}/connect`.
    #[serde(rename_all = "PascalCase")]
    pub struct NetworkConnect {
        /// Container's id or name.
        pub container: String,
        /// Endpoint's settings.
        pub endpoint_config: Option<EndpointSettings>,
    }

    /// Body of `POST /networks/{id}/disconnect`.
    #[serde(rename_all = "PascalCase")]
    pub struct NetworkDisconnect {
        /// Container's id or name.
        pub container: String,
        /// Even when it cannot be done cleanly.
        pub force: bool,
    }

    /// Answer of `POST /networks/prune`.
    #[serde(rename_all = "PascalCase")]
    pub struct NetworksPruneReport {
        /// Removed networks' names; null when none.
        pub networks_deleted: Option<Vec<String>>,
    }
}
