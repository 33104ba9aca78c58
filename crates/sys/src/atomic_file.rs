//! Files that are replaced as a whole: after a power cut or kill there is the old content or the new, never a mixture (rename(2),
//! fsync(2)).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// Writes `content` to `temporary`, a path on the file system of `path`, syncs it, renames it over `path` and syncs the
/// directory. The file has exactly the bits of `mode`, from its first byte on.
///
/// # Errors
/// The first step that failed. `path` then has its old content, except when it was the directory's sync.
pub fn write(path: &Path, temporary: &Path, content: &[u8], mode: u32) -> Result<()> {
    put(path, temporary, content, mode, || ())?;
    sync_directory(directory_of(path))
}

/// [`write()`] without the directory's sync. `ready` is called when the new content is on disk, just before it takes its name.
///
/// # Errors
/// The first step that failed; `path` then has its old content.
pub fn put(
    path: &Path,
    temporary: &Path,
    content: &[u8],
    mode: u32,
    ready: impl FnOnce(),
) -> Result<()> {
    let done = create(temporary, content, mode).and_then(|()| {
        ready();
        fs::rename(temporary, path).what(|| format!("rename to {}", path.display()))
    });
    if done.is_err() {
        // The rename did not happen, and a disk that is full needs the room.
        let _ = fs::remove_file(temporary);
    }
    done
}

/// Makes sure that the names in a directory are on disk.
///
/// # Errors
/// When it cannot be opened or synced.
pub fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .what(|| format!("sync {}", path.display()))
}

/// A temporary path next to `path`. It begins with a dot, so that readers of a whole directory skip it.
#[must_use]
pub fn hidden(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

/// Where the name of `path` is: the working directory for a name alone.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// A new file: what lies there (left by a power cut, a link, a named pipe) is not written to, and who opened it sees nothing.
fn create(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let _ = fs::remove_file(path);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            // Without what the umask took.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(content)?;
            file.sync_all()
        })
        .what(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_new_file_has_its_mode_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.yml");
        for (content, bits) in [("one", 0o666), ("two", 0o600)] {
            write(&path, &hidden(&path), content.as_bytes(), bits).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(mode(&path), bits);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_the_temporary_files_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&other, "others").unwrap();
        std::os::unix::fs::symlink(&other, hidden(&path)).unwrap();
        write(&path, &hidden(&path), b"mine", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "others");
        assert!(!path.is_symlink());
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_no_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, &hidden(&path), b"file", 0o600).is_err());
        assert!(path.is_dir() && !hidden(&path).exists());
    }

    #[test]
    fn a_name_alone_is_in_the_working_directory() {
        assert_eq!(directory_of(Path::new("a")), Path::new("."));
        assert_eq!(directory_of(Path::new("/a")), Path::new("/"));
        assert_eq!(hidden(Path::new("a")), Path::new(".a.new"));
    }
}
