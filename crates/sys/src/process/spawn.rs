//! clone3(2): a child directly in its namespaces and its cgroup, with a pidfd and chosen descriptors.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{CStringArray, Pidfd};
use crate::error::{Context, Error, Result, check};
use crate::namespace::CloneFlags;

/// Handlers become default actions in the child (linux/sched.h).
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
/// The child starts in the cgroup of `cgroup` (linux/sched.h).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Descriptors given to a child are first copied to this number or above, so that none is overwritten before its turn.
const FIRST_SPARE_FD: i32 = 16;

/// How a child is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneOptions<'a> {
    /// New namespaces.
    pub namespaces: CloneFlags,
    /// Directory of the cgroup (v2) it starts in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// It is a child of the caller's parent, not of the caller (CLONE_PARENT).
    pub sibling: bool,
}

/// A program to start with [`spawn_in`].
#[derive(Debug)]
pub struct SpawnIn<'a> {
    /// Path of the program.
    pub program: &'a Path,
    /// Its arguments, its own name first.
    pub argv: &'a [&'a OsStr],
    /// Its environment, `NAME=value`.
    pub env: &'a [&'a OsStr],
    /// Namespaces and cgroup.
    pub options: CloneOptions<'a>,
    /// Descriptors and their numbers in the child. All others that are not close-on-exec stay too.
    pub fds: &'a [(BorrowedFd<'a>, i32)],
    /// The number (in the child) of a socket on which the child says `!` and an errno (native order) should it fail
    /// before the program runs.
    pub report: i32,
    /// The child waits for one byte on `report` before it goes on: the caller writes id maps or moves it to a cgroup
    /// before. With a new user namespace it then becomes user and group 0 of it.
    pub wait_for_go: bool,
}

/// A child made by clone3(2).
#[derive(Debug)]
pub struct Spawned {
    /// Its number, as the caller sees it.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: Pidfd,
}

/// Which side of a clone this is.
#[derive(Debug)]
pub enum Fork {
    /// The caller goes on, and has this child.
    Parent(Spawned),
    /// This is the child.
    Child,
}

/// Starts a program in new namespaces and a cgroup.
///
/// The child makes system calls only until execve(2): the caller may have threads. What fails there is said on the
/// `report` socket, and the child exits with 126.
///
/// # Errors
/// What clone3(2) refuses, or too many open files.
pub fn spawn_in(spawn: &SpawnIn<'_>) -> Result<Spawned> {
    let what = || format!("start {}", spawn.program.display());
    let program = CString::new(spawn.program.as_os_str().as_bytes())
        .map_err(io::Error::from)
        .what(what)?;
    let argv = CStringArray::new(spawn.argv).what(what)?;
    let env = CStringArray::new(spawn.env).what(what)?;
    let spares = spawn
        .fds
        .iter()
        .map(|(fd, number)| {
            Ok((
                rustix::io::fcntl_dupfd_cloexec(fd, FIRST_SPARE_FD)?,
                *number,
            ))
        })
        .collect::<io::Result<Vec<(OwnedFd, i32)>>>()
        .what(what)?;
    // SAFETY: without CLONE_VM the child has its own copy of the memory. It calls `child` below, which only makes
    // system calls on prepared memory and never returns, so no lock and no destructor of the parent matters.
    match unsafe { clone3(&spawn.options) }.what(what)? {
        Fork::Parent(spawned) => Ok(spawned),
        Fork::Child => child(spawn, &program, &argv, &env, &spares),
    }
}

/// The child's side: no allocation, no lock, no libc wrapper that could take one.
fn child(
    spawn: &SpawnIn<'_>,
    program: &CString,
    argv: &CStringArray,
    env: &CStringArray,
    spares: &[(OwnedFd, i32)],
) -> ! {
    let failed = |errno: i32| -> ! {
        let mut message = [b'!', 0, 0, 0, 0];
        message[1..].copy_from_slice(&errno.to_ne_bytes());
        // SAFETY: system calls on a buffer that lives across them; exit_group ends the process.
        unsafe {
            libc::syscall(
                libc::SYS_write,
                spawn.report,
                message.as_ptr(),
                message.len(),
            );
            loop {
                libc::syscall(libc::SYS_exit_group, 126);
            }
        }
    };
    for (spare, number) in spares {
        // SAFETY: dup3 has no memory arguments; what it replaces is not used in this process.
        if unsafe { libc::syscall(libc::SYS_dup3, spare.as_raw_fd(), *number, 0) } < 0 {
            failed(errno());
        }
    }
    if spawn.wait_for_go {
        let mut byte = [0_u8; 1];
        // SAFETY: the buffer has the length given.
        if unsafe { libc::syscall(libc::SYS_read, spawn.report, byte.as_mut_ptr(), 1) } != 1 {
            failed(libc::EPIPE);
        }
    }
    if spawn.options.namespaces.contains(CloneFlags::NEWUSER) {
        // SAFETY: a null list of length zero; the others have no memory arguments.
        let refused = unsafe {
            libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) < 0
                || libc::syscall(libc::SYS_setresgid, 0, 0, 0) < 0
                || libc::syscall(libc::SYS_setresuid, 0, 0, 0) < 0
        };
        if refused {
            failed(errno());
        }
    }
    // SAFETY: path and arrays are NUL-terminated and were made before the clone.
    unsafe {
        libc::syscall(
            libc::SYS_execve,
            program.as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
        )
    };
    failed(errno())
}

fn errno() -> i32 {
    // SAFETY: the location is this thread's own and always valid.
    unsafe { *libc::__errno_location() }
}

/// Makes a copy of the calling program (as fork(2)) in new namespaces, a cgroup, or as a sibling.
///
/// # Errors
/// When the program has threads: their locks would stay locked in the child. What clone3(2) refuses.
pub fn clone_single_threaded(options: &CloneOptions<'_>) -> Result<Fork> {
    let what = || "clone process".to_owned();
    let tasks = std::fs::read_dir("/proc/self/task").what(what)?.count();
    if tasks != 1 {
        return Err(Error::other(what(), format!("it has {tasks} threads")));
    }
    // SAFETY: there is one thread, so the child's copy of every lock is free and it may go on as usual.
    unsafe { clone3(options) }.what(what)
}

/// # Safety
/// The child has only the calling thread: either there is no other, or the child must not touch what other threads
/// may have locked (the allocator included).
unsafe fn clone3(options: &CloneOptions<'_>) -> io::Result<Fork> {
    let mut pidfd: i32 = -1;
    let mut flags = options.namespaces.bits() | libc::CLONE_PIDFD as u64;
    if options.sibling {
        // CLONE_CLEAR_SIGHAND is not needed: such a caller has no handlers. The exit signal is the caller's own.
        flags |= libc::CLONE_PARENT as u64;
    } else {
        flags |= CLONE_CLEAR_SIGHAND;
    }
    if options.cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    let args = libc::clone_args {
        flags,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: if options.sibling {
            0
        } else {
            libc::SIGCHLD as u64
        },
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: options
            .cgroup
            .map_or(0, |fd| u64::from(fd.as_raw_fd().unsigned_abs())),
    };
    // SAFETY: the structure and the pidfd's place live across the call; without CLONE_VM no stack is shared.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const args,
            size_of::<libc::clone_args>(),
        )
    })?;
    if pid == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: the kernel has just opened it for us.
    let pidfd = Pidfd::from_fd(unsafe { OwnedFd::from_raw_fd(pidfd) });
    Ok(Fork::Parent(Spawned {
        pid: i32::try_from(pid).map_err(io::Error::other)?,
        pidfd,
    }))
}
