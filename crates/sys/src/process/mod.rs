//! Processes: start, wait, kill, and the attributes of the calling one.

mod command;
mod descriptors;
mod pidfd;
mod spawn;
mod times;
mod wait;

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub use command::{Child, Command, Output};
pub use descriptors::{
    close_on_exec_from, dup_inherited_fd, keep_at_exec, set_stdio, take_inherited_fd,
};
pub use pidfd::Pidfd;
pub use spawn::{CloneOptions, Fork, SpawnIn, Spawned, clone_single_threaded, spawn_in};
pub use std::process::ExitStatus;
pub use times::start_time;
pub use wait::{has_children, reap, waitid_any_nowait};

use crate::error::{Context, Error, Result, check};

/// A signal to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signal(i32);

impl Signal {
    /// SIGHUP.
    pub const HUP: Signal = Signal(libc::SIGHUP);
    /// SIGINT.
    pub const INT: Signal = Signal(libc::SIGINT);
    /// SIGQUIT.
    pub const QUIT: Signal = Signal(libc::SIGQUIT);
    /// SIGKILL.
    pub const KILL: Signal = Signal(libc::SIGKILL);
    /// SIGUSR1.
    pub const USR1: Signal = Signal(libc::SIGUSR1);
    /// SIGUSR2.
    pub const USR2: Signal = Signal(libc::SIGUSR2);
    /// SIGTERM.
    pub const TERM: Signal = Signal(libc::SIGTERM);
    /// SIGCHLD.
    pub const CHLD: Signal = Signal(libc::SIGCHLD);
    /// SIGCONT.
    pub const CONT: Signal = Signal(libc::SIGCONT);
    /// SIGSTOP.
    pub const STOP: Signal = Signal(libc::SIGSTOP);
    /// SIGWINCH.
    pub const WINCH: Signal = Signal(libc::SIGWINCH);

    /// The real-time signal SIGRTMIN+`offset` of glibc and musl, whose first two are their own (nptl(7)).
    #[must_use]
    pub const fn realtime(offset: i32) -> Signal {
        Signal(34 + offset)
    }

    /// The signal of a number, 1 to [`crate::signal::HIGHEST`].
    #[must_use]
    pub fn from_raw(number: i32) -> Option<Signal> {
        (1..=crate::signal::HIGHEST)
            .contains(&number)
            .then_some(Signal(number))
    }

    /// Its number.
    #[must_use]
    pub fn raw(self) -> i32 {
        self.0
    }
}

/// The path that execve(2) was given for this program: a link's name where it was called by a link (getauxval(3), AT_EXECFN).
/// The first argument is whatever the caller likes.
#[must_use]
pub fn executed_as() -> &'static OsStr {
    OsStr::from_bytes(rustix::param::linux_execfn().to_bytes())
}

/// This program's environment as `NAME=VALUE`, as execve(2) takes it.
#[must_use]
pub fn environment() -> Vec<OsString> {
    std::env::vars_os()
        .map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        })
        .collect()
}

/// Sends a signal to one process (kill(2)). Prefer [`Pidfd::send_signal`]: a number can be somebody else's by now.
///
/// # Errors
/// No such process, or no right.
pub fn kill(pid: i32, signal: Signal) -> Result<()> {
    // SAFETY: kill has no memory arguments.
    let result = unsafe { libc::kill(pid, signal.0) };
    check(i64::from(result))
        .map(drop)
        .what(|| format!("send signal {} to process {pid}", signal.0))
}

/// Sends a signal to every process but PID 1 and the caller (kill(2) with -1).
///
/// # Errors
/// When there is nobody (ESRCH).
pub fn kill_all(signal: Signal) -> Result<()> {
    kill(-1, signal)
}

/// Sends a signal to the process group `group`.
///
/// # Errors
/// No such group, or no right.
pub fn kill_group(group: i32, signal: Signal) -> Result<()> {
    kill(-group, signal)
}

/// Replaces the calling program (execve(2)). Returns only an error.
#[must_use]
pub fn exec<S: AsRef<OsStr>>(path: &Path, argv: &[S], env: &[S]) -> Error {
    let what = || format!("execute {}", path.display());
    match exec_raw(path, argv, env) {
        Err(cause) => Error::new(what(), cause),
        Ok(never) => match never {},
    }
}

fn exec_raw<S: AsRef<OsStr>>(path: &Path, argv: &[S], env: &[S]) -> io::Result<Infallible> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let argv = CStringArray::new(argv)?;
    let env = CStringArray::new(env)?;
    // SAFETY: the path and both arrays are NUL-terminated and live across the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// Strings in the form that execve(2) takes: pointers with a null pointer at the end.
#[derive(Debug)]
pub(crate) struct CStringArray {
    pointers: Vec<*const libc::c_char>,
    _strings: Vec<CString>,
}

impl CStringArray {
    pub(crate) fn new<S: AsRef<OsStr>>(strings: &[S]) -> io::Result<CStringArray> {
        let strings = strings
            .iter()
            .map(|s| CString::new(s.as_ref().as_bytes()))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        // The heap blocks of the strings stay where they are when the vector of them moves.
        let pointers = strings
            .iter()
            .map(|s| s.as_ptr())
            .chain([std::ptr::null()])
            .collect();
        Ok(CStringArray {
            pointers,
            _strings: strings,
        })
    }

