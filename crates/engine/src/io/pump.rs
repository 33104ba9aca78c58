//! Moves bytes between a process's descriptors and its [`Streams`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_api::options::StreamKind;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::streams::{Input, Streams};
use super::terminal::Terminal;

/// Bytes moved at once.
const BLOCK: usize = 32 * 1024;
/// How long output is still collected after the process ended while nothing comes, in case a child of it holds the pipe
/// open or a client does not read.
const DRAIN: Duration = Duration::from_secs(2);
/// How long at most: a slow client gets the rest of the output, but the end of the process waits for it.
const DRAIN_MOST: Duration = Duration::from_secs(30);

/// The engine's ends of a process's standard streams.
#[derive(Debug, Default)]
pub struct Descriptors {
    /// Writes to the process's input.
    pub stdin: Option<OwnedFd>,
    /// Reads what the process writes.
    pub stdout: Option<OwnedFd>,
    /// Reads what the process writes to standard error.
    pub stderr: Option<OwnedFd>,
}

/// The process's ends, to be handed to the runtime.
#[derive(Debug)]
pub struct Stdio {
    /// Standard input; none means `/dev/null`.
    pub stdin: Option<OwnedFd>,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

impl Descriptors {
    /// Makes pipes; both ends are closed on exec.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn pipes(with_stdin: bool) -> io::Result<(Self, Stdio)> {
        let (stdout_read, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr_read, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stdin, stdin_write) = match with_stdin
            .then(|| pipe_with(PipeFlags::CLOEXEC))
            .transpose()?
        {
            Some((read, write)) => (Some(read), Some(write)),
            None => (None, None),
        };
        let ours = Self {
            stdin: stdin_write,
            stdout: Some(stdout_read),
            stderr: Some(stderr_read),
        };
        Ok((
            ours,
            Stdio {
                stdin,
                stdout,
                stderr,
            },
        ))
    }
}

/// The running pumps of one run.
#[derive(Debug)]
pub struct Pumps {
    readers: Vec<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
    terminal: Option<Rc<Terminal>>,
    streams: Rc<Streams>,
    ends: Ends,
}

/// A descriptor for as long as its pump has it: one that has seen its end is closed.
type End = Weak<AsyncFd<OwnedFd>>;

/// The descriptors of running pumps, for an upgrade to hand on.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    pub(crate) stdin: End,
    pub(crate) stdout: End,
    pub(crate) stderr: End,
    pub(crate) terminal: Weak<Terminal>,
}

impl Pumps {
    /// Starts to move bytes between pipes and streams.
    ///
    /// # Errors
    /// When a descriptor cannot be watched.
    pub fn over_pipes(streams: &Rc<Streams>, descriptors: Descriptors) -> io::Result<Self> {
        let mut readers = Vec::new();
        let mut ends = Ends::default();
        for (fd, kind, end) in [
            (descriptors.stdout, StreamKind::Stdout, &mut ends.stdout),
            (descriptors.stderr, StreamKind::Stderr, &mut ends.stderr),
        ] {
            let Some(fd) = fd else { continue };
            let fd = Rc::new(watched(fd)?);
            *end = Rc::downgrade(&fd);
            readers.push(engine_api::tasks::spawn(read(fd, kind, Rc::clone(streams))));
        }
        let writer = match descriptors.stdin {
            Some(fd) => {
                let fd = Rc::new(watched(fd)?);
                ends.stdin = Rc::downgrade(&fd);
                streams
                    .take_input()
                    .map(|input| engine_api::tasks::spawn(write(fd, input)))
            }
            None => None,
        };
        Ok(Self {
            readers,
            writer,
            terminal: None,
            streams: Rc::clone(streams),
            ends,
        })
    }

