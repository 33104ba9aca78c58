//! Joining namespaces that exist, and becoming a process of another process number namespace.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use sys::namespace::{self, CloneFlags};
use sys::process::{self, CloneOptions, Fork, clone_single_threaded};

use super::Engine;
use crate::error::{Error, Result};
use crate::oci::{Linux, NamespaceType};
use crate::protocol::{GO, Report};

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
