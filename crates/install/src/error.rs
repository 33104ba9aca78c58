//! What can go wrong while a disk is planned, read or written.

use std::io;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing the disk.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What is on the disk, or what is to be put there, does not fit the rules.
    #[error("{0}")]
    Invalid(String),
}

/// This crate's results.
pub type Result<T> = std::result::Result<T, Error>;

/// Returns an [`Error::Invalid`] with a formatted text.
macro_rules! invalid {
    ($($text:tt)*) => {
        return Err($crate::Error::Invalid(format!($($text)*)))
    };
}
