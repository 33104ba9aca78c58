//! Containers: configuration, create, list, state and inspect; here what their other routes answer.

mod config;
mod inspect;
mod list;
mod update;

pub use config::*;
pub use inspect::*;
pub use list::*;
pub use update::*;

use crate::json::model;

model! {
    /// Answer of `GET /containers/{id}/top`.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainerTop {
        /// Rows; they come first in Docker's answer.
        pub processes: Vec<Vec<String>>,
        /// Column heads.
        pub titles: Vec<String>,
    }

    /// Answer of `POST /containers/{id}/wait`.
    #[serde(rename_all = "PascalCase")]
    pub struct WaitResponse {
        /// Exit code.
        pub status_code: i64,
        /// Why waiting failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error: Option<WaitError>,
    }

    /// Why waiting failed.
    #[serde(rename_all = "PascalCase")]
    pub struct WaitError {
        /// Message.
        pub message: String,
    }

    /// A path a container changed.
    #[serde(rename_all = "PascalCase")]
    pub struct FilesystemChange {
        /// Absolute path.
        pub path: String,
        /// 0 modified, 1 added, 2 deleted.
        pub kind: u8,
    }

    /// What `X-Docker-Container-Path-Stat` carries, base64 of this as JSON.
    pub struct PathStat {
        /// Last component.
        pub name: String,
        /// Bytes.
        pub size: i64,
        /// Go's `os.FileMode` bits.
        pub mode: u32,
        /// RFC 3339.
        pub mtime: String,
        /// Target of a symbolic link.
        #[serde(rename = "linkTarget")]
        pub link_target: String,
    }

    /// Answer of `POST /containers/prune`.
    #[serde(rename_all = "PascalCase")]
    pub struct ContainersPruneReport {
        /// Removed containers' ids; null when none.
        pub containers_deleted: Option<Vec<String>>,
        /// Bytes.
        pub space_reclaimed: u64,
    }

    /// Body of `POST /commit`'s answer and other `{"Id": ..}` answers.
    #[serde(rename_all = "PascalCase")]
    pub struct IdResponse {
        /// Id of what was made.
        pub id: String,
    }
}
