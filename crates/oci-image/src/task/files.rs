//! Tasks about the files of containers: `docker cp`, `docker export`, and the first filling of a volume.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A container's files: its root file system, with the volumes and binds that its record names.
///
/// What a running container mounted by itself, its tmpfs, /proc, /sys and /dev are not in it, as in Docker: what is copied
/// is what a start would find.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The mounted root file system.
    pub root: PathBuf,
    /// Whether the root file system may be written to.
    pub writable: bool,
    /// What is mounted in it, parents first.
    pub mounts: Vec<ViewMount>,
}

/// A volume, bind or file of the engine in a [`View`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewMount {
    /// Path on the host. One that is not there is left out.
    pub source: PathBuf,
    /// Path below the source, which must not lead out of it; empty for the source itself.
    pub subpath: PathBuf,
    /// Path in the container; made if it is missing, as a start would.
    pub destination: PathBuf,
    /// Whether it may be written to.
    pub writable: bool,
    /// Whether what is mounted below the source comes along.
    pub recursive: bool,
}

/// What is done with the files of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Files {
    /// Which files.
    pub view: View,
    /// What to do.
    pub action: FilesAction,
}

/// One thing to do with files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilesAction {
    /// Say what a path is ([`Answer::Stat`](super::Answer::Stat)).
    Stat(FilePath),
    /// Say what a path is, then write it to standard output as a tar, whose names begin with the path's.
    Read(FilePath),
    /// Unpack the tar that follows the request.
    Write {
        /// The directory to unpack into.
        path: FilePath,
        /// Refuse to replace a directory by something else and the reverse.
        keep_kinds: bool,
        /// Owner and group of everything, instead of those in the tar.
        owner: Option<(u32, u32)>,
    },
    /// Write everything to standard output as a tar.
    Export,
}

/// A path in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePath {
    /// Absolute, without `.`, `..` and needless slashes.
    pub clean: PathBuf,
    /// Whether it must be a directory, a link to one followed: the client wrote a slash or `/.` at the end.
    pub directory: bool,
    /// Its last part: `.` for the content of a directory (`/dir/.`), `/` for the root.
    pub name: String,
    /// As the client wrote it.
    pub shown: String,
    /// The container as the client named it.
    pub container: String,
}

/// The first filling of a volume with what the image has at its mount point.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CopyUp {
    /// The container's mounted root file system.
    pub root: PathBuf,
    /// The mount point in it.
    pub source: PathBuf,
    /// The volume's directory on the host.
    pub volume: PathBuf,
    /// Path below the volume, which must not lead out of it; empty for the volume itself.
    pub subpath: PathBuf,
}

/// What a path of a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// [`FilePath::name`].
    pub name: String,
    /// Size in bytes.
    pub size: i64,
    /// `st_mode` of stat(2).
    pub mode: u32,
    /// Modification time: seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
    /// Where a link leads in the end, as an absolute path in the container; empty for everything else.
    pub link_target: String,
}
