//! What is kept of a datasource's metadata.

use std::io;
use std::path::Path;

use config::Node;
use serde::{Deserialize, Serialize};

use crate::files;

/// File of the metadata, as JSON, in the directory of the machine's configuration.
pub const METADATA: &str = "metadata";

/// What is kept of a source's metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Name of the machine; the configuration's own wins.
    pub hostname: Option<String>,
    /// The machine's id at its provider.
    pub instance_id: Option<String>,
    /// Public keys in the order of their names; added to the configuration's.
    pub ssh_authorized_keys: Vec<String>,
    /// The datasource that said all this.
    pub source: Option<String>,
    /// `product_uuid` of the machine that it was said to: what a snapshot of its disk carries along is not for another one.
    pub machine: Option<String>,
    /// The address that others reach it by.
    pub public_ipv4: Option<String>,
    /// Its address in its own network.
    pub private_ipv4: Option<String>,
    /// The IPv6 address that others reach it by.
    pub public_ipv6: Option<String>,
    /// Its IPv6 address in its own network.
    pub private_ipv6: Option<String>,
    /// `rancher.network` as the datasource describes it; its interfaces count where no file of the machine has some.
    pub network: Option<serde_json::Value>,
}

impl Metadata {
    /// The network as a document of cloud-config (JSON is YAML); without its interfaces when `others` have some.
    pub(crate) fn network_document(&self, others: &Node) -> Option<String> {
        let mut network = self.network.clone()?;
        if others.get("rancher.network.interfaces").is_some()
            && let Some(map) = network.as_object_mut()
        {
            map.remove("interfaces");
        }
        Some(serde_json::json!({"rancher": {"network": network}}).to_string())
    }
}

/// The kept metadata cannot be used.
#[derive(Debug)]
pub enum MetadataError {
    /// The file cannot be read.
    Read(io::Error),
    /// It is not what was written.
    Parse(serde_json::Error),
}

impl std::fmt::Display for MetadataError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot be read: {error}"),
            Self::Parse(error) => write!(f, "is not metadata: {error}"),
        }
    }
}

impl std::error::Error for MetadataError {}

/// Metadata of the last fetch; the default when there is none.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn load_metadata(directory: &Path) -> Result<Metadata, MetadataError> {
    match files::bytes(&directory.join(METADATA)) {
        Ok(Some(text)) => json_reader::from_slice(&text).map_err(MetadataError::Parse),
        Ok(None) => Ok(Metadata::default()),
        Err(error) => Err(MetadataError::Read(error)),
    }
}
