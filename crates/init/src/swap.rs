//! Swap files at the end: a file system that has one in use cannot be unmounted.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::rooted::Root;
use tokio::time::timeout;

use crate::log;

/// What looking for the files may take: a file system on the way may not answer.
const FIND_LIMIT: Duration = Duration::from_secs(2);
/// What turning them off may take. The processes are gone by then, and most of what was in swap with them.
const OFF_LIMIT: Duration = Duration::from_secs(10);

/// The swap files that were on, and what their paths mean to the processes that could have turned them on.
#[derive(Debug, Default)]
pub(crate) struct SwapFiles(Vec<(PathBuf, Vec<File>)>);

/// Finds them while these processes still run: the kernel knows each by its path in their mount namespace, most often the
/// console's.
pub(crate) async fn find() -> SwapFiles {
    let found = timeout(
        FIND_LIMIT,
        tokio::task::spawn_blocking(|| {
            let paths = sys::swap::files().unwrap_or_default();
            if paths.is_empty() {
                return SwapFiles::default();
            }
            look_up(paths, &roots(Path::new("/proc")))
        }),
    );
    match found.await {
        Ok(Ok(files)) => files,
        _ => {
            log::warning("shutdown: looking for swap files takes too long: they stay on");
            SwapFiles::default()
        }
    }
}

/// The root directories of all mount namespaces, by one process of each.
fn roots(proc: &Path) -> Vec<Root> {
    let mut known = BTreeSet::new();
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
        .filter_map(|entry| {
            let namespace = fs::read_link(entry.path().join("ns/mnt")).ok()?;
            let root = Root::open(&entry.path().join("root")).ok()?;
            known.insert(namespace).then_some(root)
        })
        .collect()
}

fn look_up(paths: Vec<PathBuf>, roots: &[Root]) -> SwapFiles {
    let files = paths.into_iter().map(|path| {
        let found = roots.iter().filter_map(|root| root.find(&path).ok());
        let is_file = |file: &File| file.metadata().is_ok_and(|found| found.is_file());
        let files = found.map(File::from).filter(is_file).collect();
        (path, files)
    });
    SwapFiles(files.collect())
}

impl SwapFiles {
    /// Turns them off, when no process is left that could use what is in them.
    pub(crate) async fn off(self) {
        if self.0.is_empty() {
            return;
        }
        let off = tokio::task::spawn_blocking(move || self.off_now());
        if timeout(OFF_LIMIT, off).await.is_err() {
            log::warning("shutdown: a swap file cannot be turned off in time");
        }
    }

    fn off_now(self) {
        for (path, files) in self.0 {
            // Of those that have its path in some namespace the kernel takes the one that is swap.
            let is_off = files.iter().any(|file| {
                let name = format!("/proc/self/fd/{}", file.as_raw_fd());
                sys::swap::off(Path::new(&name)).is_ok()
            });
            if !is_off {
                log::warning(&format!("shutdown: swap {} stays on", path.display()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_looked_up_in_every_namespace() {
        let roots = roots(Path::new("/proc"));
        assert!(!roots.is_empty());
        let file = tempfile::NamedTempFile::new().expect("a file");
        let paths = vec![file.path().to_owned(), "/proc".into(), "/none/swap".into()];
        let found = look_up(paths, &roots);
        let counts: Vec<bool> = found.0.iter().map(|(_, files)| files.is_empty()).collect();
        assert_eq!(counts, [false, true, true]);
    }
}
