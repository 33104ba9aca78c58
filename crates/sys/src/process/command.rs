//! Running a program and waiting for it, with a deadline: what `std::process::Command` is elsewhere, but safe beside a
//! reaper of all children.

#[cfg(test)]
mod tests;

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::wait::{claim, take_claimed};
use super::{ExitStatus, Pidfd, Signal};
use crate::error::{Context, Error, Result};

/// How much of each output stream is kept; the rest is read and dropped (1 MiB: a program run here says a few lines).
const OUTPUT_LIMIT: usize = 1024 * 1024;

/// How much is read at once, bytes.
const CHUNK: usize = 8192;

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

/// A running program.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: Pidfd,
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

    /// Gives it a session of its own with this terminal for all three streams. The output is then not captured.
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

    /// Runs it to its end. A program that fails is no error: look at [`Output::status`].
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

fn start(
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
fn child_setup(
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

/// The three streams of a running program.
struct Pumps<'a> {
    input: Option<OwnedFd>,
    pending: &'a [u8],
    outputs: [Option<OwnedFd>; 2],
    kept: [Vec<u8>; 2],
}

impl Pumps<'_> {
    /// Moves bytes until the program has ended (true) or the deadline is over (false).
    fn run(&mut self, child: &Child, deadline: Option<Instant>) -> io::Result<bool> {
        for fd in self.input.iter().chain(self.outputs.iter().flatten()) {
            let flags = rustix::fs::fcntl_getfl(fd)?;
            rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?;
        }
        loop {
            let left =
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    Some(Duration::ZERO) => return Ok(false),
                    left => left,
                };
            let ended = self.wait(child, left)?;
            self.feed();
            // After the end once more: what lies in the pipes is the program's, what its children say later is not.
            for index in 0..2 {
                self.drain(index);
            }
            if ended {
                return Ok(true);
            }
        }
    }

    fn wait(&self, child: &Child, left: Option<Duration>) -> io::Result<bool> {
        let mut files = vec![PollFd::new(child.pidfd(), PollFlags::IN)];
        files.extend(
            self.outputs
                .iter()
                .flatten()
                .map(|fd| PollFd::new(fd, PollFlags::IN)),
        );
        files.extend(self.input.iter().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut files, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => Ok(false),
            result => {
                result?;
                Ok(!files[0].revents().is_empty())
            }
        }
    }

    /// Writes what the program has room for; closes the pipe at the end, or when nobody reads it.
    fn feed(&mut self) {
        let Some(fd) = &self.input else { return };
        let written = rustix::io::write(fd.as_fd(), self.pending);
        match written {
            Ok(count) => self.pending = &self.pending[count..],
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => self.pending = &[],
        }
        if self.pending.is_empty() {
            self.input = None;
        }
    }

    fn drain(&mut self, index: usize) {
        let mut chunk = [0; CHUNK];
        while let Some(fd) = &self.outputs[index] {
            match rustix::io::read(fd, &mut chunk) {
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) | Err(_) => self.outputs[index] = None,
                Ok(count) => {
                    let kept = &mut self.kept[index];
                    let room = OUTPUT_LIMIT - kept.len();
                    kept.extend_from_slice(&chunk[..count.min(room)]);
                }
            }
        }
    }
}
