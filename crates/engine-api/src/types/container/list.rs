//! Containers in a list.

use std::collections::BTreeMap;

use crate::json::model;
use crate::types::{EndpointSettings, MountPoint};

model! {
    /// One line of `GET /containers/json`.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerSummary {
        /// 64 hexadecimal digits.
        pub id: String,
        /// Names, each with a leading slash.
        pub names: Vec<String>,
        /// Image as it was named at creation.
        pub image: String,
        /// Image's id.
        #[serde(rename = "ImageID")]
        pub image_id: String,
        /// Command line.
        pub command: String,
        /// Unix seconds.
        pub created: i64,
        /// Ports.
        pub ports: Vec<Port>,
        /// Bytes written; with `size=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<i64>,
        /// Bytes in all; with `size=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<i64>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// `running`, `exited`, ...
        pub state: String,
        /// `Up 3 minutes (healthy)`.
        pub status: String,
        /// Network mode.
        pub host_config: SummaryHostConfig,
        /// Endpoints.
        pub network_settings: SummaryNetworkSettings,
        /// Mounts.
        pub mounts: Vec<MountPoint>,
    }

    /// The part of `HostConfig` that lists show.
    #[serde(rename_all = "PascalCase")]
    pub struct SummaryHostConfig {
        /// Network mode.
        pub network_mode: String,
        /// OCI annotations.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub annotations: BTreeMap<String, String>,
    }

    /// The part of `NetworkSettings` that lists show.
    #[serde(rename_all = "PascalCase")]
    pub struct SummaryNetworkSettings {
        /// Endpoints by network name.
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// A port in a list.
    #[serde(rename_all = "PascalCase")]
    pub struct Port {
        /// Host address, when published.
        #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
        pub ip: String,
        /// Port in the container.
        pub private_port: u16,
        /// Port on the host, when published.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub public_port: Option<u16>,
        /// `tcp`, `udp` or `sctp`.
        #[serde(rename = "Type")]
        pub typ: String,
    }
}
