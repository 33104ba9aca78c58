//! Volumes whose options name a file system: mounted for the first container that starts, unmounted after the last.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use engine_api::{Error, Result};
use runtime::MountRequest;
use tokio::sync::Mutex;

use super::{Volumes, no_such_volume, options};

/// How long a file system may take to be mounted: mount.nfs(8) gives up after two minutes, and a server that wakes its disks
/// takes seconds.
const MOUNT_MOST: Duration = Duration::from_secs(60);

/// How long the kernel may take to let go of a mount.
const UNMOUNT_MOST: Duration = Duration::from_secs(20);

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
        // Nobody starts with the empty directory of a volume that another one is just mounting.
        let turn = self.turn(name);
        let _turn = turn.lock().await;
        let held = self.0.mounted.borrow().contains_key(name);
        if !held && !is_mounted(&target)? {
            self.mount(options, &target).await.map_err(|error| {
                Error::server(format!(
                    "error while mounting volume '{}': {error}",
                    target.display()
                ))
            })?;
        }
        *self
            .0
            .mounted
            .borrow_mut()
            .entry(name.to_owned())
            .or_insert(0) += 1;
        Ok(target)
    }

    /// The container that acquired the volume has stopped. The last one's end unmounts it: in a task, for its server may
    /// not answer.
    pub fn release(&self, name: &str) {
        {
            let mut mounted = self.0.mounted.borrow_mut();
            let Some(count) = mounted.get_mut(name) else {
                return;
            };
            *count = count.saturating_sub(1);
            if *count > 0 {
                return;
            }
            mounted.remove(name);
        }
        let (volumes, name) = (self.clone(), name.to_owned());
        let leaving = engine_api::tasks::spawn(async move {
            let turn = volumes.turn(&name);
            let _turn = turn.lock().await;
            // Somebody may have taken it again, or removed it.
            if volumes.0.mounted.borrow().contains_key(&name) || !volumes.exists(&name) {
                return;
            }
            if let Err(error) = volumes.unmount(&name).await {
                crate::report(&format!("release {error}"));
            }
        });
        let mut all = self.0.leaving.borrow_mut();
        all.retain(|task| !task.is_finished());
        all.push(leaving);
    }

    /// Waits for unmounts that are under way: each has its deadline.
    pub(crate) async fn settle(&self) {
        let leaving = std::mem::take(&mut *self.0.leaving.borrow_mut());
        for task in leaving {
            // What it has to say it has reported.
            let _ = task.await;
        }
    }

    /// One after the other for each volume.
    pub(super) fn turn(&self, name: &str) -> Rc<Mutex<()>> {
        let mut turns = self.0.turns.borrow_mut();
        Rc::clone(turns.entry(name.to_owned()).or_default())
    }

    pub(super) async fn unmount(&self, name: &str) -> Result<()> {
        let target = self.mountpoint(name);
        let unmounted = self.0.runtime.unmount(&target, UNMOUNT_MOST).await;
        unmounted.map_err(|error| Error::server(format!("volume {name}: {error}")))
    }

    /// Mounts, and leaves nothing mounted if that fails.
    async fn mount(&self, options: options::MountOptions, target: &Path) -> Result<()> {
        let request = MountRequest {
            device: options.device,
            target: target.to_owned(),
            kind: options.kind,
            flags: options.flags.bits(),
            data: options.data,
            bind: options.bind,
            recursive: options.recursive,
        };
        let Err(error) = self.0.runtime.mount(&request, MOUNT_MOST).await else {
            return Ok(());
        };
        // A bind whose flags were refused, a server that answered in the last instant.
        if is_mounted(target).unwrap_or(false)
            && let Err(error) = self.0.runtime.unmount(target, UNMOUNT_MOST).await
        {
            crate::report(&format!("unmount {}: {error}", target.display()));
        }
        Err(Error::server(error.message))
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
