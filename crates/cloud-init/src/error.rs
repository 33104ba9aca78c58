//! What can go wrong with a datasource.

use std::io;
use std::path::{Path, PathBuf};

/// A failed step, with the file it was about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `read`, `write`, `create` ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than the limit.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes taken.
        limit: u64,
    },
    /// The metadata is not what its format says.
    #[error("metadata is not valid: {0}")]
    Metadata(String),
    /// Gzip data that does not unpack.
    #[error("user data cannot be unpacked: {0}")]
    Gzip(String),
    /// A service or an address did not give what it was asked for.
    #[error("{0}")]
    Service(String),
    /// The kernel refused.
    #[error(transparent)]
    System(#[from] sys::Error),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
