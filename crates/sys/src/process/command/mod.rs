//! Running a program and waiting for it, with a deadline: what `std::process::Command` is elsewhere, but safe next to a
//! reaper of all children.

mod child;
mod pumps;

#[cfg(test)]
mod tests;

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{ExitStatus, Signal};
use crate::error::{Context, Error, Result};
pub use child::Child;
use child::{child_setup, start};
use pumps::Pumps;

/// A program to run.
#[derive(Debug, Clone)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    env_clear: bool,
    cwd: Option<PathBuf>,
    root: Option<PathBuf>,
    terminal: Option<PathBuf>,
    deadline: Option<Duration>,
    stdin: Vec<u8>,
    survive: bool,
    inherit_group: bool,
}

/// What a program left.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, up to 1 MiB.
    pub stdout: Vec<u8>,
    /// Its standard error, up to 1 MiB.
    pub stderr: Vec<u8>,
}

impl Command {
    /// A program by its path, or by its name to be found in PATH.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            env_clear: false,
            cwd: None,
            root: None,
            terminal: None,
            deadline: None,
            stdin: Vec::new(),
            survive: false,
            inherit_group: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Command {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Command {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Command {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Drops the caller's environment.
    #[must_use]
    pub fn env_clear(mut self) -> Command {
        self.env_clear = true;
        self
    }

    /// The working directory, inside the root if one is set.
    #[must_use]
    pub fn cwd(mut self, directory: impl AsRef<Path>) -> Command {
        self.cwd = Some(directory.as_ref().to_owned());
        self
    }

    /// Runs it in this root directory (chroot(2)); the program's path is inside it and absolute.
    #[must_use]
    pub fn root(mut self, directory: impl AsRef<Path>) -> Command {
        self.root = Some(directory.as_ref().to_owned());
        self
    }

    /// Gives it its own session with this terminal for all three streams. The output is then not captured.
    #[must_use]
    pub fn terminal(mut self, terminal: impl AsRef<Path>) -> Command {
        self.terminal = Some(terminal.as_ref().to_owned());
        self
    }

    /// Kills it, and its process group, after this time.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Command {
        self.deadline = Some(deadline);
        self
    }

    /// What it reads; nothing otherwise.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Command {
        self.stdin = bytes.into();
        self
    }

    /// It lives on when the calling thread ends; otherwise it is killed then.
    #[must_use]
    pub fn survive_parent(mut self) -> Command {
        self.survive = true;
        self
    }

    /// It stays in the caller's process group, and so in the foreground of a terminal; otherwise it leads its own.
    #[must_use]
    pub fn inherit_group(mut self) -> Command {
        self.inherit_group = true;
        self
    }

    /// Runs it to its end. A program that fails is not an error: look at [`Output::status`].
    ///
    /// # Errors
    /// When it cannot be started, or has not ended at the deadline (`ErrorKind::TimedOut`).
    pub fn run(&self) -> Result<Output> {
        let what = || format!("run {}", self.program.display());
        let mut command = self.prepare().what(what)?;
        if self.terminal.is_none() {
            command.stdin(if self.stdin.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            });
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut streams = (None, None, None);
        let child = start(&mut command, |child| {
            streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        })
        .what(what)?;
        let mut pumps = Pumps {
            input: streams.0.map(OwnedFd::from),
            pending: &self.stdin,
            outputs: [streams.1.map(OwnedFd::from), streams.2.map(OwnedFd::from)],
            kept: [Vec::new(), Vec::new()],
        };
        let ended = pumps.run(&child, self.deadline.map(|limit| Instant::now() + limit));
        if !matches!(ended, Ok(true)) {
            // The group first: what the program has started holds the pipes and may hold devices.
            let _ = super::kill_group(child.pid, Signal::KILL);
            let _ = child.pidfd.send_signal(Signal::KILL);
        }
        let status = child.wait().what(what)?;
        if !ended.what(what)? {
            let limit = self.deadline.unwrap_or_default();
            let cause = io::Error::new(
                io::ErrorKind::TimedOut,
                format!("not done after {} s", limit.as_secs_f32()),
            );
            return Err(Error::new(what(), cause));
        }
        let [stdout, stderr] = pumps.kept;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// Starts it with the caller's standard streams (or the terminal) and does not wait. No deadline applies.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self) -> Result<Child> {
        let what = || format!("start {}", self.program.display());
        let mut command = self.prepare().what(what)?;
        start(&mut command, |_| ()).what(what)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that wraps it")]
    fn prepare(&self) -> io::Result<std::process::Command> {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args);
        if self.env_clear {
            command.env_clear();
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let c_path = |path: &Option<PathBuf>| -> io::Result<Option<CString>> {
            path.as_ref()
                .map(|p| CString::new(p.as_os_str().as_bytes()))
                .transpose()
                .map_err(io::Error::from)
        };
        let (root, cwd, terminal) = (
            c_path(&self.root)?,
            c_path(&self.cwd)?,
            c_path(&self.terminal)?,
        );
        let (survive, inherit_group) = (self.survive, self.inherit_group);
        // SAFETY: the closure makes system calls only, on memory prepared above: nothing that a fork of a threaded
        // program forbids (signal-safety(7)).
        unsafe {
            command.pre_exec(move || {
                child_setup(
                    root.as_ref(),
                    cwd.as_ref(),
                    terminal.as_ref(),
                    survive,
                    inherit_group,
                )
            });
        }
        Ok(command)
    }
}
