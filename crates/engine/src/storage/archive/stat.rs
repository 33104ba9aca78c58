//! What `X-Docker-Container-Path-Stat` says of a path.

use std::path::Path;

use engine_api::PathStat;
use engine_api::Timestamp;
use oci_image::task::FileStat;
use rustix::fs::FileType;

use crate::container::clean;

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

/// A worker's words as the API has them.
pub(super) fn path_stat(stat: FileStat) -> PathStat {
    PathStat {
        name: stat.name,
        size: stat.size,
        mode: go_mode(stat.mode),
        mtime: Timestamp::from_unix(stat.mtime.0, stat.mtime.1).to_string(),
        link_target: stat.link_target,
    }
}

/// The last part of a path as Docker names its archive: `.` for the content of a directory (`/dir/.`).
pub(super) fn base_name(path: &str) -> String {
    if path == "." || path.ends_with("/.") {
        return ".".to_owned();
    }
    Path::new(&clean(path)).file_name().map_or_else(
        || "/".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
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
