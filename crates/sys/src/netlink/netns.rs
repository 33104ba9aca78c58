//! Work inside another network namespace, in a thread that lives only for it (setns(2), network_namespaces(7)).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::error::{Error, Result};

/// Opens the network namespace of process `pid`.
///
/// # Errors
/// When the process is gone or /proc is not mounted.
pub fn netns_of(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/net");
    File::open(&path)
        .map(OwnedFd::from)
        .map_err(|e| Error::new(format!("open {path}"), e))
}

/// Opens the network namespace of the calling thread.
///
/// # Errors
/// When /proc is not mounted.
pub fn current_netns() -> Result<OwnedFd> {
    let path = "/proc/thread-self/ns/net";
    File::open(path)
        .map(OwnedFd::from)
        .map_err(|e| Error::new(format!("open {path}"), e))
}

/// Creates a network namespace with nothing but a loopback link that is down; it lives as long as the descriptor
/// (or a process in it).
///
/// # Errors
/// When the kernel refuses (`EPERM` without CAP_SYS_ADMIN).
pub fn new_netns() -> Result<OwnedFd> {
    let create = || {
        // SAFETY: only the network namespace of this thread changes, no memory or descriptor table is unshared, and
        // the thread ends right away.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
            .map_err(|e| Error::new("create network namespace", e))?;
        current_netns()
    };
    join_thread(create)
}

/// Runs `work` in a new thread that has joined `namespace`, and waits for it. Sockets that `work` opens belong to
/// the namespace for ever; the caller's own namespace never changes. `work` must be quick: the caller waits.
///
/// # Errors
/// When the namespace cannot be joined, the thread cannot be started, or `work` panicked.
pub fn in_netns<T: Send>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> Result<T> {
    let joined = || -> Result<T> {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|e| Error::new("join network namespace", e))?;
        Ok(work())
    };
    join_thread(joined)
}

fn join_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, work)
            .map_err(|e| Error::new("start thread for network namespace", e))?;
        thread.join().unwrap_or_else(|_| {
            Err(Error::new(
                "work in network namespace",
                io::Error::other("panicked"),
            ))
        })
    })
}
