//! Why a container did not start, in the words that Docker's users know.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Result of a runtime call.
pub type Result<T> = std::result::Result<T, Error>;

/// Class of a failure: it decides the exit code that `docker run` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The program, or its interpreter, is not there (127).
    NotFound,
    /// The program must not be executed (126).
    PermissionDenied,
    /// The user or group to run as is not there (128). Docker tells it without naming the runtime.
    Account,
    /// No answer in time.
    TimedOut,
    /// Anything else (128).
    Other,
}

/// A failure of the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// Its class.
    pub kind: ErrorKind,
    /// What failed and why: `exec: "foo": executable file not found in $PATH`.
    pub message: String,
}

impl Error {
    /// An error of a class.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
        }
    }

    /// Any other error.
    pub fn other(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Other, message)
    }

    /// The exit code that a container has when it failed so, as the shell has it: 127, 126 or 128.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self.kind {
            ErrorKind::NotFound => 127,
            ErrorKind::PermissionDenied => 126,
            ErrorKind::Account | ErrorKind::TimedOut | ErrorKind::Other => 128,
        }
    }

    /// The error of an errno of execve(2), for the program `path`.
    pub(crate) fn of_exec(path: &str, error: &std::io::Error) -> Error {
        let kind = match error.raw_os_error() {
            Some(2 | 20 | 40) => ErrorKind::NotFound,
            Some(1 | 13) => ErrorKind::PermissionDenied,
            _ => ErrorKind::Other,
        };
        Error::new(kind, format!("exec {path}: {}", Error::of_errno(error)))
    }

    /// The commonest causes in Go's words.
    pub(crate) fn of_errno(error: &std::io::Error) -> String {
        match error.raw_os_error() {
            Some(2 | 20 | 40) => "no such file or directory".to_owned(),
            Some(1 | 13) => "permission denied".to_owned(),
            Some(8) => "exec format error".to_owned(),
            _ => error.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<sys::Error> for Error {
    fn from(error: sys::Error) -> Error {
        Error::other(error.to_string())
    }
}
