//! Progress of a transfer, in the words that Docker's clients show.

use serde::{Deserialize, Serialize};

/// One report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is about: a short layer digest or a tag; empty for the whole transfer.
    pub id: String,
    /// Docker's word for the step.
    pub status: String,
    /// Bytes done.
    pub current: Option<u64>,
    /// Bytes in all.
    pub total: Option<u64>,
}

impl Progress {
    /// A step without numbers.
    pub fn step(id: &str, status: impl Into<String>) -> Self {
        Self {
            id: id.to_owned(),
            status: status.into(),
            current: None,
            total: None,
        }
    }

    /// A step that has come to `current` of `total` bytes.
    pub fn bytes(id: &str, status: &str, current: u64, total: u64) -> Self {
        Self {
            current: Some(current),
            total: Some(total),
            ..Self::step(id, status)
        }
    }
}

/// Takes reports; called from several threads.
pub type Report<'a> = &'a (dyn Fn(Progress) + Sync);

/// The first twelve characters of a digest's hexadecimal part, as Docker shows it.
pub fn short(digest: &crate::Digest) -> String {
    digest.hex().chars().take(12).collect()
}
