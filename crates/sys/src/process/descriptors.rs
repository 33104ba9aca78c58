//! Descriptors that a program keeps, takes over or closes when another program takes its place.

use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use crate::error::{Context, Result, check};

/// All descriptors from `first` on are closed at the next execve(2) (close_range(2)).
///
/// # Errors
/// Never, on Linux 5.11 or later.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: only flags of descriptors change.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    check(result)
        .map(drop)
        .what(|| "close descriptors at exec".into())
}

/// Takes over a descriptor that the parent has placed at `number` for this program, and closes it at exec.
///
/// # Errors
/// When nothing is open there.
pub fn take_inherited_fd(number: i32) -> Result<OwnedFd> {
    // SAFETY: fcntl(F_SETFD) has no memory arguments and fails on a number that is not open.
    let result = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    check(i64::from(result)).what(|| format!("inherited descriptor {number}"))?;
    // SAFETY: it is open, and by contract of the parent it is this program's to own; callers take each number once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes a copy, closed at exec, of a descriptor that an earlier program of this process left open at `number`. The
/// original stays, so that another program can still be given it.
///
/// # Errors
/// When nothing is open there, or too many files are.
pub fn dup_inherited_fd(number: i32) -> Result<OwnedFd> {
    // SAFETY: fcntl(F_DUPFD_CLOEXEC) has no memory arguments and fails on a number that is not open.
    let result = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    let copy = check(i64::from(result)).what(|| format!("copy inherited descriptor {number}"))?;
    // SAFETY: the kernel has just made this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(copy).unwrap_or(-1)) })
}

/// Whether a descriptor stays open at the next execve(2) (FD_CLOEXEC of fcntl(2)).
///
/// # Errors
/// Never for an open file.
pub fn keep_at_exec(file: impl AsFd, keep: bool) -> Result<()> {
    let flags = if keep {
        rustix::io::FdFlags::empty()
    } else {
        rustix::io::FdFlags::CLOEXEC
    };
    rustix::io::fcntl_setfd(file, flags).what(|| "set close-on-exec".into())
}

/// Puts `file` in the place of descriptor 0, 1 or 2, where it stays open at exec.
///
/// # Errors
/// Never for an open file.
pub fn set_stdio(file: impl AsFd, number: i32) -> Result<()> {
    let result = match number {
        0 => rustix::stdio::dup2_stdin(file),
        1 => rustix::stdio::dup2_stdout(file),
        _ => rustix::stdio::dup2_stderr(file),
    };
    result.what(|| format!("set descriptor {number}"))
}
