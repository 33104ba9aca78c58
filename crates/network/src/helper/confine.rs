//! What the network child gives up before it reads the first byte: everything but talking to sockets that it was given
//! and to addresses that anybody may talk to.

use sys::capability::{self, CapSet, Sets};
use sys::process::{self, Signal};
use sys::seccomp::{self, Action, Arch, Rule};

/// `nobody`, as on every Linux: it owns no file.
const NOBODY: u32 = 65_534;
/// Open files: a container may publish thousands of ports, each with its clients. The kernel's own ceiling
/// (fs.nr_open).
const FILES: u64 = 1 << 20;

/// System calls of an event loop, sockets, memory and the end. No program can be started, no file changed, no
/// process signalled but the own one. `openat` is for resolv.conf(5), which changes with the network.
#[rustfmt::skip]
const CALLS: &[&str] = &[
    // event loop and time
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
    "clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "restart_syscall",
    // sockets
    "socket", "bind", "connect", "accept", "accept4", "getsockname", "getpeername", "getsockopt", "setsockopt",
    "sendto", "sendmsg", "recvfrom", "recvmsg", "shutdown", "read", "readv", "write", "writev", "close", "fcntl",
    "ioctl", "dup", "dup3",
    // resolv.conf
    "openat", "open", "fstat", "newfstatat", "statx", "lseek",
    // memory and threads
    "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex", "getrandom", "sched_yield",
    "sched_getaffinity", "gettid", "getpid", "tgkill", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "sigaltstack",
    // the end
    "exit", "exit_group",
];

/// Gives up all rights of the calling process, for good. Call with one thread.
///
/// # Errors
/// The right that could not be given up.
pub(super) fn confine() -> sys::Result<()> {
    // Without CAP_SYS_RESOURCE (a developer's machine) the inherited limit stays.
    let _ = process::set_rlimit("RLIMIT_NOFILE", FILES, FILES);
    // PID 1 may be out of the reach of the OOM killer; its child, which is started again, need not be.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "0") {
        sys::kmsg::warn(
            "engine",
            &format!("network child: set oom_score_adj: {error}"),
        );
    }
    capability::limit_bounding(CapSet::default())?;
    process::set_user(NOBODY, NOBODY, &[])?;
    capability::set(Sets::default())?;
    process::set_no_new_privs()?;
    // After the change of user, which clears it (prctl(2)).
    process::set_pdeathsig(Signal::KILL)?;
    let allowed = Rule {
        names: CALLS.iter().map(|name| (*name).to_owned()).collect(),
        action: Action::Allow,
        conditions: Vec::new(),
    };
    // An errno and not a signal: what is missing here shows as an error and not as a child that dies again and again.
    let refused = Action::Errno(1);
    seccomp::assemble(&[Arch::native()], refused, &[allowed])?.install(false)
}
