//! The mounts of a container: each is made detached, gets its attributes, and is attached in one step to a place that
//! was opened within the root.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use sys::mount::{self, Attributes, MountFlags, Propagation};
use sys::rooted::Root;

use super::kernel::{self, Kernel};
use super::targets;
use crate::error::{Error, ErrorKind, Result};
use crate::oci::{Mount, SUBPATH_OPTION};

/// A mount's options, sorted out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    flags: MountFlags,
    bind: bool,
    recursive: bool,
    recursive_readonly: bool,
    propagation: Option<(Propagation, bool)>,
    /// What to show of the source: a path that must not lead out of it.
    subpath: Option<String>,
    data: String,
}

/// Options that are the default and change nothing here. `rw` does not undo a read-only source.
const NO_EFFECT: [&str; 12] = [
    "defaults",
    "rw",
    "suid",
    "dev",
    "exec",
    "async",
    "atime",
    "diratime",
    "norelatime",
    "nostrictatime",
    "symfollow",
    "mand",
];

fn parse(words: &[String]) -> Options {
    let mut options = Options::default();
    let mut data: Vec<&str> = Vec::new();
    for word in words {
        let flag = match word.as_str() {
            "ro" => MountFlags::RDONLY,
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "noatime" => MountFlags::NOATIME,
            "nodiratime" => MountFlags::NODIRATIME,
            "relatime" => MountFlags::RELATIME,
            "strictatime" => MountFlags::STRICTATIME,
            "nosymfollow" => MountFlags::NOSYMFOLLOW,
            _ => MountFlags::empty(),
        };
        options.flags |= flag;
        if let Some(subpath) = word.strip_prefix(SUBPATH_OPTION) {
            options.subpath = Some(subpath.to_owned());
            continue;
        }
        match word.as_str() {
            _ if !flag.is_empty() => {}
            "bind" => options.bind = true,
            "rbind" => (options.bind, options.recursive) = (true, true),
            "rro" => {
                (options.flags, options.recursive_readonly) =
                    (options.flags | MountFlags::RDONLY, true)
            }
            "private" => options.propagation = Some((Propagation::Private, false)),
            "rprivate" => options.propagation = Some((Propagation::Private, true)),
            "slave" => options.propagation = Some((Propagation::Slave, false)),
            "rslave" => options.propagation = Some((Propagation::Slave, true)),
            "shared" => options.propagation = Some((Propagation::Shared, false)),
            "rshared" => options.propagation = Some((Propagation::Shared, true)),
            "unbindable" => options.propagation = Some((Propagation::Unbindable, false)),
            "runbindable" => options.propagation = Some((Propagation::Unbindable, true)),
            no_effect if NO_EFFECT.contains(&no_effect) => {}
            other => data.push(other),
        }
    }
    options.data = data.join(",");
    options
}

/// Whether it shows a directory or file of the host.
pub(super) fn is_bind(mount: &Mount) -> bool {
    mount.kind == "bind"
        || mount
            .options
            .iter()
            .any(|option| option == "bind" || option == "rbind")
}

/// Mounts one, and looks afterwards whether it is where it was asked for.
pub(super) fn apply(root: &Root, bundle: &Path, mount: &Mount, kernel: &mut Kernel) -> Result<()> {
    let named = |error: Error| {
        let source = if mount.source.is_empty() {
            &mount.kind
        } else {
            &mount.source
        };
        Error::new(
            error.kind,
            format!("mount {source} on {}: {error}", mount.destination),
        )
    };
    let tree = mount_one(root, bundle, mount).map_err(named)?;
    let destination = Path::new(&mount.destination);
    if !kernel::is_mounted_at(root, destination, tree.as_fd()).map_err(named)? {
        return Err(named(Error::other(
            "something else has been put in its place meanwhile",
        )));
    }
    kernel.note(destination, tree);
    Ok(())
}

fn mount_one(root: &Root, bundle: &Path, mount: &Mount) -> Result<OwnedFd> {
    let options = parse(&mount.options);
    let tree = if is_bind(mount) {
        bind_tree(bundle, mount, &options)?
    } else {
        new_tree(mount, &options)?
    };
    let target = targets::open(root, mount, tree.as_fd(), is_bind(mount))?;
    mount::move_mount_to(tree.as_fd(), target.as_fd())?;
    Ok(tree)
}

