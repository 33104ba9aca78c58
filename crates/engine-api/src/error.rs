//! The error every engine call answers with: an HTTP status and Docker's one-line message.

use std::path::Path;

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// What an engine call returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call, as Docker reports it: status and `{"message": ...}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// HTTP status of the answer.
    pub status: StatusCode,
    /// What went wrong, in one line.
    pub message: String,
}

/// JSON body of an error answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub message: String,
}

impl Error {
    /// An error with any status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// 404: the named object does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409: the object's state forbids the call.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 400: the caller asked for something invalid.
    pub fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 304: it is already so (start of a running container).
    pub fn not_modified(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_MODIFIED, message)
    }

    /// 500: the engine failed.
    pub fn server(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// 501: this engine leaves it out.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// 403: the operation is not allowed (removing a predefined network).
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 401: the registry refused the credentials.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 503: the feature is off.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// True when the named object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// 500 with the name of what the kernel refused: `mkdir /var/lib/x: permission denied`. For `map_err`.
    ///
    /// There is no `From<std::io::Error>`: its text has no name in it, and an error without a name helps nobody.
    pub fn at<'a>(doing: &'a str, path: &'a Path) -> impl Fn(std::io::Error) -> Self + 'a {
        move |error| Self::server(format!("{doing} {}: {}", path.display(), cause(&error)))
    }

    /// The same error with what was being done put before its message.
    #[must_use]
    pub fn context(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::bad_parameter(format!("invalid JSON: {error}"))
    }
}

/// The words of a system call's error as Docker's users know them: `no space left on device`.
#[must_use]
pub fn cause(error: &std::io::Error) -> String {
    let text = error.to_string();
    if error.raw_os_error().is_none() {
        return text;
    }
    let words = text.split(" (os error ").next().unwrap_or(&text);
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}
