//! What `X-Docker-Container-Path-Stat` says of a path.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use engine_api::{PathStat, Result};
use rustix::fs::FileType;

use super::not_there;
use super::place::Place;
use crate::container::clean;
use crate::timestamp::Timestamp;

/// Go's file mode bits in `X-Docker-Container-Path-Stat`.
const GO_DIR: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_FIFO: u32 = 1 << 25;
const GO_SOCKET: u32 = 1 << 24;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_CHAR: u32 = 1 << 21;
const GO_STICKY: u32 = 1 << 20;

pub(super) fn stat(place: &Place, path: &str, id: &str) -> Result<PathStat> {
    let look = || -> io::Result<PathStat> {
        let root = place.open()?;
        let follow = path.ends_with('/') || path.ends_with("/.");
        let file = if follow {
            root.open_path(&place.path)?
        } else {
            root.open_link(&place.path)?
        };
        let stat = rustix::fs::fstat(&file)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if path.ends_with('/') && kind != FileType::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let link_target = match kind {
            FileType::Symlink => resolved_link(path, &file),
            _ => String::new(),
        };
        let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Ok(PathStat {
            name: base_name(path),
            size: stat.st_size,
            mode: go_mode(stat.st_mode),
            mtime: Timestamp::from_unix(stat.st_mtime, nanos).to_string(),
            link_target,
        })
    };
    look().map_err(|error| not_there(path, id, &error))
}

/// The last part of a path as Docker names its archive: `.` for the content of a directory (`/dir/.`).
fn base_name(path: &str) -> String {
    if path == "." || path.ends_with("/.") {
        return ".".to_owned();
    }
    Path::new(&clean(path)).file_name().map_or_else(
        || "/".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Where a link leads, as an absolute path in the container.
fn resolved_link(path: &str, link: &OwnedFd) -> String {
    let Ok(target) = rustix::fs::readlinkat(link, "", Vec::new()) else {
        return String::new();
    };
    let target = target.to_string_lossy().into_owned();
    let path = PathBuf::from(clean(path));
    let parent = path.parent().unwrap_or(Path::new("/"));
    clean(&parent.join(target).to_string_lossy())
}

fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => GO_DIR,
        FileType::Symlink => GO_SYMLINK,
        FileType::BlockDevice => GO_DEVICE,
        FileType::CharacterDevice => GO_DEVICE | GO_CHAR,
        FileType::Fifo => GO_FIFO,
        FileType::Socket => GO_SOCKET,
        _ => 0,
    };
    let special = [
        (0o4000, GO_SETUID),
        (0o2000, GO_SETGID),
        (0o1000, GO_STICKY),
    ];
    special
        .iter()
        .filter(|(bit, _)| mode & bit != 0)
        .fold(kind | (mode & 0o777), |all, (_, go)| all | go)
}
