//! The error of this crate: what went wrong with which object, and the HTTP status Docker answers for it.

use std::io;

/// Result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// Failure of an image operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call or a transfer failed; `what` names the object.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, to which object.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// A reference that the grammar of docker/distribution does not allow.
    #[error("invalid reference format{0}")]
    Reference(String),
    /// A platform that nobody knows, in containerd's words.
    #[error("{0}")]
    Platform(String),
    /// Content that breaks its format: a manifest, a header, a digest.
    #[error("{0}")]
    Invalid(String),
    /// Content larger than this program accepts.
    #[error("{what} is larger than the limit of {limit}")]
    Limit {
        /// What is too large.
        what: String,
        /// The limit, in the unit `what` implies (bytes or a count).
        limit: u64,
    },
    /// Content that is not what its digest promises.
    #[error("digest mismatch: expected {expected}, got {actual}")]
    DigestMismatch {
        /// The digest that was asked for.
        expected: String,
        /// The digest of what came.
        actual: String,
    },
    /// Nothing is wrong with the content, but what was asked for cannot be done.
    #[error("{0}")]
    Refused(String),
    /// The object does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The registry wants other credentials.
    #[error("{0}")]
    Denied(String),
    /// The registry wants a user name and a password, and there are none; in the words of distribution's client.
    #[error("{request}: no basic auth credentials")]
    NoCredentials {
        /// What was asked, `Get "https://..."`.
        request: String,
    },
    /// The registry answered with a status that is an error.
    #[error("{message}")]
    Registry {
        /// HTTP status of the answer.
        status: u16,
        /// Text of the registry or a description.
        message: String,
    },
    /// The registry's name cannot be resolved, or nobody listens there: to try again at once is of no use.
    #[error("{0}")]
    Unreachable(String),
    /// The transport failed after all retries: name resolution, TCP, TLS, stall.
    #[error("{0}")]
    Transport(String),
}

impl Error {
    /// An I/O error with the name of the object.
    pub fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            what: what.into(),
            source: source.into(),
        }
    }

    /// Malformed content.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// The HTTP status with which Docker's API reports this failure.
    pub fn status(&self) -> u16 {
        match self {
            Self::Reference(_) | Self::Platform(_) | Self::Refused(_) => 400,
            Self::NotFound(_) => 404,
            Self::Denied(_) => 404,
            Self::Registry { status, .. } if *status == crate::task::UNVERIFIED => *status,
            Self::Io { .. }
            | Self::Invalid(_)
            | Self::Limit { .. }
            | Self::DigestMismatch { .. }
            | Self::NoCredentials { .. }
            | Self::Registry { .. }
            | Self::Unreachable(_)
            | Self::Transport(_) => 500,
        }
    }
}

/// Adds the object's name to system call errors.
pub trait Context<T> {
    /// Wraps the error with `what`.
    ///
    /// # Errors
    /// The same, with that name.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::io(what(), error))
    }
}
