//! Room for the engine's state: whether there is any, and what the operator is told when there is none.

use std::fs;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};

/// With less than this a container can be started and hardly more.
const LEAST_BYTES: u64 = 16 << 20;
/// Likewise, in files.
const LEAST_FILES: u64 = 200;
/// What a look writes: a block of any file system.
const PROBE_BYTES: usize = 4096;

/// What is wrong with the room at `root`, in a sentence for the operator.
pub(crate) fn complaint(root: &Path) -> Option<String> {
    let found = statvfs(root).ok()?;
    let bytes = found.f_bavail.saturating_mul(found.f_frsize);
    let why = if found.f_flag.contains(StatVfsMountFlags::RDONLY) {
        "its file system is read-only".to_owned()
    } else if bytes < LEAST_BYTES {
        format!("no space left on device: {} KiB are free", bytes >> 10)
    } else if found.f_files > 0 && found.f_favail < LEAST_FILES {
        // Some file systems make inodes as they need them, and have no number of them.
        format!(
            "no space left on device: {} files can be made",
            found.f_favail
        )
    } else {
        return None;
    };
    Some(format!("{}: {why}", root.display()))
}

/// Writes a small file at `root` and removes it.
///
/// # Errors
/// The cause when that fails.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let path = root.join("probe");
    let written = objects::atomic_file::write(&path, &[0; PROBE_BYTES], 0o600);
    let removed = fs::remove_file(&path);
    written
        .and(removed)
        .map_err(|error| format!("{}: {}", root.display(), engine_api::cause(&error)))
}
