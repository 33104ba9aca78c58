//! Kernel parameters that a container may have: those of which one of its namespaces has a separate value.

use std::path::Path;

use crate::oci::NamespaceType;

/// Parameters of an IPC namespace (ipc_namespaces(7)), below /proc/sys/kernel; all of `fs.mqueue` are, too.
const IPC: [&str; 8] = [
    "msgmax",
    "msgmnb",
    "msgmni",
    "sem",
    "shmall",
    "shmmax",
    "shmmni",
    "shm_rmid_forced",
];

/// The kind of namespace that a parameter belongs to; `None` when the machine has it only once, or nothing has that name.
#[must_use]
pub fn namespace_of_sysctl(name: &str) -> Option<NamespaceType> {
    let path = sys::sysctl::path(name).ok()?;
    let below = |folder: &str| path.strip_prefix(folder).ok();
    if below("/proc/sys/net").is_some() {
        return Some(NamespaceType::Network);
    }
    if below("/proc/sys/fs/mqueue").is_some() {
        return Some(NamespaceType::Ipc);
    }
    let kernel = below("/proc/sys/kernel").and_then(Path::to_str)?;
    match kernel {
        "hostname" | "domainname" => Some(NamespaceType::Uts),
        name if IPC.contains(&name) => Some(NamespaceType::Ipc),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_machine_have_no_namespace() {
        for (name, kind) in [
            ("net.ipv4.ip_forward", Some(NamespaceType::Network)),
            ("net/ipv4/ip_forward", Some(NamespaceType::Network)),
            ("fs.mqueue.msg_max", Some(NamespaceType::Ipc)),
            ("kernel/shmmax", Some(NamespaceType::Ipc)),
            ("kernel.domainname", Some(NamespaceType::Uts)),
            ("kernel.core_pattern", None),
            ("vm.swappiness", None),
            ("network.x", None),
            ("net/../kernel/core_pattern", None),
            ("", None),
        ] {
            assert_eq!(namespace_of_sysctl(name), kind, "{name}");
        }
    }
}
