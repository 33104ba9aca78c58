//! Volumes whose options name a file system: mounted for the first container that starts, unmounted after the last.

use std::fs;
use std::path::{Path, PathBuf};

use engine_api::{Error, Result};
use sys::mount::UnmountFlags;

use super::{Volumes, no_such_volume, options};

impl Volumes {
    /// Prepares a volume for a container that starts and returns its directory; mounts what its options say, once for all.
    ///
    /// # Errors
    /// 404 when there is none, 500 when the mount fails.
    pub async fn acquire(&self, name: &str) -> Result<PathBuf> {
        let options = {
            let records = self.0.records.borrow();
            let record = records.get(name).ok_or_else(|| no_such_volume(name))?;
            options::parse(&record.options.clone().unwrap_or_default())?
        };
        let target = self.mountpoint(name);
        let Some(options) = options else {
            return Ok(target);
        };
        let left_mounted = is_mounted(&target)?;
        let first = {
            let mut mounted = self.0.mounted.borrow_mut();
            let count = mounted.entry(name.to_owned()).or_insert(0);
            *count += 1;
            *count == 1
        };
        if first
            && !left_mounted
            && let Err(error) = mount(options, target.clone()).await
        {
            self.0.mounted.borrow_mut().remove(name);
            return Err(Error::server(format!(
                "error while mounting volume '{}': {error}",
                target.display()
            )));
        }
        Ok(target)
    }

    /// The container that acquired the volume has stopped.
    ///
    /// # Errors
    /// When the last one was it and the volume cannot be unmounted.
    pub fn release(&self, name: &str) -> Result<()> {
        let last = {
            let mut mounted = self.0.mounted.borrow_mut();
            let Some(count) = mounted.get_mut(name) else {
                return Ok(());
            };
            *count = count.saturating_sub(1);
            let last = *count == 0;
            if last {
                mounted.remove(name);
            }
            last
        };
        if last { self.unmount(name) } else { Ok(()) }
    }

    pub(super) fn unmount(&self, name: &str) -> Result<()> {
        let unmounted = sys::mount::unmount(self.mountpoint(name), UnmountFlags::DETACH);
        unmounted.map_err(|error| Error::server(format!("volume {name}: {error}")))
    }
}

pub(super) fn is_mounted(path: &Path) -> Result<bool> {
    let mounts = sys::mount::mountinfo().map_err(|error| Error::server(error.to_string()))?;
    // The directory above is ours; what is mounted on it may be a file system that does not answer.
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(false);
    };
    let path = match fs::canonicalize(above) {
        // Somebody has removed it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        found => found.map_err(Error::at("resolve", above))?.join(name),
    };
    Ok(mounts.iter().any(|entry| entry.target == path))
}

/// Mounts in another thread: a network file system can take its time.
async fn mount(options: options::MountOptions, target: PathBuf) -> Result<()> {
    let mounted = tokio::task::spawn_blocking(move || {
        if options.bind {
            sys::mount::bind(&options.device, &target, options.recursive)?;
            if options.flags.bits() == 0 {
                return Ok(());
            }
            return sys::mount::remount_bind(&target, options.flags);
        }
        sys::mount::mount(
            &options.device,
            &target,
            &options.kind,
            options.flags,
            &options.data,
        )
    });
    let mounted = mounted
        .await
        .map_err(|error| Error::server(error.to_string()))?;
    mounted.map_err(|error| Error::server(error.to_string()))
}
