//! The root file system as a separate mount, and the move into it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use sys::mount::{self, Attributes, MountFlags, Propagation, UnmountFlags};

use crate::error::{Error, Result};

/// `rootfsPropagation`: what mounts of the host the container sees, and the host of the container's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RootPropagation {
    /// Not said: mounts come in where a bind mount asks for it.
    Default,
    /// Said so.
    Set(Propagation),
}

impl RootPropagation {
    pub(super) fn parse(text: &str) -> Result<RootPropagation> {
        Ok(match text {
            "" => RootPropagation::Default,
            "private" | "rprivate" => RootPropagation::Set(Propagation::Private),
            "slave" | "rslave" => RootPropagation::Set(Propagation::Slave),
            "shared" | "rshared" => RootPropagation::Set(Propagation::Shared),
            "unbindable" | "runbindable" => RootPropagation::Set(Propagation::Unbindable),
            other => {
                return Err(Error::other(format!(
                    "rootfsPropagation {other:?} is unknown"
                )));
            }
        })
    }
}

/// Mounts the root directory on itself, so that it can be pivoted to, and returns it.
///
/// In a shared tree the mounts of this namespace stay peers of the host's, which is what `:shared` volumes are for. So
/// that the container's own mounts do not appear on the host, what the root lies on becomes private first.
pub(super) fn prepare(path: &Path, propagation: RootPropagation) -> Result<OwnedFd> {
    let named =
        |error: sys::Error| Error::other(format!("prepare rootfs {}: {error}", path.display()));
    match propagation {
        RootPropagation::Set(Propagation::Shared) => {}
        RootPropagation::Set(Propagation::Private | Propagation::Unbindable) => {
            mount::set_attributes("/", Attributes::propagation(Propagation::Private), true)
                .map_err(named)?;
        }
        RootPropagation::Default | RootPropagation::Set(Propagation::Slave) => {
            mount::set_attributes("/", Attributes::propagation(Propagation::Slave), true)
                .map_err(named)?;
        }
    }
    make_parent_private(path)?;
    let root = mount::open_tree_clone(path).map_err(named)?;
    mount::set_attributes_fd(
        root.as_fd(),
        Attributes::propagation(Propagation::Private),
        true,
    )
    .map_err(named)?;
    mount::move_mount_fd(&root, path).map_err(named)?;
    Ok(root)
}

/// Makes the mount that `path` lies on private: the nearest directory above that is a mount point (others are refused
/// with EINVAL).
fn make_parent_private(path: &Path) -> Result<()> {
    let path = path
        .canonicalize()
        .map_err(|e| Error::other(format!("rootfs {}: {e}", path.display())))?;
    for candidate in path.ancestors() {
        match mount::set_attributes(
            candidate,
            Attributes::propagation(Propagation::Private),
            false,
        ) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {}
            result => return Ok(result?),
        }
    }
    Err(Error::other(format!(
        "rootfs {}: nothing is mounted there",
        path.display()
    )))
}

/// Makes `root` the root and leaves the old one.
pub(super) fn enter(root: OwnedFd, propagation: RootPropagation) -> Result<()> {
    let step = |what: &str, result: rustix::io::Result<()>| {
        result.map_err(|errno| Error::other(format!("{what}: {errno}")))
    };
    let old = rustix::fs::open(
        "/",
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(|errno| Error::other(format!("open /: {errno}")))?;
    step("enter the root", rustix::process::fchdir(&root))?;
    // The old root is put on top of the new one, so it needs no directory in it (pivot_root(2), notes).
    mount::pivot_root(".", ".")?;
    step("enter the old root", rustix::process::fchdir(&old))?;
    // Unmounting must not reach the host.
    mount::set_propagation(".", Propagation::Slave, true)?;
    mount::unmount(".", UnmountFlags::DETACH)?;
    step("enter the new root", rustix::process::chdir("/"))?;
    if let RootPropagation::Set(propagation) = propagation {
        mount::set_propagation("/", propagation, false)?;
    }
    Ok(())
}

/// Nothing of the root can be written any more; mounts in it are as they are.
pub(super) fn make_readonly() -> Result<()> {
    Ok(mount::set_attributes(
        "/",
        Attributes::set(MountFlags::RDONLY),
        false,
    )?)
}
