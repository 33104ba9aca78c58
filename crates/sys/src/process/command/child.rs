//! A program that was started: what the child does before it executes, and waiting for it.

use std::ffi::CString;
use std::io;

use crate::error::{Context, Error, Result};
use crate::process::wait::{claim, take_claimed};
use crate::process::{ExitStatus, Pidfd};

/// A running program.
#[derive(Debug)]
pub struct Child {
    pub(super) pid: i32,
    pub(super) pidfd: Pidfd,
}

pub(super) fn start(
    command: &mut std::process::Command,
    mut with: impl FnMut(&mut std::process::Child),
) -> io::Result<Child> {
    let mut pidfd = None;
    let pid = claim(|| -> io::Result<i32> {
        let mut child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        pidfd = Some(Pidfd::open(pid)?);
        with(&mut child);
        Ok(pid)
    })?;
    let pidfd = pidfd.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(Child { pid, pidfd })
}

/// Runs in the child between fork and exec.
pub(super) fn child_setup(
    root: Option<&CString>,
    cwd: Option<&CString>,
    terminal: Option<&CString>,
    survive: bool,
    inherit_group: bool,
) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    // A mask is inherited, and a program expects none.
    crate::signal::unblock_all()?;
    if !survive {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    }
    match terminal {
        None if inherit_group => {}
        None => rustix::process::setpgid(None, None)?,
        Some(terminal) => {
            rustix::process::setsid()?;
            let tty = rustix::fs::open(
                terminal.as_c_str(),
                OFlags::RDWR | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            // Taken from whoever has it: the rescue shell must get the console.
            // SAFETY: TIOCSCTTY takes a number.
            unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&tty), libc::TIOCSCTTY, 1) };
            rustix::stdio::dup2_stdin(&tty)?;
            rustix::stdio::dup2_stdout(&tty)?;
            rustix::stdio::dup2_stderr(&tty)?;
        }
    }
    if let Some(root) = root {
        rustix::process::chroot(root.as_c_str())?;
        rustix::process::chdir(c"/")?;
    }
    if let Some(cwd) = cwd {
        rustix::process::chdir(cwd.as_c_str())?;
    }
    Ok(())
}

impl Child {
    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its descriptor.
    #[must_use]
    pub fn pidfd(&self) -> &Pidfd {
        &self.pidfd
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What waitid(2) says.
    pub fn wait(&self) -> Result<ExitStatus> {
        self.pidfd.wait_ended(None)?;
        let status = take_claimed(self.pid).what(|| format!("wait for process {}", self.pid))?;
        status.ok_or_else(|| {
            Error::other(format!("wait for process {}", self.pid), "it has no status")
        })
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// What waitid(2) says.
    pub fn try_wait(&self) -> Result<Option<ExitStatus>> {
        take_claimed(self.pid).what(|| format!("wait for process {}", self.pid))
    }
}