    pub(crate) fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

/// Orphans among the descendants become children of the caller (PR_SET_CHILD_SUBREAPER).
///
/// # Errors
/// Never, on Linux.
pub fn set_child_subreaper() -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1).what(|| "become subreaper".into())
}

/// Names the calling thread, in at most 15 bytes (PR_SET_NAME).
///
/// # Errors
/// When the name has a NUL byte.
pub fn set_name(name: &str) -> Result<()> {
    let what = || format!("set process name {name}");
    let name = CString::new(name).map_err(io::Error::from).what(what)?;
    rustix::thread::set_name(&name).what(what)
}

/// The caller gets this signal when the thread that started it ends (PR_SET_PDEATHSIG).
///
/// # Errors
/// Never, on Linux.
pub fn set_pdeathsig(signal: Signal) -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, u64::from(signal.0.unsigned_abs()))
        .what(|| "set parent death signal".into())
}

/// The program and its descendants never gain privileges by execve(2) from now on (PR_SET_NO_NEW_PRIVS).
///
/// # Errors
/// Never, on Linux.
pub fn set_no_new_privs() -> Result<()> {
    rustix::thread::set_no_new_privs(true).what(|| "set no_new_privs".into())
}

/// Whether others may trace this process and read its /proc files (PR_SET_DUMPABLE).
///
/// # Errors
/// Never, on Linux.
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, u64::from(dumpable)).what(|| "set dumpable".into())
}

fn prctl(option: i32, value: u64) -> io::Result<()> {
    // SAFETY: the options used here take a number and no pointer.
    let result = unsafe { libc::prctl(option, value, 0, 0, 0) };
    check(i64::from(result)).map(drop)
}

/// Starts a session with the caller as its leader and no terminal (setsid(2)).
///
/// # Errors
/// When the caller already leads a process group.
pub fn setsid() -> Result<()> {
    rustix::process::setsid()
        .map(drop)
        .what(|| "start session".into())
}

/// Makes `terminal` the session's terminal (TIOCSCTTY).
///
/// # Errors
/// When the caller does not lead a session or has a terminal already.
pub fn set_controlling_tty(terminal: impl AsFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(terminal).what(|| "set controlling terminal".into())
}

/// Makes `path` the root and the working directory (chroot(2)).
///
/// # Errors
/// When it is not a directory, or no right.
pub fn chroot(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let what = || format!("change root to {}", path.display());
    rustix::process::chroot(path).what(what)?;
    rustix::process::chdir("/").what(what)
}

/// Sets user, group and supplementary groups of the whole process for good: group first, user last (setgroups(2),
/// setresgid(2), setresuid(2)).
///
/// # Errors
/// No right, or an id that the user namespace does not map.
pub fn set_user(uid: u32, gid: u32, groups: &[u32]) -> Result<()> {
    // SAFETY: the pointer and the length are those of one slice; libc's calls change all threads.
    let result = unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
    check(i64::from(result)).what(|| "set groups".into())?;
    // SAFETY: no memory arguments.
    let result = unsafe { libc::setresgid(gid, gid, gid) };
    check(i64::from(result)).what(|| format!("set group {gid}"))?;
    // SAFETY: no memory arguments.
    let result = unsafe { libc::setresuid(uid, uid, uid) };
    check(i64::from(result)).what(|| format!("set user {uid}"))?;
    Ok(())
}

/// Gives the process its own session keyring (keyctl(2)). A kernel without keyrings is fine.
///
/// # Errors
/// When the quota of keys is used up.
pub fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    match check(result) {
        Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            Err(error).what(|| "join a new session keyring".into())
        }
        _ => Ok(()),
    }
}

/// Sets one limit of the caller by its name in upper case (`RLIMIT_NOFILE`), soft and hard; `u64::MAX` is unlimited
/// (setrlimit(2)).
///
/// # Errors
/// An unknown name, soft above hard, or no right to raise the hard limit.
pub fn set_rlimit(name: &str, soft: u64, hard: u64) -> Result<()> {
    let what = || format!("set {name} to {soft}:{hard}");
    let found = RLIMITS.iter().find(|(known, _)| *known == name);
    let (_, resource) = found.ok_or_else(|| Error::other(what(), "unknown limit"))?;
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the structure lives across the call.
    let result = unsafe { libc::setrlimit(*resource, &raw const limit) };
    check(i64::from(result)).map(drop).what(what)
}

const RLIMITS: [(&str, libc::__rlimit_resource_t); 16] = [
    ("RLIMIT_AS", libc::RLIMIT_AS),
    ("RLIMIT_CORE", libc::RLIMIT_CORE),
    ("RLIMIT_CPU", libc::RLIMIT_CPU),
    ("RLIMIT_DATA", libc::RLIMIT_DATA),
    ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE),
    ("RLIMIT_LOCKS", libc::RLIMIT_LOCKS),
    ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK),
    ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE),
    ("RLIMIT_NICE", libc::RLIMIT_NICE),
    ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE),
    ("RLIMIT_NPROC", libc::RLIMIT_NPROC),
    ("RLIMIT_RSS", libc::RLIMIT_RSS),
    ("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO),
    ("RLIMIT_RTTIME", libc::RLIMIT_RTTIME),
    ("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING),
    ("RLIMIT_STACK", libc::RLIMIT_STACK),
];

/// Whether this process runs as root (geteuid(2)).
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_names_and_values() {
        let mut expected = OsString::from("PATH=");
        expected.push(std::env::var_os("PATH").unwrap_or_default());
        assert!(environment().contains(&expected));
    }
}
