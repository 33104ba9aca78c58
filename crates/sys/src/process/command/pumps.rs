//! What a running program reads and writes, moved until it ends.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Child;

/// How much of each output stream is kept; the rest is read and dropped (1 MiB: a program run here says a few lines).
const OUTPUT_LIMIT: usize = 1024 * 1024;

/// How much is read at once, bytes.
const CHUNK: usize = 8192;

/// The three streams of a running program.
pub(super) struct Pumps<'a> {
    pub(super) input: Option<OwnedFd>,
    pub(super) pending: &'a [u8],
    pub(super) outputs: [Option<OwnedFd>; 2],
    pub(super) kept: [Vec<u8>; 2],
}

impl Pumps<'_> {
    /// Moves bytes until the program has ended (true) or the deadline is over (false).
    pub(super) fn run(&mut self, child: &Child, deadline: Option<Instant>) -> io::Result<bool> {
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
