//! Volumes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::model;

model! {
    /// A volume.
    #[serde(rename_all = "PascalCase")]
    pub struct Volume {
        /// RFC 3339.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub created_at: String,
        /// `local`.
        pub driver: String,
        /// Labels; null when none were given.
        pub labels: Option<BTreeMap<String, String>>,
        /// Directory on the host.
        pub mountpoint: String,
        /// Name.
        pub name: String,
        /// Driver options; null when none were given.
        pub options: Option<BTreeMap<String, String>>,
        /// `local`.
        pub scope: String,
        /// What the driver says of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub status: Option<BTreeMap<String, Value>>,
        /// Use; in `GET /system/df` only.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub usage_data: Option<VolumeUsage>,
    }

    /// How a volume is used.
    #[serde(rename_all = "PascalCase")]
    pub struct VolumeUsage {
        /// Containers that have it; -1 unknown.
        pub ref_count: i64,
        /// Bytes; -1 unknown.
        pub size: i64,
    }

    /// Body of `POST /volumes/create`.
    #[serde(rename_all = "PascalCase")]
    pub struct VolumeCreate {
        /// Name; empty means a random one.
        pub name: String,
        /// Driver; empty means `local`.
        pub driver: String,
        /// Driver options.
        pub driver_opts: BTreeMap<String, String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// Swarm only.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cluster_volume_spec: Option<Value>,
    }

    /// Answer of `GET /volumes`.
    #[serde(rename_all = "PascalCase")]
    pub struct VolumeList {
        /// Volumes.
        pub volumes: Vec<Volume>,
        /// What went wrong on the way; null when nothing.
        pub warnings: Option<Vec<String>>,
    }

    /// Answer of `POST /volumes/prune`.
    #[serde(rename_all = "PascalCase")]
    pub struct VolumesPruneReport {
        /// Removed volumes' names; empty when none.
        pub volumes_deleted: Option<Vec<String>>,
        /// Bytes.
        pub space_reclaimed: u64,
    }
}
