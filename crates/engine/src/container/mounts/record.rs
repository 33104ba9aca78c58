//! One mount, as it is kept with its container.

use std::collections::BTreeMap;

use engine_api::{DriverConfig, MountPoint};
use serde::{Deserialize, Serialize};

/// Where a mount's files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume of this engine.
    Volume,
    /// Memory.
    Tmpfs,
}

/// One mount of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MountRecord {
    /// Where its files come from.
    pub kind: MountKind,
    /// The host's path; empty for tmpfs, and for volumes until they are created.
    pub source: String,
    /// Absolute path in the container.
    pub destination: String,
    /// The volume's name.
    #[serde(default)]
    pub name: String,
    /// The options as they were given.
    #[serde(default)]
    pub mode: String,
    /// Whether the container may write.
    pub writable: bool,
    /// `rprivate`, `rshared` ...; empty for volumes and tmpfs.
    #[serde(default)]
    pub propagation: String,
    /// tmpfs options, such as `size=64m,mode=1777`.
    #[serde(default)]
    pub options: String,
    /// Whether submounts of the source are left out.
    #[serde(default)]
    pub non_recursive: bool,
    /// Whether submounts stay writable under a read-only mount.
    #[serde(default)]
    pub read_only_non_recursive: bool,
    /// Whether a missing source of a bind is created as a directory.
    #[serde(default)]
    pub create_source: bool,
    /// Whether the image's files are copied into a volume that is empty.
    #[serde(default)]
    pub copy_up: bool,
    /// Whether the volume was made for this container alone and goes with it.
    #[serde(default)]
    pub anonymous: bool,
    /// Directory of the volume that is mounted.
    #[serde(default)]
    pub subpath: String,
    /// The volume's driver, when it is to be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverConfig>,
    /// The volume's labels, when it is to be created.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl MountRecord {
    pub(super) fn new(kind: MountKind, destination: String) -> Self {
        Self {
            kind,
            source: String::new(),
            destination,
            name: String::new(),
            mode: String::new(),
            writable: true,
            propagation: String::new(),
            options: String::new(),
            non_recursive: false,
            read_only_non_recursive: false,
            create_source: false,
            copy_up: false,
            anonymous: false,
            subpath: String::new(),
            driver: None,
            labels: BTreeMap::new(),
        }
    }

    /// The API's form.
    #[must_use]
    pub fn to_api(&self) -> MountPoint {
        let (kind, driver) = match self.kind {
            MountKind::Bind => ("bind", ""),
            MountKind::Volume => ("volume", "local"),
            MountKind::Tmpfs => ("tmpfs", ""),
        };
        MountPoint {
            typ: kind.to_owned(),
            name: self.name.clone(),
            source: self.source.clone(),
            destination: self.destination.clone(),
            driver: driver.to_owned(),
            mode: self.mode.clone(),
            rw: self.writable,
            propagation: self.propagation.clone(),
        }
    }
}
