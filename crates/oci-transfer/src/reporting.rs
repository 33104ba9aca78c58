//! Progress of what is read, a report now and then.

use oci_image::progress::{Progress, Report};

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
