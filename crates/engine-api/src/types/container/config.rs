//! What a container is made of: its configuration and the request to create it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::{is_default, model};
use crate::types::{HostConfig, NetworkingConfig};

model! {
    /// What runs in a container, independent of the host.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerConfig {
        /// Host name; empty means the short id.
        pub hostname: String,
        /// Domain name.
        pub domainname: String,
        /// `user[:group]`, names or numbers.
        pub user: String,
        /// Attach standard input at start.
        pub attach_stdin: bool,
        /// Attach standard output at start.
        pub attach_stdout: bool,
        /// Attach standard error at start.
        pub attach_stderr: bool,
        /// Ports the container listens on, `80/tcp`.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub exposed_ports: BTreeMap<String, Value>,
        /// Give it a terminal.
        pub tty: bool,
        /// Keep standard input open when nobody is attached.
        pub open_stdin: bool,
        /// Close standard input when the first client has left.
        pub stdin_once: bool,
        /// `NAME=value`; `NAME` alone removes the image's.
        pub env: Vec<String>,
        /// Health check; absent means the image's.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub healthcheck: Option<HealthConfig>,
        /// Windows only.
        #[serde(skip_serializing_if = "is_default")]
        pub args_escaped: bool,
        /// Image reference or id.
        pub image: String,
        /// Anonymous volumes by path.
        #[serde(serialize_with = "crate::json::null_if_empty")]
        pub volumes: BTreeMap<String, Value>,
        /// Working directory.
        pub working_dir: String,
        /// No network at all.
        #[serde(skip_serializing_if = "is_default")]
        pub network_disabled: bool,
        /// Hardware address (deprecated place).
        #[serde(skip_serializing_if = "String::is_empty")]
        pub mac_address: String,
        /// Build triggers.
        pub on_build: Option<Vec<String>>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// Signal that stops it; empty means SIGTERM.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub stop_signal: String,
        /// Seconds between the stop signal and SIGKILL; absent means 10.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stop_timeout: Option<i64>,
        ;
        /// Command; null means the image's.
        #[serde(deserialize_with = "crate::json::string_or_list")]
        pub cmd: Option<Vec<String>>,
        /// Entry point; null means the image's, `[]` and `[""]` mean none.
        #[serde(deserialize_with = "crate::json::string_or_list")]
        pub entrypoint: Option<Vec<String>>,
        /// Shell for the shell form.
        #[serde(deserialize_with = "crate::json::string_or_list", skip_serializing_if = "Option::is_none")]
        pub shell: Option<Vec<String>>,
    }

    /// How to find out whether a container works. Times are nanoseconds; 0 means inherit or default.
    #[serde(rename_all = "PascalCase")]
    pub struct HealthConfig {
        /// `[]` inherit, `["NONE"]` off, `["CMD", ..]` or `["CMD-SHELL", line]`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub test: Vec<String>,
        /// Time between probes; default 30 s.
        #[serde(skip_serializing_if = "is_default")]
        pub interval: i64,
        /// Time one probe may take; default 30 s.
        #[serde(skip_serializing_if = "is_default")]
        pub timeout: i64,
        /// Time after start in which failures do not count.
        #[serde(skip_serializing_if = "is_default")]
        pub start_period: i64,
        /// Time between probes in the start period; default 5 s.
        #[serde(skip_serializing_if = "is_default")]
        pub start_interval: i64,
        /// Failures in a row that make it unhealthy; default 3.
        #[serde(skip_serializing_if = "is_default")]
        pub retries: i64,
    }

    /// Body of `POST /containers/create`.
    #[serde(rename_all = "PascalCase")]
    pub struct CreateRequest {
        /// Placement and limits.
        pub host_config: HostConfig,
        /// Endpoints by network.
        pub networking_config: NetworkingConfig,
        ;
        /// What runs.
        #[serde(flatten)]
        pub config: ContainerConfig,
        /// Read-only binds leave their submounts writable, as before API 1.44; never sent.
        #[serde(skip)]
        pub read_only_non_recursive: bool,
    }

    /// Answer of `POST /containers/create`.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerCreateResponse {
        /// The new container's id.
        pub id: String,
        /// What was adjusted.
        pub warnings: Vec<String>,
    }
}
