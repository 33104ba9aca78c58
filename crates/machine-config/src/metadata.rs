//! What is kept of a datasource's metadata.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

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
    match fs::read_to_string(directory.join(METADATA)) {
        Ok(text) => serde_json::from_str(&text).map_err(MetadataError::Parse),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Metadata::default())
        }
        Err(error) => Err(MetadataError::Read(error)),
    }
}
