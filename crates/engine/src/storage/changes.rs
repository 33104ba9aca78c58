//! `docker diff`: what the overlay's upper directory says that the container changed.

use std::fs::{self, File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use engine_api::{Error, FilesystemChange, Result};
use sys::rooted::Root;

use crate::Engine;

/// Entries of `FilesystemChange.kind`.
const MODIFIED: u8 = 0;
const ADDED: u8 = 1;
const DELETED: u8 = 2;

impl Engine {
    /// `GET /containers/{id}/changes`.
    ///
    /// # Errors
    /// 404, 500 when a directory cannot be read.
    pub async fn container_changes(&self, reference: &str) -> Result<Vec<FilesystemChange>> {
        let container = self.find(reference)?;
        let lowers = self.lowers(&container)?;
        let upper = container.layout.upper();
        let found = tokio::task::spawn_blocking(move || changes(&upper, &lowers));
        found
            .await
            .map_err(|error| Error::server(error.to_string()))?
            .map_err(|error| {
                Error::server(format!(
                    "read the changes of container {}: {}",
                    container.id,
                    engine_api::cause(&error)
                ))
            })
    }
}

fn changes(upper: &Path, lowers: &[PathBuf]) -> std::io::Result<Vec<FilesystemChange>> {
    let mut changes = Vec::new();
    let inside = Root::open(upper)?;
    objects::tree::walk(upper, &mut |relative, metadata| {
        let below = find_lower(lowers, relative);
        let kind = if is_whiteout(metadata) {
            // A file that was made and removed by the container itself leaves a whiteout over nothing.
            if below.is_none() {
                return Ok(());
            }
            DELETED
        } else if let Some(below) = below {
            if metadata.is_dir()
                && is_untouched(metadata, &below)
                && !has_changes(&inside, relative)
            {
                return Ok(());
            }
            MODIFIED
        } else {
            ADDED
        };
        changes.push(FilesystemChange {
            path: format!("/{}", relative.display()),
            kind,
        });
        Ok(())
    })?;
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    hide_places(&inside, &mut changes);
    Ok(changes)
}

/// Places that the engine makes for its own mounts. Containers that an earlier version made have all of them among what
/// they changed; those of today only the last but one, and the others in their init layer.
const PLACES: [&str; 9] = [
    "/.dockerenv",
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/sbin/docker-init",
    "/sys",
];

/// Those of the engine's own places that are in `upper` and empty, relative to it: a commit leaves them out.
pub(crate) fn own_places(upper: &Path, lowers: &[PathBuf]) -> Vec<PathBuf> {
    let Ok(inside) = Root::open(upper) else {
        return Vec::new();
    };
    let own = |place: &PathBuf| is_empty(&inside, place) && find_lower(lowers, place).is_none();
    let places = PLACES.iter().map(|place| place.trim_start_matches('/'));
    places.map(PathBuf::from).filter(own).collect()
}

/// Leaves out the engine's own empty places, and directories that changed for nothing else.
fn hide_places(inside: &Root, changes: &mut Vec<FilesystemChange>) {
    let mut parents = Vec::new();
    changes.retain(|change| {
        let hidden = change.kind == ADDED
            && PLACES.contains(&change.path.as_str())
            && is_empty(inside, change.path.as_ref());
        if hidden {
            parents.extend(Path::new(&change.path).parent().map(Path::to_owned));
        }
        !hidden
    });
    for parent in parents {
        let inside = |change: &FilesystemChange| {
            let path = Path::new(&change.path);
            path != parent && path.starts_with(&parent)
        };
        if !changes.iter().any(inside) {
            changes.retain(|change| Path::new(&change.path) != parent);
        }
    }
}

fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// The file that the image has at this path.
pub(super) fn find_lower(lowers: &[PathBuf], relative: &Path) -> Option<Metadata> {
    for lower in lowers {
        let mut path = lower.clone();
        let mut parts = relative.components().peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            match fs::symlink_metadata(&path) {
                Ok(metadata) if is_whiteout(&metadata) => return None,
                Ok(metadata) if parts.peek().is_none() => return Some(metadata),
                Ok(metadata) if !metadata.is_dir() => return None,
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
    None
}

fn is_untouched(upper: &Metadata, lower: &Metadata) -> bool {
    lower.is_dir()
        && (
            upper.mode(),
            upper.uid(),
            upper.gid(),
            upper.mtime(),
            upper.mtime_nsec(),
        ) == (
            lower.mode(),
            lower.uid(),
            lower.gid(),
            lower.mtime(),
            lower.mtime_nsec(),
        )
}

/// Whether there is an empty file or directory. The container may have put a link anywhere on the way: it is followed inside `upper`.
fn is_empty(upper: &Root, relative: &Path) -> bool {
    let metadata = upper
        .find_link(relative)
        .ok()
        .and_then(|found| File::from(found).metadata().ok());
    metadata.is_some_and(|metadata| {
        (metadata.is_file() && metadata.len() == 0)
            || (metadata.is_dir() && !has_changes(upper, relative))
    })
}

fn has_changes(upper: &Root, directory: &Path) -> bool {
    upper.find_link(directory).is_ok_and(|found| {
        let opened = format!("/proc/self/fd/{}", found.as_raw_fd());
        fs::read_dir(opened).is_ok_and(|mut entries| entries.next().is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_s_own_places_are_no_changes() {
        let directory = tempfile::tempdir().unwrap();
        let upper = directory.path();
        for path in ["etc", "proc", "sbin"] {
            fs::create_dir_all(upper.join(path)).unwrap();
        }
        fs::write(upper.join("etc/hosts"), "").unwrap();
        fs::write(upper.join("etc/hostname"), "").unwrap();
        fs::write(upper.join("sbin/docker-init"), "").unwrap();
        fs::write(upper.join("sbin/mine"), "").unwrap();
        let paths = || {
            let found = changes(upper, &[]).unwrap();
            found.into_iter().map(|one| one.path).collect::<Vec<_>>()
        };
        assert_eq!(paths(), ["/sbin", "/sbin/mine"]);
        fs::write(upper.join("etc/hosts"), "127.0.0.1 own").unwrap();
        assert_eq!(paths(), ["/etc", "/etc/hosts", "/sbin", "/sbin/mine"]);
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_leads_nowhere_on_the_host() {
        let directory = tempfile::tempdir().unwrap();
        let (upper, host) = (
            directory.path().join("upper"),
            directory.path().join("host"),
        );
        for path in [upper.clone(), host.clone()] {
            fs::create_dir(path).unwrap();
        }
        fs::write(host.join("docker-init"), "").unwrap();
        std::os::unix::fs::symlink(&host, upper.join("sbin")).unwrap();
        fs::create_dir(upper.join("proc")).unwrap();
        assert_eq!(own_places(&upper, &[]), [PathBuf::from("proc")]);
        let inside = Root::open(&upper).unwrap();
        assert!(!has_changes(&inside, "sbin".as_ref()));
        assert!(is_empty(&inside, "proc".as_ref()));
    }

    #[test]
    fn added_and_modified_files_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let (lower, upper) = (
            directory.path().join("lower"),
            directory.path().join("upper"),
        );
        for path in [lower.join("etc"), upper.join("etc"), upper.join("new")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(lower.join("etc/passwd"), "old").unwrap();
        fs::write(upper.join("etc/passwd"), "new").unwrap();
        fs::write(upper.join("new/file"), "").unwrap();
        let found: Vec<_> = changes(&upper, &[lower])
            .unwrap()
            .into_iter()
            .map(|one| (one.path, one.kind))
            .collect();
        let expected = [
            ("/etc", MODIFIED),
            ("/etc/passwd", MODIFIED),
            ("/new", ADDED),
            ("/new/file", ADDED),
        ];
        assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
    }
}
