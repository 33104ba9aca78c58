//! Files that are replaced as a whole: after a power cut or kill there is the old content or the new, never a mixture.
//!
//! Records have a spare next to them, `NAME.before`, for the day on which the disk gives something else back than was
//! written: [`crate::damage`] reads it then.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is added to a file's name for its spare.
pub const SPARE: &str = "before";

/// Writes `content` to a temporary file next to `path`, syncs it, renames it over `path` and syncs the directory.
///
/// # Errors
/// The first system call that failed; `path` then has its old content. When the directory's sync fails and there is no spare to
/// take the old content from, `path` has the new one.
pub fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    put(path, content, mode, || ())
}

/// The same for a record that changes often: the version before stays as its spare, which costs no write. The first
/// version is its own spare.
///
/// # Errors
/// As [`write`]; it is not an error when the spare cannot be made.
pub fn write_keeping(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let spare = spare_of(path);
    let is_first = !path.exists();
    let keep = || {
        // Another file system than the usual ones may not have hard links.
        let _ = fs::remove_file(&spare);
        let _ = fs::hard_link(path, &spare);
    };
    put(path, content, mode, keep).or_else(|error| {
        make_room(path, error)?;
        put(path, content, mode, || ())
    })?;
    if is_first {
        let _ = fill(&spare, content, mode);
    }
    Ok(())
}

/// The same for a record that seldom changes and must not go back in time: its spare has the same content.
///
/// # Errors
/// As [`write`]; it is not an error when the spare cannot be written.
pub fn write_twice(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write(path, content, mode).or_else(|error| {
        make_room(path, error)?;
        write(path, content, mode)
    })?;
    if write(&spare_of(path), content, mode).is_err() {
        // An older spare would bring back what was changed.
        let _ = fs::remove_file(spare_of(path));
    }
    Ok(())
}

/// Removes a record and its spare, the spare first: left alone it would bring the record back. Absent is fine.
///
/// # Errors
/// When the file system refuses.
pub fn remove(path: &Path) -> io::Result<()> {
    for path in [spare_of(path).as_path(), path] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Where the spare of a record is.
#[must_use]
pub fn spare_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(SPARE);
    name.into()
}

/// Whether a file is one that a kill or a power cut left while it was written: its name is that of `sys::atomic_file::hidden`.
pub(crate) fn is_half(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(b".new")
}

/// Gives the spare up on a full disk: the record itself has its place then.
///
/// # Errors
/// `error`, when that is not what it says or there is no spare.
fn make_room(path: &Path, error: io::Error) -> io::Result<()> {
    if is_full(&error) && fs::remove_file(spare_of(path)).is_ok() {
        return Ok(());
    }
    Err(error)
}

/// Whether the disk has no room, or its owner may have none.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// `ready` is called when the new content is on disk, just before it takes its name.
fn put(path: &Path, content: &[u8], mode: u32, ready: impl FnOnce()) -> io::Result<()> {
    let directory = path
        .parent()
        .ok_or_else(|| io::Error::other("path has no parent directory"))?;
    let temporary = sys::atomic_file::hidden(path);
    let is_first = !path.exists();
    // The callers name the file; the cause alone is told on.
    sys::atomic_file::put(path, &temporary, content, mode, ready).map_err(|error| error.source)?;
    let synced = sys::atomic_file::sync_directory(directory).map_err(|error| error.source);
    if synced.is_err() {
        take_back(path, &temporary, is_first);
    }
    synced
}

/// What is answered as failed must not be there at the next start: the old content gets its name again, as far as the disk
/// lets it.
fn take_back(path: &Path, temporary: &Path, is_first: bool) {
    if is_first {
        let _ = fs::remove_file(path);
    } else if fs::hard_link(spare_of(path), temporary).is_ok() {
        let _ = fs::rename(temporary, path);
    }
}

/// Not synced: a spare that a power cut takes is missed only where the same cut damages the record.
fn fill(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // A new file: what lies there (a leftover, a named pipe) is not written to.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_content_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        write(&path, b"one", 0o600).unwrap();
        write(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        write(&path, b"old", 0o600).unwrap();
        fs::create_dir(sys::atomic_file::hidden(&path)).unwrap();
        assert!(write(&path, b"new", 0o600).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn names_that_differ_in_their_extension_do_not_share_a_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let [json, lock] = ["state.json", "state.lock"].map(|name| directory.path().join(name));
        put(&json, b"json", 0o600, || {
            assert!(is_half(&sys::atomic_file::hidden(&json)) && !is_half(&json));
            write(&lock, b"lock", 0o600).unwrap();
        })
        .unwrap();
        assert_eq!(fs::read(&json).unwrap(), b"json");
        assert_eq!(fs::read(&lock).unwrap(), b"lock");
    }

    #[test]
    fn spares_are_the_version_before_or_the_same_and_go_with_the_record() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let spare = || fs::read_to_string(spare_of(&path)).unwrap();
        write_keeping(&path, b"one", 0o600).unwrap();
        assert_eq!(spare(), "one");
        write_keeping(&path, b"two", 0o600).unwrap();
        assert_eq!(spare(), "one");
        // What happens to the record's bytes does not happen to the spare's.
        fs::write(&path, b"").unwrap();
        assert_eq!(spare(), "one");
        write_twice(&path, b"three", 0o600).unwrap();
        assert_eq!(spare(), "three");
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_not_synced_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        write_keeping(&path, b"one", 0o600).unwrap();
        write_keeping(&path, b"two", 0o600).unwrap();
        let temporary = sys::atomic_file::hidden(&path);
        take_back(&path, &temporary, false);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert!(!temporary.exists());
        take_back(&path, &temporary, true);
        assert!(!path.exists());
    }
}
