//! The engine's side of a terminal, which outlives the moments in which no process has the other side open.
//!
//! A program may close all its streams and open `/dev/console` later, as systemd does. Until then every read and write of
//! the master side fails with EIO (pty(7)), and epoll(7) reports a hangup for as long as that lasts. So EIO is the end
//! only after the process has ended, and the descriptor is watched for edges: tokio's own watcher never forgets a
//! hangup, and would wake its task without a pause.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use rustix::event::{Timespec, epoll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::pump::read_block;

/// The master side of a process's terminal.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    readable: Edges,
    writable: Edges,
    /// Whether the process has ended.
    ended: watch::Sender<bool>,
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

impl Terminal {
    /// Takes the master side over; it becomes non-blocking.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub(super) fn new(master: OwnedFd) -> io::Result<Self> {
        let flags = fcntl_getfl(&master)?;
        fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
        Ok(Self {
            readable: Edges::of(&master, epoll::EventFlags::IN)?,
            writable: Edges::of(&master, epoll::EventFlags::OUT)?,
            master,
            ended: watch::Sender::default(),
        })
    }

    /// The process has ended: when no other process has the terminal open, reading comes to its end.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Reads what the process wrote; nothing at the end.
    ///
    /// # Errors
    /// When the descriptor can be read no longer.
    pub(super) async fn read(&self) -> io::Result<Bytes> {
        let mut ends = self.ended.subscribe();
        loop {
            // A process that never stops writing must not keep the event loop from others.
            tokio::task::consume_budget().await;
            let ended = *ends.borrow_and_update();
            match read_block(self.master.as_fd()) {
                Ok(bytes) if !bytes.is_empty() => return Ok(bytes),
                Ok(_) | Err(Errno::IO) if ended => return Ok(Bytes::new()),
                Ok(_) | Err(Errno::IO | Errno::AGAIN) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                edge = self.readable.next() => edge?,
                // The sender is our own.
                _ = ends.changed() => {}
            }
        }
    }

    /// Writes what was typed. The kernel keeps it for the next process that opens the terminal; what it does not take is
    /// lost, as on a serial line, and is not the end.
    ///
    /// # Errors
    /// When the descriptor can be written no longer.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            tokio::task::consume_budget().await;
            match rustix::io::write(&self.master, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::IO) => return Ok(()),
                Err(Errno::AGAIN) => self.writable.next().await?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Tells that something has changed with a descriptor, once for each change. It is an epoll instance that tokio watches:
/// a hangup of the descriptor is one more change there, and not a state.
#[derive(Debug)]
struct Edges(AsyncFd<OwnedFd>);

impl Edges {
    #[expect(
        deprecated,
        reason = "its successor is unsafe to call, for descriptors that can be closed meanwhile; an OwnedFd cannot"
    )]
    fn of(descriptor: &OwnedFd, events: epoll::EventFlags) -> io::Result<Self> {
        let instance = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(0);
        epoll::add(&instance, descriptor, data, events | epoll::EventFlags::ET)?;
        AsyncFd::with_interest(instance, Interest::READABLE).map(Self)
    }

    /// Waits for the next change, or returns at once when there was one since the last call.
    async fn next(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        epoll::wait(ready.get_inner(), &mut events[..], Some(&now))?;
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, open};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    /// A terminal, and a way to open its other side.
    fn terminal() -> (Terminal, impl Fn() -> OwnedFd) {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let side = move || {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            open(name.as_c_str(), flags, Mode::empty()).unwrap()
        };
        (Terminal::new(master).unwrap(), side)
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn a_terminal_that_was_closed_is_heard_again() {
        run(async {
            let (terminal, side) = terminal();
            for text in [&b"early"[..], b"late"] {
                let other = side();
                rustix::io::write(&other, text).unwrap();
                assert_eq!(&*terminal.read().await.unwrap(), text);
                drop(other);
                // Nobody has it open: reading waits, with the processor at rest, and does not end.
                let mut reading = std::pin::pin!(terminal.read());
                for _ in 0..3 {
                    tokio::select! {
                        biased;
                        result = &mut reading => panic!("read ended: {result:?}"),
                        () = tokio::task::yield_now() => {}
                    }
                }
            }
            terminal.end();
            assert_eq!(&*terminal.read().await.unwrap(), b"");
        });
    }

    #[test]
    fn a_waiting_read_hears_of_the_end() {
        run(async {
            let (terminal, side) = terminal();
            drop(side());
            let (bytes, ()) = tokio::join!(terminal.read(), async {
                tokio::task::yield_now().await;
                terminal.end();
            });
            assert_eq!(&*bytes.unwrap(), b"");
        });
    }

    #[test]
    fn what_is_typed_meanwhile_waits_for_the_next_process() {
        run(async {
            let (terminal, side) = terminal();
            drop(side());
            terminal.write_all(b"typed\n").await.unwrap();
            let other = side();
            let mut block = [0; 64];
            let count = rustix::io::read(&other, &mut block).unwrap();
            assert_eq!(&block[..count], b"typed\n");
        });
    }
}
