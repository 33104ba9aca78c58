//! /dev of a container: the nodes that every program expects, those of the specification, and the usual links.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, fstat};
use sys::fs::{NodeKind, make_node};
use sys::mount;
use sys::rooted::Root;

use crate::error::{Error, Result};
use crate::oci::{Device, Linux, NamespaceType};

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
pub(super) fn set_up(root: &Root, linux: &Linux) -> Result<()> {
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
        // As in Docker: a machine without /proc/kcore has no /dev/core.
        if path == "/dev/core" && !Path::new(target).exists() {
            continue;
        }
        let (parent, name) = root.ensure_parent(Path::new(path))?;
        match rustix::fs::symlinkat(target, &parent, &name) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(Error::other(format!("link {path}: {errno}"))),
        }
    }
    Ok(())
}

fn make(root: &Root, device: &Device, from_host: bool) -> Result<()> {
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
    let (parent, name) = root.ensure_parent(path)?;
    let mode = device.file_mode.unwrap_or(0o666) & 0o7777;
    let name = Path::new(&name);
    let number = (device.major, device.minor);
    let is_made = match make_node(parent.as_fd(), name, kind, mode, number) {
        Ok(()) => true,
        // The image has it, or the /dev is one that has them.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        // No right to make nodes: the host's own.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return show_host_node(root, path);
        }
        Err(error) => return Err(Error::other(format!("device {}: {error}", device.path))),
    };
    // What is there now is looked at, and changed by its descriptor only.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = rustix::fs::openat(&parent, name, flags, Mode::empty())
        .map_err(|errno| Error::other(format!("device {}: {errno}", device.path)))?;
    if !is_device(&node, kind, number) {
        return Err(Error::other(format!(
            "device {}: the container has something else there",
            device.path
        )));
    }
    if is_made && (device.uid != 0 || device.gid != 0) {
        let owner = (
            Some(Uid::from_raw(device.uid)),
            Some(Gid::from_raw(device.gid)),
        );
        rustix::fs::chownat(&node, "", owner.0, owner.1, AtFlags::EMPTY_PATH)
            .map_err(|errno| Error::other(format!("device {}: chown: {errno}", device.path)))?;
    }
    Ok(())
}

fn is_device(node: &OwnedFd, kind: NodeKind, (major, minor): (u32, u32)) -> bool {
    let wanted = match kind {
        NodeKind::Character => FileType::CharacterDevice,
        NodeKind::Block => FileType::BlockDevice,
        NodeKind::Fifo => FileType::Fifo,
    };
    fstat(node).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == wanted
            && (kind == NodeKind::Fifo || stat.st_rdev == rustix::fs::makedev(major, minor))
    })
}

fn show_host_node(root: &Root, path: &Path) -> Result<()> {
    let tree = mount::open_tree_clone_at(CWD, path, false)?;
    let target = root.ensure_file(path, 0o644)?;
    Ok(mount::move_mount_to(tree.as_fd(), target.as_fd())?)
}
