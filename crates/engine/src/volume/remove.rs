//! Removing volumes: one, or all that nobody has.

use std::fs;

use engine_api::{Error, Filters, Result, VolumesPruneReport};

use super::mount::is_mounted;
use super::{Record, Volumes, no_such_volume};

impl Volumes {
    /// Removes a volume. With `force`, one that does not exist is fine.
    ///
    /// # Errors
    /// 404 when there is none, 409 when a container has it.
    pub async fn remove(&self, name: &str, force: bool) -> Result<()> {
        if !self.exists(name) {
            return if force {
                Ok(())
            } else {
                Err(no_such_volume(name))
            };
        }
        let users = self.users(name);
        if !users.is_empty() {
            return Err(Error::conflict(format!(
                "remove {name}: volume is in use - [{}]",
                users.join(", ")
            )));
        }
        self.destroy(name).await
    }

    /// Takes the volume out of sight by one rename, then removes its files.
    async fn destroy(&self, name: &str) -> Result<()> {
        let turn = self.turn(name);
        let _turn = turn.lock().await;
        if !self.exists(name) {
            return Ok(());
        }
        self.0.mounted.borrow_mut().remove(name);
        // an engine before this one may have left it mounted: what is removed below must be the volume's own
        while is_mounted(&self.mountpoint(name))? {
            self.unmount(name).await?;
        }
        let doomed = self.0.root.join(format!(".{name}"));
        match fs::rename(self.directory(name), &doomed) {
            // Somebody has removed the directory: what is left of the volume goes too.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            renamed => {
                renamed.map_err(|error| Error::server(format!("remove volume {name}: {error}")))?
            }
        }
        self.0.records.borrow_mut().remove(name);
        self.0.turns.borrow_mut().remove(name);
        self.event("destroy", name);
        let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(&doomed)).await;
        let removed =
            removed.map_err(|error| Error::server(format!("remove volume {name}: {error}")))?;
        match removed {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.map_err(|error| Error::server(format!("remove volume {name}: {error}")))
            }
        }
    }

    /// Removes volumes that no container has: anonymous ones, or with the filter `all=true` all of them.
    ///
    /// # Errors
    /// 400 for other filters than `all`, `label` and `label!`.
    pub async fn prune(&self, filters: &Filters) -> Result<VolumesPruneReport> {
        filters.validate(&["all", "label", "label!"])?;
        let all = filters.flag("all")?.unwrap_or(false);
        let doomed: Vec<String> = {
            let records = self.0.records.borrow();
            let fits = |name: &str, record: &Record| {
                (all || record.is_anonymous())
                    // What lies elsewhere (NFS, a disk) stays, as in Docker.
                    && !record.is_elsewhere()
                    && filters.matches_labels(&record.labels())
                    && self.users(name).is_empty()
            };
            let fitting = records.iter().filter(|(name, record)| fits(name, record));
            fitting.map(|(name, _)| name.clone()).collect()
        };
        let mut report = VolumesPruneReport::default();
        let mut deleted = Vec::new();
        for name in doomed {
            // A size that cannot be found out is told as nothing.
            let size = self.measure(&name).await.unwrap_or(0);
            // a container may have taken it meanwhile
            if self.remove(&name, true).await.is_ok() {
                report.space_reclaimed += size;
                deleted.push(name);
            }
        }
        // Unlike the other prunes, Docker's answer has an empty list here.
        report.volumes_deleted = Some(deleted);
        Ok(report)
    }
}
