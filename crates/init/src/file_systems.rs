//! Phase "mount API file systems": the kernel's own file systems, before anything else can run.

use std::fs;
use std::path::Path;

use anyhow::Context;
use sys::mount::{self, MountFlags, Propagation};

use crate::machine::Machine;

/// One kernel file system and where it belongs.
struct ApiFileSystem {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: &'static str,
}

const NO_PROGRAMS: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NOEXEC)
    .union(MountFlags::NODEV);

/// Modes and sizes follow Debian's: a fifth of RAM for /run, and /dev/shm sized by the kernel's
/// default of half the RAM. Both engines' directories in /run are separate file systems: whoever fills /run (the console
/// and every container that binds it can) stops no container's start, and what they hold is bounded.
#[rustfmt::skip]
const API_FILE_SYSTEMS: &[ApiFileSystem] = &[
    ApiFileSystem { kind: "proc",     target: "/proc",          flags: NO_PROGRAMS, data: "" },
    ApiFileSystem { kind: "sysfs",    target: "/sys",           flags: NO_PROGRAMS, data: "" },
    ApiFileSystem { kind: "devtmpfs", target: "/dev",           flags: MountFlags::NOSUID, data: "mode=0755" },
    ApiFileSystem { kind: "devpts",   target: "/dev/pts",       flags: MountFlags::NOSUID.union(MountFlags::NOEXEC), data: "gid=5,mode=620,ptmxmode=666" },
    ApiFileSystem { kind: "tmpfs",    target: "/dev/shm",       flags: MountFlags::NOSUID.union(MountFlags::NODEV), data: "mode=1777" },
    ApiFileSystem { kind: "mqueue",   target: "/dev/mqueue",    flags: NO_PROGRAMS, data: "" },
    ApiFileSystem { kind: "tmpfs",    target: "/run",           flags: MountFlags::NOSUID.union(MountFlags::NODEV), data: "mode=0755,size=20%" },
    ApiFileSystem { kind: "tmpfs",    target: "/run/system-docker", flags: MountFlags::NOSUID.union(MountFlags::NODEV), data: "mode=0711,size=10%" },
    ApiFileSystem { kind: "tmpfs",    target: "/run/docker",    flags: MountFlags::NOSUID.union(MountFlags::NODEV), data: "mode=0711,size=10%" },
    ApiFileSystem { kind: "tmpfs",    target: "/run/containerd", flags: MountFlags::NOSUID.union(MountFlags::NODEV), data: "mode=0711,size=10%" },
    ApiFileSystem { kind: "cgroup2",  target: "/sys/fs/cgroup", flags: NO_PROGRAMS, data: "nsdelegate" },
];

/// File systems that a kernel may be built without, and that only some programs ask for.
#[rustfmt::skip]
const OPTIONAL: &[ApiFileSystem] = &[
    ApiFileSystem { kind: "securityfs", target: "/sys/kernel/security", flags: NO_PROGRAMS, data: "" },
    ApiFileSystem { kind: "bpf",        target: "/sys/fs/bpf",          flags: NO_PROGRAMS, data: "mode=0700" },
];

/// Mounts them all; what is mounted already (the kernel may mount devtmpfs) is left alone.
pub(crate) fn mount(machine: Machine) -> anyhow::Result<Machine> {
    for file_system in API_FILE_SYSTEMS {
        mount_one(file_system)?;
    }
    for file_system in OPTIONAL {
        // Absent from the kernel: the programs that want it say so themselves.
        let _ = mount_one(file_system);
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        let link = Path::new("/dev").join(link);
        if !link.exists() {
            std::os::unix::fs::symlink(target, &link)
                .with_context(|| format!("cannot link {} to {target}", link.display()))?;
        }
    }
    Ok(machine)
}

fn mount_one(file_system: &ApiFileSystem) -> anyhow::Result<()> {
    let target = Path::new(file_system.target);
    fs::create_dir_all(target).with_context(|| format!("cannot create {}", file_system.target))?;
    if mount::is_mount_point(target)? {
        return Ok(());
    }
    mount::mount(
        file_system.kind,
        target,
        file_system.kind,
        file_system.flags,
        file_system.data,
    )?;
    // Containers get /run and /dev with the propagation that they choose; the host's stay shared.
    mount::set_propagation(target, Propagation::Shared, false)?;
    Ok(())
}
