//! A process by descriptor: it can never become another one (pidfd_open(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::wait::{self, Target};
use super::{ExitStatus, Signal};
use crate::error::{Context, Result, check};

/// A process. Readable when it has ended.
#[derive(Debug)]
pub struct Pidfd {
    fd: OwnedFd,
}

impl Pidfd {
    /// Opens a process by its number. For children only that is safe: their numbers are not reused before they are
    /// reaped.
    ///
    /// # Errors
    /// No such process.
    pub fn open(pid: i32) -> Result<Pidfd> {
        let what = || format!("open process {pid}");
        let pid = Pid::from_raw(pid)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
            .what(what)?;
        Ok(Pidfd {
            fd: pidfd_open(pid, PidfdFlags::empty()).what(what)?,
        })
    }

    /// A pidfd from clone3(2) or another process.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Pidfd {
        Pidfd { fd }
    }

    /// Sends a signal (pidfd_send_signal(2)).
    ///
    /// # Errors
    /// It has ended and was reaped (ESRCH), or no right.
    pub fn send_signal(&self, signal: Signal) -> Result<()> {
        // SAFETY: a null siginfo asks for the default one.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.fd.as_raw_fd(),
                signal.raw(),
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        check(result)
            .map(drop)
            .what(|| format!("send signal {}", signal.raw()))
    }

    /// Waits until it has ended, at most `limit`. Does not reap it. `false`: it still runs.
    ///
    /// # Errors
    /// What poll(2) says.
    pub fn wait_ended(&self, limit: Option<Duration>) -> Result<bool> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        loop {
            let mut files = [PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut files, limit.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                result => return Ok(result.what(|| "wait for process".into())? > 0),
            }
        }
    }

    /// Waits for a child and reaps it.
    ///
    /// # Errors
    /// It is not a child of the caller, or was reaped before.
    pub fn wait(&self) -> Result<ExitStatus> {
        self.wait_ended(None)?;
        let status = self.reap()?;
        status
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ECHILD))
            .what(|| "wait for process".into())
    }

    /// Reaps a child that has ended; `None` while it runs.
    ///
    /// # Errors
    /// It is not a child of the caller, or was reaped before (ECHILD).
    pub fn reap(&self) -> Result<Option<ExitStatus>> {
        wait::reap_target(Target::Pidfd(self.fd.as_fd())).what(|| "reap process".into())
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Pidfd {
    fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

impl From<Pidfd> for OwnedFd {
    fn from(pidfd: Pidfd) -> OwnedFd {
        pidfd.fd
    }
}
