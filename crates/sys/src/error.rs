//! The error of every call: what was tried, and why the kernel refused.

use std::fmt;
use std::io;

/// A refused step. Displays as `WHAT: CAUSE`; the cause is part of the text and is therefore not repeated as a
/// source.
#[derive(Debug)]
pub struct Error {
    /// What was tried, with the name of the thing: `mount tmpfs on /run`.
    pub what: String,
    /// Why it failed.
    pub source: io::Error,
}

/// Result of a step.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error for `what` with its cause.
    pub fn new(what: impl Into<String>, source: impl Into<io::Error>) -> Error {
        Error {
            what: what.into(),
            source: source.into(),
        }
    }

    /// An error whose cause is a text and not an errno.
    pub fn other(what: impl Into<String>, cause: impl Into<String>) -> Error {
        Error {
            what: what.into(),
            source: io::Error::other(cause.into()),
        }
    }

    /// The class of the cause.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The errno (errno(3)), if the kernel gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The standard library's "No such file or directory (os error 2)" without the number and in lower case.
        let cause = self.source.to_string();
        let cause = cause.split(" (os error").next().unwrap_or(&cause);
        let mut letters = cause.chars();
        match letters.next() {
            Some(first) if !letters.as_str().starts_with(char::is_uppercase) => {
                write!(
                    f,
                    "{}: {}{}",
                    self.what,
                    first.to_lowercase(),
                    letters.as_str()
                )
            }
            _ => write!(f, "{}: {cause}", self.what),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::new(error.kind(), error.to_string())
    }
}

/// Names the step whose result this is.
pub trait Context<T> {
    /// Turns the cause into an [`Error`] for `what`.
    ///
    /// # Errors
    /// When the step failed.
    fn what(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn what(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error {
            what: what(),
            source: cause.into(),
        })
    }
}

/// The result of a raw system call that says -1 and sets errno.
pub(crate) fn check(result: i64) -> io::Result<i64> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_the_step_and_the_cause_in_lower_case() {
        let error = Error::new("open /nowhere", io::Error::from_raw_os_error(2));
        assert_eq!(
            error.to_string(),
            "open /nowhere: no such file or directory"
        );
        assert_eq!(error.errno(), Some(2));
        assert_eq!(
            Error::other("load x", "EOF in header").to_string(),
            "load x: EOF in header"
        );
    }
}
