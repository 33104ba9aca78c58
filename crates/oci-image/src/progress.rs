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

/// Bytes between two reports of one transfer.
pub(crate) const REPORT_EVERY: u64 = 512 * 1024;

/// A reader that reports how far it has come.
pub(crate) struct Reporting<'a, R> {
    inner: R,
    report: Report<'a>,
    id: String,
    status: &'static str,
    total: u64,
    current: u64,
    reported: u64,
}

impl<'a, R> Reporting<'a, R> {
    pub(crate) fn new(
        inner: R,
        report: Report<'a>,
        id: &str,
        status: &'static str,
        total: u64,
    ) -> Self {
        Self {
            inner,
            report,
            id: id.to_owned(),
            status,
            total,
            current: 0,
            reported: 0,
        }
    }
}

impl<R: std::io::Read> std::io::Read for Reporting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.current += n as u64;
        if self.current - self.reported >= REPORT_EVERY {
            self.reported = self.current;
            (self.report)(Progress::bytes(
                &self.id,
                self.status,
                self.current,
                self.total,
            ));
        }
        Ok(n)
    }
}

/// The first twelve characters of a digest's hexadecimal part, as Docker shows it.
pub fn short(digest: &crate::Digest) -> String {
    digest.hex().chars().take(12).collect()
}
