//! What volumes take of the disk, for `system df` and for what a prune has freed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use engine_api::{Volume, VolumeUsage};

use super::Volumes;

/// Deepest directory that is measured.
const DEPTH_MAX: usize = 256;

impl Volumes {
    /// All volumes with their sizes and users, for `system df`.
    pub async fn usage(&self) -> Vec<Volume> {
        let names: Vec<String> = self.0.records.borrow().keys().cloned().collect();
        let mut volumes = Vec::new();
        for name in names {
            let size = self.measure(&name).await;
            let Ok(mut volume) = self.inspect(&name) else {
                continue;
            };
            volume.usage_data = Some(VolumeUsage {
                ref_count: i64::try_from(self.users(&name).len()).unwrap_or(i64::MAX),
                size: i64::try_from(size).unwrap_or(i64::MAX),
            });
            volumes.push(volume);
        }
        volumes
    }

    pub(super) async fn measure(&self, name: &str) -> u64 {
        let path = self.mountpoint(name);
        // a size that cannot be found out is shown as nothing
        tokio::task::spawn_blocking(move || size_of(&path, 0))
            .await
            .unwrap_or(0)
    }
}

/// Bytes on disk below a directory; symlinks are not followed.
fn size_of(directory: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let mut size = 0;
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        size += if metadata.is_dir() && depth < DEPTH_MAX {
            size_of(&entry.path(), depth + 1)
        } else {
            metadata.blocks() * 512
        };
    }
    size
}
