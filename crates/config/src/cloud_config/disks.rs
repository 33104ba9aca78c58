//! Disks that cloud-init's keys partition and format.

use serde::Deserialize;

/// What `disk_setup` says of one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DiskSetup {
    /// `true`, `false`, or a list of percents and of `[percent, type]`.
    pub layout: serde_json::Value,
    /// Whether something else on the disk goes.
    pub overwrite: Option<bool>,
    /// `mbr` or `gpt`.
    pub table_type: Option<String>,
}

/// An entry of `fs_setup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FsSetup {
    /// A command in place of mkfs, which is not run.
    pub cmd: serde_json::Value,
    /// A disk or a partition.
    pub device: Option<String>,
    /// More options of mkfs.
    pub extra_opts: Vec<String>,
    /// `ext4`, `swap` ...
    pub filesystem: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Whether something else on the device goes.
    pub overwrite: Option<bool>,
    /// A number, `none`, `auto` or `any`.
    pub partition: Option<String>,
    /// A kind of file system that `auto` and `any` replace.
    pub replace_fs: Option<String>,
}
