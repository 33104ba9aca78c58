//! Device nodes of the machine that a container gets: one node, or those below a directory of one file system.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use crate::oci::Device;

/// Files that are looked at below one directory at most. /dev of a large server has some thousand.
const ENTRIES_MAX: usize = 32 * 1024;

/// The node at `path`, if it is in /dev itself, which always answers. Its `path` is empty.
#[must_use]
pub fn node_in_dev(path: &str) -> Option<Device> {
    let below = path.strip_prefix("/dev/")?;
    let dev = open(Path::new("/dev"), OFlags::DIRECTORY, ResolveFlags::empty()).ok()?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::CACHED;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat2(dev, below, flags, Mode::empty(), resolve).ok()?;
    node(&file, String::new())
}

/// The nodes of /dev, for a privileged container, with their paths below it. What every container has anyway is left out.
///
/// # Errors
/// When there are too many files.
pub fn nodes_of_dev() -> Result<Vec<Device>, String> {
    let skipped = ["pts", "shm", "fd", "mqueue", "hugepages", "console"];
    below(Path::new("/dev"), &|path| {
        skipped.iter().any(|name| path == Path::new(name))
    })
}

/// Nodes by the paths of a request: why there are none, or each with its path below the directory that was named.
pub(crate) fn of_all(paths: &[String]) -> Vec<Result<Vec<Device>, String>> {
    paths.iter().map(|path| of(path)).collect()
}

fn of(path: &str) -> Result<Vec<Device>, String> {
    let path = fs::canonicalize(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        _ => error.to_string(),
    })?;
    let nodes = below(&path, &|_| false)?;
    match nodes.is_empty() {
        true => Err("not a device node".to_owned()),
        false => Ok(nodes),
    }
}

/// The nodes at `start` and below it, as far as the same mount reaches: others (a store, a server's files, /proc) have no
/// devices, and are without end.
fn below(start: &Path, skip: &dyn Fn(&Path) -> bool) -> Result<Vec<Device>, String> {
    let mut nodes = Vec::new();
    let mut looked = 0;
    let mut pending = vec![PathBuf::new()];
    let top =
        open(start, OFlags::NOFOLLOW, ResolveFlags::empty()).map_err(|error| error.to_string())?;
    while let Some(path) = pending.pop() {
        let file = match path.as_os_str().is_empty() {
            true => None,
            // It may be gone by now, or be another mount.
            false => match open_beneath(&top, &path) {
                Ok(file) => Some(file),
                Err(_) => continue,
            },
        };
        let file = file.as_ref().unwrap_or(&top);
        if let Some(node) = node(file, path.to_string_lossy().into_owned()) {
            nodes.push(node);
            continue;
        }
        let Ok(entries) = fs::read_dir(start.join(&path)) else {
            continue;
        };
        for entry in entries.flatten() {
            looked += 1;
            if looked > ENTRIES_MAX {
                return Err(format!(
                    "more than {ENTRIES_MAX} files below {}",
                    start.display()
                ));
            }
            let kind = entry.file_type();
            let below = path.join(entry.file_name());
            let wanted = kind.is_ok_and(|kind| !kind.is_file() && !kind.is_symlink());
            if wanted && !skip(&below) {
                pending.push(below);
            }
        }
    }
    Ok(nodes)
}

fn open(path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), resolve)
}

fn open_beneath(top: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    openat2(top, path, flags, Mode::empty(), resolve)
}

/// What a file is, if it is a device.
fn node(file: &OwnedFd, path: String) -> Option<Device> {
    let stat = fstat(file).ok()?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => "c",
        FileType::BlockDevice => "b",
        _ => return None,
    };
    Some(Device {
        kind: kind.to_owned(),
        path,
        major: rustix::fs::major(stat.st_rdev),
        minor: rustix::fs::minor(stat.st_rdev),
        file_mode: Some(stat.st_mode & 0o7777),
        uid: stat.st_uid,
        gid: stat.st_gid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_is_found_with_and_without_a_walk() {
        let at_once = node_in_dev("/dev/null").unwrap();
        assert_eq!(
            (at_once.major, at_once.minor, at_once.path.as_str()),
            (1, 3, "")
        );
        assert_eq!(of("/dev/null").unwrap(), [at_once]);
        for path in ["/dev/none", "/dev", "/etc/passwd", "/dev/../etc/passwd"] {
            assert_eq!(node_in_dev(path), None, "{path}");
        }
        assert_eq!(of("/nowhere").unwrap_err(), "no such file or directory");
        assert_eq!(of("/etc/passwd").unwrap_err(), "not a device node");
    }

    #[test]
    fn entries_are_bounded_and_dev_is_read_without_its_mounts() {
        let work = tempfile::tempdir().unwrap();
        for number in 0..=ENTRIES_MAX {
            fs::File::create(work.path().join(number.to_string())).unwrap();
        }
        let error = of(work.path().to_str().unwrap()).unwrap_err();
        assert!(error.starts_with("more than 32768 files below "), "{error}");
        let nodes = nodes_of_dev().unwrap();
        assert!(nodes.iter().any(|node| node.path == "null"));
        assert!(nodes.iter().all(|node| !node.path.starts_with("pts/")));
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_mount_below_a_directory_is_not_entered() {
        let work = tempfile::tempdir().unwrap();
        let (plain, mounted) = (work.path().join("plain"), work.path().join("mounted"));
        for directory in [&plain, &mounted] {
            fs::create_dir(directory).unwrap();
        }
        let none = sys::mount::MountFlags::empty();
        sys::mount::mount("x", &mounted, "tmpfs", none, "").unwrap();
        let zero = rustix::fs::makedev(1, 5);
        for directory in [&plain, &mounted] {
            let kind = FileType::CharacterDevice;
            rustix::fs::mknodat(CWD, directory.join("zero"), kind, Mode::RUSR, zero).unwrap();
        }
        let found = of(work.path().to_str().unwrap());
        sys::mount::unmount(&mounted, sys::mount::UnmountFlags::DETACH).unwrap();
        let paths: Vec<String> = found.unwrap().into_iter().map(|node| node.path).collect();
        assert_eq!(paths, ["plain/zero"]);
    }
}
