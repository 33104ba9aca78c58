//! The image configuration: what to run by default, the layers' diff ids and the history.
//!
//! Source: OCI image-spec, config.md, with Docker's additions (health check, shell, on-build triggers).
//! The exact bytes are the image's identity, so this type is for reading and for images made here.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{LAYERS_MAX, Platform, limit_count};

/// Largest configuration that is read, in bytes.
pub const CONFIG_MAX: u64 = 8 * 1024 * 1024;
/// Most entries of the history that are read.
pub const HISTORY_MAX: usize = 4096;

/// An image configuration document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// CPU, in Go's words.
    #[serde(default, deserialize_with = "null_default")]
    pub architecture: String,
    /// CPU variant.
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub variant: String,
    /// Operating system.
    #[serde(default, deserialize_with = "null_default")]
    pub os: String,
    /// Version of the operating system.
    #[serde(
        default,
        rename = "os.version",
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// Creation time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// Free comment (Docker's addition).
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    /// Defaults of the container.
    #[serde(default, deserialize_with = "null_default")]
    pub config: RunConfig,
    /// Layers.
    pub rootfs: RootFs,
    /// How each layer came to be, lowest first.
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
}

/// Layers of an image by the digest of their uncompressed tar, lowest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Diff ids, lowest first.
    #[serde(default, deserialize_with = "null_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
        }
    }
}

/// One step of an image's making.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Time of the step, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Command of the step.
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub created_by: String,
    /// Author of the step.
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// Comment of the step.
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub empty_layer: bool,
}

/// Defaults of containers made from the image; JSON names are those of Docker's `Config`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// `user[:group]`, names or numbers.
    #[serde(deserialize_with = "null_default")]
    pub user: String,
    /// Ports as `80/tcp`.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Environment, `NAME=value`.
    #[serde(deserialize_with = "null_default")]
    pub env: Vec<String>,
    /// Entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Command, or arguments of the entry point.
    pub cmd: Option<Vec<String>>,
    /// Paths that get a volume.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Working directory.
    #[serde(deserialize_with = "null_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "null_default")]
    pub labels: BTreeMap<String, String>,
    /// Signal that stops the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds between the stop signal and SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthCheck>,
    /// Triggers for builds on top of this image.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub on_build: Vec<String>,
    /// Shell of shell-form commands.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub shell: Vec<String>,
}

/// Health check of an image; durations in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", ..]` or `["CMD-SHELL", ..]`.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Deadline of one check.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Time in which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Time between two checks in the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// The empty object that Docker uses as the value of sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn null_default<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl ImageConfig {
    /// Parses a configuration document.
    ///
    /// # Errors
    /// When it is not JSON, is larger than allowed, or misses what an image needs.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > CONFIG_MAX {
            return Err(Error::Limit {
                what: "image configuration".to_owned(),
                limit: CONFIG_MAX,
            });
        }
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|error| Error::invalid(format!("malformed image configuration: {error}")))?;
        limit_count("image layers", config.rootfs.diff_ids.len(), LAYERS_MAX)?;
        limit_count("history entries", config.history.len(), HISTORY_MAX)?;
        if !config.rootfs.kind.is_empty() && config.rootfs.kind != "layers" {
            return Err(Error::invalid(format!(
                "unsupported rootfs type {:.40?}",
                config.rootfs.kind
            )));
        }
        Ok(config)
    }

    /// The document's bytes; their digest is the image id.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The platform of the image.
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_defaults() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Labels":null,"Cmd":null,"Volumes":{"/d":{}}},
            "rootfs":{"type":"layers","diff_ids":null},"history":null}"#;
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.config.cmd, None);
        assert!(config.config.volumes.contains_key("/d"));
        assert!(ImageConfig::parse(br#"{"rootfs":{"type":"tarballs"}}"#).is_err());
    }

    #[test]
    fn written_configuration_reads_back() {
        let mut config = ImageConfig {
            os: "linux".to_owned(),
            ..ImageConfig::default()
        };
        config.rootfs.diff_ids.push(Digest::sha256(b"layer"));
        config.config.cmd = Some(vec!["sh".to_owned()]);
        assert_eq!(ImageConfig::parse(&config.to_bytes()).unwrap(), config);
    }
}