/// A new file system.
fn new_tree(mount: &Mount, options: &Options) -> Result<OwnedFd> {
    // A read-only file system that is still to be filled is sealed afterwards.
    let flags = if is_sealed_later(mount) {
        options.flags.without(MountFlags::RDONLY)
    } else {
        options.flags
    };
    let tree = match mount.kind.as_str() {
        "cgroup" | "cgroup2" => cgroup_tree(flags)?,
        "sysfs" => sysfs_tree(flags, &options.data)?,
        kind => mount::create(kind, &mount.source, flags, &options.data)?,
    };
    if let Some((propagation, recursive)) = options.propagation {
        mount::set_attributes_fd(
            tree.as_fd(),
            Attributes::propagation(propagation),
            recursive,
        )?;
    }
    Ok(tree)
}

fn bind_tree(bundle: &Path, mount: &Mount, options: &Options) -> Result<OwnedFd> {
    // A kind of `bind` without either word is recursive only if it says so.
    let source = bundle.join(&mount.source);
    let tree = match &options.subpath {
        None => mount::open_tree_clone_at(CWD, source, options.recursive)?,
        Some(subpath) => {
            let below = open_subpath(&source, subpath)?;
            mount::open_tree_clone_at(below.as_fd(), "", options.recursive)?
        }
    };
    mount::set_attributes_fd(
        tree.as_fd(),
        Attributes::set(options.flags),
        options.recursive_readonly,
    )?;
    // Private unless said otherwise: what the container mounts stays in it.
    let (propagation, recursive) = options.propagation.unwrap_or((Propagation::Private, true));
    mount::set_attributes_fd(
        tree.as_fd(),
        Attributes::propagation(propagation),
        recursive,
    )?;
    Ok(tree)
}

/// Opens a path within a volume: who can write to the volume must not reach the host through a link in it.
fn open_subpath(volume: &Path, subpath: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base = rustix::fs::openat(CWD, volume, flags, Mode::empty()).map_err(|error| {
        Error::new(
            ErrorKind::Other,
            format!("open {}: {error}", volume.display()),
        )
    })?;
    sys::fs::open_beneath(base.as_fd(), Path::new(subpath)).map_err(|error| {
        let escapes = error.errno() == Some(rustix::io::Errno::XDEV.raw_os_error());
        let text = if escapes {
            format!(
                "path concatenation escapes the base directory, base: {}, subpath: {subpath}",
                volume.display()
            )
        } else {
            format!(
                "cannot access path {}: {error}",
                volume.join(subpath).display()
            )
        };
        Error::new(ErrorKind::Other, text)
    })
}

/// The cgroup tree; in a user namespace without its own cgroup namespace only the host's mount may be shown.
fn cgroup_tree(flags: MountFlags) -> Result<OwnedFd> {
    or_bind(
        mount::create("cgroup2", "cgroup", flags, ""),
        sys::cgroup::ROOT,
        flags,
    )
}

/// /sys; in a user namespace with the host's network only the host's mount may be shown.
fn sysfs_tree(flags: MountFlags, data: &str) -> Result<OwnedFd> {
    or_bind(mount::create("sysfs", "sysfs", flags, data), "/sys", flags)
}

fn or_bind(created: sys::Result<OwnedFd>, path: &str, flags: MountFlags) -> Result<OwnedFd> {
    match created {
        Err(error) if error.errno() == Some(rustix::io::Errno::PERM.raw_os_error()) => {
            let tree = mount::open_tree_clone_at(CWD, path, true)?;
            mount::set_attributes_fd(tree.as_fd(), Attributes::set(flags), true)?;
            Ok(tree)
        }
        created => Ok(created?),
    }
}

/// A tmpfs that gets device nodes after it is mounted.
fn is_sealed_later(mount: &Mount) -> bool {
    mount.kind == "tmpfs"
        && mount.destination == "/dev"
        && mount.options.iter().any(|option| option == "ro")
}

/// Makes read-only what had to be written first.
pub(super) fn seal(kernel: &Kernel, mounts: &[Mount]) -> Result<()> {
    if mounts.iter().any(is_sealed_later)
        && let Some(dev) = kernel.mount("/dev")
    {
        mount::set_attributes_fd(dev, Attributes::set(MountFlags::RDONLY), false)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_into_flags_propagation_and_data() {
        let words = [
            "nosuid",
            "rbind",
            "rslave",
            "rw",
            "ro",
            "mode=1777",
            "size=64m",
        ]
        .map(str::to_owned);
        let options = parse(&words);
        assert_eq!(options.flags, MountFlags::NOSUID | MountFlags::RDONLY);
        assert!(options.bind && options.recursive && !options.recursive_readonly);
        assert_eq!(options.propagation, Some((Propagation::Slave, true)));
        assert_eq!(options.data, "mode=1777,size=64m");
        assert!(parse(&["rro".to_owned()]).recursive_readonly);
    }
}
