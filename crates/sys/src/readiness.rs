//! Files that tokio waits for. Its own constructor is unsafe, since a type could hand out another descriptor later; the
//! types here cannot.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::process::Pidfd;
use crate::signal::SignalFd;

/// A type that owns one descriptor and keeps it open and the same as long as it lives.
///
/// # Safety
/// `as_raw_fd` must give that descriptor every time.
pub unsafe trait StableFd: AsRawFd {}

// SAFETY: an OwnedFd owns its descriptor and has no way to exchange it.
unsafe impl StableFd for OwnedFd {}
// SAFETY: as OwnedFd, which it wraps.
unsafe impl StableFd for File {}
// SAFETY: as OwnedFd, which it wraps.
unsafe impl StableFd for Pidfd {}
// SAFETY: as File, which it wraps.
unsafe impl StableFd for SignalFd {}

/// Registers a file with the current tokio runtime. It must be non-blocking if it is read or written.
///
/// # Errors
/// When epoll does not take it (a regular file).
///
/// # Panics
/// Outside of a tokio runtime with I/O.
pub fn watch<T: StableFd>(file: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: the trait promises what tokio asks for.
    unsafe { AsyncFd::register_with_interest(file, interest) }.map_err(io::Error::from)
}
