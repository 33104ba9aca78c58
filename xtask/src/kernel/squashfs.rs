//! Packs a folder as a squashfs file, the same bytes for the same content.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use duct::cmd;

use crate::cache::Pending;
use crate::workspace::Build;

/// zstd at its best: packed once, read at every boot. 128 KiB blocks are the best of size and reading time (ARCHITECTURE.md).
const OPTIONS: &[&str] = &[
    "-comp",
    "zstd",
    "-Xcompression-level",
    "19",
    "-b",
    "128K",
    "-all-root",
    "-no-xattrs",
    "-noappend",
    "-no-progress",
    "-no-exports",
    "-quiet",
];

/// The packer as it names itself: another version may make other bytes.
pub(super) fn packer() -> Result<String> {
    // Some versions end with status 1 after saying their version
    let output = cmd!("mksquashfs", "-version")
        .stderr_null()
        .stdout_capture()
        .unchecked()
        .run();
    let output = output.context("run mksquashfs")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(format!(
        "{} {}",
        text.lines().next().unwrap_or_default(),
        OPTIONS.join(" ")
    ))
}

/// Packs the content of `folder` into `target`.
pub(super) fn pack(build: &Build, folder: &Path, target: &Path) -> Result<()> {
    let epoch = build.epoch()?.to_string();
    let pending = Pending::create(target)?;
    let mut arguments = vec![folder.as_os_str(), pending.path().as_os_str()];
    arguments.extend(OPTIONS.iter().map(std::ffi::OsStr::new));
    for option in ["-mkfs-time", "-all-time"] {
        arguments.extend([option, epoch.as_str()].map(std::ffi::OsStr::new));
    }
    fs::metadata(folder).with_context(|| format!("stat {}", folder.display()))?;
    cmd("mksquashfs", arguments)
        .env_remove("SOURCE_DATE_EPOCH") // it refuses to have the time said twice
        .stdout_null()
        .run()
        .with_context(|| format!("pack {} into {}", folder.display(), target.display()))?;
    pending.commit()
}
