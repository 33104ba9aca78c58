//! What mounts, unmounts and measures file systems for the engine: in its own process, because the server of one may never
//! answer.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use sys::mount::{self, MountFlags, UnmountFlags};

use super::Engine;
use crate::error::Result;
use crate::protocol::{MountRequest, Report};

/// Flags that a file system can be mounted with.
const FLAGS: [MountFlags; 11] = [
    MountFlags::RDONLY,
    MountFlags::NOSUID,
    MountFlags::NODEV,
    MountFlags::NOEXEC,
    MountFlags::SYNCHRONOUS,
    MountFlags::DIRSYNC,
    MountFlags::NOATIME,
    MountFlags::NODIRATIME,
    MountFlags::RELATIME,
    MountFlags::STRICTATIME,
    MountFlags::LAZYTIME,
];

/// Deepest directory that is measured.
const DEPTH_MAX: usize = 256;

/// How often the engine hears that a directory is still measured.
const BUSY_EVERY: Duration = Duration::from_secs(1);

/// Mounts in the engine's namespace, in which this process is.
pub(super) fn mount(wanted: &MountRequest) -> Result<()> {
    let flags = FLAGS
        .into_iter()
        .filter(|flag| wanted.flags & flag.bits() != 0)
        .fold(MountFlags::empty(), |all, flag| all | flag);
    let MountRequest {
        device,
        target,
        kind,
        data,
        ..
    } = wanted;
    if !wanted.bind {
        return Ok(mount::mount(device, target, kind, flags, data)?);
    }
    mount::bind(device, target, wanted.recursive)?;
    // The kernel ignores flags of a bind until it is there.
    if !flags.is_empty() {
        mount::remount_bind(target, flags)?;
    }
    Ok(())
}

/// Takes a mount away, also one that is in use.
pub(super) fn unmount(target: &Path) -> Result<()> {
    Ok(mount::unmount(target, UnmountFlags::DETACH)?)
}

/// Bytes on disk below a directory; symlinks are not followed.
pub(super) fn measure(engine: &Engine, directory: &Path) -> Result<u64> {
    let mut heard = Instant::now();
    size_of(engine, directory, 0, &mut heard)
}

fn size_of(engine: &Engine, directory: &Path, depth: usize, heard: &mut Instant) -> Result<u64> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(0);
    };
    let mut size = 0;
    for entry in entries.flatten() {
        if heard.elapsed() >= BUSY_EVERY {
            // An engine that waits no more ends this process here.
            engine.report(&Report::Busy, &[])?;
            *heard = Instant::now();
        }
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        size += if metadata.is_dir() && depth < DEPTH_MAX {
            size_of(engine, &entry.path(), depth + 1, heard)?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(size)
}
