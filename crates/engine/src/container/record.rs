//! What is kept on disk of a container, `<root>/containers/<id>/container.json`, replaced atomically at every change.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use engine_api::{ContainerConfig, EndpointSettings, HealthcheckResult, HostConfig};
use images::LayerSource;
use objects::Damage;
use objects::atomic_file;
use serde::{Deserialize, Serialize};

use super::mounts::MountRecord;
use super::state::State;

/// Name of the state file in a container's directory.
pub const FILE: &str = "container.json";
/// What the name of a container's directory begins with while it is removed.
pub(super) const DOOMED: &str = ".removed-";
/// Version of the schema; a container with a later one is left alone.
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
    pub created: engine_api::Timestamp,
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
        atomic_file::write_keeping(&directory.join(FILE), &json, 0o600)
    }

    /// Reads the record in a container's directory, or its version before; none when both are missing or damaged.
    pub(crate) fn load(directory: &Path, damage: &Damage) -> Option<Self> {
        let fits = |record: &Self| {
            if directory.file_name() == Some(record.id.as_ref()) {
                Ok(())
            } else {
                Err(format!("it describes container {}", record.id))
            }
        };
        damage.load(&directory.join(FILE), fits)
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
    /// The paths of container `id`. One that is kept in memory has its directory in the run directory.
    #[must_use]
    pub fn new(root: &Path, run: &Path, id: &str) -> Self {
        let in_memory = Self::in_memory(run).join(id);
        Self {
            directory: if in_memory.is_dir() {
                in_memory
            } else {
                root.join("containers").join(id)
            },
            rootfs: run.join("rootfs").join(id),
            bundle: run.join("bundles").join(id),
        }
    }

    /// Where containers are kept whose files the disk does not take.
    #[must_use]
    pub fn in_memory(run: &Path) -> PathBuf {
        run.join("containers")
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

    /// Where the directory goes first when the container is removed: out of sight by one rename, whatever comes then.
    #[must_use]
    pub fn doomed(&self) -> PathBuf {
        let mut name = std::ffi::OsString::from(DOOMED);
        name.push(self.directory.file_name().unwrap_or_default());
        self.directory.with_file_name(name)
    }

    /// The overlay's work directory.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.directory.join("work")
    }
}
