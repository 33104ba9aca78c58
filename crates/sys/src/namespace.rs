//! Namespaces: namespaces(7), setns(2), unshare(2).

use std::os::fd::{AsFd, AsRawFd};

use crate::error::{Context, Result, check};
use crate::flags::flag_set;

flag_set! {
    /// Kinds of namespaces, as clone(2), unshare(2) and setns(2) take them.
    CloneFlags: u64 {
        /// Mounts.
        NEWNS = libc::CLONE_NEWNS;
        /// Host and domain name.
        NEWUTS = libc::CLONE_NEWUTS;
        /// System V IPC and POSIX message queues.
        NEWIPC = libc::CLONE_NEWIPC;
        /// Process numbers.
        NEWPID = libc::CLONE_NEWPID;
        /// Network.
        NEWNET = libc::CLONE_NEWNET;
        /// Users, groups, capabilities.
        NEWUSER = libc::CLONE_NEWUSER;
        /// View of the cgroup tree.
        NEWCGROUP = libc::CLONE_NEWCGROUP;
    }
}

/// Joins the namespaces `flags` of `fd`: a file of /proc/PID/ns, or a pidfd (then several kinds at once). A process
/// number namespace takes effect for children only.
///
/// # Errors
/// What setns(2) refuses.
pub fn setns(fd: impl AsFd, flags: CloneFlags) -> Result<()> {
    let kinds = i32::try_from(flags.bits()).unwrap_or(0);
    // SAFETY: no memory arguments.
    let result = unsafe { libc::setns(fd.as_fd().as_raw_fd(), kinds) };
    check(i64::from(result))
        .map(drop)
        .what(|| format!("join namespaces {:#x}", flags.bits()))
}

/// Moves the caller into new namespaces.
///
/// # Errors
/// What unshare(2) refuses.
pub fn unshare(flags: CloneFlags) -> Result<()> {
    let kinds = i32::try_from(flags.bits()).unwrap_or(0);
    // SAFETY: no memory arguments.
    let result = unsafe { libc::unshare(kinds) };
    check(i64::from(result))
        .map(drop)
        .what(|| format!("unshare namespaces {:#x}", flags.bits()))
}

/// Switches the loopback link of the caller's network namespace on (netdevice(7), SIOCSIFFLAGS).
///
/// # Errors
/// When the namespace is not the caller's to change.
pub fn loopback_up() -> Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let what = || "set link lo up".to_owned();
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .what(what)?;
    let mut name = [0; libc::IFNAMSIZ];
    name[0] = b'l' as libc::c_char;
    name[1] = b'o' as libc::c_char;
    let flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
    };
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which lives across the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    check(i64::from(result)).map(drop).what(what)
}
