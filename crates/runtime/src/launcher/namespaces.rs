//! Which namespaces a container gets new.

use sys::namespace::CloneFlags;

use crate::oci::{Linux, NamespaceType};

pub(super) fn is_new(linux: &Linux, kind: NamespaceType) -> bool {
    linux
        .namespace(kind)
        .is_some_and(|namespace| namespace.path.is_empty())
}

/// What clone3(2) makes. The view of the cgroup tree is made by the child once it is in its cgroup.
pub(super) fn new_namespaces(linux: &Linux) -> CloneFlags {
    let mut flags = CloneFlags::NEWNS;
    for (kind, flag) in [
        (NamespaceType::Pid, CloneFlags::NEWPID),
        (NamespaceType::Network, CloneFlags::NEWNET),
        (NamespaceType::Ipc, CloneFlags::NEWIPC),
        (NamespaceType::Uts, CloneFlags::NEWUTS),
        (NamespaceType::User, CloneFlags::NEWUSER),
    ] {
        if is_new(linux, kind) {
            flags |= flag;
        }
    }
    flags
}
