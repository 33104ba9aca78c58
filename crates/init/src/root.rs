//! Phase "switch root": from the initramfs to a root file system that containers can leave.
//!
//! pivot_root(2) refuses to move the initramfs (it is the kernel's first mount), and every
//! container starts with a pivot_root; so PID 1 moves to a tmpfs first and empties the initramfs,
//! whose files would otherwise stay in RAM. Its own program stays there, and is bound into the new root.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use anyhow::Context;
use sys::mount::{self, MountFlags, Propagation};

use crate::machine::Machine;
use crate::usermode_helper;

/// Where PID 1's program stays, read-only, for the children that it starts.
pub(crate) const PROGRAM: &str = "/sbin/init";
/// The program that reaches registries and reads archives.
pub(crate) const WORKER: &str = "/usr/lib/rancher/worker";
/// Compiled from `rootfs/apparmor` when the initrd is built.
pub(crate) const APPARMOR_POLICY: &str = "/usr/share/ros/apparmor-policy";

const NEW_ROOT: &str = "/new-root";

/// Directories of the host: mount points, and what the bind mounts of services name.
const DIRECTORIES: &[&str] = &[
    "dev",
    "etc",
    "home",
    "lib/firmware",
    "lib/modules",
    "media",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "sbin",
    "state",
    "sys",
    "tmp",
    "usr/lib/rancher",
    "usr/share/ros",
    "var/lib/docker",
    "var/lib/kubelet",
    "var/lib/rancher/conf",
    "var/lib/system-docker",
    "var/log",
    "etc/docker",
];

/// Files that services get as bind mounts, so they must exist before the first service.
const FILES: &[(&str, &str)] = &[
    ("etc/resolv.conf", ""),
    (
        "etc/hosts",
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    ),
];

/// Public keys that new versions are signed with, for `ros os upgrade`.
const UPGRADE_KEYS: &str = "/usr/share/ros/upgrade-keys";

/// PID 1's program in the initramfs. The kernel keeps it as long as it runs, and a copy would be in RAM a second time.
const PROGRAM_OF_INITRAMFS: &str = "/init";

/// Files of the initramfs that are copied.
const COPIED: &[(&str, &str)] = &[
    (WORKER, WORKER),
    (APPARMOR_POLICY, APPARMOR_POLICY),
    (UPGRADE_KEYS, UPGRADE_KEYS),
    (
        "/usr/share/ros/os-config.yml",
        "/usr/share/ros/os-config.yml",
    ),
    ("/etc/os-release", "/etc/os-release"),
];

/// Mounts that move to the new root, with everything below them.
const MOVED: &[&str] = &["dev", "proc", "run", "sys"];

/// Part of the RAM that files without a state partition may fill; the rest is for programs.
const ROOT_OPTIONS: &str = "mode=0755,size=75%";

/// Makes the new root and moves PID 1 there.
pub(crate) fn switch(machine: Machine) -> anyhow::Result<Machine> {
    let new_root = Path::new(NEW_ROOT);
    fs::create_dir_all(new_root).with_context(|| format!("cannot create {NEW_ROOT}"))?;
    mount::mount("tmpfs", new_root, "tmpfs", MountFlags::NODEV, ROOT_OPTIONS)?;
    populate(new_root)?;
    empty_initramfs()?;
    for name in MOVED {
        mount::move_mount(Path::new("/").join(name), new_root.join(name))?;
    }
    std::env::set_current_dir(new_root).with_context(|| format!("cannot enter {NEW_ROOT}"))?;
    mount::move_mount(Path::new("."), Path::new("/"))?;
    sys::process::chroot(Path::new("."))?;
    std::env::set_current_dir("/").context("cannot enter the new root")?;
    // Mounts made in /mnt or /media by one container must reach the others.
    mount::set_propagation(Path::new("/"), Propagation::Shared, true)?;
    protect_program()?;
    attach("/run/rancher/modules", "/lib/modules")?;
    attach("/run/rancher/firmware", "/lib/firmware")?;
    Ok(machine)
}

fn populate(new_root: &Path) -> anyhow::Result<()> {
    for name in DIRECTORIES {
        let path = new_root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    for (name, content) in FILES {
        let path = new_root.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    sys::fs::set_mode(&new_root.join("tmp"), 0o1777)?;
    sys::fs::set_mode(&new_root.join("root"), 0o700)?;
    symlink("../run", new_root.join("var/run")).context("cannot link /var/run")?;
    symlink("init", new_root.join(&usermode_helper::PATH[1..]))
        .with_context(|| format!("cannot link {}", usermode_helper::PATH))?;
    for (from, to) in COPIED {
        // With its mode.
        fs::copy(from, new_root.join(&to[1..])).with_context(|| format!("cannot copy {from}"))?;
    }
    let program = new_root.join(&PROGRAM[1..]);
    fs::write(&program, "").with_context(|| format!("cannot write {}", program.display()))?;
    mount::bind(PROGRAM_OF_INITRAMFS, &program, false)?;
    Ok(())
}

/// Makes the program read-only where children of ours are started from: a container that gets hold of `/proc/PID/exe` of one
/// cannot write PID 1's program through it (CVE-2019-5736).
fn protect_program() -> anyhow::Result<()> {
    mount::remount_bind(PROGRAM, MountFlags::RDONLY | MountFlags::NOSUID)?;
    Ok(())
}

/// Binds `from` on `to` if the media had it.
fn attach(from: &str, to: &str) -> anyhow::Result<()> {
    if Path::new(from).exists() {
        mount::bind(Path::new(from), Path::new(to), false)?;
    }
    Ok(())
}

/// Deletes what lies in the initramfs itself: not in other mounts, not PID 1's program, and not the images that a
/// network boot brought in it.
fn empty_initramfs() -> anyhow::Result<()> {
    let device = fs::metadata("/").context("cannot stat /")?.dev();
    for entry in fs::read_dir("/").context("cannot list /")? {
        let path = entry.context("cannot list /")?.path();
        if path != Path::new("/rancheros") && path != Path::new(PROGRAM_OF_INITRAMFS) {
            remove_on_device(&path, device);
        }
    }
    Ok(())
}

fn remove_on_device(path: &Path, device: u64) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    if metadata.dev() != device {
        return;
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            remove_on_device(&entry.path(), device);
        }
        // A mount point below keeps it; it is a few bytes.
        let _ = fs::remove_dir(path);
    } else {
        let _ = fs::remove_file(path);
    }
}
