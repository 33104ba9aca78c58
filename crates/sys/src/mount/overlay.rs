//! Overlay file systems of any number of layers: each lower directory is its own fsconfig(2) call, so the one page of memory that
//! mount(2) has for all options together does not limit them.

use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount as raw;

use crate::error::{Context, Error, Result};

/// Longest value of one fsconfig(2) string (linux/fs_context.c reads 256 bytes with the NUL).
const LONGEST_VALUE: usize = 255;

/// Mounts an overlay on `target`: `lowers` from the topmost to the lowest, `upper` to write to (none: read-only) and
/// its `work` directory on the same file system. Needs Linux 6.7 or later (`lowerdir+`).
///
/// # Errors
/// When a path is longer than 255 bytes, there is no lower directory, or the kernel refuses.
pub fn overlay(
    lowers: &[PathBuf],
    upper: Option<&Path>,
    work: Option<&Path>,
    target: &Path,
) -> Result<()> {
    let what = || format!("mount overlay on {}", target.display());
    if lowers.is_empty() {
        return Err(Error::other(what(), "no lower directory"));
    }
    let context = raw::fsopen("overlay", raw::FsOpenFlags::FSOPEN_CLOEXEC).what(what)?;
    raw::fsconfig_set_string(&context, "source", "overlay").what(what)?;
    let lowers = lowers.iter().map(|lower| ("lowerdir+", lower.as_path()));
    let writable = upper
        .map(|upper| ("upperdir", upper))
        .into_iter()
        .chain(work.map(|work| ("workdir", work)));
    for (key, path) in lowers.chain(writable) {
        let named = || format!("{}: {key}={}", what(), path.display());
        if path.as_os_str().len() > LONGEST_VALUE {
            return Err(Error::other(
                named(),
                format!("path is longer than {LONGEST_VALUE} bytes"),
            ));
        }
        raw::fsconfig_set_string(&context, key, path).what(named)?;
    }
    raw::fsconfig_create(&context).what(what)?;
    let mount = raw::fsmount(
        &context,
        raw::FsMountFlags::FSMOUNT_CLOEXEC,
        raw::MountAttrFlags::empty(),
    )
    .what(what)?;
    raw::move_mount(
        &mount,
        "",
        CWD,
        target,
        raw::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .what(what)
}
