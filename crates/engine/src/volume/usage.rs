//! What volumes take of the disk, for `system df` and for what a prune has freed.

use engine_api::{Volume, VolumeUsage};

use super::Volumes;
use crate::container::ANSWER_MOST;

impl Volumes {
    /// All volumes with their sizes and users, for `system df`. -1 is Docker's word for a size that is not known: what lies
    /// elsewhere (NFS, a disk) is not asked for, as in Docker.
    pub async fn usage(&self) -> Vec<Volume> {
        let names: Vec<(String, bool)> = {
            let records = self.0.records.borrow();
            let names = records.iter();
            names
                .map(|(name, record)| (name.clone(), record.is_elsewhere()))
                .collect()
        };
        let mut volumes = Vec::new();
        for (name, elsewhere) in names {
            let size = match elsewhere {
                true => None,
                false => self.measure(&name).await,
            };
            let Ok(mut volume) = self.inspect(&name) else {
                continue;
            };
            volume.usage_data = Some(VolumeUsage {
                ref_count: i64::try_from(self.users(&name).len()).unwrap_or(i64::MAX),
                size: size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX)),
            });
            volumes.push(volume);
        }
        volumes
    }

    /// Bytes of the disk, in a process that is not waited for when the file system does not answer: a container can have
    /// mounted one below its volume.
    pub(super) async fn measure(&self, name: &str) -> Option<u64> {
        let path = self.mountpoint(name);
        match self.0.runtime.measure(&path, ANSWER_MOST).await {
            Ok(size) => Some(size),
            Err(error) => {
                crate::report(&format!("size of volume {name}: {error}"));
                None
            }
        }
    }
}
