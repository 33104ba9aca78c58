//! Directories that a layer's tar needs and does not describe.

use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid};
use rustix::io::Errno;

use super::attributes::timestamps;
use crate::layer::rooted::{Root, clean};
use oci_image::error::{Context, Result};

/// Gives directories that a layer's tar only implied the attributes they have in the layers below.
///
/// Overlayfs shows the attributes of the uppermost directory: without this, a layer that adds `tmp/x` and says nothing
/// about `tmp` would turn `/tmp` into an ordinary directory. `lowers` are the layers below, the nearest first.
///
/// # Errors
/// When a directory cannot be changed.
pub fn adopt_implied(layer: &Path, implied: &[Vec<u8>], lowers: &[PathBuf]) -> Result<()> {
    if implied.is_empty() {
        return Ok(());
    }
    let root = Root::open(layer)?;
    let lowers = lowers
        .iter()
        .map(|lower| Root::open(lower))
        .collect::<Result<Vec<_>>>()?;
    for path in implied {
        let parts = clean(path)?;
        let what = || format!("adopt {}", String::from_utf8_lossy(path));
        let Some(source) = lowers
            .iter()
            .find_map(|lower| lower.open_dir_plain(&parts).ok())
        else {
            continue;
        };
        let stat = rustix::fs::fstat(&source).context(what)?;
        let target = match root.open_dir_plain(&parts) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            result => result.context(what)?,
        };
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        rustix::fs::fchown(&target, Some(owner.0), Some(owner.1)).context(what)?;
        rustix::fs::fchmod(&target, Mode::from_raw_mode(stat.st_mode & 0o7777)).context(what)?;
        let mtime = (
            stat.st_mtime,
            u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        );
        rustix::fs::futimens(&target, &timestamps(mtime)).context(what)?;
    }
    Ok(())
}
