//! Waiting for children: waitid(2), and the peace between one reaper of everything and [`super::Command`].
//!
//! PID 1 reaps every child. A thread of it may meanwhile run a [`super::Command`] and wait for that very child. Both use
//! this module: a status that the reaper takes from under a command is kept for it.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ExitStatus;
use crate::error::{Context, Result};

/// Children that a command waits for, and their status once the reaper has taken it.
static CLAIMED: Mutex<BTreeMap<i32, Option<ExitStatus>>> = Mutex::new(BTreeMap::new());

fn claimed() -> MutexGuard<'static, BTreeMap<i32, Option<ExitStatus>>> {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a child that the caller will wait for with [`take_claimed`].
pub(super) fn claim<E>(
    start: impl FnOnce() -> std::result::Result<i32, E>,
) -> std::result::Result<i32, E> {
    // The lock is held until the number is noted: the reaper cannot take the child before.
    let mut claimed = claimed();
    let pid = start()?;
    claimed.insert(pid, None);
    Ok(pid)
}

/// Takes the status of a claimed child that has ended, whoever reaped it.
pub(super) fn take_claimed(pid: i32) -> io::Result<Option<ExitStatus>> {
    let mut claimed = claimed();
    let status = match claimed.get(&pid) {
        Some(Some(status)) => Some(*status),
        _ => wait_now(Target::Pid(pid), 0)?.map(|(_, status)| status),
    };
    if status.is_some() {
        claimed.remove(&pid);
    }
    Ok(status)
}

/// Whom to wait for.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    Any,
    Pid(i32),
    Pidfd(BorrowedFd<'a>),
}

/// Process number of some child that has ended, without reaping it. `None`: no child has.
///
/// # Errors
/// Never: having no children is `None` too.
pub fn waitid_any_nowait() -> Result<Option<i32>> {
    match wait_now(Target::Any, libc::WNOWAIT) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        result => Ok(result
            .what(|| "wait for any child".into())?
            .map(|(pid, _)| pid)),
    }
}

/// Reaps child `pid` if it has ended; `None` while it runs.
///
/// # Errors
/// It is not a child of the caller, or was reaped before (ECHILD).
pub fn reap(pid: i32) -> Result<Option<ExitStatus>> {
    reap_target(Target::Pid(pid)).what(|| format!("reap process {pid}"))
}

pub(super) fn reap_target(target: Target<'_>) -> io::Result<Option<ExitStatus>> {
    let mut claimed = claimed();
    let Some((pid, status)) = wait_now(target, 0)? else {
        return Ok(None);
    };
    if let Some(place) = claimed.get_mut(&pid) {
        *place = Some(status);
    }
    Ok(Some(status))
}

/// Whether the caller has children, living or not yet reaped.
#[must_use]
pub fn has_children() -> bool {
    !matches!(wait_now(Target::Any, libc::WNOWAIT), Err(error) if error.raw_os_error() == Some(libc::ECHILD))
}

/// One waitid(2) that does not wait.
fn wait_now(target: Target<'_>, options: i32) -> io::Result<Option<(i32, ExitStatus)>> {
    let (kind, id) = match target {
        Target::Any => (libc::P_ALL, 0),
        Target::Pid(pid) => (libc::P_PID, pid.unsigned_abs()),
        Target::Pidfd(fd) => (libc::P_PIDFD, fd.as_raw_fd().unsigned_abs()),
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: info is large enough and aligned; zeroed, so that "nobody" shows as pid 0.
        let result = unsafe {
            libc::waitid(
                kind,
                id,
                info.as_mut_ptr(),
                libc::WEXITED | libc::WNOHANG | options,
            )
        };
        if result == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: all bytes are initialised (zero or written by the kernel), and waitid fills the SIGCHLD fields.
    let (pid, code, status) = unsafe {
        let info = info.assume_init();
        (info.si_pid(), info.si_code, info.si_status())
    };
    if pid == 0 {
        return Ok(None);
    }
    let raw = match code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    };
    Ok(Some((pid, ExitStatus::from_raw(raw))))
}
