//! What the engine and the child say to each other: messages on a SOCK_SEQPACKET socket, a letter and its payload.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::oci;

/// Descriptor numbers in the child.
pub(super) const CONTROL_FD: i32 = 3;
/// The [`Job`] as JSON.
pub(super) const JOB_FD: i32 = 4;
/// The cgroup's directory, if the child makes a sibling that belongs there.
pub(super) const CGROUP_FD: i32 = 5;
/// pidfd of the container whose namespaces are joined.
pub(super) const TARGET_FD: i32 = 6;

/// Engine to child: the cgroup and the id maps are in place.
pub(super) const GO: &[u8] = b"g";
/// Engine to child: let the program run.
pub(super) const START: &[u8] = b"s";

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Job {
    /// Become the first process of a container.
    Create {
        /// Directory that relative root paths start at.
        bundle: String,
        /// The container.
        spec: Box<oci::Spec>,
        /// `CGROUP_FD` is there.
        has_cgroup: bool,
    },
    /// Become another process of a container.
    Exec {
        /// What runs.
        process: Box<oci::Process>,
        /// The container's filter.
        seccomp: Option<oci::Seccomp>,
        /// `CGROUP_FD` is there.
        has_cgroup: bool,
    },
    /// Look at these, one after the other.
    Look {
        /// What to look at.
        paths: Vec<LookAt>,
    },
    /// Read these files, one after the other.
    Read {
        /// Files that are not longer than memory has room for, such as those of /proc.
        paths: Vec<String>,
    },
    /// Say whom a text means in a container.
    Account {
        /// The container's root file system.
        root: PathBuf,
        /// The text, as of `docker run --user`.
        text: String,
    },
    /// List device nodes.
    Nodes {
        /// Nodes, or directories with nodes below them.
        paths: Vec<String>,
    },
    /// Mount.
    Mount(MountRequest),
    /// Unmount, also what is in use.
    Unmount {
        /// Where.
        target: PathBuf,
    },
    /// Say how many bytes of a disk a directory takes.
    Measure {
        /// The directory.
        directory: PathBuf,
    },
}

/// A file system to mount in the engine's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// What is mounted: a device, a name of a server, a directory.
    pub device: String,
    /// Where.
    pub target: PathBuf,
    /// The file system's kind; nothing for a bind.
    pub kind: String,
    /// The bits of [`sys::mount::MountFlags`], as far as they say how a file system is mounted.
    pub flags: u64,
    /// Options of the file system.
    pub data: String,
    /// `device` is a directory that is shown again.
    pub bind: bool,
    /// With what is mounted below it.
    pub recursive: bool,
}

/// A path of the machine to look at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LookAt {
    /// The path.
    pub path: String,
    /// Make it as a directory if it is missing, with those above it.
    pub make: bool,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// Something, which can be looked at.
    There,
    /// Nothing.
    Missing,
    /// It could not be looked at or made: the cause.
    Failed(String),
}

/// Child to engine.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The container's process is this one, a sibling of the child; its pidfd comes with it.
    Sibling(i32),
    /// Set up; the terminal's master comes with it, if there is one.
    Created,
    /// What is at the next path.
    Found(Found),
    /// A part of the file that is read, or of an answer; an empty one is its end.
    Part(Vec<u8>),
    /// Still at work: it gets as much time again.
    Busy,
    /// It did not work.
    Failed(Error),
    /// It closed: after `start` it runs.
    Closed,
}

impl Report {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Report::Sibling(pid) => format!("p{pid}").into_bytes(),
            Report::Created => b"c".to_vec(),
            Report::Found(found) => {
                let mut bytes = b"l".to_vec();
                bytes.extend(serde_json::to_vec(found).unwrap_or_default());
                bytes
            }
            Report::Busy => b"b".to_vec(),
            Report::Part(part) => [b"t", part.as_slice()].concat(),
            Report::Failed(error) => {
                let mut error = error.clone();
                // Escapes may double the length; a message holds 16 KiB.
                if error.message.len() > LONGEST_TEXT {
                    error.message = error.message.chars().take(LONGEST_TEXT / 4).collect();
                }
                let mut bytes = b"e".to_vec();
                bytes.extend(serde_json::to_vec(&error).unwrap_or_default());
                bytes
            }
            Report::Closed => Vec::new(),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Report> {
        let unknown = || {
            Error::other(format!(
                "unknown report of {} bytes from the container's process",
                bytes.len()
            ))
        };
        match bytes.split_first() {
            None => Ok(Report::Closed),
            Some((b'c', [])) => Ok(Report::Created),
            Some((b'b', [])) => Ok(Report::Busy),
            Some((b'p', pid)) => {
                let pid = std::str::from_utf8(pid)
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .filter(|pid| *pid > 0);
                pid.map(Report::Sibling).ok_or_else(unknown)
            }
            Some((b'l', found)) => Ok(Report::Found(
                json_reader::from_slice(found).map_err(|_| unknown())?,
            )),
            Some((b't', part)) => Ok(Report::Part(part.to_vec())),
            Some((b'e', error)) => Ok(Report::Failed(
                json_reader::from_slice(error).map_err(|_| unknown())?,
            )),
            Some((b'!', errno)) => {
                let errno = errno
                    .try_into()
                    .map(i32::from_ne_bytes)
                    .map_err(|_| unknown())?;
                let cause = std::io::Error::from_raw_os_error(errno);
                Ok(Report::Failed(Error::other(format!(
                    "start of the container's process: {cause}"
                ))))
            }
            _ => Err(unknown()),
        }
    }
}

/// Longest part of a file that one message carries, bytes.
pub(super) const LONGEST_PART: usize = 8192;

/// Longest error text that is sent, bytes.
const LONGEST_TEXT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn reports_survive_the_socket() {
        let failed = Report::Failed(Error::new(ErrorKind::NotFound, "exec: \"x\": no"));
        let found = Report::Found(Found::Failed("permission denied".to_owned()));
        for report in [
            Report::Sibling(42),
            Report::Created,
            failed,
            found,
            Report::Part(b"text".to_vec()),
            Report::Part(Vec::new()),
            Report::Busy,
            Report::Closed,
        ] {
            assert_eq!(Report::decode(&report.encode()).unwrap(), report);
        }
        assert!(
            Report::decode(b"p-1").is_err()
                && Report::decode(b"?").is_err()
                && Report::decode(b"e{").is_err()
        );
        assert!(matches!(
            Report::decode(b"!\x02\0\0\0").unwrap(),
            Report::Failed(_)
        ));
    }

    #[test]
    fn long_texts_fit_a_message() {
        let error = Error::other("\u{1}".repeat(100_000));
        assert!(Report::Failed(error).encode().len() < sys::fdpass::MAX_MESSAGE);
    }
}
