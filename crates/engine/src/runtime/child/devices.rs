//! /dev of a container: the nodes that every program expects, those of the specification, and the usual links.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Uid};
use sys::fs::{NodeKind, make_node};
use sys::mount;

use super::super::error::{Error, Result};
use super::super::oci::{Device, Linux, NamespaceType};
use super::rooted::{ensure_file, ensure_parent};

/// What the specification requires in every container (`config-linux.md`, default devices): path, major, minor.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Links, and where they point to.
const LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Fills /dev.
pub(super) fn set_up(root: BorrowedFd<'_>, linux: &Linux) -> Result<()> {
    // Nodes cannot be made in a user namespace: the host's are shown.
    let from_host = linux.namespace(NamespaceType::User).is_some();
    for (path, major, minor) in DEFAULT {
        if linux.devices.iter().any(|device| device.path == path) {
            continue;
        }
        let device = Device {
            kind: "c".into(),
            path: path.into(),
            major,
            minor,
            ..Device::default()
        };
        make(root, &device, from_host)?;
    }
    for device in &linux.devices {
        make(root, device, from_host)?;
    }
    for (path, target) in LINKS {
        let (parent, name) = ensure_parent(root, Path::new(path))?;
        match rustix::fs::symlinkat(target, &parent, &name) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(Error::other(format!("link {path}: {errno}"))),
        }
    }
    Ok(())
}

fn make(root: BorrowedFd<'_>, device: &Device, from_host: bool) -> Result<()> {
    let path = Path::new(&device.path);
    if from_host {
        return show_host_node(root, path);
    }
    let kind = match device.kind.as_str() {
        "c" | "u" => NodeKind::Character,
        "b" => NodeKind::Block,
        "p" => NodeKind::Fifo,
        other => {
            return Err(Error::other(format!(
                "device {}: type {other:?} is unknown",
                device.path
            )));
        }
    };
    let (parent, name) = ensure_parent(root, path)?;
    let mode = device.file_mode.unwrap_or(0o666) & 0o7777;
    match make_node(
        parent.as_fd(),
        &name,
        kind,
        mode,
        (device.major, device.minor),
    ) {
        Ok(()) => {}
        // The image has it, or the /dev is one that has them.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        // No right to make nodes: the host's own.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return show_host_node(root, path);
        }
        Err(error) => return Err(Error::other(format!("device {}: {error}", device.path))),
    }
    if device.uid != 0 || device.gid != 0 {
        let owner = (
            Some(Uid::from_raw(device.uid)),
            Some(Gid::from_raw(device.gid)),
        );
        rustix::fs::chownat(&parent, &name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Error::other(format!("device {}: chown: {errno}", device.path)))?;
    }
    Ok(())
}

fn show_host_node(root: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let tree = mount::open_tree_clone_at(CWD, path, false)?;
    let target = ensure_file(root, path)?;
    Ok(mount::move_mount_to(tree.as_fd(), target.as_fd())?)
}
