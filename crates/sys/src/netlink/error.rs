//! The one error type of netlink exchanges.

use std::io;

/// What went wrong, on which object, and what the kernel said about it.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}{}", .message.as_deref().map(|text| format!(" (kernel: {text})")).unwrap_or_default())]
pub struct Error {
    /// The operation and its object, for example `create bridge docker-sys`.
    pub what: String,
    /// The kernel's extended acknowledgement, when it sent one (`NETLINK_EXT_ACK`).
    pub message: Option<String>,
    /// The errno as an I/O error.
    #[source]
    pub source: io::Error,
}

/// Result of a netlink exchange.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self {
            what: what.into(),
            message: None,
            source: source.into(),
        }
    }

    pub(crate) fn invalid(what: impl Into<String>, reason: &str) -> Self {
        Self::new(
            what,
            io::Error::new(io::ErrorKind::InvalidData, reason.to_owned()),
        )
    }

    /// The errno, when the kernel answered with one (`libc::EEXIST`, ...).
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// True when the object is not there (`ENOENT`, `ENODEV`, `ESRCH`, `EADDRNOTAVAIL`): a teardown may go on.
    pub fn is_absent(&self) -> bool {
        matches!(
            self.errno(),
            Some(libc::ENOENT | libc::ENODEV | libc::ESRCH | libc::EADDRNOTAVAIL)
        )
    }

    /// True when the object was there already (`EEXIST`).
    pub fn is_present(&self) -> bool {
        self.errno() == Some(libc::EEXIST)
    }

    /// True when this kernel lacks the feature (no such family, protocol, expression or link kind).
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self.errno(),
            Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOSYS)
        )
    }
}
