//! Joining namespaces that exist, and becoming a process of another process number namespace.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use sys::namespace::{self, CloneFlags};
use sys::process::{self, CloneOptions, Fork, clone_single_threaded};

use super::Engine;
use crate::error::{Error, Result};
use crate::oci::{Linux, NamespaceType};
use crate::protocol::{GO, Report};
use crate::sysctls::namespace_of_sysctl;

/// Which side of the clone this is.
pub(super) enum Side {
    /// The one that made the container's process.
    Helper,
    /// The container's process.
    Process,
}

/// Joins the namespaces that the specification names by path, the user namespace first: it gives the right to the
/// others.
pub(super) fn join(engine: &Engine, linux: &Linux, cgroup: Option<BorrowedFd<'_>>) -> Result<Side> {
    let mut joins = Vec::new();
    // All are opened before the first is joined: paths mean the engine's /proc.
    for namespace in linux
        .namespaces
        .iter()
        .filter(|namespace| !namespace.path.is_empty())
    {
        let file = File::open(&namespace.path)
            .map_err(|e| Error::other(format!("open namespace {}: {e}", namespace.path)))?;
        joins.push((namespace.kind, file));
    }
    keep_sysctls(linux, &joins)?;
    let take = |kind: NamespaceType, flag: CloneFlags| -> Result<bool> {
        match joins.iter().find(|(joined, _)| *joined == kind) {
            Some((_, file)) => namespace::setns(file, flag)
                .map(|()| true)
                .map_err(Error::from),
            None => Ok(false),
        }
    };
    if joins.iter().any(|(kind, _)| *kind == NamespaceType::Mount) {
        return Err(Error::other(
            "a container cannot join a mount namespace: use exec",
        ));
    }
    if take(NamespaceType::User, CloneFlags::NEWUSER)? {
        process::set_user(0, 0, &[])?;
    }
    take(NamespaceType::Network, CloneFlags::NEWNET)?;
    take(NamespaceType::Ipc, CloneFlags::NEWIPC)?;
    take(NamespaceType::Uts, CloneFlags::NEWUTS)?;
    take(NamespaceType::Cgroup, CloneFlags::NEWCGROUP)?;
    if take(NamespaceType::Pid, CloneFlags::NEWPID)? {
        process::set_dumpable(false)?;
        return become_sibling(engine, cgroup);
    }
    Ok(Side::Process)
}

/// Refuses kernel parameters that this process, before it joins anything, has in common with the engine: the value would be
/// the machine's. A namespace that is joined can be the engine's, too: that of a container which shares the machine's.
fn keep_sysctls(linux: &Linux, joins: &[(NamespaceType, File)]) -> Result<()> {
    for name in linux.sysctl.keys() {
        // A name that no parameter can have gets its own error message.
        sys::sysctl::path(name)?;
        let Some(kind) = namespace_of_sysctl(name) else {
            return Err(Error::other(format!(
                "sysctl \"{name}\" is not in a separate kernel namespace"
            )));
        };
        let joined = joins.iter().find(|(joined, _)| *joined == kind);
        let shared = match joined {
            Some((_, file)) => is_ours(kind, file)
                .map_err(|error| Error::other(format!("set sysctl {name}: {error}")))?,
            None => linux.namespace(kind).is_none(),
        };
        if shared {
            return Err(Error::other(format!(
                "sysctl \"{name}\" not allowed in host {} namespace",
                file_of(kind)
            )));
        }
    }
    Ok(())
}

/// Whether this process is in the namespace.
fn is_ours(kind: NamespaceType, namespace: &File) -> io::Result<bool> {
    let ours = std::fs::metadata(format!("/proc/self/ns/{}", file_of(kind)))?;
    let other = namespace.metadata()?;
    Ok((ours.dev(), ours.ino()) == (other.dev(), other.ino()))
}

/// The name of a namespace that has parameters, in /proc/PID/ns.
fn file_of(kind: NamespaceType) -> &'static str {
    match kind {
        NamespaceType::Network => "net",
        NamespaceType::Ipc => "ipc",
        _ => "uts",
    }
}

/// Makes a copy of this process, a child of the engine, in the namespaces that are set for children. The copy goes on
/// when the engine says so; this one tells the engine who it is and ends.
pub(super) fn become_sibling(engine: &Engine, cgroup: Option<BorrowedFd<'_>>) -> Result<Side> {
    let options = CloneOptions {
        namespaces: CloneFlags::empty(),
        cgroup,
        sibling: true,
    };
    match clone_single_threaded(&options)? {
        Fork::Parent(spawned) => {
            engine.report(&Report::Sibling(spawned.pid), &[spawned.pidfd.as_fd()])?;
            Ok(Side::Helper)
        }
        Fork::Child => {
            engine.expect(GO)?;
            Ok(Side::Process)
        }
    }
}
