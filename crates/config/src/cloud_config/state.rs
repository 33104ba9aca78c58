//! The disk that keeps what the user made: `rancher.state`.

use serde::Deserialize;

/// `rancher.state`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct State {
    /// Blank disks that may be formatted.
    pub autoformat: Option<Vec<String>>,
    /// Whether LUKS devices are opened.
    pub cryptsetup: Option<bool>,
    /// `LABEL=`, `UUID=` or a device path.
    pub dev: Option<String>,
    /// File system with the vendor's configuration.
    pub oem_dev: Option<String>,
    /// Subdirectory of the partition that is used.
    pub directory: Option<String>,
    /// File system type; found out when absent.
    pub fstype: Option<String>,
    /// Whether the partition grows with its disk.
    pub growpart: Option<bool>,
    /// `DEVICE:/PATH` of a LUKS device's key.
    pub key_file: Option<String>,
    /// Whether LVM is activated.
    pub lvm_scan: Option<bool>,
    /// Whether md arrays are assembled.
    pub mdadm_scan: Option<bool>,
    /// Whether the boot stops without it.
    pub required: Option<bool>,
    /// A script run before it is mounted.
    pub script: Option<String>,
    /// Whether to wait for the device.
    pub wait: Option<bool>,
}
