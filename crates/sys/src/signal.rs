//! Signals: signal(7), sigprocmask(2), sigaction(2), signalfd(2).

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::error::{Context, Result, check};

/// Highest signal number (SIGRTMAX).
pub const HIGHEST: i32 = 64;

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set; sigaddset of a bad number only returns an error.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

fn all() -> libc::sigset_t {
    set_of(&(1..=HIGHEST).collect::<Vec<_>>())
}

/// Changes this thread's mask; returns the one before.
fn mask(how: i32, set: &libc::sigset_t) -> io::Result<libc::sigset_t> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: the set is initialised, and there is room for the old one.
    let result = unsafe { libc::pthread_sigmask(how, set, before.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    // SAFETY: the call has written it.
    Ok(unsafe { before.assume_init() })
}

/// Blocks `signals` in this thread and the threads and children it will start.
///
/// # Errors
/// Never, on Linux.
pub fn block(signals: &[i32]) -> Result<()> {
    mask(libc::SIG_BLOCK, &set_of(signals))
        .map(drop)
        .what(|| "block signals".into())
}

/// Blocks all signals that can be blocked.
///
/// # Errors
/// Never, on Linux.
pub fn block_all() -> Result<()> {
    mask(libc::SIG_SETMASK, &all())
        .map(drop)
        .what(|| "block signals".into())
}

/// Does `work` with all signals blocked in this thread: those that come meanwhile are delivered after it.
///
/// # Errors
/// Never, on Linux.
pub(crate) fn while_blocked<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let before = mask(libc::SIG_SETMASK, &all())?;
    let done = work();
    mask(libc::SIG_SETMASK, &before)?;
    Ok(done)
}

/// Unblocks all signals.
///
/// # Errors
/// Never, on Linux.
pub fn unblock_all() -> Result<()> {
    mask(libc::SIG_SETMASK, &set_of(&[]))
        .map(drop)
        .what(|| "unblock signals".into())
}

/// Gives every signal its default action and unblocks it: what a program expects at its start (Rust's own start-up
/// code ignores SIGPIPE, and ignored signals survive execve(2)).
///
/// # Errors
/// Never, on Linux.
pub fn reset_all() -> Result<()> {
    for signal in 1..=HIGHEST {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // SAFETY: SIG_DFL installs no code. glibc refuses its own two signals, which never have handlers here.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    unblock_all()
}

/// Blocked signals as a file to read (signalfd(2)).
#[derive(Debug)]
pub struct SignalFd(File);

impl SignalFd {
    /// Blocks `signals` and opens them. A read that would wait gives `None` (O_NONBLOCK).
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn open(signals: &[i32]) -> Result<SignalFd> {
        block(signals)?;
        let set = set_of(signals);
        // SAFETY: the set is initialised, and -1 asks for a new descriptor.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        let fd = check(i64::from(fd)).what(|| "open signalfd".into())?;
        // SAFETY: the kernel has just given us this descriptor and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)) };
        Ok(SignalFd(File::from(fd)))
    }

    /// The next pending signal's number.
    ///
    /// # Errors
    /// What read(2) says, except "nothing there".
    pub fn read(&self) -> Result<Option<i32>> {
        let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
        match (&self.0).read(&mut record) {
            // ssi_signo is the first field, 32 bits.
            Ok(_) => Ok(Some(i32::from_ne_bytes([
                record[0], record[1], record[2], record[3],
            ]))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).what(|| "read signalfd".into()),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::os::fd::AsRawFd for SignalFd {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Waits for one of `signals`, which must be blocked, and takes it.
///
/// # Errors
/// Never for valid signals.
pub fn wait(signals: &[i32]) -> Result<i32> {
    let set = set_of(signals);
    loop {
        // SAFETY: the set is initialised and the details are not asked for.
        let signal = unsafe { libc::sigwaitinfo(&raw const set, std::ptr::null_mut()) };
        match check(i64::from(signal)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).what(|| "wait for a signal".into()),
            Ok(_) => return Ok(signal),
        }
    }
}
