//! The kernel's interfaces as safe Rust: mounts, processes, namespaces, cgroups, terminals, devices, power.
//!
//! It is the only crate with `unsafe`. Every function is one step that a manual page describes; what to do, and in
//! which order, is decided by its callers (PID 1, the engine, `ros`).
//!
//! **Belongs here:** one kernel interface or a few that belong together, as a manual page or the kernel's documentation describes
//! them.
//!
//! **Not here:** this crate does not keep state (except the set of children that [`process::Command`] waits for), does not log,
//! does not read configuration and knows nothing of containers or images.
//!
//! **May import:** none of our crates.
#![allow(unsafe_code)] // the one crate that may: see CONTRIBUTING.md

mod error;
mod flags;

pub mod atomic_file;
pub mod blockdev;
pub mod capability;
pub mod cgroup;
pub mod clock;
pub mod device_filter;
pub mod fdpass;
pub mod fs;
pub mod guarded;
pub mod kmsg;
pub mod modules;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod process;
pub mod readiness;
pub mod reboot;
pub mod regular;
pub mod rooted;
pub mod seccomp;
pub mod signal;
pub mod swap;
pub mod sysctl;
pub mod tty;
pub mod vmware;
pub mod watchdog;

pub use error::{Context, Error, Result};

/// RAM that nothing uses, not even the kernel's cache, in bytes (sysinfo(2)).
#[must_use]
pub fn free_ram() -> u64 {
    let info = rustix::system::sysinfo();
    info.freeram.saturating_mul(u64::from(info.mem_unit))
}

/// The running kernel's release, as uname(2) gives it: the name of its directory in /lib/modules.
#[must_use]
pub fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}
