//! Images.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{is_default, model};
use crate::types::{ContainerConfig, GraphDriverData};

model! {
    /// One line of `GET /images/json`.
    #[serde(rename_all = "PascalCase")]
    pub struct ImageSummary {
        /// `sha256:` and 64 hexadecimal digits.
        pub id: String,
        /// Parent image's id.
        pub parent_id: String,
        /// `name:tag`.
        pub repo_tags: Vec<String>,
        /// `name@digest`.
        pub repo_digests: Vec<String>,
        /// Unix seconds.
        pub created: i64,
        /// Bytes.
        pub size: i64,
        /// Bytes shared with other images; -1 not computed.
        pub shared_size: i64,
        /// Bytes; left out since API 1.44.
        #[serde(skip_serializing_if = "is_default")]
        pub virtual_size: i64,
        /// Labels.
        pub labels: Option<BTreeMap<String, String>>,
        /// Containers that use it; -1 not computed.
        pub containers: i64,
    }

    /// Answer of `GET /images/{name}/json`.
    #[serde(rename_all = "PascalCase")]
    pub struct ImageInspect {
        /// `sha256:` and 64 hexadecimal digits.
        pub id: String,
        /// `name:tag`.
        pub repo_tags: Vec<String>,
        /// `name@digest`.
        pub repo_digests: Vec<String>,
        /// Parent image's id.
        pub parent: String,
        /// Message of the commit.
        pub comment: String,
        /// RFC 3339.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub created: String,
        /// Container it was committed from.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub container: String,
        /// Configuration of that container; left out since API 1.45.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub container_config: Option<ContainerConfig>,
        /// Version of the engine that built it.
        pub docker_version: String,
        /// Author.
        pub author: String,
        /// What containers of it run.
        pub config: Option<ContainerConfig>,
        /// `amd64`, ...
        pub architecture: String,
        /// `v8`, ...
        #[serde(skip_serializing_if = "String::is_empty")]
        pub variant: String,
        /// `linux`.
        pub os: String,
        /// Windows only.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub os_version: String,
        /// Bytes.
        pub size: i64,
        /// Bytes; left out since API 1.44.
        #[serde(skip_serializing_if = "is_default")]
        pub virtual_size: i64,
        /// Storage.
        pub graph_driver: GraphDriverData,
        /// Layers.
        #[serde(rename = "RootFS")]
        pub root_fs: RootFs,
        /// Times.
        pub metadata: ImageMetadata,
    }

    /// Layers of an image.
    #[serde(rename_all = "PascalCase")]
    pub struct RootFs {
        /// `layers`.
        #[serde(rename = "Type")]
        pub typ: String,
        /// diff ids, lowest first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub layers: Vec<String>,
    }

    /// Local facts of an image.
    #[serde(rename_all = "PascalCase")]
    pub struct ImageMetadata {
        /// RFC 3339; year 1 means never.
        pub last_tag_time: String,
    }

    /// One line of `GET /images/{name}/history`.
    #[serde(rename_all = "PascalCase")]
    pub struct HistoryItem {
        /// Image id, or `<missing>`.
        pub id: String,
        /// Unix seconds.
        pub created: i64,
        /// Command that made the layer.
        pub created_by: String,
        /// References; null when none.
        pub tags: Option<Vec<String>>,
        /// Bytes.
        pub size: i64,
        /// Comment.
        pub comment: String,
    }

    /// Answer of `GET /distribution/{name}/json`.
    #[serde(rename_all = "PascalCase")]
    pub struct DistributionInspect {
        /// Media type, digest and size, as OCI writes descriptors.
        pub descriptor: Value,
        /// Platforms, as OCI writes them.
        pub platforms: Vec<Value>,
    }

    /// One line of the answer of `DELETE /images/{name}`.
    #[serde(rename_all = "PascalCase")]
    pub struct ImageDeleteItem {
        /// Reference removed.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub untagged: String,
        /// Image or layer removed.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub deleted: String,
    }

    /// Answer of `POST /images/prune`.
    #[serde(rename_all = "PascalCase")]
    pub struct ImagesPruneReport {
        /// What was removed; null when nothing.
        pub images_deleted: Option<Vec<ImageDeleteItem>>,
        /// Bytes.
        pub space_reclaimed: u64,
    }

    /// One line of `GET /images/search`.
    pub struct ImageSearchItem {
        /// Repository.
        pub name: String,
        /// Description.
        pub description: String,
        /// Docker's own selection.
        pub is_official: bool,
        /// Deprecated.
        pub is_automated: bool,
        /// Stars.
        pub star_count: i64,
    }

    /// One line of a pull, push, load or import stream.
    pub struct ProgressMessage {
        /// Output of a load.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub stream: String,
        /// What is being done.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub status: String,
        /// How far it is.
        #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
        pub progress_detail: Option<ProgressDetail>,
        /// Progress as text (for clients that print it as it is).
        #[serde(skip_serializing_if = "String::is_empty")]
        pub progress: String,
        /// Layer's short id, or tag.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub id: String,
        /// The error that ended the stream.
        #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
        pub error_detail: Option<ErrorDetail>,
        /// Same as text.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub error: String,
        /// Result of a push.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub aux: Option<Value>,
    }

    /// How far a layer is.
    pub struct ProgressDetail {
        /// Bytes so far.
        #[serde(skip_serializing_if = "is_default")]
        pub current: i64,
        /// Bytes in all.
        #[serde(skip_serializing_if = "is_default")]
        pub total: i64,
    }

    /// The error that ended a stream.
    pub struct ErrorDetail {
        /// Code, if any.
        #[serde(skip_serializing_if = "is_default")]
        pub code: i64,
        /// Message.
        pub message: String,
    }

    /// Credentials for a registry, from `X-Registry-Auth` or `POST /auth`.
    pub struct AuthConfig {
        /// User name.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub username: String,
        /// Password.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub password: String,
        /// base64 of `user:password`.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub auth: String,
        /// Unused.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub email: String,
        /// Registry.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub serveraddress: String,
        /// Token to get access tokens with.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub identitytoken: String,
        /// Bearer token sent as it is.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub registrytoken: String,
    }

    /// Answer of `POST /auth`.
    #[serde(rename_all = "PascalCase")]
    pub struct AuthResponse {
        /// `Login Succeeded`.
        pub status: String,
        /// Token for further logins.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub identity_token: String,
    }
}
