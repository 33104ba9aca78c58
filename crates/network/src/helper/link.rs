//! The connection to a running network child: starting or adopting it, talking to it with deadlines, ending it.

use std::cell::Cell;
#[cfg(test)]
use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine_api::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sys::fdpass::{self, Message};
use sys::process::{CloneOptions, Pidfd, Signal, SpawnIn, spawn_in};
use tokio::io::unix::AsyncFd;

use super::command::Command;
use super::{CONTROL_FD, watched};

/// Longest wait for the child to read or to answer; it does nothing that takes time, so it hangs then and is killed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait for the end of a child that was killed: the time the kernel takes to close its sockets.
const END: Duration = Duration::from_secs(1);

/// How the child is started.
#[derive(Debug, Clone)]
pub enum Launcher {
    /// As a process of this program, which dispatches `network`.
    Program(PathBuf),
    /// As a thread, where a test has no such program.
    #[cfg(test)]
    Thread,
}

/// A child that another engine takes over: the control socket and the process.
#[derive(Debug)]
pub struct HandedOver {
    /// The engine's end of the control socket.
    pub socket: OwnedFd,
    /// The child's number; 0 in tests, where it is a thread.
    pub pid: i32,
}

/// The connection to a running child.
#[derive(Debug)]
pub(crate) struct Link {
    socket: AsyncFd<OwnedFd>,
    pub(super) pid: i32,
    process: Option<Pidfd>,
    started: Instant,
    tickets: Cell<u64>,
    #[cfg(test)]
    thread: RefCell<Option<std::thread::JoinHandle<()>>>,
}

impl Link {
    /// Starts a child.
    pub(super) fn start(launcher: &Launcher) -> Result<Self> {
        let (ours, theirs) = fdpass::pair().map_err(refused)?;
        match launcher {
            Launcher::Program(program) => {
                let (pid, process) = spawn(program, &theirs)?;
                Self::new(ours, pid, Some(process))
            }
            #[cfg(test)]
            Launcher::Thread => {
                let link = Self::new(ours, 0, None)?;
                let thread = std::thread::spawn(move || {
                    super::serve::serve(&super::serve::event_loop().unwrap(), theirs).unwrap()
                });
                *link.thread.borrow_mut() = Some(thread);
                Ok(link)
            }
        }
    }

    /// Takes over the child of an earlier engine.
    pub(super) fn adopt(child: HandedOver) -> Result<Self> {
        let process = (child.pid != 0)
            .then(|| Pidfd::open(child.pid))
            .transpose()
            .map_err(refused)?;
        Self::new(child.socket, child.pid, process)
    }

    fn new(socket: OwnedFd, pid: i32, process: Option<Pidfd>) -> Result<Self> {
        let watched = watched(socket);
        Ok(Self {
            socket: watched.map_err(|error| {
                Error::server(format!("watch the socket of the network child: {error}"))
            })?,
            pid,
            process,
            started: Instant::now(),
            tickets: Cell::default(),
            #[cfg(test)]
            thread: RefCell::default(),
        })
    }

    /// Sends a message, waiting at most [`PATIENCE`] for room.
    pub(super) fn send(&self, command: &Command, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(command)?;
        if bytes.len() > fdpass::MAX_MESSAGE {
            return Err(io::Error::other("message is too long"));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match fdpass::send(&self.socket, &bytes, files) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT, deadline)?;
                }
                result => return result,
            }
        }
    }

    /// Closes the container's published sockets; they are closed when this returns.
    pub(super) fn unpublish(&self, container: &str) -> io::Result<()> {
        let ticket = self.tickets.get() + 1;
        self.tickets.set(ticket);
        let container = container.to_owned();
        self.send(&Command::Unpublish { container, ticket }, &[])?;
        self.answered(ticket)
    }

    /// A second descriptor of the control socket.
    pub(super) fn hand_over(&self) -> io::Result<HandedOver> {
        let socket = self.socket.get_ref().try_clone()?;
        let pid = self.pid;
        Ok(HandedOver { socket, pid })
    }

    /// How long it has run under this engine.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits at most [`PATIENCE`] for the answer with this ticket.
    fn answered(&self, ticket: u64) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match fdpass::recv(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::IN, deadline)?;
                }
                Err(error) => return Err(error),
                Ok(message) if message.bytes.is_empty() => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(message) if message.bytes == ticket.to_ne_bytes() => return Ok(()),
                Ok(message) => self.heard(&message),
            }
        }
    }

    fn wait(&self, what: PollFlags, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut files = [PollFd::new(&self.socket, what)];
        match poll(&mut files, Some(&limit)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The child's last words; or an answer that came too late, which says nothing.
    fn heard(&self, message: &Message) {
        if let Some(text) = message.bytes.strip_prefix(b"!") {
            let text = String::from_utf8_lossy(text).escape_debug().to_string();
            sys::kmsg::warn(
                "engine",
                &format!("network child {} says: {text}", self.pid),
            );
        }
    }

    /// Returns when the child has closed its end.
    pub(crate) async fn ended(&self) {
        loop {
            let Ok(mut ready) = self.socket.readable().await else {
                return;
            };
            match ready.try_io(fdpass::recv) {
                Ok(Ok(message)) if message.bytes.is_empty() => return,
                Ok(Err(_)) => return,
                Ok(Ok(message)) => self.heard(&message),
                // Nothing to read.
                Err(_) => {}
            }
        }
    }

    /// Ends the child if it has not ended, so that its sockets are closed, and reaps it if no reaper did.
    pub(crate) fn end(&self) {
        // It may have ended by itself.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        if let Some(process) = &self.process {
            let _ = process.send_signal(Signal::KILL);
            if let Ok(false) = process.wait_ended(Some(END)) {
                sys::kmsg::warn(
                    "engine",
                    &format!("network child {} does not end", self.pid),
                );
            }
            let _ = process.reap();
        }
        #[cfg(test)]
        if let Some(thread) = self.thread.borrow_mut().take() {
            thread.join().unwrap();
        }
    }
}

/// Turns the kernel's refusal into the engine's 500.
fn refused(error: sys::Error) -> Error {
    Error::server(error.to_string())
}

fn spawn(program: &Path, control: &OwnedFd) -> Result<(i32, Pidfd)> {
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| Error::server(format!("open /dev/null: {error}")))?;
    let spawned = spawn_in(&SpawnIn {
        program,
        argv: &[program.as_os_str(), OsStr::new("network")],
        env: &[],
        options: CloneOptions::default(),
        fds: &[
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (null.as_fd(), 2),
            (control.as_fd(), CONTROL_FD),
        ],
        report: CONTROL_FD,
        wait_for_go: false,
    })
    .map_err(refused)?;
    Ok((spawned.pid, spawned.pidfd))
}
