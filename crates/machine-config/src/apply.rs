//! What `ros config apply` and PID 1 say to each other: one line of JSON each way, on a socket that only root can open.

use serde::{Deserialize, Serialize};

/// PID 1's socket.
pub const SOCKET: &str = "/run/rancher/config.sock";
/// The configuration that the machine runs with, as YAML: what a change is compared with. PID 1 writes it.
pub const APPLIED: &str = "/run/rancher/applied.yml";
/// The machine's files as they were when that was applied.
pub const APPLIED_FILES: &str = "/run/rancher/applied";
/// The same on the state disk while a change waits for its confirmation, below [`crate::CONF`]: it outlives a power cut.
pub const PENDING: &str = ".pending";
/// Longest line in bytes.
pub const MAX_LINE: usize = 64 << 10;
/// How long a change waits for its confirmation when nothing else is said, in seconds.
pub const CONFIRM_S: u64 = 60;
/// The same when links are rebuilt: a switch may keep a new port shut for 50 s (spanning tree, IEEE 802.1D).
pub const CONFIRM_LINKS_S: u64 = 120;
/// Shortest and longest wait in seconds.
pub const CONFIRM_RANGE_S: std::ops::RangeInclusive<u64> = 5..=3600;

/// What is asked of PID 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "do")]
pub enum Request {
    /// Apply what the files say now.
    Apply {
        /// Seconds after which the change is taken back unless it is confirmed; kept for good when absent.
        confirm_s: Option<u64>,
        /// Whether the files for services (`write_files` with `container`) were put aside again: they go with their services then.
        #[serde(default)]
        with_files: bool,
    },
    /// Keep the pending change.
    Confirm,
    /// Take the pending change back now.
    Revert,
    /// Say what is pending.
    State,
}

/// What PID 1 answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Why it was not done.
    pub error: Option<String>,
    /// What went wrong on the way and cost a part of it.
    pub problems: Vec<String>,
    /// Seconds until the pending change is taken back.
    pub pending_s: Option<u64>,
}