    /// Starts to move bytes between a terminal's master side and streams.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub fn over_terminal(streams: &Rc<Streams>, master: OwnedFd) -> io::Result<Self> {
        let master = Rc::new(Terminal::new(master)?);
        let readers = vec![engine_api::tasks::spawn(read_terminal(
            Rc::clone(&master),
            Rc::clone(streams),
        ))];
        let input = streams.open_stdin().then(|| streams.take_input()).flatten();
        let writer =
            input.map(|input| engine_api::tasks::spawn(write_terminal(Rc::clone(&master), input)));
        let ends = Ends {
            terminal: Rc::downgrade(&master),
            ..Ends::default()
        };
        Ok(Self {
            readers,
            writer,
            terminal: Some(master),
            streams: Rc::clone(streams),
            ends,
        })
    }

    /// The terminal's master side.
    #[must_use]
    pub fn terminal(&self) -> Option<Rc<Terminal>> {
        self.terminal.clone()
    }

    /// The descriptors, for as long as they are open.
    #[must_use]
    pub fn ends(&self) -> Ends {
        self.ends.clone()
    }

    /// Waits until all output has been read (not longer than a moment), then stops.
    pub async fn drain(self) {
        let Self {
            mut readers,
            writer,
            terminal,
            streams,
            ends: _,
        } = self;
        if let Some(writer) = writer {
            writer.abort();
        }
        if let Some(terminal) = &terminal {
            terminal.end();
        }
        let all = async {
            for reader in &mut readers {
                let _ = reader.await;
            }
        };
        tokio::pin!(all);
        let end = Instant::now() + DRAIN_MOST;
        loop {
            let moved = streams.moved();
            let pause = DRAIN.min(end.saturating_duration_since(Instant::now()));
            let ended = tokio::time::timeout(pause, &mut all).await.is_ok();
            if ended || streams.moved() == moved || Instant::now() >= end {
                break;
            }
        }
        for reader in readers {
            reader.abort();
        }
        drop(terminal);
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe to call, for descriptors that can be closed meanwhile; an OwnedFd cannot"
)]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = fcntl_getfl(&fd)?;
    fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
    AsyncFd::with_interest(fd, Interest::READABLE | Interest::WRITABLE)
}

/// Reads what is there, a block at most; nothing at the end. The block is on the stack: one for each stream was 64 of the
/// 77 kB that a running container took (2026-12-01).
pub(super) fn read_block(fd: BorrowedFd<'_>) -> rustix::io::Result<Bytes> {
    let mut block = [0; BLOCK];
    let count = rustix::io::read(fd, &mut block)?;
    Ok(Bytes::copy_from_slice(&block[..count]))
}

async fn read(fd: Rc<AsyncFd<OwnedFd>>, kind: StreamKind, streams: Rc<Streams>) {
    loop {
        let Ok(mut ready) = fd.readable().await else {
            return;
        };
        match ready.try_io(|fd| Ok(read_block(fd.get_ref().as_fd())?)) {
            Ok(Ok(bytes)) if !bytes.is_empty() => streams.output(kind, bytes).await,
            Ok(_) => return,
            Err(_would_block) => {}
        }
    }
}

async fn read_terminal(terminal: Rc<Terminal>, streams: Rc<Streams>) {
    while let Ok(bytes) = terminal.read().await
        && !bytes.is_empty()
    {
        streams.output(StreamKind::Stdout, bytes).await;
    }
}

async fn write_terminal(terminal: Rc<Terminal>, mut input: mpsc::Receiver<Input>) {
    while let Some(Input::Data(bytes)) = input.recv().await {
        if terminal.write_all(&bytes).await.is_err() {
            break;
        }
    }
}

async fn write(fd: Rc<AsyncFd<OwnedFd>>, mut input: mpsc::Receiver<Input>) {
    while let Some(Input::Data(bytes)) = input.recv().await {
        if write_all(&fd, &bytes).await.is_err() {
            break;
        }
    }
    // Dropping the descriptor is end of file for a pipe.
}

async fn write_all(fd: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let mut ready = fd.writable().await?;
        let written = ready.try_io(|fd| match rustix::io::write(fd.get_ref().as_fd(), bytes) {
            Err(Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            other => Ok(other?),
        });
        if let Ok(count) = written {
            bytes = &bytes[count?..];
        }
    }
    Ok(())
}
