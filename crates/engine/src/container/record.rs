//! What is kept on disk of a container, `<root>/containers/<id>/container.json`, replaced atomically at every change.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine_api::{ContainerConfig, EndpointSettings, HealthcheckResult, HostConfig};
use serde::{Deserialize, Serialize};

use super::mounts::MountRecord;
use super::state::State;
use crate::atomic_file;
use crate::image::LayerSource;

/// Name of the state file in a container's directory.
pub const FILE: &str = "container.json";
/// Version of the schema; a file with a later one is left alone.
const VERSION: u32 = 1;

/// A container as it is on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Version of this schema.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Name without a slash.
    pub name: String,
    /// Creation time.
    pub created: crate::timestamp::Timestamp,
    /// The image's identifier, `sha256:...`.
    pub image_id: String,
    /// The root file system's layers, lowest first.
    pub layers: Vec<LayerSource>,
    /// First word of the command line.
    pub path: String,
    /// The other words.
    pub args: Vec<String>,
    /// Configuration, completed from the image.
    pub config: ContainerConfig,
    /// Placement on this host.
    pub host_config: HostConfig,
    /// Networks by name, as asked for and as attached.
    pub endpoints: BTreeMap<String, EndpointSettings>,
    /// Mounts of volumes, binds and tmpfs.
    pub mounts: Vec<MountRecord>,
    /// What it does now.
    pub state: State,
    /// Restarts by policy since it was started by hand.
    pub restart_count: i64,
    /// Stopped by a user: `unless-stopped` then leaves it alone.
    pub manually_stopped: bool,
    /// Number of its last start; shutdown stops in the reverse order.
    #[serde(default)]
    pub start_order: u64,
    /// Health, when it has a health check.
    #[serde(default)]
    pub health: Option<HealthRecord>,
}

/// What is known of a container's health.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HealthRecord {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failed probes in a row.
    pub failing_streak: i64,
    /// The last probes.
    pub log: Vec<HealthcheckResult>,
}

impl Record {
    /// The schema's present version.
    #[must_use]
    pub fn version() -> u32 {
        VERSION
    }

    /// Writes the record into the container's directory.
    ///
    /// # Errors
    /// When the file system refuses; the former record is then still there.
    pub fn save(&self, directory: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        atomic_file::write(&directory.join(FILE), &json, 0o600)
    }

    /// Reads the record in a container's directory.
    ///
    /// # Errors
    /// When it is not there, damaged, or of a later version.
    pub fn load(directory: &Path) -> io::Result<Self> {
        let record: Self = serde_json::from_slice(&fs::read(directory.join(FILE))?)?;
        if record.version > VERSION {
            return Err(io::Error::other(format!(
                "schema version {} is newer than {VERSION}",
                record.version
            )));
        }
        Ok(record)
    }

    /// Whether the process and this engine share the host's network.
    #[must_use]
    pub fn network_is_host(&self) -> bool {
        self.host_config.network_mode == "host"
    }

    /// The container whose network is shared (`container:ID`).
    #[must_use]
    pub fn network_container(&self) -> Option<&str> {
        self.host_config.network_mode.strip_prefix("container:")
    }
}

/// Paths of a container's files.
#[derive(Clone, Debug)]
pub struct Layout {
    /// `<root>/containers/<id>`.
    pub directory: PathBuf,
    /// `<run>/rootfs/<id>`, where the root file system is mounted.
    pub rootfs: PathBuf,
    /// `<run>/bundles/<id>`, with `config.json`.
    pub bundle: PathBuf,
}

impl Layout {
    /// The paths of container `id`.
    #[must_use]
    pub fn new(root: &Path, run: &Path, id: &str) -> Self {
        Self {
            directory: root.join("containers").join(id),
            rootfs: run.join("rootfs").join(id),
            bundle: run.join("bundles").join(id),
        }
    }

    /// The json-file log.
    #[must_use]
    pub fn log(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}-json.log"))
    }

    /// The layer between the image and what the container changed.
    #[must_use]
    pub fn init(&self) -> PathBuf {
        self.directory.join("init")
    }

    /// The overlay's upper directory: what the container changed.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    /// The overlay's work directory.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.directory.join("work")
    }
}
